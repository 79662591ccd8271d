"""Split of packed trees into frozen prefixes and the branches behind them.

An activated adapter acts from its invocation on, so what stands before depends on no trained weight: it needs a
forward pass, and no backward one. Law: prefixes and branches together hold every token of the trees once, and a
branch attends to the prefix on its path. Pure: numpy in, numpy out.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from alpha_umi.training.data.packing import Ints, PackedTrees


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class PrefixSplit:
    """Packed trees in two rows."""

    prefix: PackedTrees
    """Tokens before any adapter and any loss, as trees; no losses."""
    branches: PackedTrees
    """The other tokens, in the order of the row. A parent segment of -1: none, or one of the prefix."""
    segments: Ints
    """[s, 3]: segments of the prefix and then of the branches, as in PackedTrees, of the two rows one behind the
    other."""


def split_prefixes(packed: PackedTrees) -> PrefixSplit | None:
    """Split trees at the first token on each path that has an adapter or predicts a target.

    None where no token stands before these.
    """
    behind = np.zeros(packed.tokens + 1, np.int32)
    first = np.union1d(np.flatnonzero(packed.adapters), packed.at)
    np.add.at(behind, first, 1)
    np.add.at(behind, packed.ends[first], -1)
    frozen = np.cumsum(behind[:-1]) == 0
    if not frozen.any():
        return None
    before = np.concatenate([[0], np.cumsum(frozen)])  # frozen tokens before each place of the row
    starts, stops, parents = packed.segments.T
    cuts = (starts + before[stops] - before[starts]).astype(np.int32)  # what is frozen of a segment is its start
    tops, heads, joined = _segments(starts, cuts, stops, parents)
    size = int(before[-1])
    prefix = _part(packed, frozen, before, [(before[a], before[b], p) for a, b, p in tops])
    rest = np.arange(packed.tokens + 1) - before
    branches = _part(packed, ~frozen, rest, [(rest[a], rest[b], p) for a, b, p in heads])
    moved = branches.segments[:, :2] + size
    segments = np.concatenate([prefix.segments, np.column_stack([moved, joined])]).astype(np.int32)
    return PrefixSplit(prefix=prefix, branches=branches, segments=segments)


_Spans = list[tuple[int, int, int]]


def _segments(starts: Ints, cuts: Ints, stops: Ints, parents: Ints) -> tuple[_Spans, _Spans, list[int]]:
    """Segments of the prefix and of the branches, in places of the whole row, with parents within each; and the
    parents of the branches' segments among all, those of the prefix first."""
    tops: _Spans = []
    heads: _Spans = []
    joined: list[int] = []
    top_of, head_of = dict[int, int](), dict[int, int]()  # by the number of a segment
    count = int((cuts > starts).sum())
    for number, (start, cut, stop, parent) in enumerate(zip(starts, cuts, stops, parents, strict=True)):
        above = top_of.get(parent, -1)
        if cut > start:
            top_of[number] = above = len(tops)
            tops.append((start, cut, top_of.get(parent, -1)))
        if stop > cut:
            inner = head_of.get(parent, -1)
            head_of[number] = len(heads)
            heads.append((cut, stop, inner))
            joined.append(count + inner if inner >= 0 else above)
    return tops, heads, joined


def _part(packed: PackedTrees, chosen: np.ndarray, places: np.ndarray, spans: _Spans) -> PackedTrees:
    """Chosen tokens of the trees as a row of their own. `places`: where each place of the whole row is in it."""
    lossy = chosen[packed.at]
    return PackedTrees(
        ids=packed.ids[chosen],
        depths=packed.depths[chosen],
        ends=places[packed.ends[chosen]].astype(np.int32),
        adapters=packed.adapters[chosen],
        segments=np.array(spans, np.int32).reshape(-1, 3),
        at=places[packed.at[lossy]].astype(np.int32),
        targets=packed.targets[lossy],
        weights=packed.weights[lossy],
    )
