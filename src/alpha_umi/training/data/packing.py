"""Packing of examples with shared prefixes into prefix trees, laid out flat in one row with every token once.

A tree is written in preorder, the heaviest branch first, so what descends from a token is the run behind it and
token k is seen by query q where `k <= q < ends[k]`. A token's position is its depth. Computed so, each example
has the very loss and gradients that it has alone. Pure: numpy in, numpy out.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

Ints: TypeAlias = NDArray[np.int32]
_Keys: TypeAlias = NDArray[np.int64]
_ADAPTERS = 1 << 7
"""More than there can be: adapters are int8."""
_IDS = 1 << 31
"""More than there can be: ids are int32."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class WeightedExample:
    """Supervised example as token ids, prompt then completion, with loss weights."""

    ids: Sequence[int]
    weights: Sequence[float]
    """As many as ids: the weight of the loss for predicting ids[i] from what stands before; 0: none. The first is 0."""
    adapters: Sequence[int] | None = None
    """As many as ids: which adapter acts on a token, 0..127; None or 0: the base alone."""

    def __post_init__(self) -> None:
        lengths = {len(self.ids), len(self.weights), len(self.ids if self.adapters is None else self.adapters)}
        if len(lengths) > 1 or not len(self.ids) or self.weights[0] != 0:
            raise ValueError("an example needs ids, as many weights (the first 0) and as many adapters as ids")


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class PackedTrees:
    """Prefix trees side by side in one row: n tokens in s segments, m losses."""

    ids: Ints
    """[n]"""
    depths: Ints
    """[n], the token's position in each of its examples."""
    ends: Ints
    """[n]: token k is seen by the queries k <= q < ends[k]."""
    adapters: NDArray[np.int8]
    """[n]"""
    segments: Ints
    """[s, 3]: start, stop and parent segment (-1: a root) of the runs without a branch, in preorder."""
    at: Ints
    """[m], rising: where the prediction is made."""
    targets: Ints
    """[m], the id to predict; a position may have several."""
    weights: NDArray[np.float32]
    """[m], how often and how much the examples want it."""

    @property
    def tokens(self) -> int:
        return len(self.ids)


def pack_prefix_trees(examples: Sequence[WeightedExample], budget: int | None = None) -> list[PackedTrees]:
    """Pack `examples` into a prefix tree; where it exceeds `budget` tokens, into several that repeat the fewest.

    A tree is split at branches, never within an example, and what is repeated is as short as can be. An example
    longer than the budget stands alone. Tokens are shared only where ids and adapters are equal from the start on.
    """
    if not examples:
        return []
    keys = [_keys(example) for example in examples]
    nodes, last = _radix_tree(keys)
    if budget is None or sum(node.stop - node.start for node in nodes) <= budget:
        return [_lay_out(examples, nodes, last)]
    walked = sorted(range(len(examples)), key=last.__getitem__)
    groups = _split([keys[index] for index in walked], budget)
    return [packed for group in groups for packed in pack_prefix_trees([examples[walked[index]] for index in group])]


def concatenate(trees: Sequence[PackedTrees]) -> PackedTrees:
    """Concatenate packed trees into one row; no token attends across."""
    tokens = np.cumsum([0, *(packed.tokens for packed in trees)])
    runs = np.cumsum([0, *(len(packed.segments) for packed in trees)])
    segments = [np.zeros((0, 3), np.int32)]
    for packed, token, run in zip(trees, tokens, runs, strict=False):
        parents = packed.segments[:, 2:]
        segments.append(np.hstack([packed.segments[:, :2] + token, np.where(parents < 0, -1, parents + run)]))
    shifted = list(zip(trees, tokens, strict=False))
    return PackedTrees(
        ids=_row([packed.ids for packed in trees]),
        depths=_row([packed.depths for packed in trees]),
        ends=_row([packed.ends + token for packed, token in shifted]),
        adapters=np.concatenate([np.zeros(0, np.int8), *(packed.adapters for packed in trees)]),
        segments=np.concatenate(segments).astype(np.int32),
        at=_row([packed.at + token for packed, token in shifted]),
        targets=_row([packed.targets for packed in trees]),
        weights=np.concatenate([np.zeros(0, np.float32), *(packed.weights for packed in trees)]),
    )


def bin_pack(lengths: Sequence[int], budget: int) -> list[list[int]]:
    """Pack indices into bins whose lengths sum to `budget` at most: first fit, the longest first, ties in order.

    What is longer than the budget has a bin of its own.
    """
    leaves = 1 << max(len(lengths) - 1, 0).bit_length()
    room = [budget] * (2 * leaves)  # a heap: the most room below each node, the bins are its leaves
    bins: list[list[int]] = [[] for _ in range(leaves)]
    for index in sorted(range(len(lengths)), key=lambda index: (-lengths[index], index)):
        need, node = min(lengths[index], budget), 1
        while node < leaves:
            node = 2 * node + (room[2 * node] < need)
        bins[node - leaves].append(index)
        room[node] -= need
        while node > 1:
            node //= 2
            room[node] = max(room[2 * node], room[2 * node + 1])
    return [bin_ for bin_ in bins if bin_]


# --- the tree ---------------------------------------------------------------------------------------------


@dataclass(slots=True)
class _Node:
    """Run of tokens without a branch: `start` to `stop` of `example`, counted in depth."""

    stop: int
    example: int
    children: list[_Node] = field(default_factory=list["_Node"])
    here: list[int] = field(default_factory=list[int])
    """Examples that end at `stop`."""
    start: int = 0
    parent: int = -1
    weight: int = 0
    """Tokens of the run and of all below it."""


def _keys(example: WeightedExample) -> _Keys:
    """Sharing keys, one number per token: equal keys may be one token of the tree."""
    keys = np.asarray(example.ids, dtype=np.int64) * _ADAPTERS
    return keys if example.adapters is None else keys + np.asarray(example.adapters, dtype=np.int64)


def _shared(left: _Keys, right: _Keys) -> int:
    """Length of the common prefix."""
    length = min(len(left), len(right))
    differs = left[:length] != right[:length]
    return int(differs.argmax()) if differs.any() else length


def _radix_tree(keys: Sequence[_Keys]) -> tuple[list[_Node], list[int]]:
    """Radix tree of examples: its nodes in preorder, and the node at which each example ends."""
    order = sorted(range(len(keys)), key=lambda index: keys[index].astype(">i8").tobytes())
    root = _Node(0, -1)
    path = [root]  # from the root to where the example before ends
    for before, index in zip([None, *order], order, strict=False):
        shared = 0 if before is None else _shared(keys[before], keys[index])
        cut: _Node | None = None
        while path[-1].stop > shared:
            cut = path.pop()
        if path[-1].stop < shared and cut is not None:
            path[-1].children[-1] = fork = _Node(shared, index, [cut])
            path.append(fork)
        if shared < len(keys[index]):
            leaf = _Node(len(keys[index]), index)
            path[-1].children.append(leaf)
            path.append(leaf)
        path[-1].here.append(index)
    nodes = _preorder(root)
    last = [0] * len(keys)
    for number, node in enumerate(nodes):
        for index in node.here:
            last[index] = number
    return nodes, last


def _preorder(root: _Node) -> list[_Node]:
    """Preorder of all nodes but the root, the heaviest child first, so that the longest path of a tree is one run."""
    found = [root]
    for node in found:
        for child in node.children:
            child.start = node.stop
            found.append(child)
    for node in reversed(found):
        node.weight = node.stop - node.start + sum(child.weight for child in node.children)
    nodes: list[_Node] = []
    waiting = [root]
    while waiting:
        node = waiting.pop()
        number = len(nodes) - 1  # of the node; the root has none
        nodes.append(node)
        ordered = sorted(node.children, key=lambda child: -child.weight)
        for child in reversed(ordered):
            child.parent = number
            waiting.append(child)
    return nodes[1:]


def _split(walked: Sequence[_Keys], budget: int) -> list[range]:
    """Split examples in tree order into consecutive groups, each a tree within the budget where it can be.

    A cut repeats the prefix that its two neighbours share, and nothing else: the cheapest cuts by dynamic programming.
    """
    count = len(walked)
    shared = [0, *(_shared(left, right) for left, right in pairwise(walked))]
    best: list[tuple[int, int]] = [(0, 0)]  # of the first examples: tokens repeated, where the last group starts
    for stop in range(1, count + 1):
        tokens, choices = 0, list[tuple[int, int]]()
        for start in range(stop - 1, -1, -1):
            tokens += len(walked[start]) - (shared[start + 1] if start + 1 < stop else 0)
            if tokens > budget and choices:
                break
            choices.append((best[start][0] + shared[start], start))
        best.append(min(choices))
    groups: list[range] = []
    while count:
        start = best[count][1]
        groups.append(range(start, count))
        count = start
    return groups[::-1]


# --- the layout -------------------------------------------------------------------------------------------


def _lay_out(examples: Sequence[WeightedExample], nodes: Sequence[_Node], last: Sequence[int]) -> PackedTrees:
    sizes = np.array([node.stop - node.start for node in nodes])
    stops = np.cumsum(sizes)
    starts = stops - sizes
    below = starts + [node.weight for node in nodes]
    segments = np.stack([starts, stops, [node.parent for node in nodes]], axis=1).astype(np.int32)
    runs = [slice(node.start, node.stop) for node in nodes]
    tagged = [examples[node.example].adapters for node in nodes]
    tags = [
        np.zeros(size, np.int8) if every is None else np.asarray(every[run], np.int8)
        for every, run, size in zip(tagged, runs, sizes, strict=True)
    ]
    losses = list(_losses(examples, segments, last))
    pairs, which = np.unique(np.concatenate([pair for pair, _ in losses]), return_inverse=True)
    weights = np.bincount(which, np.concatenate([weight for _, weight in losses]), minlength=len(pairs))
    return PackedTrees(
        ids=_row([examples[node.example].ids[run] for node, run in zip(nodes, runs, strict=True)]),
        depths=_row([np.arange(node.start, node.stop) for node in nodes]),
        ends=np.repeat(below, sizes).astype(np.int32),
        adapters=np.concatenate(tags),
        segments=segments,
        at=(pairs // _IDS).astype(np.int32),
        targets=(pairs % _IDS).astype(np.int32),
        weights=weights.astype(np.float32),
    )


def _losses(
    examples: Sequence[WeightedExample], segments: Ints, last: Sequence[int]
) -> Iterator[tuple[_Keys, NDArray[np.float64]]]:
    """Losses per example: pairs (predicting position, target) as one number each, and their weights, [k]."""
    for example, node in zip(examples, last, strict=True):
        positions = path(segments, node)
        weights = np.asarray(example.weights, dtype=np.float64)
        wanted = np.flatnonzero(weights)
        yield positions[wanted - 1].astype(np.int64) * _IDS + np.asarray(example.ids)[wanted], weights[wanted]


def path(segments: Ints, segment: int) -> Ints:
    """Positions in the row from the root to the last token of `segment`."""
    runs: list[Ints] = []
    while segment >= 0:
        start, stop, segment = segments[segment].tolist()
        runs.append(np.arange(start, stop, dtype=np.int32))
    return np.concatenate(runs[::-1])


def _row(parts: Sequence[Sequence[int] | NDArray[np.integer]]) -> Ints:
    return np.concatenate([np.zeros(0, np.int32), *(np.asarray(part, np.int32) for part in parts)])
