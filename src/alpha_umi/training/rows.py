"""Tokenised examples, held once and compactly, and the batches that training takes of them.

A batch holds rows of about the same length, padded on the right to the longest. No attention mask is needed:
attention looks back only, padding stands behind, and no loss falls on it.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
import torch
from torch.utils.data import Dataset, Sampler

NO_LOSS = -100
_POOL = 50
"""Batches within which rows are sorted by length: enough to pad little, few enough to stay random."""

_JITTER = 0.1
"""Lengths count as that much more or less, or few rows would make the same batches in every epoch."""


Pair: TypeAlias = tuple[Sequence[int], Sequence[int]]
"""The ids of a prompt and of its completion."""


@dataclass(frozen=True, slots=True)
class Row:
    """One sequence; the loss falls on the ids that are marked."""

    ids: np.ndarray
    marked: np.ndarray
    """Bools, one per id."""


class Rows(Dataset[Row]):
    """Tokenised examples in one flat buffer.

    Where a prompt begins with all of the example before it (as along a trajectory in the `shared` format), the
    two are one row with two marked parts: attention looks back only, so each has the loss and the gradient that
    it has alone, and what they share is computed once.
    """

    def __init__(self, trajectories: Iterable[Iterable[Pair]], max_length: int | None = None) -> None:
        """The pairs of each trajectory in order. A pair longer than `max_length` is left out and counted."""
        self.examples = 0
        self.left_out = 0
        self._flat, self._marks, self._ends = array("i"), bytearray(), array("q", [0])
        for pairs in trajectories:
            row: list[int] = []
            for prompt, completion in pairs:
                if max_length is not None and len(prompt) + len(completion) > max_length:
                    self.left_out += 1
                    continue
                if row and list(prompt[: len(row)]) != row:
                    self._close(row)
                self.examples += 1
                self._marks.extend(bytes(len(prompt) - len(row)) + b"\1" * len(completion))
                row = [*prompt, *completion]
            if row:
                self._close(row)

    def _close(self, row: list[int]) -> None:
        self._flat.extend(row)
        self._ends.append(len(self._flat))
        row.clear()

    def __len__(self) -> int:
        return len(self._ends) - 1

    def __getitem__(self, index: int) -> Row:
        start, stop = self._ends[index], self._ends[index + 1]
        marked = np.frombuffer(self._marks, dtype=np.bool_, count=stop - start, offset=start)
        return Row(np.frombuffer(self._flat, dtype=np.intc, count=stop - start, offset=start * 4), marked)

    @property
    def lengths(self) -> np.ndarray:
        """Tokens of every row."""
        return np.diff(np.array(self._ends))

    @property
    def tokens(self) -> int:
        return len(self._flat)

    @property
    def completion_tokens(self) -> int:
        return self._marks.count(1)


class Order(Sampler[int]):
    """The order of rows: random by seed and epoch, rows of a batch about equally long. Needs no state to resume."""

    def __init__(self, lengths: np.ndarray, batch_size: int, seed: int) -> None:
        self._lengths = lengths
        self._batch_size = batch_size
        self._seed = seed
        self._epoch = 0

    def start_epoch(self, epoch: int) -> None:
        self._epoch = epoch

    def __len__(self) -> int:
        return len(self._lengths)

    def __iter__(self) -> Iterator[int]:
        random = np.random.default_rng([self._seed, self._epoch])
        shuffled, size = random.permutation(len(self._lengths)), self._batch_size
        batches: list[np.ndarray] = []
        for start in range(0, len(shuffled), size * _POOL):
            pool = shuffled[start : start + size * _POOL]
            about = self._lengths[pool] * random.uniform(1 - _JITTER, 1 + _JITTER, len(pool))
            pool = pool[np.argsort(-about)]
            batches.extend(pool[at : at + size] for at in range(0, len(pool), size))
        short = batches.pop() if batches and len(batches[-1]) < size else shuffled[:0]
        for at in random.permutation(len(batches)):
            yield from batches[at].tolist()
        yield from short.tolist()


def collate(rows: Sequence[Row]) -> dict[str, torch.Tensor]:
    """`input_ids` and `labels`, both [rows, longest]; labels stand at the token that they name."""
    longest = max(len(row.ids) for row in rows)
    ids = np.zeros((len(rows), longest), dtype=np.int64)
    labels = np.full((len(rows), longest), NO_LOSS, dtype=np.int64)
    for index, row in enumerate(rows):
        ids[index, : len(row.ids)] = row.ids
        labels[index, : len(row.ids)] = np.where(row.marked, row.ids, NO_LOSS)
    return {"input_ids": torch.from_numpy(ids), "labels": torch.from_numpy(labels)}
