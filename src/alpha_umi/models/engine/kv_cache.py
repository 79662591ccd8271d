"""KV cache: a prefix cache that requests share, and one contiguous request cache per running request.

The prefix cache holds one token per slot; the radix tree says which. A request cache is filled from it once and
appended to from then on, so that decoding reads contiguous memory. Both are parts of a stated number of bytes; the
width of request caches follows from the longest request at hand, and their number follows from that.
"""

from __future__ import annotations

import heapq
import math
import os
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from alpha_umi.models.engine.radix_tree import TokenArray

_MIN_WIDTH = 256
_ON_CPU = 4 << 30


@dataclass(frozen=True, slots=True, kw_only=True)
class LayerShape:
    """Shape of the keys and values of one token in one layer."""

    heads: int
    key_size: int
    value_size: int

    @property
    def numbers(self) -> int:
        """Numbers of one token, keys and values."""
        return self.heads * (self.key_size + self.value_size)


@dataclass(frozen=True, slots=True, kw_only=True)
class KVShape:
    """Shape of the keys and values of one token in all layers."""

    layers: Mapping[int, LayerShape]
    """By the number that the model gives a layer."""
    dtype: torch.dtype
    device: torch.device

    @property
    def bytes(self) -> int:
        """Bytes of one token, keys and values."""
        return sum(layer.numbers for layer in self.layers.values()) * self.dtype.itemsize


def spare_memory(device: torch.device) -> int:
    """Bytes for keys and values where none are stated: a part of the free memory of the device."""
    if device.type == "cuda":
        return int(torch.cuda.mem_get_info(device)[0] * 0.6)
    return min(_available() // 4, _ON_CPU)


def _available() -> int:
    """Bytes of memory that can be had: what is free, and what the system holds of files and would give up."""
    with suppress(OSError):
        found = re.search(r"MemAvailable: +(\d+) kB", Path("/proc/meminfo").read_text(encoding="ascii"))
        if found is not None:
            return int(found[1]) * 1024
    return os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") if hasattr(os, "sysconf") else 4 * _ON_CPU


class KVCache:
    """The prefix cache, [slots, heads, size], and the request caches, [caches, heads, width, size], of each layer."""

    def __init__(self, shape: KVShape, tokens: int, *, max_requests: int) -> None:
        """`tokens`: most tokens with keys and values, half of them in request caches."""
        self.shape = shape
        self.slots = tokens // 2
        self.request_tokens = tokens - self.slots
        self.max_requests = max_requests
        self.width = 0
        self.request_caches = 0
        self._free: list[int] = []
        self.prefix_layers: dict[int, tuple[Tensor, Tensor]] = {}
        """The keys and the values of the prefix cache by the number of the layer, [slots, heads, size]."""
        self._arenas: dict[int, tuple[Tensor, Tensor]] = {}
        for number, layer in shape.layers.items():
            sizes, heads = (layer.key_size, layer.value_size), layer.heads
            keys, values = (_zeros((self.slots, heads, size), shape) for size in sizes)
            self.prefix_layers[number] = keys, values
            keys, values = (_zeros([self.request_tokens * heads * size], shape) for size in sizes)
            self._arenas[number] = keys, values
        self.request_layers: dict[int, tuple[Tensor, Tensor]] = {}
        """The keys and the values of the request caches by the number of the layer, [caches, heads, width, size]."""

    def resize(self, width: int) -> None:
        """Divide the memory into request caches of at least `width` tokens each; their contents are lost.

        Raises ValueError while one is in use.
        """
        if len(self._free) != self.request_caches:
            raise ValueError("request caches in use cannot be resized")
        self.width = min(max(_MIN_WIDTH, 1 << (width - 1).bit_length()), self.request_tokens)
        self.request_caches = min(self.max_requests, self.request_tokens // self.width)
        self._free = list(range(self.request_caches))
        for number, layer in self.shape.layers.items():
            keys, values = self._arenas[number]
            views = self._view(keys, layer.heads, layer.key_size), self._view(values, layer.heads, layer.value_size)
            self.request_layers[number] = views

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
        for requests, _ in self._pairs():
            requests[index, :, :length] = 0

    def store(self, index: int, start: int, slots: TokenArray) -> None:
        """Copy tokens of a request cache, from `start` on, to slots of the prefix cache."""
        where = torch.from_numpy(slots).to(self.shape.device)
        for requests, prefix in self._pairs():
            prefix[where] = requests[index, :, start : start + len(slots)].transpose(0, 1)

    def is_finite(self, slots: TokenArray) -> bool:
        """True where the keys and values in these slots are neither NaN nor infinite."""
        where = torch.from_numpy(slots).to(self.shape.device)
        return bool(torch.stack([prefix[where].isfinite().all() for _, prefix in self._pairs()]).all())

    def _pairs(self) -> Iterator[tuple[Tensor, Tensor]]:
        """The request caches and the prefix cache of all layers, keys and values one after the other."""
        for number, requests in self.request_layers.items():
            yield from zip(requests, self.prefix_layers[number], strict=True)

    def _view(self, arena: Tensor, heads: int, size: int) -> Tensor:
        used = arena[: self.request_caches * self.width * heads * size]
        return used.view(self.request_caches, heads, self.width, size)


def _zeros(wanted: Sequence[int], shape: KVShape) -> Tensor:
    """Zeros, and not empty memory: masked values are still multiplied by zero, and zero times NaN is NaN.

    On a CPU numpy leaves it to the system to take pages when they are first written; torch would write them all.
    """
    if shape.device.type != "cpu" or not math.prod(wanted):
        return torch.zeros(wanted, dtype=shape.dtype, device=shape.device)
    raw = np.zeros(math.prod(wanted) * shape.dtype.itemsize, dtype=np.uint8)
    return torch.from_numpy(raw).view(shape.dtype).view(wanted)
