"""Tokenised examples, held once and compactly, and the batches that training takes of them.

A batch holds rows of about the same length, padded on the right to the longest. No attention mask is needed:
attention looks back only, padding stands behind, and no loss falls on it.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch.utils.data import Dataset, Sampler

from alpha_umi.formats.tokens import Tokenizer, completion_ids, prompt_ids
from alpha_umi.types import Example

NO_LOSS = -100
_POOL = 50
"""Batches within which rows are sorted by length: enough to pad little, few enough to stay random."""

_JITTER = 0.1
"""Lengths count as that much more or less, or few rows would make the same batches in every epoch."""


@dataclass(frozen=True, slots=True)
class Row:
    """One example as ids; the loss falls on those from `prompt` on."""

    ids: np.ndarray
    prompt: int


class Rows(Dataset[Row]):
    """Tokenised examples in one flat buffer."""

    def __init__(self, pairs: Iterable[tuple[Sequence[int], Sequence[int]]], max_length: int | None = None) -> None:
        """Pairs of prompt and completion ids. A pair longer than `max_length` is left out and counted."""
        flat, starts, prompts = array("i"), array("q", [0]), array("i")
        self.left_out = 0
        for prompt, completion in pairs:
            if max_length is not None and len(prompt) + len(completion) > max_length:
                self.left_out += 1
                continue
            flat.extend(prompt)
            flat.extend(completion)
            starts.append(len(flat))
            prompts.append(len(prompt))
        self._ids = np.frombuffer(flat, dtype=np.intc) if flat else np.zeros(0, dtype=np.intc)
        self._starts = np.frombuffer(starts, dtype=np.int64)
        self._prompts = np.frombuffer(prompts, dtype=np.intc) if prompts else np.zeros(0, dtype=np.intc)

    @classmethod
    def tokenised(cls, examples: Iterable[Example], tokenizer: Tokenizer, end: str, max_length: int) -> Rows:
        """The ids that a live model meets for the same examples."""
        pairs = (
            (prompt_ids(tokenizer, example.prompt), completion_ids(tokenizer, example.completion, end))
            for example in examples
        )
        return cls(pairs, max_length)

    def __len__(self) -> int:
        return len(self._prompts)

    def __getitem__(self, index: int) -> Row:
        return Row(self._ids[self._starts[index] : self._starts[index + 1]], int(self._prompts[index]))

    @property
    def lengths(self) -> np.ndarray:
        """Tokens of every row."""
        return np.diff(self._starts)

    @property
    def tokens(self) -> int:
        return len(self._ids)

    @property
    def completion_tokens(self) -> int:
        return self.tokens - int(self._prompts.sum())


class Order(Sampler[int]):
    """The order of rows: random by seed and epoch, rows of a batch about equally long. Needs no state to resume."""

    def __init__(self, lengths: np.ndarray, batch_size: int, seed: int) -> None:
        self._lengths = lengths
        self._batch_size = batch_size
        self._seed = seed
        self._epoch = 0

    def set_epoch(self, epoch: int) -> None:
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
        labels[index, row.prompt : len(row.ids)] = row.ids[row.prompt :]
    return {"input_ids": torch.from_numpy(ids), "labels": torch.from_numpy(labels)}
