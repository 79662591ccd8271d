"""Attention of one ragged forward over the KV cache: the tokens of many requests in one row.

Installed as one of transformers' attention implementations, so model definitions stay transformers' own. In every
layer keys and values are written first, to the prefix cache what is shared and to the request caches everything, so
that requests can share what another one computes in the same forward. Without a Step the same model attends as usual.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import accumulate
from typing import Any, TypeAlias, cast

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional
from transformers import AttentionInterface, AttentionMaskInterface, PreTrainedModel
from transformers.integrations.sdpa_attention import sdpa_attention_forward
from transformers.masking_utils import sdpa_mask

from alpha_umi.models.engine.kv_cache import KVCache
from alpha_umi.models.engine.radix_tree import EMPTY, TokenArray

NAME = "alpha_umi_engine"
"""Of the attention, among transformers' implementations."""
ARGUMENT = "engine_step"
"""What a forward calls the Step."""
_HARMLESS = ("position_ids", "cache_position", "use_cache", "output_hidden_states", "return_dict", "dropout")
_CALL_COST = 512
"""A kernel call costs about as much as attending to so many tokens more."""

_Run: TypeAlias = tuple[slice, slice, int, Tensor | None]
"""Rows, their request caches, the longest of them in tokens, and what to add to the scores."""
_Fill: TypeAlias = tuple[int, int, int, Tensor]
"""A request cache, from where to where, and the slots to fill it from."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """The tokens that one request gives to a step: those at positions start to stop of its request cache."""

    ids: Sequence[int]
    cache_index: int
    start: int
    adapters: Sequence[int] = ()
    """The number of the adapter per token; () for none at all."""
    fill_from: int = 0
    fill: TokenArray = field(default_factory=lambda: EMPTY)
    """Slots whose tokens are copied to the request cache, at positions fill_from and on, before anything else."""
    kept_from: int = 0
    kept: TokenArray = field(default_factory=lambda: EMPTY)
    """Slots that tokens of this part are written to as well, those at positions kept_from and on."""

    @property
    def stop(self) -> int:
        return self.start + len(self.ids)


class Step:
    """The parts of one forward, laid out once for all layers: single tokens by request cache, then longer parts."""

    def __init__(self, parts: Iterable[Part], kv_cache: KVCache) -> None:
        self.kv_cache = kv_cache
        self.parts = sorted(parts, key=lambda part: (len(part.ids) > 1, part.cache_index))
        self.starts = [0, *accumulate(len(part.ids) for part in self.parts)]
        """The row of the first token of each part, and the number of rows."""
        self._device = kv_cache.shape.device
        self._unseen = torch.empty((1, 1, 1, 1), dtype=torch.bool, device=self._device)
        single = [part for part in self.parts if len(part.ids) == 1]
        self._singles = len(single)
        self._single_indices = self._tensor([part.cache_index for part in single] if len(single) > 1 else EMPTY)
        self._single_positions = self._tensor([part.start for part in single] if len(single) > 1 else EMPTY)
        self._runs = list(self._make_runs(single))
        self._longer: list[tuple[Part, slice, Tensor | None]] = [
            (part, slice(start, start + len(part.ids)), self._causal(part))
            for part, start in zip(self.parts[len(single) :], self.starts[len(single) :], strict=False)
        ]
        self._fills: list[_Fill] = [
            (part.cache_index, part.fill_from, part.fill_from + len(part.fill), self._tensor(part.fill))
            for part in self.parts
            if len(part.fill)
        ]
        kept = [
            (start + part.kept_from - part.start + np.arange(len(part.kept)), part.kept)
            for part, start in zip(self.parts, self.starts, strict=False)
            if len(part.kept)
        ]
        self._kept_rows = self._tensor(np.concatenate([rows for rows, _ in kept])) if kept else None
        self._kept_slots = self._tensor(np.concatenate([slots for _, slots in kept])) if kept else None

    def inputs(self) -> dict[str, Any]:
        """What a forward is given, the rows of which logits are wanted apart."""
        positions = [place for part in self.parts for place in range(part.start, part.stop)]
        return {
            "input_ids": self._tensor([token for part in self.parts for token in part.ids])[None],
            "position_ids": self._tensor(positions)[None],
            # Four dimensions end transformers' own making of masks; this one is never looked at.
            "attention_mask": self._unseen,
            "use_cache": False,
            ARGUMENT: self,
        }

    def adapters(self) -> Tensor | None:
        """[tokens] on the CPU: which adapter acts on each; None: none on any."""
        if not any(part.adapters for part in self.parts):
            return None
        numbers = [number for part in self.parts for number in part.adapters or [0] * len(part.ids)]
        return torch.tensor(numbers, dtype=torch.int8)

    def attend(self, layer: int, query: Tensor, key: Tensor, value: Tensor, scaling: float | None) -> Tensor:
        """[1, heads, tokens, size] each in, [1, tokens, heads, size] out."""
        caches, prefixes = self.kv_cache.request_layers[layer], self.kv_cache.prefix_layers[layer]
        for cache, prefix, states in zip(caches, prefixes, (key, value), strict=True):
            self._write(cache, prefix, states[0])
        # One token's query heads that share a key head stand in the place of several tokens of one head.
        heads, kept, size = query.shape[1], key.shape[1], query.shape[3]
        single = query[0, :, : self._singles].transpose(0, 1).reshape(self._singles, kept, heads // kept, size)
        found: list[Tensor] = []
        for rows, where, length, mask in self._runs:
            parts = single[rows], caches[0][where, :, :length], caches[1][where, :, :length]
            out = functional.scaled_dot_product_attention(*parts, attn_mask=mask, scale=scaling)
            found.append(out.reshape(-1, heads, size))
        # On a GPU no kernel takes both grouped heads and a mask, and without one all scores would be in memory at once.
        grouped = self._device.type == "cpu"
        for part, rows, mask in self._longer:
            own = (each[part.cache_index, None, :, : part.stop] for each in caches)
            if not grouped:
                own = (each.repeat_interleave(heads // kept, dim=1) for each in own)
            out = functional.scaled_dot_product_attention(
                query[:, :, rows], *own, attn_mask=mask, is_causal=mask is None, scale=scaling, enable_gqa=grouped
            )
            found.append(out[0].transpose(0, 1))
        return (found[0] if len(found) == 1 else torch.cat(found))[None]

    def _write(self, cache: Tensor, prefix: Tensor, states: Tensor) -> None:
        """Put keys or values of one layer, [heads, tokens, size], where they belong."""
        if self._kept_rows is not None and self._kept_slots is not None:
            prefix.index_copy_(0, self._kept_slots, states.transpose(0, 1).index_select(0, self._kept_rows))
        for number, start, stop, slots in self._fills:
            cache[number, :, start:stop] = prefix.index_select(0, slots).transpose(0, 1)
        if self._singles == 1:
            cache[self.parts[0].cache_index, :, self.parts[0].start] = states[:, 0]
        elif self._singles:
            cache[self._single_indices, :, self._single_positions] = states.transpose(0, 1)[: self._singles]
        for part, rows, _ in self._longer:
            cache[part.cache_index, :, part.start : part.stop] = states[:, rows]

    def _make_runs(self, single: Sequence[Part]) -> Iterator[_Run]:
        """Neighbouring request caches together, as long as padding them costs less than another kernel call."""
        lengths: list[int] = []
        for at, part in enumerate(single):
            joined = bool(lengths) and part.cache_index == single[at - 1].cache_index + 1
            padded = max(*lengths, part.stop) * (len(lengths) + 1) if joined else 0
            if lengths and not (joined and padded <= 1.25 * (sum(lengths) + part.stop) + _CALL_COST):
                yield self._run(single[at - 1].cache_index, at, lengths)
                lengths = []
            lengths.append(part.stop)
        if lengths:
            yield self._run(single[-1].cache_index, len(single), lengths)

    def _run(self, last_index: int, end: int, lengths: Sequence[int]) -> _Run:
        indices = slice(last_index + 1 - len(lengths), last_index + 1)
        return slice(end - len(lengths), end), indices, max(lengths), self._padding(lengths)

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
        zeros = torch.zeros(hidden.shape, dtype=self.kv_cache.shape.dtype, device=self._device)
        return zeros.masked_fill_(hidden, float("-inf"))

    def _tensor(self, numbers: Sequence[int] | TokenArray) -> Tensor:
        return torch.as_tensor(numbers, dtype=torch.int64, device=self._device)


def install(model: PreTrainedModel) -> None:
    """Let `model` attend along the Step that a forward names; without one as PyTorch's own attention does."""
    AttentionInterface.register(NAME, _attend)
    AttentionMaskInterface.register(NAME, sdpa_mask)
    model.set_attn_implementation(NAME)


def _attend(
    module: nn.Module,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None,
    scaling: float | None = None,
    **others: Any,
) -> tuple[Tensor, None]:
    """As transformers calls an attention."""
    step = others.pop(ARGUMENT, None)
    if step is None:
        seen, _ = sdpa_attention_forward(module, query, key, value, attention_mask, scaling=scaling, **others)
        return seen, None
    step = cast("Step", step)
    window = others.pop("sliding_window", None)
    if window is not None and window < max(part.stop for part in step.parts):
        raise ValueError(f"a sliding window of {window} tokens cannot be kept in request caches")
    if others.pop("is_causal", None) is False:
        raise ValueError("the engine's attention is causal; this attention is called with is_causal=False")
    unknown = [name for name, argument in others.items() if name not in _HARMLESS and not _is_nothing(argument)]
    if unknown:
        raise ValueError(f"the engine's attention does not know {', '.join(unknown)}")
    return step.attend(cast("int", module.layer_idx), query, key, value, scaling), None


def _is_nothing(argument: object) -> bool:
    return argument is None or (isinstance(argument, bool | int | float) and not argument)
