"""Attention of one ragged forward over the KV cache: the tokens of many requests in one row.

Installed as one of transformers' attention implementations, so model definitions stay transformers' own. In every
layer keys and values are written first, to the prefix cache what is shared and to the request caches everything, so
that requests can share what another one computes in the same forward. What a token sees is what the layer's MaskRule
says of positions in its own text, so windows and chunks are kept. Without a ForwardBatch the model attends as usual.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import accumulate
from typing import Any, Protocol, TypeAlias

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from alpha_umi.models.engine.kv_cache import KVCache
from alpha_umi.models.engine.radix_tree import EMPTY, TokenArray
from alpha_umi.models.mask_rules import MaskRule, scored_attention

BATCH_ARGUMENT = "forward_batch"
"""The keyword by which a forward is given its ForwardBatch."""
_CALL_COST = 512
"""Tokens whose attention costs about as much as one more kernel call."""

_DecodeGroup: TypeAlias = tuple[slice, slice, list[int]]
"""Rows, their request caches, and the length of each in tokens."""
_Part: TypeAlias = tuple[slice, slice, Tensor | None]
"""Rows, the positions that any of them sees, and the bias added to the scores; None where causality is all."""
_Load: TypeAlias = tuple[int, int, int, Tensor]
"""The index of a request cache, start and stop in it, and the slots to copy from."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Chunk:
    """The tokens that one request contributes to a step, at positions start to stop of its request cache."""

    ids: Sequence[int]
    cache_index: int
    start: int
    adapters: Sequence[int] = ()
    """The number of the adapter per token, 0 for none; () where all have none."""
    load_start: int = 0
    load_slots: TokenArray = field(default_factory=lambda: EMPTY)
    """Slots of the prefix cache to copy to the request cache first, to positions from load_start on."""
    store_start: int = 0
    store_slots: TokenArray = field(default_factory=lambda: EMPTY)
    """Slots of the prefix cache that the tokens from position store_start on are written to as well."""

    @property
    def stop(self) -> int:
        """The position behind its last token."""
        return self.start + len(self.ids)

    @property
    def load_stop(self) -> int:
        """The position behind the tokens that are copied."""
        return self.load_start + len(self.load_slots)


class ForwardBatch:
    """The chunks of one forward, laid out once for all layers: single tokens by request cache, then longer chunks."""

    def __init__(self, chunks: Iterable[Chunk], kv_cache: KVCache) -> None:
        self.kv_cache = kv_cache
        self.chunks = sorted(chunks, key=lambda chunk: (len(chunk.ids) > 1, chunk.cache_index))
        self.row_starts = [0, *accumulate(len(chunk.ids) for chunk in self.chunks)]
        """The row of the first token of each chunk, and the number of rows."""
        self._device = kv_cache.shape.device
        self._no_padding = torch.ones((1, self.row_starts[-1]), dtype=torch.bool, device=self._device)
        self._longest = max((chunk.stop for chunk in self.chunks), default=0)
        self._places: tuple[Tensor, Tensor] | None = None
        """The index of the request cache and the position of each token, [tokens, 1]."""
        self._parts: dict[MaskRule | None, tuple[list[_Part], list[_Part]]] = {}
        """Decode groups and prefills by the rule of a layer; None: causality alone."""
        decodes = [chunk for chunk in self.chunks if len(chunk.ids) == 1]
        self._decode_count = len(decodes)
        self._decode_indices = self._tensor([chunk.cache_index for chunk in decodes] if len(decodes) > 1 else EMPTY)
        self._decode_positions = self._tensor([chunk.start for chunk in decodes] if len(decodes) > 1 else EMPTY)
        self._decode_groups = list(self._make_decode_groups(decodes))
        self._prefills = [
            (chunk, slice(start, start + len(chunk.ids)))
            for chunk, start in zip(self.chunks[len(decodes) :], self.row_starts[len(decodes) :], strict=False)
        ]
        self._loads: list[_Load] = [
            (chunk.cache_index, chunk.load_start, chunk.load_stop, self._tensor(chunk.load_slots))
            for chunk in self.chunks
            if len(chunk.load_slots)
        ]
        stores = [
            (start + chunk.store_start - chunk.start + np.arange(len(chunk.store_slots)), chunk.store_slots)
            for chunk, start in zip(self.chunks, self.row_starts, strict=False)
            if len(chunk.store_slots)
        ]
        self._store_rows = self._tensor(np.concatenate([rows for rows, _ in stores])) if stores else None
        self._store_slots = self._tensor(np.concatenate([slots for _, slots in stores])) if stores else None

    def inputs(self) -> dict[str, Any]:
        """Keyword arguments of the model's forward, but for `logits_to_keep`."""
        positions = [position for chunk in self.chunks for position in range(chunk.start, chunk.stop)]
        return {
            "input_ids": self._tensor([token for chunk in self.chunks for token in chunk.ids])[None],
            "position_ids": self._tensor(positions)[None],
            # Without a mask of padding transformers would take positions that begin again for texts packed in a row.
            "attention_mask": self._no_padding,
            "use_cache": False,
            BATCH_ARGUMENT: self,
        }

    def adapters(self) -> Tensor | None:
        """The number of the adapter per token, [tokens], on the CPU; None where none acts."""
        if not any(chunk.adapters for chunk in self.chunks):
            return None
        numbers = [number for chunk in self.chunks for number in chunk.adapters or [0] * len(chunk.ids)]
        return torch.tensor(numbers, dtype=torch.int8)

    def attend(self, layer: int, inputs: AttentionInputs) -> Tensor:
        """Attention of one layer; [1, tokens, heads, size]."""
        caches, prefixes = self.kv_cache.request_layers[layer], self.kv_cache.prefix_layers[layer]
        for cache, prefix, states in zip(caches, prefixes, (inputs.key, inputs.value), strict=True):
            self._write(cache, prefix, states[0])
        query, kv_heads = inputs.query, inputs.key.shape[1]
        count, heads, size = self._decode_count, query.shape[1], query.shape[3]
        groups, prefills = self._parts_of(inputs.rule)
        # The query heads of one token that share a key head are computed as several tokens of one head.
        decodes = query[0, :, :count].transpose(0, 1).reshape(count, kv_heads, heads // kv_heads, size)
        found: list[Tensor] = []
        for (rows, indices, _), (_, seen, bias) in zip(self._decode_groups, groups, strict=True):
            key, value = (each[indices, :, seen] for each in caches)
            out = inputs.computed(decodes[rows], key, value, bias, causal=False)
            found.append(out.reshape(-1, heads, out.shape[-1]))
        # On a GPU no kernel takes both grouped heads and a mask, and without one all scores would be in memory at once.
        repeats = 1 if self._device.type == "cpu" else heads // kv_heads
        for (chunk, _), (rows, seen, bias) in zip(self._prefills, prefills, strict=True):
            key, value = (each[chunk.cache_index, None, :, seen] for each in caches)
            if repeats > 1:
                key, value = (each.repeat_interleave(repeats, dim=1) for each in (key, value))
            found.append(inputs.computed(query[:, :, rows], key, value, bias, causal=bias is None)[0].transpose(0, 1))
        return (found[0] if len(found) == 1 else torch.cat(found))[None]

    def windows(self, layer: int, inputs: Tensor, width: int) -> Tensor:
        """Inputs of a convolution, [tokens, channels], to those that each token's output is made of, its own the last.

        They are kept as keys are; [tokens, channels, width], zeros before the start of a text.
        """
        cache, prefix = self.kv_cache.request_layers[layer][0], self.kv_cache.prefix_layers[layer][0]
        self._write(cache, prefix, inputs[None])
        if self._places is None:
            indices = [chunk.cache_index for chunk in self.chunks for _ in chunk.ids]
            positions = [position for chunk in self.chunks for position in range(chunk.start, chunk.stop)]
            self._places = self._tensor(indices)[:, None], self._tensor(positions)[:, None]
        indices, last = self._places
        positions = last + torch.arange(1 - width, 1, device=self._device)
        found = cache[indices, 0, positions.clamp(min=0)]
        return found.masked_fill_((positions < 0)[:, :, None], 0).transpose(1, 2)

    def _write(self, cache: Tensor, prefix: Tensor, states: Tensor) -> None:
        """Write keys or values of one layer, [heads, tokens, size], to the prefix cache and the request caches."""
        if self._store_rows is not None and self._store_slots is not None:
            prefix.index_copy_(0, self._store_slots, states.transpose(0, 1).index_select(0, self._store_rows))
        for index, start, stop, slots in self._loads:
            cache[index, :, start:stop] = prefix.index_select(0, slots).transpose(0, 1)
        if self._decode_count == 1:
            cache[self.chunks[0].cache_index, :, self.chunks[0].start] = states[:, 0]
        elif self._decode_count:
            cache[self._decode_indices, :, self._decode_positions] = states.transpose(0, 1)[: self._decode_count]
        for chunk, rows in self._prefills:
            cache[chunk.cache_index, :, chunk.start : chunk.stop] = states[:, rows]

    def _make_decode_groups(self, decodes: Sequence[Chunk]) -> Iterator[_DecodeGroup]:
        """Group neighbouring request caches, as long as padding them costs less than another kernel call."""
        lengths: list[int] = []
        for at, chunk in enumerate(decodes):
            joined = bool(lengths) and chunk.cache_index == decodes[at - 1].cache_index + 1
            padded = max(*lengths, chunk.stop) * (len(lengths) + 1) if joined else 0
            if lengths and not (joined and padded <= 1.25 * (sum(lengths) + chunk.stop) + _CALL_COST):
                yield self._decode_group(decodes[at - 1].cache_index, at, lengths)
                lengths = []
            lengths.append(chunk.stop)
        if lengths:
            yield self._decode_group(decodes[-1].cache_index, len(decodes), lengths)

    def _decode_group(self, last_index: int, end: int, lengths: list[int]) -> _DecodeGroup:
        indices = slice(last_index + 1 - len(lengths), last_index + 1)
        return slice(end - len(lengths), end), indices, lengths

    def _parts_of(self, rule: MaskRule) -> tuple[list[_Part], list[_Part]]:
        """The visible positions and biases of the decode groups and of the prefills under a rule."""
        key = None if rule.is_causal_within(self._longest) else rule
        if key not in self._parts:
            decodes = [self._decode_part(rows, lengths, key) for rows, _, lengths in self._decode_groups]
            self._parts[key] = decodes, [self._prefill_part(chunk, rows, key) for chunk, rows in self._prefills]
        return self._parts[key]

    def _decode_part(self, rows: slice, lengths: Sequence[int], rule: MaskRule | None) -> _Part:
        """The bias hides padding and what the rule does, [rows, 1, 1, positions]."""
        first = 0 if rule is None else rule.first_key(min(lengths) - 1)
        seen = slice(first, max(lengths))
        if rule is None and min(lengths) == max(lengths):
            return rows, seen, None
        keys, queries = torch.arange(first, max(lengths), device=self._device), self._tensor(lengths)[:, None] - 1
        hidden = keys > queries if rule is None else ~rule.sees(queries, keys)
        return rows, seen, self._mask_bias(hidden)[:, None, None]

    def _prefill_part(self, chunk: Chunk, rows: slice, rule: MaskRule | None) -> _Part:
        """The bias is [tokens, positions]; None where the chunk is all there is."""
        if rule is None and chunk.start == 0:
            return rows, slice(0, chunk.stop), None
        first = 0 if rule is None else rule.first_key(chunk.start)
        keys = torch.arange(first, chunk.stop, device=self._device)
        queries = torch.arange(chunk.start, chunk.stop, device=self._device)[:, None]
        return (
            rows,
            slice(first, chunk.stop),
            self._mask_bias(keys > queries if rule is None else ~rule.sees(queries, keys)),
        )

    def _mask_bias(self, hidden: Tensor) -> Tensor:
        zeros = torch.zeros(hidden.shape, dtype=self.kv_cache.shape.dtype, device=self._device)
        return zeros.masked_fill_(hidden, float("-inf"))

    def _tensor(self, numbers: Sequence[int] | TokenArray) -> Tensor:
        return torch.as_tensor(numbers, dtype=torch.int64, device=self._device)


class AttentionBatch(Protocol):
    """Batch that a forward is given as BATCH_ARGUMENT (protocol)."""

    def attend(self, layer: int, inputs: AttentionInputs) -> Tensor:
        """Attention of one layer; [1, tokens, heads, size]."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class AttentionInputs:
    """Inputs of one layer's attention, [1, heads, tokens, size] each."""

    query: Tensor
    key: Tensor
    value: Tensor
    rule: MaskRule
    scaling: float | None
    softcap: float | None = None
    sinks: Tensor | None = None
    """[heads]"""

    def computed(self, query: Tensor, key: Tensor, value: Tensor, bias: Tensor | None, *, causal: bool) -> Tensor:
        """Attention of some of the queries, [batch, heads, queries, size]; `causal`: where there is no bias."""
        if self.softcap is None and self.sinks is None:
            return functional.scaled_dot_product_attention(
                query, key, value, attn_mask=bias, is_causal=causal, scale=self.scaling,
                enable_gqa=query.shape[1] != key.shape[1],
            )  # fmt: skip
        if causal:
            bias = query.new_full((query.shape[2], key.shape[2]), float("-inf")).triu_(1)
        sinks = self.sinks
        if sinks is not None and query.shape[1] < len(sinks):  # several heads stand side by side as queries of one
            sinks = sinks.view(query.shape[1], -1, 1)
        return scored_attention(
            query, key, value, bias, scaling=self.scaling, softcap=self.softcap, sinks=sinks
        )  # fmt: skip
