"""What the engine is asked for, and how far it is."""

from __future__ import annotations

import time
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass, field

from alpha_umi.models.engine.radix_tree import EMPTY, Node, TokenArray, token_keys
from alpha_umi.models.writing import Writer

_WORTH_SHARING = 16
"""Tokens of a prompt behind an adapter's start from which on they are kept for the same role."""


@dataclass(slots=True, kw_only=True, eq=False)
class Request:
    """One prompt and its completion. Its tokens are those of the prompt and what is written of the completion."""

    prompt: Sequence[int]
    """Ids; at least one."""
    writer: Writer
    adapter: int = 0
    """The number of the adapter that writes; 0: the base alone."""
    adapter_from: int = 0
    """The position in the prompt from which it acts."""
    group: Hashable = None
    """Requests of one group share its turn: the groups are served alike."""
    done: Callable[[Request, Exception | None], None] = lambda request, error: None
    """Called once, when the completion is written or has failed, in the engine's thread."""
    wrote: Callable[[Request], None] | None = None
    """Called whenever more is written, in the engine's thread."""
    abandoned: Callable[[], bool] = lambda: False
    """True as soon as nobody waits for it any more; nobody is called then."""
    asked: float = field(default_factory=time.perf_counter)
    """When it was made, by time.perf_counter."""
    first_seconds: float | None = None
    """From then to the first token that the model wrote."""

    # What is in memory; kept by the scheduler.
    keys: TokenArray = field(default_factory=lambda: EMPTY)
    """What of its tokens may be shared, by the tree's names."""
    node: Node | None = None
    """The end of its tokens in the tree, pinned; None: it is not admitted."""
    known: int = 0
    """Tokens on the way to `node`."""
    reserved: TokenArray = field(default_factory=lambda: EMPTY)
    """Slots for `keys` that are not in the tree yet."""
    cache_index: int | None = None
    computed: int = 0
    """Tokens that the request cache holds."""
    sound: int = 0
    """Of these, those that are known to be numbers, because logits that followed from them were."""
    number: int = 0
    """The order in which requests came."""

    @property
    def ids(self) -> list[int]:
        return [*self.prompt, *self.writer.written]

    @property
    def length(self) -> int:
        return len(self.prompt) + len(self.writer.written)

    @property
    def pending(self) -> int:
        """Tokens to compute before the next one can be written."""
        return self.length - self.computed

    @property
    def need(self) -> int:
        """Tokens that its request cache must hold."""
        return len(self.prompt) + self.writer.budget

    @property
    def is_uniform(self) -> bool:
        """Whether all that it writes is computed by what computed the prompt, so that it may be shared as well."""
        return self.adapter == 0 or self.adapter_from == 0

    def shareable(self) -> TokenArray:
        """The keys of its tokens, up to where sharing them is worth while."""
        ids = self.ids
        if not self.is_uniform and len(self.prompt) - self.adapter_from < _WORTH_SHARING:
            ids = ids[: self.adapter_from]
        elif not self.is_uniform:
            ids = ids[: len(self.prompt)]
        return token_keys(ids, self.adapter, self.adapter_from)

    def part(self, start: int, stop: int) -> list[int]:
        """The ids of some of its tokens."""
        prompt = len(self.prompt)
        if start >= prompt:
            return self.writer.written[start - prompt : stop - prompt]
        if stop <= prompt:
            return list(self.prompt[start:stop])
        return [*self.prompt[start:], *self.writer.written[: stop - prompt]]

    def adapters(self, start: int, stop: int) -> list[int]:
        """The number of the adapter for each of some of its tokens; empty where none acts."""
        if self.adapter == 0:
            return []
        return [self.adapter if place >= self.adapter_from else 0 for place in range(start, stop)]
