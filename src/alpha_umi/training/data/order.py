"""Order of the training data over optimizer steps, and its balanced division among processes; pure functions.

A step takes whole trajectories until it has at least as many examples as asked for, so what they share can be
computed once; or single examples, as published. What a step holds never depends on the number of processes.
"""

from __future__ import annotations

import heapq
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum

import numpy as np
from numpy.typing import NDArray

_NEARLY = 1e-9


class Shuffle(StrEnum):
    """Unit of shuffling."""

    TRAJECTORY = "trajectory"
    EXAMPLE = "example"


@dataclass(frozen=True, slots=True, kw_only=True)
class Pick:
    """Examples of one trajectory in a step."""

    unit: int
    """Index of the trajectory."""
    numbers: tuple[int, ...] | None = None
    """Places of its examples; None: all of them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Amount:
    """Amount of training, in epochs or steps."""

    batch_size: int
    """Examples that a step takes at least, over all processes."""
    epochs: float = 1.0
    max_steps: int | None = None
    """Goes before `epochs`."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Steps:
    """Optimizer steps of one stage; a few bytes per trajectory and epoch."""

    drawn: NDArray[np.int64]
    """Indices of trajectories, or of examples counted over all trajectories, in the order in which they come."""
    bounds: NDArray[np.int64]
    """[steps + 1], where steps begin and end in `drawn`."""
    firsts: NDArray[np.int64]
    """[trajectories + 1], examples before each trajectory."""
    shuffle: Shuffle

    def __len__(self) -> int:
        return len(self.bounds) - 1

    def picks(self, step: int) -> list[Pick]:
        """Picks of a step, in order."""
        drawn: list[int] = self.drawn[self.bounds[step] : self.bounds[step + 1]].tolist()
        if self.shuffle is Shuffle.TRAJECTORY:
            return [Pick(unit=unit) for unit in drawn]
        numbers: dict[int, list[int]] = {}
        owners: list[int] = (np.searchsorted(self.firsts, drawn, side="right") - 1).tolist()
        for example, unit in zip(drawn, owners, strict=True):
            numbers.setdefault(unit, []).append(example - int(self.firsts[unit]))
        return [Pick(unit=unit, numbers=tuple(places)) for unit, places in numbers.items()]

    def examples(self, pick: Pick) -> int:
        """Number of examples that a pick is meant to hold; the length limit may leave some out."""
        if pick.numbers is not None:
            return len(pick.numbers)
        return int(self.firsts[pick.unit + 1] - self.firsts[pick.unit])

    @property
    def epochs(self) -> NDArray[np.float64]:
        """Epochs done before each step and after the last, averaged over examples, [steps + 1]."""
        seen = np.concatenate([[0], np.cumsum(self._counts)])[self.bounds]
        return seen / max(int(self.firsts[-1]), 1)

    @property
    def _counts(self) -> NDArray[np.int64]:
        """Number of examples of each drawn unit."""
        return _drawn_counts(np.diff(self.firsts), self.shuffle)[self.drawn]


def order(
    counts: NDArray[np.integer], amount: Amount, *, seed: int | None = None, shuffle: Shuffle = Shuffle.TRAJECTORY
) -> Steps:
    """Make the steps over trajectories, given the number of examples of each; one without examples is never drawn.

    Each epoch is a permutation of its own, drawn from `seed` (None: in the order of the data); epochs follow one
    another without a gap, so only the very last step may be short. No examples: no steps.
    """
    firsts = np.concatenate([[0], np.cumsum(counts, dtype=np.int64)])
    sizes = _drawn_counts(np.diff(firsts), shuffle)
    there, total = np.flatnonzero(sizes), int(firsts[-1])
    if amount.max_steps is None:
        wanted = amount.epochs * total
    else:
        wanted = amount.max_steps * (amount.batch_size + int(sizes.max(initial=0)))
    drawn, bounds = np.zeros(0, np.int64), np.zeros(1, np.int64)
    if total:
        epochs = math.ceil(wanted / total - _NEARLY)
        drawn = np.concatenate([_epoch(there, seed, epoch) for epoch in range(max(epochs, 1))])
        bounds = _bounds(sizes[drawn], wanted, amount.batch_size)[
            : None if amount.max_steps is None else amount.max_steps + 1
        ]
    return Steps(drawn=drawn[: bounds[-1]], bounds=bounds, firsts=firsts, shuffle=shuffle)


def shares(loads: Sequence[float], processes: int) -> list[list[int]]:
    """Indices for each process, with balanced loads: the heaviest first, each to the process with the least load."""
    found: list[list[int]] = [[] for _ in range(processes)]
    heap = [(0.0, process) for process in range(processes)]
    for index in sorted(range(len(loads)), key=lambda index: (-loads[index], index)):
        load, process = heap[0]
        found[process].append(index)
        heapq.heapreplace(heap, (load + loads[index], process))
    return [sorted(share) for share in found]


def _drawn_counts(counts: NDArray[np.int64], shuffle: Shuffle) -> NDArray[np.int64]:
    return counts if shuffle is Shuffle.TRAJECTORY else np.ones(int(counts.sum()), np.int64)


def _epoch(there: NDArray[np.int64], seed: int | None, epoch: int) -> NDArray[np.int64]:
    return there if seed is None else np.random.default_rng([seed, epoch]).permutation(there)


def _bounds(sizes: NDArray[np.int64], wanted: float, batch_size: int) -> NDArray[np.int64]:
    """Bounds of steps of at least `batch_size` examples, until there are `wanted` examples."""
    seen = np.cumsum(sizes)
    stop = min(int(np.searchsorted(seen, wanted - _NEARLY)) + 1, len(sizes))
    return np.array([0, *_stops(seen[:stop], batch_size)], dtype=np.int64)


def _stops(seen: NDArray[np.int64], batch_size: int) -> Iterator[int]:
    at = before = 0
    while at < len(seen):
        at = min(int(np.searchsorted(seen, before + batch_size)) + 1, len(seen))
        before = int(seen[at - 1])
        yield at
