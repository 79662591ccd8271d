"""Attention of one ragged forward over the KV cache: the tokens of many requests in one row.

Installed as one of transformers' attention implementations, so model definitions stay transformers' own. In every
layer keys and values are written first, to the prefix cache what is shared and to the request caches everything, so
that requests can share what another one computes in the same forward. Without a ForwardBatch the model attends
as usual.
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
"""The name under which transformers knows this attention."""
BATCH_ARGUMENT = "forward_batch"
"""The keyword by which a forward is given its ForwardBatch."""
_IGNORED_ARGUMENTS = ("position_ids", "cache_position", "use_cache", "output_hidden_states", "return_dict", "dropout")
_CALL_COST = 512
"""Tokens whose attention costs about as much as one more kernel call."""

_DecodeGroup: TypeAlias = tuple[slice, slice, int, Tensor | None]
"""Rows, their request caches, the longest of them in tokens, and the bias added to the scores."""
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
        self._unused_mask = torch.empty((1, 1, 1, 1), dtype=torch.bool, device=self._device)
        decodes = [chunk for chunk in self.chunks if len(chunk.ids) == 1]
        self._decode_count = len(decodes)
        self._decode_indices = self._tensor([chunk.cache_index for chunk in decodes] if len(decodes) > 1 else EMPTY)
        self._decode_positions = self._tensor([chunk.start for chunk in decodes] if len(decodes) > 1 else EMPTY)
        self._decode_groups = list(self._make_decode_groups(decodes))
        self._prefills: list[tuple[Chunk, slice, Tensor | None]] = [
            (chunk, slice(start, start + len(chunk.ids)), self._causal_bias(chunk))
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
            # transformers makes no mask of its own where it is given one of four dimensions; this one is never read.
            "attention_mask": self._unused_mask,
            "use_cache": False,
            BATCH_ARGUMENT: self,
        }

    def adapters(self) -> Tensor | None:
        """The number of the adapter per token, [tokens], on the CPU; None where none acts."""
        if not any(chunk.adapters for chunk in self.chunks):
            return None
        numbers = [number for chunk in self.chunks for number in chunk.adapters or [0] * len(chunk.ids)]
        return torch.tensor(numbers, dtype=torch.int8)

    def attend(self, layer: int, query: Tensor, key: Tensor, value: Tensor, scaling: float | None) -> Tensor:
        """Attention of one layer: query, key and value [1, heads, tokens, size] to [1, tokens, heads, size]."""
        caches, prefixes = self.kv_cache.request_layers[layer], self.kv_cache.prefix_layers[layer]
        for cache, prefix, states in zip(caches, prefixes, (key, value), strict=True):
            self._write(cache, prefix, states[0])
        # The query heads of one token that share a key head are computed as several tokens of one head.
        count, heads, kv_heads, size = self._decode_count, query.shape[1], key.shape[1], query.shape[3]
        decodes = query[0, :, :count].transpose(0, 1).reshape(count, kv_heads, heads // kv_heads, size)
        found: list[Tensor] = []
        for rows, indices, length, mask in self._decode_groups:
            inputs = decodes[rows], caches[0][indices, :, :length], caches[1][indices, :, :length]
            out = functional.scaled_dot_product_attention(*inputs, attn_mask=mask, scale=scaling)
            found.append(out.reshape(-1, heads, size))
        # On a GPU no kernel takes both grouped heads and a mask, and without one all scores would be in memory at once.
        grouped = self._device.type == "cpu"
        for chunk, rows, mask in self._prefills:
            own = (each[chunk.cache_index, None, :, : chunk.stop] for each in caches)
            if not grouped:
                own = (each.repeat_interleave(heads // kv_heads, dim=1) for each in own)
            out = functional.scaled_dot_product_attention(
                query[:, :, rows], *own, attn_mask=mask, is_causal=mask is None, scale=scaling, enable_gqa=grouped
            )
            found.append(out[0].transpose(0, 1))
        return (found[0] if len(found) == 1 else torch.cat(found))[None]

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
        for chunk, rows, _ in self._prefills:
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

    def _decode_group(self, last_index: int, end: int, lengths: Sequence[int]) -> _DecodeGroup:
        indices = slice(last_index + 1 - len(lengths), last_index + 1)
        return slice(end - len(lengths), end), indices, max(lengths), self._padding_bias(lengths)

    def _padding_bias(self, lengths: Sequence[int]) -> Tensor | None:
        """Bias that hides padding, [rows, 1, 1, longest]; None where all are of one length."""
        if min(lengths) == max(lengths):
            return None
        hidden = torch.arange(max(lengths), device=self._device) >= self._tensor(lengths)[:, None]
        return self._mask_bias(hidden)[:, None, None]

    def _causal_bias(self, chunk: Chunk) -> Tensor | None:
        """Causal bias, [tokens, positions]; None where the chunk is all there is."""
        if chunk.start == 0:
            return None
        positions = torch.arange(chunk.stop, device=self._device)
        return self._mask_bias(positions > positions[chunk.start :, None])

    def _mask_bias(self, hidden: Tensor) -> Tensor:
        zeros = torch.zeros(hidden.shape, dtype=self.kv_cache.shape.dtype, device=self._device)
        return zeros.masked_fill_(hidden, float("-inf"))

    def _tensor(self, numbers: Sequence[int] | TokenArray) -> Tensor:
        return torch.as_tensor(numbers, dtype=torch.int64, device=self._device)


def install(model: PreTrainedModel) -> None:
    """Set the attention of `model` to this one, which is PyTorch's own in forwards without a ForwardBatch."""
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
    """Attention function with the signature that transformers calls."""
    batch = others.pop(BATCH_ARGUMENT, None)
    if batch is None:
        output, _ = sdpa_attention_forward(module, query, key, value, attention_mask, scaling=scaling, **others)
        return output, None
    batch = cast("ForwardBatch", batch)
    window = others.pop("sliding_window", None)
    if window is not None and window < max(chunk.stop for chunk in batch.chunks):
        raise ValueError(f"a sliding window of {window} tokens cannot be kept in request caches")
    if others.pop("is_causal", None) is False:
        raise ValueError("the engine's attention is causal; this attention is called with is_causal=False")
    unknown = [name for name, value in others.items() if name not in _IGNORED_ARGUMENTS and not _is_unset(value)]
    if unknown:
        raise ValueError(f"the engine's attention does not know {', '.join(unknown)}")
    return batch.attend(cast("int", module.layer_idx), query, key, value, scaling), None


def _is_unset(value: object) -> bool:
    return value is None or (isinstance(value, bool | int | float) and not value)
