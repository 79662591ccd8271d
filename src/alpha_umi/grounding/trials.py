"""Trials: tools in question for a request, and the calls that a model would make of them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from alpha_umi.formats.prompts.retrieval import split_terms
from alpha_umi.grounding.narrowing import Narrowed
from alpha_umi.types import Call, Json, Plan, ToolSpec, Turn

_MOST = 0.5


@dataclass(frozen=True, slots=True, kw_only=True)
class Offer:
    """Tool in question."""

    narrowed: Narrowed
    score: float
    """Of retrieval, as a share of the best one's; 0: no word in common."""
    meant: float = 0.0
    """Share of the words of its name that the request has."""
    is_chosen: bool = False
    """True where the request has one of its choices, other than a default."""

    @property
    def tool(self) -> ToolSpec:
        return self.narrowed.tool

    @property
    def is_able(self) -> bool:
        """True where all that it requires may have been named."""
        return not self.narrowed.missing and not self.narrowed.is_misfit

    @property
    def is_meant(self) -> bool:
        """True where the request has a word of its name."""
        return self.meant > 0

    @property
    def is_sought(self) -> bool:
        """True where the request has most of the words of its name."""
        return self.meant >= _MOST

    @property
    def required(self) -> list[Json]:
        listed = self.tool.parameters.get("required")
        return listed if isinstance(listed, list) else []


@dataclass(frozen=True, slots=True, kw_only=True)
class Trial:
    """Trial of a tool."""

    offer: Offer
    plan: Plan
    call: Call | None = None
    """None: the planner did not call it, or the arguments cannot be read."""
    values: Mapping[str, Json] = field(default_factory=dict[str, Json])
    """Its arguments, defaults too."""
    given: frozenset[str] = frozenset()
    """Arguments that it names."""
    unnamed: tuple[str, ...] = ()
    """Required arguments that nobody named."""
    guessed: tuple[str, ...] = ()
    """Required arguments whose choices no word names."""
    taken: frozenset[str] = frozenset()
    """What of the request it takes up."""
    is_linked: bool = False
    """True: it has a value that only an observation told."""
    is_picked: bool = False
    """True: the planner chose this tool by itself."""

    @property
    def is_grounded(self) -> bool:
        """True for a call whose values were named, at least one of them by a word if it needs any."""
        return self.call is not None and not self.unnamed and len(self.guessed) < max(len(self.offer.required), 1)

    @property
    def worth(self) -> float:
        offer = self.offer
        return len(self.taken) + offer.score + offer.meant / 2 - len(self.guessed) / 5 + self.is_picked / 3

    @property
    def sought(self) -> frozenset[str]:
        """Words for what it lacks, which another tool may tell."""
        return frozenset(term for name in self.unnamed for term in split_terms(name))

    @property
    def turns(self) -> tuple[Turn, ...]:
        return (self.plan, *((self.call,) if self.call else ()))
