"""Sketches of tasks: what the kinds of tasks draw into, with answers that fit."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from alpha_umi.types import Observation
from alpha_umi.world.functions.library import SplitDomains
from alpha_umi.world.functions.needs import DomainNeeds, FunctionNeed
from alpha_umi.world.functions.offers import Offer
from alpha_umi.world.functions.problems import AnswerPart, Exchange, Kind, Step
from alpha_umi.world.functions.requests import Draft, fill_query
from alpha_umi.world.functions.stores import Books
from alpha_umi.world.functions.templates import Template, read_template
from alpha_umi.world.random_streams import RandomStream


@dataclass(slots=True, kw_only=True)
class Sketch:
    """A task as it is drawn."""

    rng: RandomStream
    source: SplitDomains
    offer: Offer
    books: Books
    kind: Kind
    one_domain: bool = False
    """Tools of other domains are not offered: they might serve what no tool of this one does."""
    exchanges: list[Exchange] = field(default_factory=list[Exchange])
    down: dict[str, Observation] = field(default_factory=dict[str, Observation])
    served: list[FunctionNeed] = field(default_factory=list[FunctionNeed])
    """Needs that no tool of another domain may serve."""
    named: list[str] = field(default_factory=list[str])
    """Names of those needs, with their domains."""

    def draft(self, domain: DomainNeeds, need: FunctionNeed) -> Draft:
        """Arguments of a need, none of them drawn."""
        if need not in self.served:
            self.served.append(need)
            self.named.append(f"{domain.name}.{need.id}")
        return Draft(domain=domain, need=need, rng=self.rng, books=self.books)

    def step(self, draft: Draft, name: str = "", links: Mapping[str, tuple[str, str]] | None = None) -> Step:
        """Offer a tool for drawn arguments, unless there is one that takes them, and make the step of it."""
        links = links or {}
        given = {*draft.values, *(slot.partition(".")[0] for slot in links)}
        options = [each for each in draft.need.parameters if each in given and not draft.need.parameters[each].required]
        known = [
            tool
            for tool in self.offer.tools.values()
            if tool.need is draft.need and all(option in tool.parameters for option in options)
        ]
        tool = known[0] if known else self.offer.wanted(draft.domain, draft.need, options)
        name = name or f"{draft.need.id}#{sum(len(each.steps) for each in self.exchanges)}"
        return Step(name=name, tools=(tool,), values=dict(draft.values), texts=dict(draft.texts), links=links)


def answer_part(rng: RandomStream, step: Step, telling: str = "") -> AnswerPart:
    """An answer about one step: one of the need's whose slots are known, best one with the slot `telling`."""
    need = step.tools[-1].need
    usable = [each for each in need.answers if each.required <= known_slots(step)] or [plain_answer(need.results)]
    best = [each for each in usable if telling in each.required] or usable
    return AnswerPart(template=rng.pick(best), steps=(step.name,))


def known_slots(step: Step, prefix: str = "") -> set[str]:
    """Slots of answers that a step fills, with a prefix."""
    need = step.tools[-1].need
    defaults = (name for name, of in need.parameters.items() if of.default is not None)
    return {f"{prefix}{name}" for name in (*step.texts, *step.values, *step.links, *need.results, *defaults)}


def plain_answer(results: Iterable[str]) -> Template:
    """An answer that names nothing but results."""
    return read_template("; ".join(f"{name.rpartition('.')[2].replace('_', ' ')}: {{{name}}}" for name in results))


def draw_request(sketch: Sketch) -> tuple[Draft, str]:
    """A need with a whole request for it."""
    domain, need = sketch.rng.pick(sketch.source.asking)
    draft = sketch.draft(domain, need)
    return draft, fill_query(draft, sketch.rng.pick(sketch.source.templates(need.queries)))
