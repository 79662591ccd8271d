"""Text form of one scored step in the published evaluation files: written and read.

Static evaluation files hold one text per step. The multi-agent shape is `assistant: THOUGHT Next: caller.</s>`
`caller: ACTION</s>`, the same with `conclusion`, or a bare plan that gives up; the backbone shape is a thought and,
on a new line, `Action: ...` or `conclusion: ...`. Law: `read_step(write_step(step)) == step` for steps whose texts
hold no mark, label or `</s>` of their own. `parse_published` keeps the readings of the published scripts instead,
their faults included, so that published numbers can be checked.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum

from alpha_umi.errors import FormatError
from alpha_umi.formats.marks import Marks, find_call, parse_call, write_call
from alpha_umi.types import Answer, Call, Decision, Plan, Turn

_MARKS = Marks()
_END = "</s>"
_PLANNER = "assistant: "
_PREFIXES = (_PLANNER, "asssitant: ")  # the published predictions spell it so
_SPEAKER = re.compile(r"</s>\s*(caller|conclusion): ?")
_LABEL = re.compile(r"\s*(caller|conclusion): ?")
_AFTER = re.compile(r"</s>\s*(?:assistant|asssitant|caller|conclusion|user|observation): ?")
_WHOLE_CALL = re.compile(r"Action:[^\n]+\nAction Input:")
_CONCLUSION = re.compile(r"(?:\A|\n)conclusion: ?")
_GIVE_UP = re.compile(r"(?:\A|\n)conclusion:\s*give up\s*\.?\s*\Z")
_NAMED = re.compile(r"Next: (?:caller|conclusion|give up)")


class StepShape(StrEnum):
    """Shape of a file of steps, by the published script that scores it."""

    MULTI_AGENT = "multi-agent"
    BACKBONE = "backbone"


def write_step(turns: Sequence[Turn]) -> str:
    """Write the multi-agent text of a step: its plan, alone or with the first call or answer after it.

    Raises FormatError when the turns do not begin with a plan: such a step has no text.
    """
    match tuple(turns):
        case (Plan() as plan, *rest):
            said = next((turn for turn in rest if isinstance(turn, Call | Answer)), None)
        case other:
            kinds = ", ".join(type(turn).__name__ for turn in other) or "nothing"
            raise FormatError(f"a step begins with a plan; these turns are {kinds}")
    match said:
        case Call():
            return f"{_PLANNER}{_MARKS.write_plan(plan)}{_END}caller: {write_call(said)}{_END}"
        case Answer(text=text):
            return f"{_PLANNER}{_MARKS.write_plan(plan)}{_END}conclusion: {text}{_END}"
        case None:
            return _MARKS.write_plan(plan)


def read_step(text: str) -> tuple[Turn, ...]:
    """Read the step of a text of either shape: a plan, then the call or the answer if there is one.

    Total over all strings. A plan without a decision mark has Decision.NONE, whatever role follows it.
    """
    body = text
    for prefix in _PREFIXES:
        if text.startswith(prefix):
            body = text.removeprefix(prefix)
            break
    speaker = _SPEAKER.search(body)
    if speaker is not None:
        plan = _MARKS.parse_plan(body[: speaker.start()])
        return (plan, _read_speech(speaker[1], body[speaker.end() :]))
    whole = _cut(body)
    plan = _MARKS.parse_plan(whole)
    if plan.decision is Decision.NONE:
        return _read_backbone(whole)
    label = _LABEL.match(whole, len(_MARKS.write_plan(plan)))
    return (plan, _read_speech(label[1], whole[label.end() :])) if label else (plan,)


def _read_speech(speaker: str, text: str) -> Call | Answer:
    words = _cut(text)
    return parse_call(words) if speaker == "caller" else Answer(text=words)


def _cut(text: str) -> str:
    """Text without the end mark and without what a model wrote after it in another role's name."""
    after = _AFTER.search(text)
    words = text[: after.start()] if after else text
    while (bare := words.rstrip()).endswith(_END):
        words = bare.removesuffix(_END)
    return words


def _read_backbone(text: str) -> tuple[Turn, ...]:
    """Read a backbone's text.

    A thought may hold lines that look like a call or a conclusion: a whole call or an ending outweighs them.
    """
    end = _GIVE_UP.search(text)
    if end is not None:
        return (Plan(thought=text[: end.start()], decision=Decision.GIVE_UP),)
    whole = _WHOLE_CALL.search(text)
    at = whole.start() if whole else find_call(text)
    conclusion = _CONCLUSION.search(text)
    if conclusion is not None and (whole is None or conclusion.start() < at):
        plan = Plan(thought=text[: conclusion.start()], decision=Decision.CONCLUDE)
        return plan, Answer(text=text[conclusion.end() :])
    if at < 0:
        return (Plan(thought=text, decision=Decision.NONE),)
    return Plan(thought=text[:at].removesuffix("\n"), decision=Decision.CALL), parse_call(text[at:])


# --- as the published scripts read it ---------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class PublishedStep:
    """Reading of one text by a published script; a field that does not belong to the decision is None."""

    decision: Decision
    name: str | None = None
    """The tool; the text `none` where a call names no tool."""
    arguments: str | None = None
    answer: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class PublishedCrash:
    """Crash of the published script on a text, with its exception."""

    error: str


def published_shape(references: Iterable[str]) -> StepShape:
    """Return the shape that most references have."""
    named = [bool(_NAMED.search(reference)) for reference in references]
    return StepShape.MULTI_AGENT if 2 * sum(named) >= len(named) else StepShape.BACKBONE


def parse_published(text: str, shape: StepShape) -> PublishedStep | PublishedCrash:
    """Parse a text by the rules of `evaluate-multi_agent.py` or `evaluate-backbone.py`. Total."""
    try:
        return _published_multi_agent(text) if shape is StepShape.MULTI_AGENT else _published_backbone(text)
    except (IndexError, ValueError) as error:
        return PublishedCrash(error=f"{type(error).__name__}: {error}")


def _published_multi_agent(text: str) -> PublishedStep:
    if "Next: give up" in text:
        return PublishedStep(decision=Decision.GIVE_UP)
    if "Next: conclusion" in text:
        answer = _after_last(text, "conclusion: ") if "conclusion:" in text else text
        return PublishedStep(decision=Decision.CONCLUDE, answer=answer.replace(_END, ""))
    return _published_call(text.split(_END)[1])


def _published_backbone(text: str) -> PublishedStep:
    if "conclusion: give up" in text:
        return PublishedStep(decision=Decision.GIVE_UP)
    if "conclusion: " in text:
        return PublishedStep(decision=Decision.CONCLUDE, answer=_after_last(text, "conclusion: "))
    return _published_call(text)


def _published_call(text: str) -> PublishedStep:
    _, has_name, name = text.rpartition("Action:")
    _, has_arguments, arguments = text.rpartition("Action Input:")
    return PublishedStep(
        decision=Decision.CALL,
        name=name.partition("Action Input:")[0].strip() if has_name else "none",
        arguments=arguments.strip() if has_arguments else "{}",
    )


def _after_last(text: str, label: str) -> str:
    return text[text.rindex(label) + len(label) :]
