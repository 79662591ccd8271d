"""Offers: the tools beside those that a task needs."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field

from alpha_umi.world.functions.library import SplitDomains, might_serve
from alpha_umi.world.functions.naming import CASES
from alpha_umi.world.functions.needs import DomainNeeds, FunctionNeed
from alpha_umi.world.functions.tools import InventedTool, Style, invent_tool
from alpha_umi.world.random_streams import RandomStream

_MANY = (12, 20)
_TRIES = 12


@dataclass(slots=True, kw_only=True)
class Offer:
    """The tools of a task as they are drawn; names are unique."""

    rng: RandomStream
    source: SplitDomains
    style: Style
    tools: dict[str, InventedTool] = field(default_factory=dict[str, InventedTool])

    @classmethod
    def draw(cls, rng: RandomStream, source: SplitDomains) -> Offer:
        """An empty offer with conventions of its own."""
        texts = rng.below(5) > 0
        style = Style(
            case=rng.weighted(CASES),
            texts=texts,
            in_description=texts and rng.below(6) == 0,
            closed=rng.below(3) == 0,
        )
        return cls(rng=rng, source=source, style=style)

    def add(
        self, domain: DomainNeeds, need: FunctionNeed, options: Sequence[str] = (), *, wanted: bool = True
    ) -> InventedTool | None:
        """Invent a tool and offer it; None where every name of the need is taken."""
        for _ in range(_TRIES):
            style = self.style if self.rng.below(8) else _with_case(self.style, self.rng)
            tool = invent_tool(self.rng, domain, need, style, options=options, documented=wanted)
            if tool.spec.name not in self.tools:
                self.tools[tool.spec.name] = tool
                return tool
        return None

    def wanted(self, domain: DomainNeeds, need: FunctionNeed, options: Sequence[str] = ()) -> InventedTool:
        """Invent a tool that the task needs."""
        tool = self.add(domain, need, options)
        assert tool is not None, need.id  # noqa: S101
        return tool

    def add_similar(self, domain: DomainNeeds, count: int, without: Collection[str] = ()) -> None:
        """Offer `count` further needs of a domain, but none of those named."""
        offered = {tool.need.id for tool in self.tools.values() if tool.domain == domain.name}
        free = [need for name, need in domain.needs.items() if name not in offered and name not in without]
        for need in self.rng.sample(free, count):
            self.add(domain, need, wanted=False)

    def add_others(self, count: int, not_serving: Sequence[FunctionNeed]) -> None:
        """Offer `count` needs of other domains, none of which might do the same as those named."""
        taken = {tool.domain for tool in self.tools.values()}
        for _ in range(count * 3):
            domain, need = self.rng.pick(self.source.needs)
            if count and domain.name not in taken and not any(might_serve(need, each) for each in not_serving):
                count -= self.add(domain, need, wanted=False) is not None

    def shuffled(self, first: Sequence[str] = ()) -> dict[str, InventedTool]:
        """The tools in a random order; those named `first` before others for the same need."""
        names = self.rng.sample([*self.tools], len(self.tools))
        for name in first:
            same = [at for at, other in enumerate(names) if self.tools[other].need is self.tools[name].need]
            at = names.index(name)
            names[at], names[same[0]] = names[same[0]], names[at]
        return {name: self.tools[name] for name in names}


def _with_case(style: Style, rng: RandomStream) -> Style:
    return Style(case=rng.weighted(CASES), texts=style.texts, in_description=style.in_description, closed=style.closed)


def count_others(rng: RandomStream) -> int:
    """Number of tools of other domains beside a wanted one."""
    return rng.between(*_MANY) if rng.below(40) == 0 else rng.weighted({0: 4, 1: 3, 2: 2, 3: 1, 4: 1})


def count_similar(rng: RandomStream) -> int:
    """Number of similar tools beside a wanted one."""
    return rng.between(8, 12) if rng.below(40) == 0 else rng.weighted({1: 3, 2: 3, 3: 2, 4: 1, 5: 1})
