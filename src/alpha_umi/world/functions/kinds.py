"""Kinds of tasks: the exchanges of each, drawn with the tools that they need."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field

from alpha_umi.types import Observation, ToolStatus
from alpha_umi.world.functions.library import Shelf
from alpha_umi.world.functions.needs import Chain, DomainNeeds, FunctionNeed
from alpha_umi.world.functions.offers import Offer, count_others, count_similar
from alpha_umi.world.functions.problems import AnswerPart, End, Exchange, Kind, Step
from alpha_umi.world.functions.requests import Draft, fill_query, options_named, options_of
from alpha_umi.world.functions.stores import Books
from alpha_umi.world.functions.templates import Template, read_template
from alpha_umi.world.functions.wording import join_words
from alpha_umi.world.random_streams import RandomStream

TRAIN_KINDS: Mapping[Kind, int] = {
    Kind.SINGLE: 22,
    Kind.CHOOSE: 22,
    Kind.PARALLEL: 9,
    Kind.JOINED: 6,
    Kind.CHAIN: 9,
    Kind.NONE: 11,
    Kind.ASK: 7,
    Kind.SUPPLIED: 3,
    Kind.FALLBACK: 3,
    Kind.FAILED: 2,
    Kind.TURNS: 4,
    Kind.SUCCESSION: 2,
}
"""Frequency of each kind."""
_CONJUNCTIONS = (
    "{0} Also: {1}",
    "{0} And another thing: {1}",
    "{0} {1}",
    "{0}\n\n{1}",
    "Two things. {0} {1}",
    "1. {0}\n2. {1}",
    "First: {0} Then: {1}",
    "{0} Besides that: {1}",
    "{0} Oh, and {1}",
    "{0} By the way, {1}",
)
_SUPPLIED = (
    "{}",
    "{}.",
    "{}, please.",
    "Oh, sorry: {}.",
    "I mean {}.",
    "It's {}.",
    "Let's say {}.",
    "{}, thanks!",
    "Right, I forgot. {}.",
    "take {}",
)
_FAILURES = (
    ("the service is not available at the moment, try again later", ToolStatus.ERROR),
    ("internal error 500", ToolStatus.ERROR),
    ("upstream did not respond", ToolStatus.ERROR),
    ("connection refused", ToolStatus.ERROR),
    ('{"error": "maintenance", "retry_after": 3600}', ToolStatus.ERROR),
    ("no answer within 30 s", ToolStatus.TIMEOUT),
    ("ConnectionError: host could not be reached", ToolStatus.ERROR),
    ("quota exceeded: no requests are left for today", ToolStatus.RATE_LIMITED),
    ("API key expired", ToolStatus.ERROR),
)


@dataclass(slots=True, kw_only=True)
class Sketch:
    """A task as it is drawn."""

    rng: RandomStream
    shelf: Shelf
    offer: Offer
    books: Books
    kind: Kind
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

    def step(self, draft: Draft, name: str = "") -> Step:
        """Offer a tool for drawn arguments, unless there is one that takes them, and make the step of it."""
        options = options_named(draft.need, draft.values)
        known = [
            tool
            for tool in self.offer.tools.values()
            if tool.need is draft.need and all(option in tool.parameters for option in options)
        ]
        tool = known[0] if known else self.offer.wanted(draft.domain, draft.need, options)
        name = name or f"{draft.need.id}#{sum(len(each.steps) for each in self.exchanges)}"
        return Step(name=name, tools=(tool,), values=dict(draft.values), texts=dict(draft.texts))


def answer_part(rng: RandomStream, step: Step, telling: str = "") -> AnswerPart:
    """An answer about one step: one of the need's whose slots are known, best one with the slot `telling`."""
    need = step.tools[-1].need
    usable = [each for each in need.answers if each.required <= _known(step)] or [_plain_answer(need.results)]
    best = [each for each in usable if telling in each.required] or usable
    return AnswerPart(template=rng.pick(best), steps=(step.name,))


def _known(step: Step, prefix: str = "") -> set[str]:
    """Slots of answers that a step fills, with a prefix."""
    need = step.tools[-1].need
    defaults = (name for name, of in need.parameters.items() if of.default is not None)
    return {f"{prefix}{name}" for name in (*step.texts, *step.values, *step.links, *need.results, *defaults)}


def _plain_answer(results: Iterable[str]) -> Template:
    """An answer that names nothing but results."""
    return read_template("; ".join(f"{name.rpartition('.')[2].replace('_', ' ')}: {{{name}}}" for name in results))


# --- one need ---------------------------------------------------------------------------------------------


def _request(sketch: Sketch) -> tuple[Draft, str]:
    """A need with a whole request for it."""
    domain, need = sketch.rng.pick(sketch.shelf.asking)
    draft = sketch.draft(domain, need)
    return draft, fill_query(draft, sketch.rng.pick(sketch.shelf.templates(need.queries)))


def _ask_one(sketch: Sketch) -> Draft:
    draft, text = _request(sketch)
    step = sketch.step(draft)
    sketch.exchanges.append(Exchange(text=text, steps=(step,), parts=(answer_part(sketch.rng, step),)))
    return draft


def draw_single(sketch: Sketch) -> None:
    _ask_one(sketch)


def draw_choose(sketch: Sketch) -> None:
    draft = _ask_one(sketch)
    sketch.offer.add_similar(draft.domain, count_similar(sketch.rng))


def draw_parallel(sketch: Sketch) -> None:
    rng = sketch.rng
    domain, need = rng.pick(sketch.shelf.several)
    template = rng.pick([each for each in sketch.shelf.templates(need.several) if each.several])
    slot = template.several[0]
    draft = sketch.draft(domain, need)
    values = draft.others(slot, rng.weighted({2: 5, 3: 3, 4: 1}))
    wordings: list[str] = []
    for value in values:
        draft.set(slot, value)
        wordings.append(draft.texts[slot])
    given = options_of(rng, [template])
    text = template.fill(given, lambda name: join_words(wordings) if name == slot else draft.put(name))
    steps: list[Step] = []
    for at, (value, worded) in enumerate(zip(values, wordings, strict=True)):
        draft.set(slot, value)
        draft.texts[slot] = worded
        steps.append(sketch.step(draft, f"{need.id}#{at}"))
    chosen = answer_part(rng, steps[0], slot).template
    parts = tuple(
        AnswerPart(template=chosen, steps=(step.name,), lead="" if slot in chosen.required else worded)
        for step, worded in zip(steps, wordings, strict=True)
    )
    sketch.exchanges.append(Exchange(text=text, steps=tuple(steps), parts=parts))
    sketch.offer.add_similar(domain, rng.below(4))


def draw_ask(sketch: Sketch) -> tuple[Draft, str]:
    rng = sketch.rng
    domain, (need, name) = rng.pick(sketch.shelf.incomplete)
    draft = sketch.draft(domain, need)
    text = fill_query(draft, rng.pick(sketch.shelf.templates(need.missing[name])))
    tool = sketch.step(draft).tools[0]
    sketch.exchanges.append(Exchange(text=text, end=End.ASK, asked=(tool, name)))
    sketch.offer.add_similar(domain, rng.below(4), without=_finders(domain, need, name))
    return draft, name


def _finders(domain: DomainNeeds, need: FunctionNeed, name: str) -> set[str]:
    """Needs that might find the missing argument: those that a chain takes it from, and lists of the records."""
    found = {
        chain.steps[source.partition(".")[0]]
        for chain in domain.chains
        for target, source in chain.link.items()
        if chain.steps[target.partition(".")[0]] == need.id and target.split(".")[1] == name
    }
    if name == need.key:
        found |= {other.id for other in domain.needs.values() if other.store == need.store}
    return found


def draw_supplied(sketch: Sketch) -> None:
    draft, name = draw_ask(sketch)
    slots = [name, *(f"{name}.{inner}" for inner in draft.need.parameters[name].fields)]
    worded = [draft.put(slot) for slot in slots[1:] or slots]
    step = sketch.step(draft)
    text = sketch.rng.pick(_SUPPLIED).format(", ".join(worded))
    sketch.exchanges.append(Exchange(text=text, steps=(step,), parts=(answer_part(sketch.rng, step),)))


def draw_none(sketch: Sketch) -> None:
    rng, offer = sketch.rng, sketch.offer
    way, wanted = rng.below(5), None
    if way < 2:
        domain, text = rng.pick(sketch.shelf.outside)
        offer.add_similar(domain, rng.between(1, 5))
    else:
        draft, text = _request(sketch)
        wanted = draft.need
        if way < 4:
            offer.add_similar(draft.domain, rng.between(1, 5), without={draft.need.id})
    sketch.exchanges.append(Exchange(text=text, end=End.DECLINE, wanted=wanted))
    if not offer.tools:
        offer.add_others(rng.between(1, 4), sketch.served)


# --- failing tools ----------------------------------------------------------------------------------------


def _fail(sketch: Sketch, name: str) -> None:
    content, status = sketch.rng.pick(_FAILURES)
    sketch.down[name] = Observation(content=content, status=status)


def draw_fallback(sketch: Sketch) -> None:
    draft, text = _request(sketch)
    options = options_named(draft.need, draft.values)
    tools = tuple(sketch.offer.wanted(draft.domain, draft.need, options) for _ in range(2))
    _fail(sketch, tools[0].spec.name)
    step = Step(name=draft.need.id, tools=tools, values=dict(draft.values), texts=dict(draft.texts))
    sketch.exchanges.append(Exchange(text=text, steps=(step,), parts=(answer_part(sketch.rng, step),)))


def draw_failed(sketch: Sketch) -> None:
    draft, text = _request(sketch)
    step = sketch.step(draft)
    _fail(sketch, step.tools[0].spec.name)
    sketch.exchanges.append(Exchange(text=text, steps=(step,), end=End.FAILURE))
    sketch.offer.add_similar(draft.domain, sketch.rng.below(3))


# --- several needs ----------------------------------------------------------------------------------------


def draw_joined(sketch: Sketch) -> None:
    first, other = _two_requests(sketch)
    steps = [sketch.step(draft, f"{draft.need.id}#{at}") for at, (draft, _) in enumerate((first, other))]
    text = sketch.rng.pick(_CONJUNCTIONS).format(_ended(first[1]), other[1])
    parts = tuple(answer_part(sketch.rng, step) for step in steps)
    sketch.exchanges.append(Exchange(text=text, steps=tuple(steps), parts=parts))


def draw_succession(sketch: Sketch) -> None:
    for draft, text in _two_requests(sketch):
        step = sketch.step(draft)
        sketch.exchanges.append(Exchange(text=text, steps=(step,), parts=(answer_part(sketch.rng, step),)))


def _two_requests(sketch: Sketch) -> tuple[tuple[Draft, str], tuple[Draft, str]]:
    """Requests for two needs that are no alternatives, often of one domain."""
    first = _request(sketch)
    near = [
        (domain, need)
        for domain, need in sketch.shelf.asking
        if domain is first[0].domain and need is not first[0].need and not need.store
    ]
    if near and sketch.rng.below(2):
        domain, need = sketch.rng.pick(near)
        draft = sketch.draft(domain, need)
        return first, (draft, fill_query(draft, sketch.rng.pick(sketch.shelf.templates(need.queries))))
    while True:
        other = _request(sketch)
        if other[0].need is not first[0].need:
            return first, other


def _ended(text: str) -> str:
    return text if text.rstrip()[-1:] in ".?!" else f"{text.rstrip()}."


def draw_chain(sketch: Sketch) -> None:
    domain, chain = sketch.rng.pick(sketch.shelf.chains(turns=False))
    (template,) = sketch.rng.pick(sketch.shelf.chain_queries(chain, turns=False))
    drafts = _chain_drafts(sketch, domain, chain)
    text = _fill_chain(sketch.rng, drafts, template)
    steps = tuple(_chain_step(sketch, chain, name, draft) for name, draft in drafts.items())
    part = AnswerPart(template=_chain_answer(sketch.rng, chain, steps), steps=tuple(chain.steps), chained=True)
    sketch.exchanges.append(Exchange(text=text, steps=steps, parts=(part,)))
    sketch.offer.add_similar(domain, sketch.rng.below(4))


def draw_turns(sketch: Sketch) -> None:
    domain, chain = sketch.rng.pick(sketch.shelf.chains(turns=True))
    templates = sketch.rng.pick(sketch.shelf.chain_queries(chain, turns=True))
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
    linked = [slot.partition(".")[0] for slot in links]
    options = [slot for slot in linked if not draft.need.parameters[slot].required]
    draft_options = [*options_named(draft.need, draft.values), *options]
    known = [
        tool
        for tool in sketch.offer.tools.values()
        if tool.need is draft.need and all(option in tool.parameters for option in draft_options)
    ]
    tool = known[0] if known else sketch.offer.wanted(draft.domain, draft.need, draft_options)
    return Step(name=name, tools=(tool,), values=dict(draft.values), texts=dict(draft.texts), links=links)


def _chain_answer(rng: RandomStream, chain: Chain, steps: list[Step] | tuple[Step, ...]) -> Template:
    """An answer of the chain whose slots are known."""
    known = set[str]().union(*(_known(step, f"{step.name}.") for step in steps))
    last = steps[-1]
    plain = _plain_answer(f"{last.name}.{name}" for name in last.tools[-1].need.results)
    return rng.pick([each for each in chain.answers if each.required <= known] or [plain])


DRAW: Mapping[Kind, Callable[[Sketch], object]] = {
    Kind.SINGLE: draw_single,
    Kind.CHOOSE: draw_choose,
    Kind.PARALLEL: draw_parallel,
    Kind.JOINED: draw_joined,
    Kind.CHAIN: draw_chain,
    Kind.NONE: draw_none,
    Kind.ASK: draw_ask,
    Kind.SUPPLIED: draw_supplied,
    Kind.FALLBACK: draw_fallback,
    Kind.FAILED: draw_failed,
    Kind.TURNS: draw_turns,
    Kind.SUCCESSION: draw_succession,
}


def draw_exchanges(sketch: Sketch) -> None:
    """Draw the exchanges of a kind, with the tools that they need and others beside them."""
    DRAW[sketch.kind](sketch)
    sketch.offer.add_others(count_others(sketch.rng), sketch.served)
