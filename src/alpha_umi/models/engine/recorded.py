"""Forwards in which every request gives one token, recorded once as CUDA graphs and played from then on.

What a small model takes for such a step is the starting of its kernels one by one; a graph starts them all at once. A
graph has one number of rows: where there are fewer requests, the last of them stands in for the rest and writes what
it writes itself. Where there is no CUDA the same forward runs without a recording.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from contextlib import nullcontext
from typing import TYPE_CHECKING, Any, cast

import torch
from torch import Tensor
from transformers import PreTrainedModel

from alpha_umi.models.adapters import Adapters
from alpha_umi.models.engine.attention import Part, along
from alpha_umi.models.engine.ragged import Ragged, Spans

if TYPE_CHECKING:
    from alpha_umi.models.engine.memory import Memory

_LOG = logging.getLogger(__name__)


class Recorder:
    """Graphs of one model over one memory, by their rows. Used by one thread at a time."""

    def __init__(self, model: PreTrainedModel, memory: Memory, adapters: Adapters | None) -> None:
        self._model = model
        self._memory = memory
        self._adapters = adapters
        self._forwards: dict[tuple[int, int], _Forward] = {}
        self._learned = _learned(adapters)
        self._pool: Any = None
        self.refused: str | None = None
        """Why nothing is recorded any more."""

    @property
    def graphs(self) -> dict[int, torch.cuda.CUDAGraph]:
        """Those of lanes as they are now, by their rows."""
        width = self._memory.width
        return {key[0]: one.graph for key, one in self._forwards.items() if one.graph is not None and key[1] == width}

    @staticmethod
    def suits(model: PreTrainedModel) -> bool:
        """Whether its forwards are the same kernels whatever the tokens are."""
        experts = any(hasattr(module, "experts") for module in model.modules())
        return not experts and getattr(model.config, "sliding_window", None) is None

    def forward(self, parts: Sequence[Part]) -> Tensor | None:
        """Logits [parts, vocabulary] of parts of one token each, until the next call; None: nothing is recorded."""
        if self.refused is not None:
            return None
        if (learned := _learned(self._adapters)) != self._learned:
            self._forwards.clear()
            self._learned = learned
        key = 1 << (len(parts) - 1).bit_length(), self._memory.width
        forward = self._forwards.get(key)
        if forward is None:
            forward = self._forwards[key] = _Forward(self._model, self._memory, self._adapters, key[0])
        forward.take(parts)
        if forward.graph is not None:
            forward.graph.replay()
            return forward.logits[: len(parts)]
        logits = forward.run()
        if logits.is_cuda:
            self._record(forward)
        return logits[: len(parts)]

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


class _Forward:
    """One forward of some rows, of tensors that stay where they are."""

    def __init__(self, model: PreTrainedModel, memory: Memory, adapters: Adapters | None, rows: int) -> None:
        device = memory.shape.device
        self._model = model
        self._memory = memory
        self._adapters = adapters
        self._rows = rows
        self._given = torch.zeros((4, rows), dtype=torch.int64, pin_memory=device.type == "cuda")
        self._numbers = torch.zeros((4, rows), dtype=torch.int64, device=device)
        """Of every row: id, position, lane, adapter."""
        self._queries = torch.arange(rows + 1, dtype=torch.int32, device=device)
        self.graph: torch.cuda.CUDAGraph | None = None
        self.logits: Tensor = torch.empty(0)

    def take(self, parts: Sequence[Part]) -> None:
        """What the next run computes. The last run must be over: these tensors are its."""
        rows = [(part.ids[0], part.start, part.lane, part.adapters[0] if part.adapters else 0) for part in parts]
        rows += rows[-1:] * (self._rows - len(rows))
        self._given.copy_(torch.tensor(rows, dtype=torch.int64).t())
        self._numbers.copy_(self._given, non_blocking=True)

    def run(self) -> Tensor:
        """The logits, [rows, vocabulary]; nothing is read back to the host."""
        ids, positions, lanes, adapters = self._numbers
        begins = lanes * self._memory.width
        spans = Spans(
            queries=self._queries,
            lanes=torch.cat([begins, begins[:1]]).int(),
            used=(positions + 1).int(),
            longest=1,
            reach=self._memory.width,
            width=self._memory.width,
        )
        layout = Ragged(memory=self._memory, places=begins + positions, spans=((slice(0, self._rows), spans),))
        selected = nullcontext() if self._adapters is None else self._adapters.select_any(adapters)
        with selected:
            return cast("Any", self._model)(**along(layout, ids[None], positions[None]), logits_to_keep=0).logits[0]


def _learned(adapters: Adapters | None) -> int:
    """Changes when adapters learn: what is recorded reads copies of them."""
    return 0 if adapters is None else adapters.version
