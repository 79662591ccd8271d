"""Thoughts of the planner: the tool, and where each of its values comes from.

They are worded alike and begin with what they decide: what a small model has to learn is which tool and which values,
not how to say it.
"""

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

_DONE = "{results}. That is what was asked for."
_NO_TOOL = "No tool does this{goal}. I will say so."
_MISSING = "{tool} fits, but {noun} is missing. I will ask."
_FAILED = "{tool} failed ({reason}), and no other tool does the same. I will say so."
_LONGEST = 80
"""Characters of a result in a thought."""


def think_of_call(
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
    lead = f"{failed} failed. " if failed else ""
    at, of = place
    number = f" ({at} of {of})" if of > 1 else ""
    return f"{lead}{tool.spec.name} fits{number}: {', '.join(reasons).rstrip('.') or 'no arguments'}."


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


def think_of_answer(found: Iterable[tuple[InventedTool, Mapping[str, Json]]]) -> str:
    """Thought before an answer: the results that it takes, by the names that the tools give them."""
    said: list[str] = []
    for tool, results in found:
        shown = [f"{tool.reply.names.get(name, name)} {_short(value)}" for name, value in results.items()]
        said.append(f"{tool.spec.name} gave {' and '.join(shown)}" if shown else f"{tool.spec.name} is done")
    return _DONE.format(results="; ".join(dict.fromkeys(said)))


def _short(value: Json) -> str:
    records = (
        [next(iter(each.values()), None) for each in value if isinstance(each, dict)] if isinstance(value, list) else []
    )
    text = write_plain([*records] or value)
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST].rsplit(' ', 1)[0]} ..."


def think_of_declining(rng: RandomStream, wanted: FunctionNeed | None) -> str:
    """Thought where no tool fits. `wanted`: the need, where one is known."""
    goal = "" if wanted is None else f": {_lowered(min(rng.sample(wanted.docs, 2), key=len))}"
    return _NO_TOOL.format(goal=goal)


def _lowered(text: str) -> str:
    first = text.split(" ", 1)[0]
    lowered = text[:1].lower() + text[1:] if first[1:].islower() or len(first) == 1 else text
    return lowered.rstrip(".")


def think_of_asking(tool: InventedTool, noun: str) -> str:
    """Thought where an argument is missing."""
    return _MISSING.format(tool=tool.spec.name, noun=noun)


def think_of_failure(name: str, reason: str) -> str:
    """Thought where the tools failed."""
    return _FAILED.format(tool=name, reason=reason)
