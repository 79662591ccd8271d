"""Decoding one batch of prompts to completions: left padding, one KV cache, finished rows drop out.

What a row writes does not depend on the rows beside it, beyond float noise: positions count from its own
first token, padding is masked, and a sampled row draws from a generator of its own.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence, Set
from contextlib import nullcontext
from dataclasses import dataclass, field
from typing import Any, cast

import torch
from torch import Tensor
from transformers import PreTrainedModel

from alpha_umi.models.adapters import adapters_of
from alpha_umi.types import FinishReason, Sampling


@dataclass(slots=True, kw_only=True)
class Row:
    """One prompt under way."""

    prompt: Sequence[int]
    """Ids; at least one."""
    sampling: Sampling
    budget: int
    """Most ids to write."""
    abandoned: Callable[[], bool] = lambda: False
    """True as soon as nobody waits for this row any more."""
    text: Callable[[Sequence[int]], str]
    adapter: int = 0
    """The number of the adapter that writes; 0: the base alone."""
    adapter_from: int = 0
    """The position in the prompt from which it acts."""
    written: list[int] = field(default_factory=list[int])
    """Without the id that ended it."""
    generator: torch.Generator | None = None

    def __post_init__(self) -> None:
        if self.sampling.temperature > 0:
            self.generator = torch.Generator()
            if self.sampling.seed is None:
                self.generator.seed()
            else:
                self.generator.manual_seed(self.sampling.seed)

    def take(self, token: int, ends: Set[int]) -> FinishReason | None:
        """Write one more id; says whether and why that was the last."""
        if token in ends:
            return FinishReason.STOP
        self.written.append(token)
        if self._stops():
            return FinishReason.STOP
        return FinishReason.LENGTH if len(self.written) >= self.budget or self.abandoned() else None

    def _stops(self) -> bool:
        """Whether a stop string has just appeared. A token writes a byte at least, so a short tail shows it."""
        if not self.sampling.stop:
            return False
        tail = self.text(self.written[-(max(len(stop.encode()) for stop in self.sampling.stop) + 4) :])
        return any(stop in tail for stop in self.sampling.stop)


@torch.inference_mode()
def decode_batch(
    model: PreTrainedModel, rows: Sequence[Row], ends: Set[int]
) -> Iterator[tuple[int, Row, FinishReason]]:
    """Complete all rows; each is handed out with its index as soon as it is finished.

    Rows with different adapters share every forward.
    """
    device, adapters = model.device, adapters_of(model)
    longest = max(len(row.prompt) for row in rows)
    ids = torch.tensor([[0] * (longest - len(row.prompt)) + list(row.prompt) for row in rows], device=device)
    lengths = torch.tensor([len(row.prompt) for row in rows], device=device)
    mask = (torch.arange(longest, device=device) >= (longest - lengths)[:, None]).long()
    positions = (mask.cumsum(dim=1) - 1).clamp(min=0)
    chosen = _prompt_adapters(rows, longest)
    live, cache = list(enumerate(rows)), None
    while True:
        with nullcontext() if adapters is None else adapters.select(chosen):
            output = cast(
                "Any",
                model(
                    input_ids=ids,
                    attention_mask=mask,
                    position_ids=positions,
                    past_key_values=cache,
                    use_cache=True,
                    logits_to_keep=1,
                ),
            )
        cache = output.past_key_values
        tokens = choose(output.logits[:, -1], [row for _, row in live])
        kept: list[int] = []
        for at, ((index, row), token) in enumerate(zip(live, tokens, strict=True)):
            finish = row.take(token, ends)
            if finish is None:
                kept.append(at)
            else:
                yield index, row, finish
        if not kept:
            return
        if len(kept) < len(live):
            live = [live[at] for at in kept]
            chosen = torch.tensor(kept, device=device)
            mask, positions = mask[chosen], positions[chosen]
            cache.batch_select_indices(chosen)
        ids = torch.tensor([[row.written[-1]] for _, row in live], device=device)
        chosen = torch.tensor([row.adapter for _, row in live], dtype=torch.int8)
        mask = torch.cat([mask, mask.new_ones(len(live), 1)], dim=1)
        positions = positions[:, -1:] + 1


def _prompt_adapters(rows: Sequence[Row], longest: int) -> Tensor:
    """[rows, longest] on the CPU: which adapter acts on each token of left-padded prompts."""
    numbers = torch.zeros(len(rows), longest, dtype=torch.int8)
    for number, row in zip(numbers, rows, strict=True):
        number[longest - len(row.prompt) + row.adapter_from :] = row.adapter
    return numbers


def choose(logits: Tensor, rows: Sequence[Row]) -> list[int]:
    """The next id of every row. `logits`: [rows, vocabulary]."""
    tokens = logits.argmax(dim=-1).tolist()
    for at, row in enumerate(rows):
        if row.generator is not None:
            tokens[at] = _draw(logits[at], row.sampling, row.generator)
    return tokens


def _draw(logits: Tensor, sampling: Sampling, generator: torch.Generator) -> int:
    """Draw from the smallest set of likeliest ids whose probability reaches top_p."""
    chances, ids = (logits.double().cpu() / sampling.temperature).softmax(dim=-1).sort(descending=True, stable=True)
    nucleus = chances.cumsum(dim=-1) - chances < sampling.top_p
    return int(ids[torch.multinomial(chances * nucleus, 1, generator=generator)])
