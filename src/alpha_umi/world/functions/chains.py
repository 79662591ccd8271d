"""Chains of needs: tasks whose later calls take what earlier ones gave, in one message of the user or in several."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from alpha_umi.world.functions.needs import Chain, DomainNeeds
from alpha_umi.world.functions.problems import AnswerPart, Exchange, Step
from alpha_umi.world.functions.requests import Draft, options_of
from alpha_umi.world.functions.sketches import Sketch, answer_part, known_slots, plain_answer
from alpha_umi.world.functions.templates import Template
from alpha_umi.world.random_streams import RandomStream


def draw_chain(sketch: Sketch) -> None:
    domain, chain = sketch.rng.pick(sketch.source.chains(turns=False))
    (template,) = sketch.rng.pick(sketch.source.chain_queries(chain, turns=False))
    drafts = _chain_drafts(sketch, domain, chain)
    text = _fill_chain(sketch.rng, drafts, template)
    steps = tuple(_chain_step(sketch, chain, name, draft) for name, draft in drafts.items())
    part = AnswerPart(template=_chain_answer(sketch.rng, chain, steps), steps=tuple(chain.steps), chained=True)
    sketch.exchanges.append(Exchange(text=text, steps=steps, parts=(part,)))
    sketch.offer.add_similar(domain, sketch.rng.below(4))


def draw_turns(sketch: Sketch) -> None:
    domain, chain = sketch.rng.pick(sketch.source.chains(turns=True))
    templates = sketch.rng.pick(sketch.source.chain_queries(chain, turns=True))
    drafts = _chain_drafts(sketch, domain, chain)
    texts = [_fill_chain(sketch.rng, drafts, template) for template in templates]
    steps = [_chain_step(sketch, chain, name, draft) for name, draft in drafts.items()]
    for at, (text, step) in enumerate(zip(texts, steps, strict=True), 1):
        part = answer_part(sketch.rng, step)
        if at == len(steps):
            template = _chain_answer(sketch.rng, chain, steps)
            part = AnswerPart(template=template, steps=tuple(chain.steps), chained=True)
        sketch.exchanges.append(Exchange(text=text, steps=(step,), parts=(part,)))
    sketch.offer.add_similar(domain, sketch.rng.below(4))


def _chain_drafts(sketch: Sketch, domain: DomainNeeds, chain: Chain) -> dict[str, Draft]:
    return {name: sketch.draft(domain, domain.needs[need]) for name, need in chain.steps.items()}


def _fill_chain(rng: RandomStream, drafts: Mapping[str, Draft], template: Template) -> str:
    def put(slot: str) -> str:
        step, _, rest = slot.partition(".")
        return drafts[step].put(rest)

    return template.fill(options_of(rng, [template]), put)


def _chain_step(sketch: Sketch, chain: Chain, name: str, draft: Draft) -> Step:
    links: dict[str, tuple[str, str]] = {}
    for target, source in chain.link.items():
        step, _, slot = target.partition(".")
        if step == name:
            giver, _, result = source.partition(".")
            links[slot] = giver, result
    return sketch.step(draft, name, links)


def _chain_answer(rng: RandomStream, chain: Chain, steps: Sequence[Step]) -> Template:
    """An answer of the chain whose slots are known."""
    known = set[str]().union(*(known_slots(step, f"{step.name}.") for step in steps))
    last = steps[-1]
    plain = plain_answer(f"{last.name}.{name}" for name in last.tools[-1].need.results)
    return rng.pick([each for each in chain.answers if each.required <= known] or [plain])
