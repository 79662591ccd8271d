"""Training batches of every process and step, made by background workers during the step before.

Item k of `StepData` is the batch of process k % world size in step k // world size: a function of the arguments
alone, in any process and order, so any number of workers give the same training and a resumed run asks
only for the steps that are left. The layout decides how a step is computed, never what it holds.
"""

from __future__ import annotations

import hashlib
import json
import multiprocessing
import os
import signal
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Protocol, cast

import numpy as np
import torch
from torch.utils.data import DataLoader, Dataset

from alpha_umi.errors import AlphaUMiError
from alpha_umi.training.data.cache import TokenCache
from alpha_umi.training.data.corpus import Corpus
from alpha_umi.training.data.labels import (
    AdapterAssignment,
    Tokeniser,
    TokenizedExample,
    TokenizedTrajectory,
    Weights,
    label,
)
from alpha_umi.training.data.order import Pick, Steps, shares
from alpha_umi.training.data.packing import PackedTrees, WeightedExample, bin_pack, concatenate, pack_prefix_trees
from alpha_umi.types import Json

_RULES = 2
"""Changes with the rules by which a trajectory becomes ids: formats, fitting, examples, tokenising."""


_ALIKE = 64
"""Tokens that trajectories share at least to be computed as one tree."""


class Layout(StrEnum):
    """Layout of examples in a row of tokens."""

    TREE = "tree"
    """Prefixes that the examples of a trajectory share are computed once."""
    ROWS = "rows"
    """Each example alone, several in a row."""
    PADDED = "padded"
    """Each example alone and padded to the longest there may be: the published way, to compare with."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Packing:
    """Settings for packing examples into micro-batches."""

    layout: Layout = Layout.TREE
    tokens_per_microbatch: int
    max_length: int
    """Tokens of the longest example."""
    weights: Weights = field(default_factory=Weights)
    tagging: AdapterAssignment | None = None
    """None: no adapters."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class RankBatch:
    """Batch of one process in one step."""

    step: int
    micro_batches: list[PackedTrees]
    """Packed trees, one per micro-batch; none where a step has fewer trajectories than there are processes."""
    examples: int
    weight: float
    """Divisor of the summed losses."""
    ids: list[str]
    """Ids of the trajectories' tasks, for messages."""
    cut: int
    """Examples whose prompt was cut."""
    left_out: int
    """Examples over the length limit."""
    alone: int
    """Tokens of the examples, each counted whole; `tokens` against it is what the layout saves."""

    @property
    def tokens(self) -> int:
        """Number of computed tokens."""
        return sum(packed.tokens for packed in self.micro_batches)


class UnitSource(Protocol):
    """Source of tokenized trajectories by index."""

    def __getitem__(self, index: int) -> TokenizedTrajectory: ...

    @property
    def modules(self) -> list[str]:
        """Modules to import in a process that makes units."""
        ...

    @property
    def sizes(self) -> np.ndarray:
        """Approximate relative cost of each unit, [n]."""
        ...


class TokenizedTrajectories:
    """Tokenized trajectories of a corpus, read from the cache or tokenised and put there."""

    def __init__(self, corpus: Corpus, tokeniser: Tokeniser, cache: TokenCache | None = None) -> None:
        self._corpus = corpus
        self._tokeniser = tokeniser
        self._cache = cache

    def __getitem__(self, index: int) -> TokenizedTrajectory:
        unit = None if self._cache is None else self._cache.get(index)
        if unit is None:
            unit = self._tokeniser(self._corpus.read(index))
            if self._cache is not None:
                self._cache.put(index, unit)
        return unit

    @property
    def modules(self) -> list[str]:
        """Modules to import in a process that makes units."""
        return [type(self._tokeniser.tokenizer).__module__]

    @property
    def sizes(self) -> np.ndarray:
        """Approximate relative cost of each unit, [n]."""
        return self._corpus.sizes


class StepData(Dataset[RankBatch]):
    """Batches of all processes in all steps."""

    def __init__(self, units: UnitSource, steps: Steps, packing: Packing, world_size: int = 1) -> None:
        self._units = units
        self._steps = steps
        self._packing = packing
        self._world_size = world_size
        self._sizes = units.sizes

    @property
    def steps(self) -> Steps:
        return self._steps

    @property
    def world_size(self) -> int:
        return self._world_size

    @property
    def modules(self) -> list[str]:
        """Modules to import in a process that makes batches."""
        return self._units.modules

    def __len__(self) -> int:
        return len(self._steps) * self._world_size

    def __getitem__(self, index: int) -> RankBatch:
        """Batches of one step. Raises DataError where a file is no longer what was indexed."""
        if not 0 <= index < len(self):
            raise IndexError(index)
        step, process = divmod(index, self._world_size)
        picks = self._steps.picks(step)
        loads = [float(self._sizes[pick.unit]) * self._part(pick) for pick in picks]
        mine = [picks[at] for at in shares(loads, self._world_size)[process]]
        units = [self._units[pick.unit] for pick in mine]
        taken = [_taken(unit, pick) for unit, pick in zip(units, mine, strict=True)]
        groups = [[label(one, self._packing.weights, self._packing.tagging) for one in group] for group in taken]
        flat = [example for group in taken for example in group]
        return RankBatch(
            step=step,
            micro_batches=pack(groups, self._packing),
            examples=len(flat),
            weight=sum(self._packing.weights.divisor(one.weights) for group in groups for one in group),
            ids=[unit.id for unit in units],
            cut=sum(example.cut for example in flat),
            left_out=sum(self._steps.examples(pick) for pick in mine) - len(flat),
            alone=sum(len(example.ids) for example in flat),
        )

    def _part(self, pick: Pick) -> float:
        """Fraction of its trajectory that a pick takes."""
        if pick.numbers is None:
            return 1.0
        return len(pick.numbers) / max(self._steps.examples(Pick(unit=pick.unit)), 1)


def _taken(unit: TokenizedTrajectory, pick: Pick) -> list[TokenizedExample]:
    if pick.numbers is None:
        return list(unit.examples)
    by_number = {example.number: example for example in unit.examples}
    return [by_number[number] for number in pick.numbers if number in by_number]


def pack(groups: Sequence[Sequence[WeightedExample]], packing: Packing) -> list[PackedTrees]:
    """Pack examples into micro-batches, those of one trajectory together; each is within the budget where it can be.

    Trajectories in a row that begin alike, such as those with the same tools, are one tree.
    """
    budget = packing.tokens_per_microbatch
    match packing.layout:
        case Layout.TREE:
            trees = [packed for group in _joined(groups) for packed in pack_prefix_trees(group, budget)]
        case Layout.ROWS:
            trees = [packed for group in groups for example in group for packed in pack_prefix_trees([example])]
        case Layout.PADDED:
            padded = (_padded(example, packing.max_length) for group in groups for example in group)
            trees = [packed for example in padded for packed in pack_prefix_trees([example])]
    bins = bin_pack([packed.tokens for packed in trees], budget)
    return [concatenate([trees[index] for index in sorted(bin_)]) for bin_ in bins]


def _joined(groups: Sequence[Sequence[WeightedExample]]) -> list[list[WeightedExample]]:
    """Groups in a row whose first examples share their first tokens, joined."""
    joined: list[list[WeightedExample]] = []
    for group in groups:
        if joined and joined[-1] and group and _beginning(joined[-1][0]) == _beginning(group[0]):
            joined[-1] += group
        else:
            joined.append([*group])
    return joined


def _beginning(example: WeightedExample) -> list[tuple[int, int]]:
    ids = [int(number) for number in example.ids[:_ALIKE]]
    adapters = [0] * len(ids) if example.adapters is None else [int(number) for number in example.adapters[:_ALIKE]]
    return list(zip(ids, adapters, strict=True))


def _padded(example: WeightedExample, length: int) -> WeightedExample:
    more = max(length - len(example.ids), 0)
    adapters = example.adapters
    return WeightedExample(
        ids=cast("Sequence[int]", np.pad(np.asarray(example.ids, np.int32), (0, more))),
        weights=cast("Sequence[float]", np.pad(np.asarray(example.weights, np.float32), (0, more))),
        adapters=None if adapters is None else cast("Sequence[int]", np.pad(np.asarray(adapters), (0, more))),
    )


# --- the background ---------------------------------------------------------------------------------------


class RankBatches:
    """Iterator over the batches of one process, from one step on, made ahead by workers.

    Earlier steps are not touched, and no random state is: a run resumed in the middle goes on as it would have.
    """

    def __init__(self, data: StepData, *, process: int = 0, first_step: int = 0, workers: int = 0) -> None:
        self._indices = range(first_step * data.world_size + process, len(data), data.world_size)
        # A process that trains has threads, which forking is not safe with; what forks instead imports once for all.
        context = multiprocessing.get_context("forkserver") if workers else None
        if context is not None:
            context.set_forkserver_preload([__name__, *data.modules])
        self._loader = DataLoader(
            _Caught(data),
            batch_size=None,
            sampler=self._indices,
            num_workers=workers,
            collate_fn=_as_it_is,
            worker_init_fn=_start_worker if workers else None,
            multiprocessing_context=context,
            generator=torch.Generator(),
        )

    def __len__(self) -> int:
        return len(self._indices)

    def __iter__(self) -> Iterator[RankBatch]:
        """Iterate over the batches. Raises the errors of workers as they were raised there."""
        for made in self._loader:
            if isinstance(made, AlphaUMiError):
                raise made
            yield made


class _Caught(Dataset[RankBatch | AlphaUMiError]):
    """Wrapper that returns errors as values, since a loader would wrap them in tracebacks."""

    def __init__(self, data: StepData) -> None:
        self._data = data

    def __getitem__(self, index: int) -> RankBatch | AlphaUMiError:
        try:
            return self._data[index]
        except AlphaUMiError as error:
            return error


def _as_it_is(share: Any) -> Any:
    return share


def _start_worker(number: int) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the training process's to handle
    os.environ["TOKENIZERS_PARALLELISM"] = "false"  # the workers are what runs in parallel


# --- what a cache is good for -----------------------------------------------------------------------------


def fingerprint(corpus: Corpus, tokeniser: Tokeniser, format_document: Json) -> str:
    """Fingerprint of all that token ids depend on: the data, the format, the tokenizer, the roles and the limits."""
    tokenizer = cast("Any", tokeniser.tokenizer)
    backend = getattr(tokenizer, "backend_tokenizer", None)
    told = [
        _RULES,
        corpus.fingerprint,
        format_document,
        tokeniser.roles,
        repr(tokeniser.lengths),
        type(tokenizer).__name__,
        backend.to_str() if backend is not None else tokenizer.get_vocab(),
        {name: str(token) for name, token in tokenizer.special_tokens_map.items()},
        tokenizer.chat_template,
    ]
    return hashlib.sha256(json.dumps(told, sort_keys=True).encode()).hexdigest()[:16]
