"""Forwards that are recorded once as CUDA graphs, and played from then on.

What a small model takes for a step is the starting of its kernels one by one; a graph starts them all at once. A graph
has one number of rows. Where every request gives one token and there are fewer, the last of them stands in for the
rest and writes what it writes itself. Where some give more, the rest are tokens of nobody, in memory that nobody has;
what a step takes from the pool is copied before, what it puts there after, for all layers at once. Where there is no
CUDA the same forwards run without a recording.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from itertools import accumulate
from typing import Any, TypeAlias, cast

import numpy as np
import torch
from torch import Tensor
from transformers import PreTrainedModel

from alpha_umi.models.adapters import Adapters
from alpha_umi.models.engine.attention import Step, along
from alpha_umi.models.engine.memory import SCRATCH, Memory
from alpha_umi.models.engine.ragged import Ragged, Spans, fills_of, kept_of, plain
from alpha_umi.models.engine.trie import Numbers

_LOG = logging.getLogger(__name__)
_FEWEST = 64
"""Rows of the smallest forward that reads prompts."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Size:
    """What one recording is made for."""

    rows: int
    sequences: int
    longest: int
    """Most rows of a sequence."""
    wanted: int
    """Rows of which logits are computed."""
    width: int
    """Of the lanes."""


_Parts: TypeAlias = dict[str, Numbers]


class Recorder:
    """Graphs of one model over one memory, by their sizes. Used by one thread at a time."""

    def __init__(self, model: PreTrainedModel, memory: Memory, adapters: Adapters | None) -> None:
        self._model = model
        self._memory = memory
        self._adapters = adapters
        self._forwards: dict[_Size, _Forward] = {}
        self._learned = _learned(adapters)
        self._pool: Any = None
        self.refused: str | None = None
        """Why nothing is recorded any more."""
        self.reads = memory.kernel is not plain
        """Whether steps that read prompts are recorded: the plain kernel looks at how long they are."""

    @property
    def graphs(self) -> dict[int, torch.cuda.CUDAGraph]:
        """Those of steps that only write, with lanes as they are now, by their rows."""
        return {
            size.rows: forward.graph
            for size, forward in self._forwards.items()
            if forward.graph is not None and size.longest == 1 and size.width == self._memory.width
        }

    @staticmethod
    def suits(model: PreTrainedModel) -> bool:
        """Whether its forwards are the same kernels whatever the tokens are."""
        experts = any(hasattr(module, "experts") for module in model.modules())
        return not experts and getattr(model.config, "sliding_window", None) is None

    def forward(self, step: Step, rows: Sequence[int]) -> Tensor | None:
        """Logits [rows, vocabulary] of some rows, until the next call; None: such a step is not recorded."""
        if self.refused is not None:
            return None
        tokens, width = step.starts[-1], self._memory.width
        if step.only_writes:
            count = 1 << (tokens - 1).bit_length()
            return self._run(_Size(rows=count, sequences=count, longest=1, wanted=count, width=width), step, rows)
        if not self.reads or tokens > SCRATCH:
            return None
        fills, kept = fills_of(step.parts, width), kept_of(step.parts, step.starts)
        if fills is not None and kept is not None and np.isin(fills[1], kept[1]).any():
            return None  # what one request computes another one needs within the step, layer by layer
        count, most = max(_FEWEST, 1 << (tokens - 1).bit_length()), self._memory.most_lanes
        size = _Size(rows=count, sequences=most + 1, longest=count, wanted=most, width=width)
        if fills is not None:
            self._memory.fill(*fills)
        logits = self._run(size, step, rows)
        if kept is not None:
            places = np.concatenate([part.lane * width + np.arange(part.start, part.stop) for part in step.parts])
            self._memory.pool(places[kept[0]], kept[1])
        return logits

    def _run(self, size: _Size, step: Step, rows: Sequence[int]) -> Tensor:
        if (learned := _learned(self._adapters)) != self._learned:
            self._forwards.clear()
            self._learned = learned
        forward = self._forwards.get(size)
        if forward is None:
            forward = self._forwards[size] = _Forward(self._model, self._memory, self._adapters, size)
        forward.take(
            _writing(step, size) if size.longest == 1 else _reading(step, size, rows, self._memory.lane_tokens)
        )
        if forward.graph is not None:
            forward.graph.replay()
            logits = forward.logits
        else:
            logits = forward.run()
            if logits.is_cuda:
                self._record(forward)
        if size.longest == 1 and len(rows) < step.starts[-1]:
            return logits[list(rows)]
        return logits[: len(rows)]

    def _record(self, forward: _Forward) -> None:
        """After a forward has run, so that all that is made once is made."""
        graph = torch.cuda.CUDAGraph()
        self._pool = self._pool or torch.cuda.graph_pool_handle()
        try:
            # Other threads may use the device meanwhile: models and training have threads of their own.
            with torch.cuda.graph(graph, pool=self._pool, capture_error_mode="thread_local"):
                logits = forward.run()
        except Exception as error:  # whatever in a model cannot be recorded
            self.refused = f"{type(error).__name__}: {error}"
            _LOG.warning("steps are not recorded: %s", self.refused)
            self._forwards.clear()
            return
        forward.graph, forward.logits = graph, logits


def _writing(step: Step, size: _Size) -> _Parts:
    """Steps of one token per request."""
    parts = [*step.parts, *step.parts[-1:] * (size.rows - len(step.parts))]
    lanes = size.width * np.array([part.lane for part in parts])
    positions = np.array([part.start for part in parts])
    return {
        "ids": np.array([part.ids[0] for part in parts]),
        "positions": positions,
        "places": lanes + positions,
        "adapters": np.array([part.adapters[0] if part.adapters else 0 for part in parts]),
        "wanted": np.arange(size.rows),
        "queries": np.arange(size.rows + 1),
        "lanes": np.append(lanes, 0),
        "used": positions + 1,
    }


def _reading(step: Step, size: _Size, rows: Sequence[int], scratch: int) -> _Parts:
    """Steps of parts of any length; `scratch`: where the memory of nobody begins."""
    parts, spare = step.parts, np.arange(size.rows - step.starts[-1])
    positions = [np.arange(part.start, part.stop) for part in parts]
    filling = [0] * (size.sequences - len(parts) - 1)
    return {
        "ids": np.array([token for part in parts for token in part.ids] + [0] * len(spare)),
        "positions": np.concatenate([*positions, spare]),
        "places": np.concatenate(
            [*(part.lane * size.width + own for part, own in zip(parts, positions, strict=True)), scratch + spare]
        ),
        "adapters": np.array(
            [number for part in parts for number in part.adapters or [0] * len(part.ids)] + [0] * len(spare)
        ),
        "wanted": np.array([*rows, *[0] * (size.wanted - len(rows))]),
        "queries": np.array([*step.starts, size.rows, *(size.rows for _ in filling)]),
        "lanes": np.array([*(part.lane * size.width for part in parts), scratch, *filling, 0]),
        "used": np.array([*(part.stop for part in parts), len(spare), *filling]),
    }


class _Forward:
    """One forward of some rows, of tensors that stay where they are."""

    def __init__(self, model: PreTrainedModel, memory: Memory, adapters: Adapters | None, size: _Size) -> None:
        device, rows, count = memory.shape.device, size.rows, size.sequences
        self._model = model
        self._memory = memory
        self._adapters = adapters
        self._size = size
        self._lengths = {
            "ids": rows, "positions": rows, "places": rows, "adapters": rows, "wanted": size.wanted,
            "queries": count + 1, "lanes": count + 1, "used": count,
        }  # fmt: skip
        whole = sum(self._lengths.values())
        self._given = torch.zeros(whole, dtype=torch.int64, pin_memory=device.type == "cuda")
        self._numbers = torch.zeros(whole, dtype=torch.int64, device=device)
        self.graph: torch.cuda.CUDAGraph | None = None
        self.logits: Tensor = torch.empty(0)

    def take(self, parts: _Parts) -> None:
        """What the next run computes. The last run must be over: these tensors are its."""
        given = self._given.numpy()
        for (name, length), stop in zip(self._lengths.items(), accumulate(self._lengths.values()), strict=True):
            given[stop - length : stop] = parts[name]
        self._numbers.copy_(self._given, non_blocking=True)

    def run(self) -> Tensor:
        """The logits, [wanted, vocabulary]; nothing is read back to the host."""
        size = self._size
        own = dict(zip(self._lengths, self._numbers.split(list(self._lengths.values())), strict=True))
        spans = Spans(
            queries=own["queries"].int(), lanes=own["lanes"].int(), used=own["used"].int(),
            longest=size.longest, reach=max(size.width, size.longest), width=size.width,
        )  # fmt: skip
        layout = Ragged(memory=self._memory, places=own["places"], spans=((slice(0, size.rows), spans),))
        selected = nullcontext() if self._adapters is None else self._adapters.select_any(own["adapters"])
        inputs = along(layout, own["ids"][None], own["positions"][None])
        with selected:
            return cast("Any", self._model)(**inputs, logits_to_keep=own["wanted"]).logits[0]


def _learned(adapters: Adapters | None) -> int:
    """Changes when adapters learn: what is recorded reads copies of them."""
    return 0 if adapters is None else adapters.version
