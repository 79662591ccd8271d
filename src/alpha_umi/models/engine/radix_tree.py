"""Radix tree of the tokens in the prefix cache, with least-recently-used eviction.

A token's place in the tree is the path of (token, adapter) pairs that leads to it, and that alone decides its keys
and values; so what matches may be shared, and nothing else is. Every token owns one slot of the prefix cache.
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
    """Keys of tokens, [n]: their ids, with the number of the adapter that acts from a position on."""
    keys = np.asarray(ids, dtype=np.int64)
    keys[adapter_from:] |= adapter << _ADAPTER_SHIFT
    return keys


@dataclass(slots=True, eq=False)
class Node:
    """A run of tokens that follows those of its parents."""

    keys: TokenArray
    slots: TokenArray
    """[n], one per key."""
    parent: Node | None = None
    children: dict[int, Node] = field(default_factory=dict[int, "Node"])
    pins: int = 0
    last_used: int = 0
    """The tree's clock when it, or a child that is gone, was last matched."""
    uncommitted: bool = False
    """Its slots may not be written yet."""


class RadixTree:
    """Tokens in the prefix cache and the slots that they own."""

    def __init__(self, capacity: int) -> None:
        """`capacity`: number of slots of the prefix cache."""
        self.capacity = capacity
        self.root = Node(EMPTY, EMPTY)
        self.evicted = 0
        self._clock = 0
        self._high_water = 0
        self._reusable: list[int] = []
        self._uncommitted: list[Node] = []

    @property
    def free_slots(self) -> int:
        """Slots that are neither reserved nor owned by a token."""
        return self.capacity - self._high_water + len(self._reusable)

    @property
    def peak_slots(self) -> int:
        """Most slots that were ever in use."""
        return self._high_water

    def nodes(self) -> Iterator[Node]:
        """All nodes, parents first."""
        waiting = [self.root]
        while waiting:
            node = waiting.pop()
            yield node
            waiting.extend(node.children.values())

    # --- reading and growing --------------------------------------------------------------------------

    def match_prefix(self, node: Node, keys: TokenArray) -> tuple[Node, TokenArray]:
        """Match the longest prefix of `keys` below `node`, splitting the node in which it ends.

        Returns the node at its end, and the slots of the matched tokens.
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
        """Add `keys` below `node`, the end of a match of what precedes them; rollback() undoes it until commit()."""
        child = Node(keys, slots, parent=node, last_used=self._clock, uncommitted=True)
        node.children[int(keys[0])] = child
        self._uncommitted.append(child)
        return child

    def commit(self) -> None:
        """Confirm that the slots inserted since the last commit are written."""
        for node in self._uncommitted:
            node.uncommitted = False
        self._uncommitted.clear()

    def rollback(self) -> None:
        """Remove what was inserted since the last commit. None of it may be pinned."""
        for node in self._uncommitted:
            self._remove(node)
        self._uncommitted.clear()

    def path(self, node: Node) -> list[Node]:
        """The nodes from below the root to `node`."""
        found: list[Node] = []
        while node.parent is not None:
            found.append(node)
            node = node.parent
        return found[::-1]

    def _split(self, node: Node, at: int) -> Node:
        """Cut a run in two; `node` keeps its end, and with it its pins."""
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
        """Reserve `count` slots, evicting the least recently used tokens where too few are free; None: not enough."""
        if self.free_slots < count and not self._evict(count - self.free_slots):
            return None
        reused = self._reusable[len(self._reusable) - min(count, len(self._reusable)) :]
        del self._reusable[len(self._reusable) - len(reused) :]
        new = count - len(reused)
        self._high_water += new
        return np.array([*reused, *range(self._high_water - new, self._high_water)], dtype=np.int64)

    def free(self, slots: TokenArray) -> None:
        """Give slots back."""
        self._reusable.extend(slots.tolist())

    def evictable(self) -> int:
        """The number of tokens that neither are pinned nor lead to a pinned one."""
        kept = {id(self.root)}
        for node in self.nodes():
            above: Node | None = node if node.pins or node.uncommitted else None
            while above is not None and id(above) not in kept:
                kept.add(id(above))
                above = above.parent
        return sum(len(node.keys) for node in self.nodes() if id(node) not in kept)

    def _evict(self, count: int) -> bool:
        """Free `count` slots from the ends of the least recently used runs; False, and none, where that is too many."""
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
