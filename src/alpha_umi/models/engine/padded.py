"""Attention over lanes on a CPU: neighbouring lanes in one padded call, a piece of a prompt in one of its own.

Nothing is copied: what writes attends to its lanes where they lie, as long as padding them costs less than another
call.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, TypeAlias

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from alpha_umi.models.engine.memory import Memory
from alpha_umi.models.engine.trie import NONE, Numbers

if TYPE_CHECKING:
    from alpha_umi.models.engine.attention import Part

_CALL_COST = 512
"""A kernel call costs about as much as attending to so many tokens more."""

_Run: TypeAlias = tuple[slice, slice, int, Tensor | None]
"""Rows, their lanes, the longest of them in tokens, and what to add to the scores."""
_Fill: TypeAlias = tuple[int, int, int, Tensor]
"""A lane, from where to where, and the slots to fill it from."""


class Padded:
    """The tokens of one forward: where their keys and values go, and what they see."""

    def __init__(self, parts: Sequence[Part], starts: Sequence[int], memory: Memory) -> None:
        """`parts`: those of a step, single tokens first; `starts`: the row of the first token of each."""
        self.memory = memory
        self.longest = max(part.stop for part in parts)
        self._device = memory.shape.device
        self._parts = parts
        single = [part for part in parts if len(part.ids) == 1]
        self._singles = len(single)
        self._single_lanes = self._tensor([part.lane for part in single] if len(single) > 1 else NONE)
        self._single_places = self._tensor([part.start for part in single] if len(single) > 1 else NONE)
        self._runs = list(self._make_runs(single))
        self._longer: list[tuple[Part, slice, Tensor | None]] = [
            (part, slice(start, start + len(part.ids)), self._causal(part))
            for part, start in zip(parts[len(single) :], starts[len(single) :], strict=False)
        ]
        self._fills: list[_Fill] = [
            (part.lane, part.fill_from, part.fill_from + len(part.fill), self._tensor(part.fill))
            for part in parts
            if len(part.fill)
        ]
        kept = [
            (start + part.kept_from - part.start + np.arange(len(part.kept)), part.kept)
            for part, start in zip(parts, starts, strict=False)
            if len(part.kept)
        ]
        self._kept_rows = self._tensor(np.concatenate([rows for rows, _ in kept])) if kept else None
        self._kept_slots = self._tensor(np.concatenate([slots for _, slots in kept])) if kept else None

    def attend(self, layer: int, query: Tensor, key: Tensor, value: Tensor, scaling: float | None) -> Tensor:
        """[1, heads, tokens, size] each in, [1, tokens, heads, size] out."""
        lanes, pools = self.memory.lanes_of[layer], self.memory.pools_of[layer]
        for lane, pool, states in zip(lanes, pools, (key, value), strict=True):
            self._write(lane, pool, states[0])
        # One token's query heads that share a key head stand in the place of several tokens of one head.
        heads, kept, size = query.shape[1], key.shape[1], query.shape[3]
        single = query[0, :, : self._singles].transpose(0, 1).reshape(self._singles, kept, heads // kept, size)
        found: list[Tensor] = []
        for rows, where, length, mask in self._runs:
            parts = single[rows], lanes[0][where, :, :length], lanes[1][where, :, :length]
            out = functional.scaled_dot_product_attention(*parts, attn_mask=mask, scale=scaling)
            found.append(out.reshape(-1, heads, size))
        for part, rows, mask in self._longer:
            own = (each[part.lane, None, :, : part.stop] for each in lanes)
            out = functional.scaled_dot_product_attention(
                query[:, :, rows], *own, attn_mask=mask, is_causal=mask is None, scale=scaling, enable_gqa=True
            )
            found.append(out[0].transpose(0, 1))
        return (found[0] if len(found) == 1 else torch.cat(found))[None]

    def _write(self, lane: Tensor, pool: Tensor, states: Tensor) -> None:
        """Put keys or values of one layer, [heads, tokens, size], where they belong."""
        if self._kept_rows is not None and self._kept_slots is not None:
            pool.index_copy_(0, self._kept_slots, states.transpose(0, 1).index_select(0, self._kept_rows))
        for number, start, stop, slots in self._fills:
            lane[number, :, start:stop] = pool.index_select(0, slots).transpose(0, 1)
        if self._singles == 1:
            lane[self._parts[0].lane, :, self._parts[0].start] = states[:, 0]
        elif self._singles:
            lane[self._single_lanes, :, self._single_places] = states.transpose(0, 1)[: self._singles]
        for part, rows, _ in self._longer:
            lane[part.lane, :, part.start : part.stop] = states[:, rows]

    def _make_runs(self, single: Sequence[Part]) -> Iterator[_Run]:
        """Neighbouring lanes together, as long as padding them costs less than another kernel call."""
        lengths: list[int] = []
        for at, part in enumerate(single):
            joined = bool(lengths) and part.lane == single[at - 1].lane + 1
            padded = max(*lengths, part.stop) * (len(lengths) + 1) if joined else 0
            if lengths and not (joined and padded <= 1.25 * (sum(lengths) + part.stop) + _CALL_COST):
                yield self._run(single[at - 1].lane, at, lengths)
                lengths = []
            lengths.append(part.stop)
        if lengths:
            yield self._run(single[-1].lane, len(single), lengths)

    def _run(self, last_lane: int, end: int, lengths: Sequence[int]) -> _Run:
        lanes = slice(last_lane + 1 - len(lengths), last_lane + 1)
        return slice(end - len(lengths), end), lanes, max(lengths), self._padding(lengths)

    def _padding(self, lengths: Sequence[int]) -> Tensor | None:
        """[rows, 1, 1, longest] to add to scores; None where all are of one length."""
        if min(lengths) == max(lengths):
            return None
        hidden = torch.arange(max(lengths), device=self._device) >= self._tensor(lengths)[:, None]
        return self._hiding(hidden)[:, None, None]

    def _causal(self, part: Part) -> Tensor | None:
        """[tokens, positions] to add to scores; None where the part is all there is."""
        if part.start == 0:
            return None
        places = torch.arange(part.stop, device=self._device)
        return self._hiding(places > places[part.start :, None])

    def _hiding(self, hidden: Tensor) -> Tensor:
        zeros = torch.zeros(hidden.shape, dtype=self.memory.shape.dtype, device=self._device)
        return zeros.masked_fill_(hidden, float("-inf"))

    def _tensor(self, numbers: Sequence[int] | Numbers) -> Tensor:
        return torch.as_tensor(numbers, dtype=torch.int64, device=self._device)
