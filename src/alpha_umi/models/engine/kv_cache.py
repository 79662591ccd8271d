"""KV cache: a prefix cache that requests share, and one contiguous request cache per running request.

The prefix cache holds one token per slot; the radix tree says which. A request cache is filled from it once and
appended to from then on, so that decoding reads contiguous memory. Both are parts of a stated number of bytes; the
width of request caches follows from the longest request at hand, and their number follows from that.
"""

from __future__ import annotations

import heapq
import math
import os
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from transformers import PreTrainedModel

from alpha_umi.models.engine.radix_tree import TokenArray

_MIN_WIDTH = 256
_ON_CPU = 4 << 30


@dataclass(frozen=True, slots=True, kw_only=True)
class KVShape:
    """Shape of the keys and values of one token."""

    layers: int
    heads: int
    size: int
    dtype: torch.dtype
    device: torch.device

    @classmethod
    def of(cls, model: PreTrainedModel) -> KVShape:
        """The shape for a model, from its config."""
        config = model.config
        heads = config.num_attention_heads
        return cls(
            layers=config.num_hidden_layers,
            heads=getattr(config, "num_key_value_heads", None) or heads,
            size=getattr(config, "head_dim", None) or config.hidden_size // heads,
            dtype=model.dtype,
            device=model.device,
        )

    @property
    def bytes(self) -> int:
        """Bytes of one token, keys and values."""
        return 2 * self.layers * self.heads * self.size * self.dtype.itemsize


def spare_memory(device: torch.device) -> int:
    """Bytes for keys and values where none are stated: a part of the free memory of the device."""
    if device.type == "cuda":
        return int(torch.cuda.mem_get_info(device)[0] * 0.6)
    free = os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") if hasattr(os, "sysconf") else _ON_CPU
    return min(free // 4, _ON_CPU)


class KVCache:
    """The prefix cache, [layers, slots, heads, size], and the request caches, [layers, caches, heads, width, size]."""

    def __init__(self, shape: KVShape, tokens: int, *, max_requests: int) -> None:
        """`tokens`: most tokens with keys and values, half of them in request caches."""
        self.shape = shape
        self.slots = tokens // 2
        self.request_tokens = tokens - self.slots
        self.max_requests = max_requests
        self.width = 0
        self.request_caches = 0
        self._free: list[int] = []
        prefix = (shape.layers, self.slots, shape.heads, shape.size)
        arena = (shape.layers, self.request_tokens * shape.heads * shape.size)
        self.prefix_keys, self.prefix_values, self._arena_keys, self._arena_values = (
            _zeros(wanted, shape) for wanted in (prefix, prefix, arena, arena)
        )
        self.keys = self.values = self._arena_keys
        self.prefix_layers = list(zip(self.prefix_keys, self.prefix_values, strict=True))
        """Per layer the keys and the values of the prefix cache, [slots, heads, size]."""
        self.request_layers: list[tuple[Tensor, Tensor]] = []
        """Per layer the keys and the values of the request caches, [caches, heads, width, size]."""

    def resize(self, width: int) -> None:
        """Divide the memory into request caches of at least `width` tokens each; their contents are lost.

        Raises ValueError while one is in use.
        """
        if len(self._free) != self.request_caches:
            raise ValueError("request caches in use cannot be resized")
        self.width = min(max(_MIN_WIDTH, 1 << (width - 1).bit_length()), self.request_tokens)
        self.request_caches = min(self.max_requests, self.request_tokens // self.width)
        self._free = list(range(self.request_caches))
        self.keys, self.values = self._view(self._arena_keys), self._view(self._arena_values)
        self.request_layers = list(zip(self.keys, self.values, strict=True))

    @property
    def free_request_caches(self) -> int:
        """The number of request caches that are not in use."""
        return len(self._free)

    def allocate(self) -> int:
        """Take the lowest free request cache, so that those in use are neighbours; returns its index.

        Raises IndexError where none is free.
        """
        return heapq.heappop(self._free)

    def free(self, index: int) -> None:
        """Give a request cache back."""
        heapq.heappush(self._free, index)

    def zero(self, index: int, length: int) -> None:
        """Zero the first `length` tokens of a request cache, which may hold NaN."""
        self.keys[:, index, :, :length] = 0
        self.values[:, index, :, :length] = 0

    def store(self, index: int, start: int, slots: TokenArray) -> None:
        """Copy tokens of a request cache, from `start` on, to slots of the prefix cache."""
        where = torch.from_numpy(slots).to(self.shape.device)
        for requests, prefix in ((self.keys, self.prefix_keys), (self.values, self.prefix_values)):
            prefix[:, where] = requests[:, index, :, start : start + len(slots)].transpose(1, 2)

    def is_finite(self, slots: TokenArray) -> bool:
        """True where the keys and values in these slots are neither NaN nor infinite."""
        where = torch.from_numpy(slots).to(self.shape.device)
        return all(bool(prefix[:, where].isfinite().all()) for prefix in (self.prefix_keys, self.prefix_values))

    def _view(self, arena: Tensor) -> Tensor:
        shape, whole = self.shape, self.request_caches * self.width
        used = arena[:, : whole * shape.heads * shape.size]
        return used.view(shape.layers, self.request_caches, shape.heads, self.width, shape.size)


def _zeros(wanted: Sequence[int], shape: KVShape) -> Tensor:
    """Zeros, and not empty memory: masked values are still multiplied by zero, and zero times NaN is NaN.

    On a CPU numpy leaves it to the system to take pages when they are first written; torch would write them all.
    """
    if shape.device.type != "cpu":
        return torch.zeros(wanted, dtype=shape.dtype, device=shape.device)
    raw = np.zeros(math.prod(wanted) * shape.dtype.itemsize, dtype=np.uint8)
    return torch.from_numpy(raw).view(shape.dtype).view(wanted)
