"""Radix tree of the tokens in the prefix cache, with least-recently-used eviction.

A token's place in the tree is the path of (token, adapter) pairs that leads to it, and that alone decides its keys
and values; so whatever matches may be shared, and nothing else is. Every token owns one slot of the prefix cache.
Laws: a slot is free, reserved by a request, or owned by one token; what is pinned, or leads to it, stays.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

Numbers = NDArray[np.int64]
NONE = np.empty(0, dtype=np.int64)
_ADAPTER_SHIFT = 32


def token_keys(ids: Sequence[int], adapter: int, adapter_from: int) -> Numbers:
    """What tokens are known by, [n]: their ids, and the number of the adapter that acts from a position on."""
    keys = np.asarray(ids, dtype=np.int64)
    keys[adapter_from:] |= adapter << _ADAPTER_SHIFT
    return keys


@dataclass(slots=True, eq=False)
class Node:
    """A run of tokens behind those of its parents."""

    keys: Numbers
    slots: Numbers
    """[n], one per key."""
    parent: Node | None = None
    children: dict[int, Node] = field(default_factory=dict[int, "Node"])
    pins: int = 0
    used: int = 0
    """When it was last walked over, or what was behind it."""
    fresh: bool = False
    """Its slots are not known to be written yet."""


class Trie:
    """Tokens in memory and the slots that they own."""

    def __init__(self, capacity: int) -> None:
        """`capacity`: slots of the prefix cache."""
        self.capacity = capacity
        self.root = Node(NONE, NONE)
        self.evicted = 0
        self._clock = 0
        self._untouched = 0
        self._freed: list[int] = []
        self._fresh: list[Node] = []

    @property
    def free(self) -> int:
        """Slots that nobody has."""
        return self.capacity - self._untouched + len(self._freed)

    @property
    def touched(self) -> int:
        """Slots that were ever in use."""
        return self._untouched

    def nodes(self) -> Iterator[Node]:
        """Every run of tokens, parents first."""
        waiting = [self.root]
        while waiting:
            node = waiting.pop()
            yield node
            waiting.extend(node.children.values())

    # --- reading and growing --------------------------------------------------------------------------

    def walk(self, node: Node, keys: Numbers) -> tuple[Node, Numbers]:
        """Go down from `node` along `keys` as far as there is something; where that ends, a node ends.

        Returns it and the slots of the matched tokens, which are the first of `keys`.
        """
        self._clock += 1
        found: list[Numbers] = []
        while len(keys):
            child = node.children.get(int(keys[0]))
            if child is None:
                break
            width = min(len(keys), len(child.keys))
            differing = np.flatnonzero(keys[:width] != child.keys[:width])
            same = int(differing[0]) if len(differing) else width
            node = child if same == len(child.keys) else self._split(child, same)
            node.used = self._clock
            found.append(node.slots)
            keys = keys[same:]
        return node, np.concatenate(found) if found else NONE

    def add(self, node: Node, keys: Numbers, slots: Numbers) -> Node:
        """Put `keys` behind `node`, where a walk along them has just ended. Until commit() they may be rolled back."""
        child = Node(keys, slots, parent=node, used=self._clock, fresh=True)
        node.children[int(keys[0])] = child
        self._fresh.append(child)
        return child

    def commit(self) -> None:
        """What was added since the last time is written."""
        for node in self._fresh:
            node.fresh = False
        self._fresh.clear()

    def rollback(self) -> None:
        """What was added since the last time was never written: take it out. Nothing of it may be pinned."""
        for node in self._fresh:
            self._remove(node)
        self._fresh.clear()

    def path(self, node: Node) -> list[Node]:
        """The nodes from below the root down to `node`."""
        found: list[Node] = []
        while node.parent is not None:
            found.append(node)
            node = node.parent
        return found[::-1]

    def _split(self, node: Node, at: int) -> Node:
        """Cut a run in two; whoever pinned its end still has it."""
        upper = Node(node.keys[:at], node.slots[:at], parent=node.parent, used=node.used, fresh=node.fresh)
        if node.parent is not None:
            node.parent.children[int(upper.keys[0])] = upper
        node.keys, node.slots, node.parent = node.keys[at:], node.slots[at:], upper
        upper.children[int(node.keys[0])] = node
        if node.fresh:
            self._fresh.append(upper)
        return upper

    def _remove(self, node: Node) -> None:
        if node.pins:
            raise ValueError("what is pinned cannot be taken out")
        if node.parent is not None:
            node.parent.children.pop(int(node.keys[0]), None)
        self.release(node.slots)

    # --- slots ----------------------------------------------------------------------------------------

    def reserve(self, count: int) -> Numbers | None:
        """Slots for `count` tokens, those of the least recently used ones where none are free; None: too few."""
        if self.free < count and not self._evict(count - self.free):
            return None
        reused = self._freed[len(self._freed) - min(count, len(self._freed)) :]
        del self._freed[len(self._freed) - len(reused) :]
        new = count - len(reused)
        self._untouched += new
        return np.array([*reused, *range(self._untouched - new, self._untouched)], dtype=np.int64)

    def release(self, slots: Numbers) -> None:
        """Give reserved slots back."""
        self._freed.extend(slots.tolist())

    def evictable(self) -> int:
        """Tokens that nobody has pinned, nor anything behind them."""
        kept = {id(self.root)}
        for node in self.nodes():
            above: Node | None = node if node.pins or node.fresh else None
            while above is not None and id(above) not in kept:
                kept.add(id(above))
                above = above.parent
        return sum(len(node.keys) for node in self.nodes() if id(node) not in kept)

    def _evict(self, count: int) -> bool:
        """Free the slots of `count` tokens from the ends of the least recently used runs, if there are so many."""
        if self.evictable() < count:
            return False
        leaves = [(node.used, id(node), node) for node in self.nodes() if _may_go(node)]
        heapq.heapify(leaves)
        while count > 0:
            _, _, leaf = heapq.heappop(leaves)
            gone = min(count, len(leaf.keys))
            count, self.evicted = count - gone, self.evicted + gone
            if gone < len(leaf.keys):
                self.release(leaf.slots[-gone:])
                leaf.keys, leaf.slots = leaf.keys[:-gone], leaf.slots[:-gone]
                continue
            self._remove(leaf)
            if leaf.parent is not None:
                leaf.parent.used = max(leaf.parent.used, leaf.used)
            if leaf.parent is not None and _may_go(leaf.parent):
                heapq.heappush(leaves, (leaf.parent.used, id(leaf.parent), leaf.parent))
        return True


def _may_go(node: Node) -> bool:
    return not (node.children or node.pins or node.fresh or node.parent is None)
