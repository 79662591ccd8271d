"""Scheduler of requests: continuous batching with chunked prefill over the prefix cache.

A request is admitted only with a request cache and the slots for all that it will share, so every running one can
finish and no two requests wait for each other. Requests that compute one token come first; the rest of a step's
tokens goes to prompts, in turns between groups. Laws: a request that is cancelled, fails or finishes gives back all
its memory; what the prefix cache holds when a request's turn comes is not computed again.
"""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Hashable, Iterable, Iterator
from dataclasses import dataclass, field, fields

import numpy as np

from alpha_umi.errors import ModelError
from alpha_umi.models.engine.attention import Chunk
from alpha_umi.models.engine.drafts import Drafts
from alpha_umi.models.engine.kv_cache import KVCache
from alpha_umi.models.engine.radix_tree import EMPTY, Node, RadixTree, TokenArray
from alpha_umi.models.engine.requests import Request

_LOG = logging.getLogger(__name__)
_KEPT_LATENCIES = 10_000


@dataclass(slots=True, kw_only=True)
class EngineStats:
    """Counters of an engine since its start or its last reset; they add up."""

    steps: int = 0
    requests: int = 0
    """Admitted; a preempted one counts again."""
    hits: int = 0
    """Admitted requests that found some of their tokens in the prefix cache."""
    prefill_tokens: int = 0
    """Tokens of prompts that were computed."""
    cached_tokens: int = 0
    """Tokens of prompts that were found in the prefix cache."""
    generated_tokens: int = 0
    """Sampled from the model; tokens that a grammar forces do not count."""
    drafted_tokens: int = 0
    """Computed beyond a request's own tokens, for it might go on with them."""
    confirmed_tokens: int = 0
    """Drafted tokens with which the request went on."""
    decode_only_tokens: int = 0
    """Generated tokens of steps that computed no token of a prompt."""
    evicted_tokens: int = 0
    preemptions: int = 0
    """Requests that lost their request cache and had to wait for another one."""
    step_seconds: float = 0.0
    prefill_seconds: float = 0.0
    """Seconds of steps that computed tokens of prompts."""
    forward_seconds: float = 0.0
    """Seconds of all steps in the model."""
    first_token_seconds: deque[float] = field(default_factory=lambda: deque[float](maxlen=_KEPT_LATENCIES))
    """Seconds from the arrival of a request to its first token (TTFT), of the latest 10,000."""

    def __add__(self, other: EngineStats) -> EngineStats:
        names = [each.name for each in fields(EngineStats)]
        return EngineStats(**{name: getattr(self, name) + getattr(other, name) for name in names})


@dataclass(slots=True)
class ScheduledBatch:
    """The chunks of one step, and the requests that they belong to."""

    chunks: list[Chunk] = field(default_factory=list[Chunk])
    requests: dict[int, Request] = field(default_factory=dict[int, Request])
    """By the index of their request cache."""
    tokens: int = 0

    def add(self, request: Request, chunk: Chunk) -> None:
        """Add a chunk of a request."""
        self.chunks.append(chunk)
        self.requests[chunk.cache_index] = request
        self.tokens += len(chunk.ids)


class Scheduler:
    """Waiting and running requests, and the memory that they hold."""

    def __init__(self, kv_cache: KVCache, *, step_tokens: int, drafts: Drafts) -> None:
        """`step_tokens`: most tokens of a step."""
        self.kv_cache = kv_cache
        self.prefix_tree = RadixTree(kv_cache.slots)
        self.waiting: list[Request] = []
        self.running: list[Request] = []
        self.suspects: list[Request] = []
        """Requests of a step that failed, to be run alone; they are waiting or running as well."""
        self.stats = EngineStats()
        self._step_tokens = step_tokens
        self._drafts = drafts
        self._served: dict[Hashable, int] = {}
        """By group, the tokens that its requests were given."""
        self._submitted = 0

    # --- coming and going -----------------------------------------------------------------------------

    def submit(self, request: Request) -> None:
        """Queue a request. Raises ModelError, with the numbers, for one that the KV cache could never hold."""
        shared, each = len(request.cacheable_keys()), self.kv_cache.shape.bytes
        if request.max_length > self.kv_cache.request_tokens or shared > self.kv_cache.slots:
            needed = request.max_length + shared
            available = self.kv_cache.request_tokens + self.kv_cache.slots
            raise ModelError(
                f"no memory for this request: its keys and values take {needed:,} tokens x {each:,} bytes = "
                f"{needed * each / 1e6:,.1f} MB, half of them shared at most, and there is room for {available:,} "
                f"tokens ({available * each / 1e6:,.1f} MB); raise cache_gb of the model, or lower max_tokens"
            )
        self._submitted += 1
        request.order = self._submitted
        self.waiting.append(request)
        self._join_group(request.group)

    def release(self, request: Request) -> None:
        """Remove a request and free all its memory."""
        self._free_memory(request)
        for queue in (self.waiting, self.running, self.suspects):
            if request in queue:
                queue.remove(request)
        if not any(other.group == request.group for other in self._all()):
            self._served.pop(request.group, None)

    def drop_cancelled(self) -> None:
        """Release the requests whose caller has gone."""
        for request in self._all():
            if request.is_cancelled():
                self.release(request)

    def preempt(self, request: Request) -> None:
        """Free the memory of a running request, which waits again and later continues from its own tokens."""
        self._free_memory(request)
        self.running.remove(request)
        self.waiting.append(request)
        self.stats.preemptions += 1

    def finish(self, request: Request) -> None:
        """Release a request whose completion is whole, and keep what later ones can share or be drafted from."""
        self._drafts.learn(request.prompt, request.generation.output_ids)
        if request.is_uniform and request.cache_index is not None and request.node is not None:
            keys = request.cacheable_keys()[request.cached : request.computed]
            node, found = self.prefix_tree.match_prefix(request.node, keys)
            self._move_pin(request, node, request.cached + len(found))
            new = keys[len(found) :]
            slots = self.prefix_tree.allocate(len(new)) if len(new) else None
            if slots is not None:
                self.kv_cache.store(request.cache_index, request.cached, slots)
                self.prefix_tree.insert(node, new, slots)
                self.prefix_tree.commit()
        self.release(request)

    def _free_memory(self, request: Request) -> None:
        if request.cache_index is not None:
            if request.verified < request.computed or request.draft:
                self.kv_cache.zero(request.cache_index, request.computed + len(request.draft))
            self.kv_cache.free(request.cache_index)
        if request.node is not None:
            request.node.pins -= 1
        self.prefix_tree.free(request.reserved_slots)
        request.cache_index, request.node, request.reserved_slots, request.keys = None, None, EMPTY, EMPTY
        request.computed = request.verified = request.cached = 0
        request.draft = []

    def _all(self) -> list[Request]:
        return [*self.running, *self.waiting]

    def _join_group(self, group: Hashable) -> None:
        """Start a new group level with the one that was given least: it neither waits nor overtakes for long."""
        if group not in self._served:
            self._served[group] = min(self._served.values(), default=0)

    # --- scheduling -----------------------------------------------------------------------------------

    def schedule(self) -> ScheduledBatch:
        """The chunks of the next step; none where no request waits."""
        batch = ScheduledBatch()
        if self.suspects:
            self._add_prefills(batch, [self.suspects[0]])
            if batch.chunks:
                return batch
        self._resize_request_caches()
        decoding = [each for each in self.running if each.pending == 1 and each not in self.suspects]
        for left, request in zip(reversed(range(len(decoding))), decoding, strict=True):
            self._add_chunk(batch, request, max(1, self._step_tokens - batch.tokens - left))
        trusted = (request for request in self._all() if request not in self.suspects)
        self._add_prefills(batch, self._prefill_order(trusted))
        return batch

    def _prefill_order(self, requests: Iterable[Request]) -> Iterator[Request]:
        """Requests with more than one token to compute: those that have begun to write, then the groups in turns."""
        longer = [request for request in requests if request.cache_index is None or request.pending > 1]
        while longer:
            following = min(
                longer, key=lambda one: (not one.generation.output_ids, self._served.get(one.group, 0), one.order)
            )
            longer.remove(following)
            yield following

    def _add_prefills(self, batch: ScheduledBatch, requests: Iterable[Request]) -> None:
        is_full = False
        for request in requests:
            budget = self._step_tokens - batch.tokens
            if budget < 1:
                return
            if request.cache_index is None and (is_full or not self._admit(request)):
                is_full = True  # those behind it that hold memory go on, and will give it back
                continue
            self._add_chunk(batch, request, budget)

    def _admit(self, request: Request) -> bool:
        """Give a waiting request its request cache and slots; False, and nothing, where either is missing."""
        if request.max_length > self.kv_cache.width or not self.kv_cache.free_request_caches:
            return False
        keys = request.cacheable_keys()
        node, found = self.prefix_tree.match_prefix(self.prefix_tree.root, keys)
        node.pins += 1
        evicted = self.prefix_tree.evicted
        reserved = self.prefix_tree.allocate(len(keys) - len(found))
        self.stats.evicted_tokens += self.prefix_tree.evicted - evicted
        if reserved is None:
            node.pins -= 1
            return False
        request.keys, request.node, request.reserved_slots = keys, node, reserved
        request.cached, request.computed = len(found), 0
        request.cache_index = self.kv_cache.allocate()
        self.waiting.remove(request)
        self.running.append(request)
        return True

    def _add_chunk(self, batch: ScheduledBatch, request: Request, budget: int) -> None:
        """Give a running request at most `budget` tokens of a step."""
        if request.cache_index is None or request.node is None:
            raise ValueError("only a running request takes part in a step")
        if request.cached < len(request.keys):
            node, found = self.prefix_tree.match_prefix(request.node, request.keys[request.cached :])
            self._move_pin(request, node, request.cached + len(found))
        # The last token is computed even where it is cached: its logits decide the next one.
        load_start, start = request.computed, max(request.computed, min(request.cached, request.length - 1))
        stop = min(request.length, start + budget)
        load_slots = self._cached_slots(request, load_start, start)
        store_start, store_slots = max(request.cached, start), EMPTY
        if len(new := request.keys[store_start:stop]):
            store_slots, request.reserved_slots = request.reserved_slots[: len(new)], request.reserved_slots[len(new) :]
            self._move_pin(request, self.prefix_tree.insert(request.node, new, store_slots), store_start + len(new))
        if stop == request.length and request not in self.suspects:
            request.draft = self._draft(request, budget - (stop - start))
        chunk = Chunk(
            ids=[*request.ids_between(start, stop), *request.draft], cache_index=request.cache_index, start=start,
            adapters=request.adapters_between(start, stop + len(request.draft)), load_start=load_start,
            load_slots=load_slots, store_start=store_start, store_slots=store_slots,
        )  # fmt: skip
        batch.add(request, chunk)
        request.computed = stop
        self._served[request.group] = self._served.get(request.group, 0) + stop - start
        self._count(request, start - load_start, start, stop)

    def _draft(self, request: Request, budget: int) -> list[int]:
        """A draft of at most `budget` tokens; the last token of a completion is in none, as nothing follows it."""
        left = request.generation.budget - len(request.generation.output_ids) - 1
        most = min(budget, left)
        drafted = self._drafts.draft(request.lookup, request.ids, running=len(self.running), most=most)
        self.stats.drafted_tokens += len(drafted)
        return drafted

    def _move_pin(self, request: Request, node: Node, cached: int) -> None:
        """Pin the node that now ends a request's cached tokens, and free the slots that it needs no longer."""
        if request.node is not None:
            request.node.pins -= 1
        node.pins += 1
        request.node, request.cached = node, cached
        surplus = len(request.reserved_slots) - (len(request.keys) - cached)
        self.prefix_tree.free(request.reserved_slots[:surplus])
        request.reserved_slots = request.reserved_slots[surplus:]

    def _cached_slots(self, request: Request, start: int, stop: int) -> TokenArray:
        if request.node is None or start >= stop:
            return EMPTY
        return np.concatenate([node.slots for node in self.prefix_tree.path(request.node)])[start:stop]

    def _count(self, request: Request, cached: int, start: int, stop: int) -> None:
        if start == cached:
            self.stats.requests += 1
            self.stats.hits += cached > 0
            request.found_tokens = min(cached, len(request.prompt))
        self.stats.cached_tokens += cached
        self.stats.prefill_tokens += max(0, min(stop, len(request.prompt)) - start)

    def _resize_request_caches(self) -> None:
        """Make request caches as wide as the next request needs; running ones then start again from their tokens."""
        if not self.waiting:
            return
        if not self.running:
            self.kv_cache.resize(max(request.max_length for request in self.waiting))
        elif (width := next(self._prefill_order(self.waiting)).max_length) > self.kv_cache.width:
            _LOG.info("larger request caches", extra={"tokens": width, "running": len(self.running)})
            for request in list(self.running):
                self.preempt(request)
            self.kv_cache.resize(width)
