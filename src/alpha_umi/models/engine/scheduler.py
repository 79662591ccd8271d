"""Who computes what in the next step, and what memory that takes.

A request is admitted only with a request cache and the slots for all that it will share, so whoever runs can finish and
nobody waits for somebody who waits. What computes one token goes first; what is left of a step's tokens goes to
prompts, in turns between groups. Laws: what is cancelled, fails or finishes gives back all it had; whatever a
request finds in the tree when its turn comes, another one computed, is not computed again.
"""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Hashable, Iterable, Iterator
from dataclasses import dataclass, field, fields

import numpy as np

from alpha_umi.errors import ModelError
from alpha_umi.models.engine.attention import Part
from alpha_umi.models.engine.kv_cache import KVCache
from alpha_umi.models.engine.radix_tree import EMPTY, Node, RadixTree, TokenArray
from alpha_umi.models.engine.requests import Request

_LOG = logging.getLogger(__name__)
_WAITS = 10_000


@dataclass(slots=True, kw_only=True)
class Counts:
    """What was done, in tokens if nothing else is said."""

    steps: int = 0
    requests: int = 0
    """That were let in; again after preemption."""
    hits: int = 0
    """Of them, those that found some of their tokens in memory."""
    prefilled: int = 0
    """Of prompts, computed."""
    shared: int = 0
    """Of prompts, found in memory."""
    written: int = 0
    """By the model; what a grammar forces is not."""
    written_alone: int = 0
    """Of these, those of steps that read no prompt."""
    evicted: int = 0
    preempted: int = 0
    """Requests that lost their request cache and had to wait for another one."""
    seconds: float = 0.0
    """In steps."""
    reading_seconds: float = 0.0
    """Of these, in steps that read prompts."""
    forward_seconds: float = 0.0
    """Of all, in the model."""
    first_token_seconds: deque[float] = field(default_factory=lambda: deque[float](maxlen=_WAITS))
    """From a request's making to the first token that the model wrote for it; the last so many."""

    def __add__(self, other: Counts) -> Counts:
        return Counts(**{each.name: getattr(self, each.name) + getattr(other, each.name) for each in fields(Counts)})


@dataclass(slots=True)
class Plan:
    """The parts of one step, each with the request that it belongs to."""

    parts: list[Part] = field(default_factory=list[Part])
    requests: dict[int, Request] = field(default_factory=dict[int, Request])
    """By request cache."""
    tokens: int = 0

    def add(self, request: Request, part: Part) -> None:
        self.parts.append(part)
        self.requests[part.cache_index] = request
        self.tokens += len(part.ids)


class Scheduler:
    """The requests and their memory."""

    def __init__(self, kv_cache: KVCache, *, step_tokens: int) -> None:
        """`step_tokens`: most tokens of a step."""
        self.kv_cache = kv_cache
        self.prefix_tree = RadixTree(kv_cache.slots)
        self.waiting: list[Request] = []
        self.running: list[Request] = []
        self.suspects: list[Request] = []
        """Those of a step that failed, to be run alone; they are among the others as well."""
        self.counts = Counts()
        self._step_tokens = step_tokens
        self._served: dict[Hashable, int] = {}
        self._number = 0

    # --- coming and going -----------------------------------------------------------------------------

    def submit(self, request: Request) -> None:
        """Put a request in the queue. Raises ModelError, with the numbers, for one that memory could never hold."""
        shared, each = len(request.shareable()), self.kv_cache.shape.bytes
        if request.need > self.kv_cache.request_tokens or shared > self.kv_cache.slots:
            wanted = request.need + shared
            have = self.kv_cache.request_tokens + self.kv_cache.slots
            raise ModelError(
                f"no memory for this request: its keys and values take {wanted:,} tokens x {each:,} bytes = "
                f"{wanted * each / 1e6:,.1f} MB, half of them shared at most, and there is room for {have:,} tokens "
                f"({have * each / 1e6:,.1f} MB); raise cache_gb of the model, or lower max_tokens"
            )
        self._number += 1
        request.number = self._number
        self.waiting.append(request)
        self._join(request.group)

    def release(self, request: Request) -> None:
        """Take a request out, and all it had back."""
        self._let_go(request)
        for queue in (self.waiting, self.running, self.suspects):
            if request in queue:
                queue.remove(request)
        if not any(other.group == request.group for other in self._all()):
            self._served.pop(request.group, None)

    def drop_abandoned(self) -> None:
        """Release those that nobody waits for any more."""
        for request in self._all():
            if request.abandoned():
                self.release(request)

    def preempt(self, request: Request) -> None:
        """Take a running request's memory; it goes on later from what it has written."""
        self._let_go(request)
        self.running.remove(request)
        self.waiting.append(request)
        self.counts.preempted += 1

    def finish(self, request: Request) -> None:
        """Take a request out whose completion is written, and keep what later prompts can go on from."""
        if request.is_uniform and request.cache_index is not None and request.node is not None:
            keys = request.shareable()[request.known : request.computed]
            node, found = self.prefix_tree.match_prefix(request.node, keys)
            self._move(request, node, request.known + len(found))
            new = keys[len(found) :]
            slots = self.prefix_tree.allocate(len(new)) if len(new) else None
            if slots is not None:
                self.kv_cache.store(request.cache_index, request.known, slots)
                self.prefix_tree.insert(node, new, slots)
                self.prefix_tree.commit()
        self.release(request)

    def _let_go(self, request: Request) -> None:
        if request.cache_index is not None:
            if request.sound < request.computed:
                self.kv_cache.zero(request.cache_index, request.computed)
            self.kv_cache.free(request.cache_index)
        if request.node is not None:
            request.node.pins -= 1
        self.prefix_tree.free(request.reserved)
        request.cache_index, request.node, request.reserved, request.keys = None, None, EMPTY, EMPTY
        request.computed = request.sound = request.known = 0

    def _all(self) -> list[Request]:
        return [*self.running, *self.waiting]

    def _join(self, group: Hashable) -> None:
        """A newcomer starts level with the one that had least, so that it neither waits nor overtakes for long."""
        if group not in self._served:
            self._served[group] = min(self._served.values(), default=0)

    # --- planning -------------------------------------------------------------------------------------

    def plan(self) -> Plan:
        """The next step; empty where nobody waits."""
        plan = Plan()
        if self.suspects:
            self._add_prompts(plan, [self.suspects[0]])
            if plan.parts:
                return plan
        self._resize_request_caches()
        for request in self.running:
            if request.pending == 1 and request not in self.suspects:
                self._add(plan, request, 1)
        self._add_prompts(plan, self._turns(request for request in self._all() if request not in self.suspects))
        return plan

    def _turns(self, requests: Iterable[Request]) -> Iterator[Request]:
        """Those with more than one token to compute: who has begun to write first, then the groups in turns."""
        longer = [request for request in requests if request.cache_index is None or request.pending > 1]
        while longer:
            following = min(
                longer, key=lambda one: (not one.writer.written, self._served.get(one.group, 0), one.number)
            )
            longer.remove(following)
            yield following

    def _add_prompts(self, plan: Plan, requests: Iterable[Request]) -> None:
        for request in requests:
            budget = self._step_tokens - plan.tokens
            if budget < 1 or (request.cache_index is None and not self._admit(request)):
                return
            self._add(plan, request, budget)

    def _admit(self, request: Request) -> bool:
        """Give a waiting request its request cache and slots, or nothing."""
        if request.need > self.kv_cache.width or not self.kv_cache.free_request_caches:
            return False
        keys = request.shareable()
        node, found = self.prefix_tree.match_prefix(self.prefix_tree.root, keys)
        node.pins += 1
        evicted = self.prefix_tree.evicted
        reserved = self.prefix_tree.allocate(len(keys) - len(found))
        self.counts.evicted += self.prefix_tree.evicted - evicted
        if reserved is None:
            node.pins -= 1
            return False
        request.keys, request.node, request.reserved = keys, node, reserved
        request.known, request.computed = len(found), 0
        request.cache_index = self.kv_cache.allocate()
        self.waiting.remove(request)
        self.running.append(request)
        return True

    def _add(self, plan: Plan, request: Request, budget: int) -> None:
        """Give a running request at most `budget` tokens of a step."""
        if request.cache_index is None or request.node is None:
            raise ValueError("only a running request takes part in a step")
        if request.known < len(request.keys):
            node, found = self.prefix_tree.match_prefix(request.node, request.keys[request.known :])
            self._move(request, node, request.known + len(found))
        # The last token is computed in any case: what comes after it is asked of its logits.
        filled_from, start = request.computed, max(request.computed, min(request.known, request.length - 1))
        stop = min(request.length, start + budget)
        fill = self._known_slots(request, filled_from, start)
        kept_from, kept = max(request.known, start), EMPTY
        if len(new := request.keys[kept_from:stop]):
            kept, request.reserved = request.reserved[: len(new)], request.reserved[len(new) :]
            self._move(request, self.prefix_tree.insert(request.node, new, kept), kept_from + len(new))
        part = Part(
            ids=request.part(start, stop), cache_index=request.cache_index, start=start,
            adapters=request.adapters(start, stop), fill_from=filled_from, fill=fill, kept_from=kept_from, kept=kept,
        )  # fmt: skip
        plan.add(request, part)
        request.computed = stop
        self._served[request.group] = self._served.get(request.group, 0) + stop - start
        self._count(request, start - filled_from, start, stop)

    def _move(self, request: Request, node: Node, known: int) -> None:
        """Pin what was found or added, and give back slots that are not needed any more."""
        if request.node is not None:
            request.node.pins -= 1
        node.pins += 1
        request.node, request.known = node, known
        surplus = len(request.reserved) - (len(request.keys) - known)
        self.prefix_tree.free(request.reserved[:surplus])
        request.reserved = request.reserved[surplus:]

    def _known_slots(self, request: Request, start: int, stop: int) -> TokenArray:
        if request.node is None or start >= stop:
            return EMPTY
        return np.concatenate([node.slots for node in self.prefix_tree.path(request.node)])[start:stop]

    def _count(self, request: Request, shared: int, start: int, stop: int) -> None:
        if start == shared:
            self.counts.requests += 1
            self.counts.hits += shared > 0
        self.counts.shared += shared
        self.counts.prefilled += max(0, min(stop, len(request.prompt)) - start)

    def _resize_request_caches(self) -> None:
        """Request caches as wide as who is next needs; those who run then start again from what they have written."""
        if not self.waiting:
            return
        if not self.running:
            self.kv_cache.resize(max(request.need for request in self.waiting))
        elif (need := next(self._turns(self.waiting)).need) > self.kv_cache.width:
            _LOG.info("larger request caches", extra={"tokens": need, "running": len(self.running)})
            for request in list(self.running):
                self.preempt(request)
            self.kv_cache.resize(need)
