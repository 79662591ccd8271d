"""Kinds of tasks: the exchanges of each, drawn with the tools that they need."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from alpha_umi.types import Observation, ToolStatus
from alpha_umi.world.functions.chains import draw_chain, draw_turns
from alpha_umi.world.functions.needs import DomainNeeds, FunctionNeed
from alpha_umi.world.functions.offers import count_others, count_similar
from alpha_umi.world.functions.problems import AnswerPart, End, Exchange, Kind, Step
from alpha_umi.world.functions.requests import Draft, fill_query, options_named, options_of
from alpha_umi.world.functions.sketches import Sketch, answer_part, draw_request
from alpha_umi.world.functions.wording import join_words

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
    "{0} Oh, and one thing more: {1}",
    "{0} By the way: {1}",
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


# --- one need ---------------------------------------------------------------------------------------------


def _ask_one(sketch: Sketch) -> Draft:
    draft, text = draw_request(sketch)
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
    domain, need = rng.pick(sketch.source.several)
    template = rng.pick([each for each in sketch.source.templates(need.several) if each.several])
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
    domain, (need, name) = rng.pick(sketch.source.incomplete)
    draft = sketch.draft(domain, need)
    text = fill_query(draft, rng.pick(sketch.source.templates(need.missing[name])))
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
        domain, text = rng.pick(sketch.source.outside)
        offer.add_similar(domain, rng.between(1, 6))
        sketch.one_domain = True
    else:
        draft, text = draw_request(sketch)
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
    draft, text = draw_request(sketch)
    options = options_named(draft.need, draft.values)
    tools = tuple(sketch.offer.wanted(draft.domain, draft.need, options) for _ in range(2))
    _fail(sketch, tools[0].spec.name)
    step = Step(name=draft.need.id, tools=tools, values=dict(draft.values), texts=dict(draft.texts))
    sketch.exchanges.append(Exchange(text=text, steps=(step,), parts=(answer_part(sketch.rng, step),)))


def draw_failed(sketch: Sketch) -> None:
    draft, text = draw_request(sketch)
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
    first = draw_request(sketch)
    near = [
        (domain, need)
        for domain, need in sketch.source.asking
        if domain is first[0].domain and need is not first[0].need and not need.store
    ]
    if near and sketch.rng.below(2):
        domain, need = sketch.rng.pick(near)
        draft = sketch.draft(domain, need)
        return first, (draft, fill_query(draft, sketch.rng.pick(sketch.source.templates(need.queries))))
    while True:
        other = draw_request(sketch)
        same_records = other[0].domain is first[0].domain and other[0].need.store and first[0].need.store
        if other[0].need is not first[0].need and not same_records:
            return first, other
        del sketch.served[1:], sketch.named[1:]


def _ended(text: str) -> str:
    return text if text.rstrip()[-1:] in ".?!" else f"{text.rstrip()}."


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
    if not sketch.one_domain:
        sketch.offer.add_others(count_others(sketch.rng), sketch.served)
