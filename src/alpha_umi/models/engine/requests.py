"""Requests of the engine: a prompt, its completion in progress, and the memory that it holds."""

from __future__ import annotations

import time
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass, field

from alpha_umi.models.engine.drafts import Lookup
from alpha_umi.models.engine.radix_tree import EMPTY, Node, TokenArray, token_keys
from alpha_umi.models.generation import Generation

_WORTH_SHARING = 16
"""Tokens of a prompt behind an adapter's start from which on they are cached for the same role."""


@dataclass(slots=True, kw_only=True, eq=False)
class Request:
    """A prompt and its completion. Its tokens are those of the prompt and those written of the completion."""

    prompt: Sequence[int]
    """Token ids; at least one."""
    generation: Generation
    adapter: int = 0
    """The number of the adapter that acts, see models.adapters.ADAPTERS; 0: the base alone."""
    adapter_from: int = 0
    """The position in the prompt from which it acts."""
    group: Hashable = None
    """Groups get equal numbers of tokens, however many requests each has."""
    on_done: Callable[[Request, Exception | None], None] = lambda request, error: None
    """Called once, in the engine's thread, when the completion is whole or has failed."""
    on_token: Callable[[Request], None] | None = None
    """Called in the engine's thread whenever tokens were added."""
    is_cancelled: Callable[[], bool] = lambda: False
    """True as soon as the caller has gone; it is not called back then."""
    arrival: float = field(default_factory=time.perf_counter)
    """Time of creation, by time.perf_counter."""
    first_token_seconds: float | None = None
    """Seconds from `arrival` to the first sampled token (TTFT)."""

    found_tokens: int = 0
    """Tokens of the prompt that the prefix cache held when it was admitted."""

    # The memory that it holds; set by the scheduler.
    keys: TokenArray = field(default_factory=lambda: EMPTY)
    """The keys of those of its tokens that may be shared, see radix_tree.token_keys."""
    node: Node | None = None
    """The end of its cached tokens in the prefix tree, pinned; None: it is not admitted."""
    cached: int = 0
    """Tokens on the path to `node`."""
    reserved_slots: TokenArray = field(default_factory=lambda: EMPTY)
    """Slots for `keys` that are not in the tree yet."""
    cache_index: int | None = None
    """The index of its request cache."""
    computed: int = 0
    """Tokens in the request cache."""
    verified: int = 0
    """The number of these known to be finite, because logits that followed from them were."""
    order: int = 0
    """The order of submission."""
    draft: list[int] = field(default_factory=list[int])
    """Tokens behind its own that the step at hand computes as well, for it may go on with them."""
    lookup: Lookup = field(default_factory=Lookup)
    """The n-grams of its tokens, from which drafts are made."""

    @property
    def ids(self) -> list[int]:
        """The ids of all its tokens."""
        return [*self.prompt, *self.generation.output_ids]

    @property
    def length(self) -> int:
        """The number of its tokens."""
        return len(self.prompt) + len(self.generation.output_ids)

    @property
    def pending(self) -> int:
        """Tokens to compute before the next one can be sampled."""
        return self.length - self.computed

    def confirm_draft(self) -> int:
        """Count as computed the written tokens that were drafted, and drop the draft at a difference; their number."""
        written = self.ids_between(self.computed, self.length)
        same = next((at for at, pair in enumerate(zip(written, self.draft, strict=False)) if pair[0] != pair[1]), None)
        found = min(len(written), len(self.draft)) if same is None else same
        self.draft = self.draft[found:] if found == len(written) else []
        self.computed += found
        self.verified += found
        return found

    @property
    def max_length(self) -> int:
        """Tokens that its request cache must have room for."""
        return len(self.prompt) + self.generation.budget

    @property
    def is_uniform(self) -> bool:
        """True where one adapter, or none, acts on all of its tokens, so that its completion may be shared as well."""
        return self.adapter == 0 or self.adapter_from == 0

    def cacheable_keys(self) -> TokenArray:
        """The keys of its tokens, up to where sharing them is worth the slots."""
        ids = self.ids
        if not self.is_uniform and len(self.prompt) - self.adapter_from < _WORTH_SHARING:
            ids = ids[: self.adapter_from]
        elif not self.is_uniform:
            ids = ids[: len(self.prompt)]
        return token_keys(ids, self.adapter, self.adapter_from)

    def ids_between(self, start: int, stop: int) -> list[int]:
        """The ids of its tokens from `start` to `stop`."""
        prompt = len(self.prompt)
        if start >= prompt:
            return self.generation.output_ids[start - prompt : stop - prompt]
        if stop <= prompt:
            return list(self.prompt[start:stop])
        return [*self.prompt[start:], *self.generation.output_ids[: stop - prompt]]

    def adapters_between(self, start: int, stop: int) -> list[int]:
        """The number of the adapter for each of its tokens from `start` to `stop`; empty where none acts."""
        if self.adapter == 0:
            return []
        return [self.adapter if position >= self.adapter_from else 0 for position in range(start, stop)]
