"""Thoughts of the planner: which tool, and where each of its values comes from."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping

from alpha_umi.types import Json
from alpha_umi.world.functions.drawing import Values
from alpha_umi.world.functions.needs import FunctionNeed
from alpha_umi.world.functions.problems import Step
from alpha_umi.world.functions.tools import InventedTool, OwnParameter
from alpha_umi.world.functions.wording import write_plain
from alpha_umi.world.random_streams import RandomStream

_CALLS = (
    "{tool} does this, with {values}.",
    "I need {tool} with {values}.",
    "The tool for this is {tool}: {values}.",
    "I will call {tool} with {values}.",
    "{tool} fits. {Values}.",
    "This is for {tool}. Arguments: {values}.",
    "{tool} can do it; {values}.",
)
_BARE_CALLS = (
    "{tool} does this and needs no arguments.",
    "I will call {tool} without arguments.",
    "{tool} fits; there is nothing to fill in.",
)
_DONE = (
    "{results}. I can answer.",
    "{results}. That is all I need.",
    "{results}. This answers the question.",
    "I have what was asked for: {results}.",
)
_NO_TOOL = (
    "No tool fits. {near} something else. I will say so.",
    "{near} something else, and no other tool can do this.",
    "This needs a tool that is not there; {near} something else. I say that it cannot be done.",
    "None of the tools does what is asked. {near} something else.",
)
_MISSING = (
    "{tool} does this, but the user did not say {noun}. I have to ask.",
    "For {tool} I need {noun}, which is missing. I will ask for it.",
    "{tool} fits, but {noun} is not given. I must not guess, so I ask.",
    "The user left out {noun}, which {tool} requires. I ask for it.",
)
_FAILED = (
    "{tool} failed ({reason}), and no other tool does the same. I will say so.",
    "{tool} does not work: {reason}. There is nothing else to try, so I tell the user.",
    "The call of {tool} failed: {reason}. I report that.",
)
_LEADS = ("{tool} failed. ", "{tool} does not work; another tool does the same. ", "That did not work. ")
_LONGEST = 80
"""Characters of a result in a thought."""


def think_of_call(
    rng: RandomStream,
    tool: InventedTool,
    step: Step,
    values: Values,
    givers: Mapping[str, str],
    *,
    failed: str = "",
    place: tuple[int, int] = (1, 1),
) -> str:
    """Thought before a call. `givers`: step -> the tool that was called for it; `place`: which of how many calls."""
    reasons = [
        reason
        for name, own in tool.parameters.items()
        if name in values
        for reason in _reasons(own, name, values[name], step, givers)
    ]
    lead = rng.pick(_LEADS).format(tool=failed) if failed else ""
    at, of = place
    if of > 1 and not failed:
        lead = f"{of} calls are needed; this is number {at}. " if at == 1 else f"Call {at} of {of}. "
    if at == 1 and not failed:
        lead = think_of_goal(rng, tool.need) + lead
    if not reasons:
        return lead + rng.pick(_BARE_CALLS).format(tool=tool.spec.name)
    said = ", ".join(reasons)
    return lead + rng.pick(_CALLS).format(tool=tool.spec.name, values=said, Values=said)


def _reasons(
    own: OwnParameter, slot: str, value: Json, step: Step, givers: Mapping[str, str], within: str = ""
) -> Iterable[str]:
    """Each value with its name and, where it is not a copy of the user's words, its source."""
    name = f"{within}{own.name}"
    if own.fields and isinstance(value, dict):
        for inner, field in own.fields.items():
            if inner in value:
                yield from _reasons(field, f"{slot}.{inner}", value[inner], step, givers, f"{name}.")
        return
    written = own.write(value)
    shown = written if isinstance(written, str) else json.dumps(written, ensure_ascii=False)
    if slot in step.links:
        yield f"{name} {shown} from {givers[step.links[slot][0]]}"
    elif slot in step.texts and step.texts[slot] not in (write_plain(written), shown):
        yield f'{name} {shown} ("{step.texts[slot]}")'
    else:
        yield f"{name} {shown}"


def think_of_answer(rng: RandomStream, found: Iterable[tuple[InventedTool, Mapping[str, Json]]]) -> str:
    """Thought before an answer: the results that it takes, by the names that the tools give them."""
    said: list[str] = []
    for tool, results in found:
        shown = [f"{tool.reply.names.get(name, name)} {_short(value)}" for name, value in results.items()]
        said.append(f"{tool.spec.name} gave {' and '.join(shown)}" if shown else f"{tool.spec.name} is done")
    return rng.pick(_DONE).format(results="; ".join(dict.fromkeys(said)))


def think_of_goal(rng: RandomStream, need: FunctionNeed) -> str:
    """Often a first sentence: what is asked for, in the words of a document."""
    return f"Goal: {_lowered(min(rng.sample(need.docs, 2), key=len))}. " if rng.below(2) else ""


def _short(value: Json) -> str:
    records = (
        [next(iter(each.values()), None) for each in value if isinstance(each, dict)] if isinstance(value, list) else []
    )
    text = write_plain([*records] or value)
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST].rsplit(' ', 1)[0]} ..."


def think_of_declining(rng: RandomStream, tools: Iterable[InventedTool], wanted: FunctionNeed | None) -> str:
    """Thought where no tool fits: what some of the tools are for. `wanted`: the need, where one is known."""
    goal, offered = think_of_goal(rng, wanted) if wanted is not None else "", list(tools)
    near = [f"{tool.spec.name} ({_lowered(min(tool.need.docs, key=len))})" for tool in rng.sample(offered, 2)]
    return goal + rng.pick(_NO_TOOL).format(near=f"{' and '.join(near)} {'do' if len(near) > 1 else 'does'}")


def _lowered(text: str) -> str:
    first = text.split(" ", 1)[0]
    lowered = text[:1].lower() + text[1:] if first[1:].islower() or len(first) == 1 else text
    return lowered.rstrip(".")


def think_of_asking(rng: RandomStream, tool: InventedTool, noun: str) -> str:
    """Thought where an argument is missing."""
    return think_of_goal(rng, tool.need) + rng.pick(_MISSING).format(tool=tool.spec.name, noun=noun)


def think_of_failure(rng: RandomStream, name: str, reason: str) -> str:
    """Thought where the tools failed."""
    return rng.pick(_FAILED).format(tool=name, reason=reason)
