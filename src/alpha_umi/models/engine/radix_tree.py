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

TokenArray = NDArray[np.int64]
EMPTY = np.empty(0, dtype=np.int64)
_ADAPTER_SHIFT = 32


def token_keys(ids: Sequence[int], adapter: int, adapter_from: int) -> TokenArray:
    """What tokens are known by, [n]: their ids, and the number of the adapter that acts from a position on."""
    keys = np.asarray(ids, dtype=np.int64)
    keys[adapter_from:] |= adapter << _ADAPTER_SHIFT
    return keys


@dataclass(slots=True, eq=False)
class Node:
    """A run of tokens behind those of its parents."""

    keys: TokenArray
    slots: TokenArray
    """[n], one per key."""
    parent: Node | None = None
    children: dict[int, Node] = field(default_factory=dict[int, "Node"])
    pins: int = 0
    last_used: int = 0
    """When it was last walked over, or what was behind it."""
    uncommitted: bool = False
    """Its slots are not known to be written yet."""


class RadixTree:
    """Tokens in memory and the slots that they own."""

    def __init__(self, capacity: int) -> None:
        """`capacity`: slots of the prefix cache."""
        self.capacity = capacity
        self.root = Node(EMPTY, EMPTY)
        self.evicted = 0
        self._clock = 0
        self._high_water = 0
        self._reusable: list[int] = []
        self._uncommitted: list[Node] = []

    @property
    def free_slots(self) -> int:
        """Slots that nobody has."""
        return self.capacity - self._high_water + len(self._reusable)

    @property
    def peak_slots(self) -> int:
        """Slots that were ever in use."""
        return self._high_water

    def nodes(self) -> Iterator[Node]:
        """Every run of tokens, parents first."""
        waiting = [self.root]
        while waiting:
            node = waiting.pop()
            yield node
            waiting.extend(node.children.values())

    # --- reading and growing --------------------------------------------------------------------------

    def match_prefix(self, node: Node, keys: TokenArray) -> tuple[Node, TokenArray]:
        """Go down from `node` along `keys` as far as there is something; where that ends, a node ends.

        Returns it and the slots of the matched tokens, which are the first of `keys`.
        """
        self._clock += 1
        found: list[TokenArray] = []
        while len(keys):
            child = node.children.get(int(keys[0]))
            if child is None:
                break
            width = min(len(keys), len(child.keys))
            differing = np.flatnonzero(keys[:width] != child.keys[:width])
            same = int(differing[0]) if len(differing) else width
            node = child if same == len(child.keys) else self._split(child, same)
            node.last_used = self._clock
            found.append(node.slots)
            keys = keys[same:]
        return node, np.concatenate(found) if found else EMPTY

    def insert(self, node: Node, keys: TokenArray, slots: TokenArray) -> Node:
        """Put `keys` behind `node`, where a walk along them has just ended. Until commit() they may be rolled back."""
        child = Node(keys, slots, parent=node, last_used=self._clock, uncommitted=True)
        node.children[int(keys[0])] = child
        self._uncommitted.append(child)
        return child

    def commit(self) -> None:
        """What was added since the last time is written."""
        for node in self._uncommitted:
            node.uncommitted = False
        self._uncommitted.clear()

    def rollback(self) -> None:
        """What was added since the last time was never written: take it out. Nothing of it may be pinned."""
        for node in self._uncommitted:
            self._remove(node)
        self._uncommitted.clear()

    def path(self, node: Node) -> list[Node]:
        """The nodes from below the root down to `node`."""
        found: list[Node] = []
        while node.parent is not None:
            found.append(node)
            node = node.parent
        return found[::-1]

    def _split(self, node: Node, at: int) -> Node:
        """Cut a run in two; whoever pinned its end still has it."""
        upper = Node(
            node.keys[:at], node.slots[:at], parent=node.parent, last_used=node.last_used, uncommitted=node.uncommitted
        )
        if node.parent is not None:
            node.parent.children[int(upper.keys[0])] = upper
        node.keys, node.slots, node.parent = node.keys[at:], node.slots[at:], upper
        upper.children[int(node.keys[0])] = node
        if node.uncommitted:
            self._uncommitted.append(upper)
        return upper

    def _remove(self, node: Node) -> None:
        if node.pins:
            raise ValueError("what is pinned cannot be taken out")
        if node.parent is not None:
            node.parent.children.pop(int(node.keys[0]), None)
        self.free(node.slots)

    # --- slots ----------------------------------------------------------------------------------------

    def allocate(self, count: int) -> TokenArray | None:
        """Slots for `count` tokens, those of the least recently used ones where none are free; None: too few."""
        if self.free_slots < count and not self._evict(count - self.free_slots):
            return None
        reused = self._reusable[len(self._reusable) - min(count, len(self._reusable)) :]
        del self._reusable[len(self._reusable) - len(reused) :]
        new = count - len(reused)
        self._high_water += new
        return np.array([*reused, *range(self._high_water - new, self._high_water)], dtype=np.int64)

    def free(self, slots: TokenArray) -> None:
        """Give reserved slots back."""
        self._reusable.extend(slots.tolist())

    def evictable(self) -> int:
        """Tokens that nobody has pinned, nor anything behind them."""
        kept = {id(self.root)}
        for node in self.nodes():
            above: Node | None = node if node.pins or node.uncommitted else None
            while above is not None and id(above) not in kept:
                kept.add(id(above))
                above = above.parent
        return sum(len(node.keys) for node in self.nodes() if id(node) not in kept)

    def _evict(self, count: int) -> bool:
        """Free the slots of `count` tokens from the ends of the least recently used runs, if there are so many."""
        if self.evictable() < count:
            return False
        leaves = [(node.last_used, id(node), node) for node in self.nodes() if _is_evictable(node)]
        heapq.heapify(leaves)
        while count > 0:
            _, _, leaf = heapq.heappop(leaves)
            gone = min(count, len(leaf.keys))
            count, self.evicted = count - gone, self.evicted + gone
            if gone < len(leaf.keys):
                self.free(leaf.slots[-gone:])
                leaf.keys, leaf.slots = leaf.keys[:-gone], leaf.slots[:-gone]
                continue
            self._remove(leaf)
            if leaf.parent is not None:
                leaf.parent.last_used = max(leaf.parent.last_used, leaf.last_used)
            if leaf.parent is not None and _is_evictable(leaf.parent):
                heapq.heappush(leaves, (leaf.parent.last_used, id(leaf.parent), leaf.parent))
        return True


def _is_evictable(node: Node) -> bool:
    return not (node.children or node.pins or node.uncommitted or node.parent is None)
