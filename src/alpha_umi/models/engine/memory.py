"""Keys and values in memory: a pool that requests share, and one contiguous lane per running request.

The pool is what the trie's slots number. A lane is filled from the pool once and appended to from then on, so that
decoding reads contiguous memory. Both are parts of a stated number of bytes; a lane's width follows from the longest
request at hand, and how many lanes there are follows from that.
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

from alpha_umi.models.engine.trie import Numbers

_NARROWEST = 256
_ON_CPU = 4 << 30


@dataclass(frozen=True, slots=True, kw_only=True)
class Shape:
    """The keys and values of one token."""

    layers: int
    heads: int
    size: int
    dtype: torch.dtype
    device: torch.device

    @classmethod
    def of(cls, model: PreTrainedModel) -> Shape:
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
        """Of one token, keys and values."""
        return 2 * self.layers * self.heads * self.size * self.dtype.itemsize


def spare_memory(device: torch.device) -> int:
    """Bytes for keys and values where nobody states them: a part of what is free."""
    if device.type == "cuda":
        return int(torch.cuda.mem_get_info(device)[0] * 0.6)
    free = os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") if hasattr(os, "sysconf") else _ON_CPU
    return min(free // 4, _ON_CPU)


class Memory:
    """The pool [layers, slots, heads, size] and the lanes [layers, lanes, heads, width, size], for keys and values."""

    def __init__(self, shape: Shape, tokens: int, *, most_lanes: int) -> None:
        """`tokens`: as many keys and values are held at most, half of them in lanes."""
        self.shape = shape
        self.slots = tokens // 2
        self.lane_tokens = tokens - self.slots
        self.most_lanes = most_lanes
        self.width = 0
        self.lanes = 0
        self._free: list[int] = []
        pool = (shape.layers, self.slots, shape.heads, shape.size)
        arena = (shape.layers, self.lane_tokens * shape.heads * shape.size)
        self.pool_keys, self.pool_values, self._arena_keys, self._arena_values = (
            _zeros(wanted, shape) for wanted in (pool, pool, arena, arena)
        )
        self.keys = self.values = self._arena_keys
        self.pools_of = list(zip(self.pool_keys, self.pool_values, strict=True))
        """Per layer the keys and the values of the pool, [slots, heads, size]."""
        self.lanes_of: list[tuple[Tensor, Tensor]] = []
        """Per layer the keys and the values of the lanes, [lanes, heads, width, size]."""

    def arrange(self, width: int) -> None:
        """Make lanes of at least `width` tokens. What was in lanes is lost."""
        if len(self._free) != self.lanes:
            raise ValueError("lanes in use cannot be arranged")
        self.width = min(max(_NARROWEST, 1 << (width - 1).bit_length()), self.lane_tokens)
        self.lanes = min(self.most_lanes, self.lane_tokens // self.width)
        self._free = list(range(self.lanes))
        self.keys, self.values = self._view(self._arena_keys), self._view(self._arena_values)
        self.lanes_of = list(zip(self.keys, self.values, strict=True))

    @property
    def free_lanes(self) -> int:
        return len(self._free)

    def take_lane(self) -> int:
        """The lowest free one, so that lanes in use lie side by side."""
        return heapq.heappop(self._free)

    def give_lane(self, lane: int) -> None:
        heapq.heappush(self._free, lane)

    def clear_lane(self, lane: int, length: int) -> None:
        """Write zeros, where something may be no number."""
        self.keys[:, lane, :, :length] = 0
        self.values[:, lane, :, :length] = 0

    def keep(self, lane: int, start: int, slots: Numbers) -> None:
        """Copy the tokens of a lane from `start` on into slots of the pool."""
        where = torch.from_numpy(slots).to(self.shape.device)
        for lanes, pool in ((self.keys, self.pool_keys), (self.values, self.pool_values)):
            pool[:, where] = lanes[:, lane, :, start : start + len(slots)].transpose(1, 2)

    def is_sound(self, slots: Numbers) -> bool:
        """Whether what is in these slots are numbers."""
        where = torch.from_numpy(slots).to(self.shape.device)
        return all(bool(pool[:, where].isfinite().all()) for pool in (self.pool_keys, self.pool_values))

    def _view(self, arena: Tensor) -> Tensor:
        shape, whole = self.shape, self.lanes * self.width
        used = arena[:, : whole * shape.heads * shape.size]
        return used.view(shape.layers, self.lanes, shape.heads, self.width, shape.size)


def _zeros(wanted: Sequence[int], shape: Shape) -> Tensor:
    """Not whatever was there: what a mask hides is still multiplied by zero, and zero times NaN is NaN.

    On a CPU numpy leaves it to the system to take pages when they are first written; torch would write them all.
    """
    if shape.device.type != "cpu":
        return torch.zeros(wanted, dtype=shape.dtype, device=shape.device)
    raw = np.zeros(math.prod(wanted) * shape.dtype.itemsize, dtype=np.uint8)
    return torch.from_numpy(raw).view(shape.dtype).view(wanted)
