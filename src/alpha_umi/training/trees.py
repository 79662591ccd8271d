"""Layout of packed prefix trees for attention: runs and links, gathered blocks, block masks of FlexAttention.

All say the same: a query sees the tokens on its path, and of these what the layer's rule lets through, which counts
positions along the path. A rule of None lets all through.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TypeAlias

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional
from torch.nn.attention.flex_attention import BlockMask

from alpha_umi.models.mask_rules import MaskRule
from alpha_umi.training.data.packing import PackedTrees, path
from alpha_umi.training.data.prefixes import PrefixSplit

Span: TypeAlias = tuple[int, int]
"""Start and stop in the row."""
Gathered: TypeAlias = tuple[slice, slice | Tensor, Tensor]
"""Queries, the keys that any of them sees, and which sees which, [queries, keys]."""
Path: TypeAlias = tuple[slice, slice | Tensor, slice | Tensor]
"""Queries, and the keys on their path in two rows."""
Kept: TypeAlias = dict[int, tuple[Tensor, Tensor]]
"""Keys and values of prefix tokens in each layer, by the id of its module: [1, heads, n, size] each."""
_QUERIES = 256
"""Most queries of a gathered block."""
_BLOCK = 128
"""Tokens of a side of a block of FlexAttention."""


class Trees:
    """Visibility among the tokens of one packed row, ready for each attention implementation.

    No dataclass: FSDP2 takes those apart to cast what is in them, and would hand every layer a copy of its own.
    """

    __slots__ = (
        "_blocks",
        "_gathered",
        "deepest",
        "depths",
        "ends",
        "kept",
        "layers",
        "links",
        "reached",
        "runs",
        "segments",
    )

    def __init__(self, packed: PackedTrees, device: torch.device) -> None:
        """Prepare the trees for attention on the model's device."""
        self.ends, self.depths = (torch.from_numpy(each).to(device) for each in (packed.ends, packed.depths))
        """[n] each, as in PackedTrees."""
        self.segments = packed.segments
        self.runs, self.links = _runs_and_links(packed)
        """Runs: every token is in one, causal in itself. Links: queries and keys where each of those queries stands
        behind all of those keys."""
        self.deepest = int(packed.depths.max())
        """The highest position."""
        self.reached: set[int] = set()
        """The modules that have used it."""
        self.kept: Kept | None = None
        """Filled in by each layer where it is not None."""
        self.layers = 0
        """Number of layers that fill it in."""
        self._gathered: dict[MaskRule | None, list[Gathered]] = {}
        self._blocks: dict[MaskRule | None, BlockMask] = {}

    def gathered(self, rule: MaskRule | None) -> list[Gathered]:
        """Blocks of queries, in the order of the row, with the keys on their path."""
        if rule not in self._gathered:
            self._gathered[rule] = [self._block(*block, rule) for block in _query_blocks(self.segments)]
        return self._gathered[rule]

    def _block(self, way: np.ndarray, first: int, stop: int, rule: MaskRule | None) -> Gathered:
        """The tokens of a path at positions `first` to `stop`, which stand side by side, as queries."""
        low = 0 if rule is None else rule.first_key(first)
        queries = torch.arange(first, stop, device=self.ends.device)[:, None]
        keys = torch.arange(low, stop, device=self.ends.device)
        rows = slice(int(way[first]), int(way[stop - 1]) + 1)
        gathered: slice | Tensor = slice(int(way[low]), rows.stop)
        if rows.stop - int(way[low]) > stop - low:
            gathered = torch.from_numpy(way[low:stop].astype(np.int64)).to(self.ends.device)
        return rows, gathered, keys <= queries if rule is None else rule.sees(queries, keys)

    def block_mask(self, rule: MaskRule | None) -> BlockMask:
        """Block mask of FlexAttention, made from the extremes of each block without an [n, n] mask."""
        if rule not in self._blocks:
            self._blocks[rule] = self._block_mask(rule)
        return self._blocks[rule]

    def _block_mask(self, rule: MaskRule | None) -> BlockMask:
        count = len(self.ends)
        padding = -count % _BLOCK
        ends = functional.pad(self.ends, (0, padding)).view(-1, _BLOCK)
        first = torch.arange(0, count + padding, _BLOCK, device=ends.device, dtype=ends.dtype)
        last = first + _BLOCK - 1
        touched = (first <= last[:, None]) & (first[:, None] < ends.amax(dim=1))
        whole = (last <= first[:, None]) & (last[:, None] < ends.amin(dim=1))
        if rule is not None:  # what is out of sight of a token is so of all tokens behind it
            depths = torch.cat([self.depths, self.depths[-1:].expand(padding)]).view(-1, _BLOCK)
            nearest, farthest = depths.amin(dim=1)[:, None], depths.amax(dim=1)[:, None]
            touched &= rule.sees(nearest, torch.minimum(farthest.T, nearest))
            whole &= rule.sees(farthest, nearest.T)
        partly = touched & ~whole

        def sees(batch: Tensor, head: Tensor, query: Tensor, key: Tensor) -> Tensor:
            on_path = (key <= query) & (query < self.ends[key])
            return on_path if rule is None else on_path & rule.sees(self.depths[query], self.depths[key])

        return BlockMask.from_kv_blocks(
            *_listed(partly), *_listed(whole), BLOCK_SIZE=_BLOCK, mask_mod=sees, seq_lengths=(count, count)
        )


class Branches(Trees):
    """Visibility among the tokens behind frozen prefixes, and of the prefixes' tokens.

    Keys are counted through the prefixes' row and on through that of the branches.
    """

    __slots__ = ("_paths", "before", "offset")

    def __init__(self, split: PrefixSplit, device: torch.device, before: Kept) -> None:
        """Prepare the branches for attention on the model's device. `before`: keys and values of the prefixes."""
        super().__init__(split.branches, device)
        self.before = before
        self.segments = split.segments
        self.offset = split.prefix.tokens
        """Tokens of the prefixes."""
        self.deepest = max(self.deepest, int(split.prefix.depths.max()))
        self._paths: list[Path] = []

    def gathered(self, rule: MaskRule | None) -> list[Gathered]:
        """Blocks of queries of the branches, in their order, with the keys on their path."""
        if rule not in self._gathered:
            blocks = (self._block(*block, rule) for block in _query_blocks(self.segments, self.offset))
            self._gathered[rule] = [
                (slice(rows.start - self.offset, rows.stop - self.offset), keys, mask) for rows, keys, mask in blocks
            ]
        return self._gathered[rule]

    @property
    def paths(self) -> list[Path]:
        """Blocks of queries, in the order of the row, with the keys on their path in the prefix and in the branches.

        The last of these are the queries themselves.
        """
        if not self._paths:
            for way, first, stop in _query_blocks(self.segments, self.offset):
                split = int(np.count_nonzero(way < self.offset))
                own = way[split:stop] - self.offset
                rows = slice(int(own[first - split]), int(own[-1]) + 1)
                self._paths.append((rows, _spanned(way[:split]), _spanned(own)))
        return self._paths


def _query_blocks(segments: np.ndarray, offset: int = 0) -> Iterator[tuple[np.ndarray, int, int]]:
    """Blocks of queries of the segments from `offset` on: the path that they are on, and their start and stop in it."""
    for number, (start, stop, _) in enumerate(segments.tolist()):
        if start >= offset:
            way = path(segments, number)
            for first in range(len(way) - (stop - start), len(way), _QUERIES):
                yield way, first, min(first + _QUERIES, len(way))


def _spanned(places: np.ndarray) -> slice | Tensor:
    """Rising places in a row, as a slice where they stand side by side."""
    if not len(places) or places[-1] - places[0] + 1 == len(places):
        return slice(int(places[0]), int(places[-1]) + 1) if len(places) else slice(0, 0)
    return torch.from_numpy(places.astype(np.int64))


def _runs_and_links(packed: PackedTrees) -> tuple[list[Span], list[tuple[Span, Span]]]:
    ends, count = packed.ends.tolist(), packed.tokens
    starts, stops, parents = packed.segments.T.tolist()
    heads = [index for index, parent in enumerate(parents) if parent != index - 1 or parent < 0]
    first = [starts[index] for index in heads]
    links: list[tuple[Span, Span]] = []
    head = 0
    for index, (start, stop, parent) in enumerate(zip(starts, stops, parents, strict=True)):
        head = start if parent != index - 1 or parent < 0 else head
        # The first child goes on with the run; what branches off here stands behind all that it holds.
        light = (ends[stop] if stop < ends[start] else stop, ends[start])
        if light[0] < light[1]:
            links.append((light, (head, stop)))
    return list(zip(first, [*first[1:], count], strict=True)), links


def _listed(chosen: Tensor) -> tuple[Tensor, Tensor]:
    """Counts and indices of the chosen columns per row of a [rows, columns] mask; with batch and head of 1."""
    columns = chosen.to(torch.int32).argsort(dim=1, descending=True, stable=True)
    return chosen.sum(dim=1, dtype=torch.int32)[None, None], columns.to(torch.int32).contiguous()[None, None]
