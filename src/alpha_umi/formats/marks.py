"""Decision marks and call syntax of the published data: single turns written and read.

These are the words inside a turn, not the prompt around it. The processed data files, the `template`
formats and the static evaluation all share them. Whatever these shapes cannot express is kept verbatim:
a plan without a mark is `Plan(text, NONE)`, a call without a name is `Call("", text)`.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from alpha_umi.formats.framed import FramedText, framed
from alpha_umi.types import Call, Decision, FinishReason, Part, Plan, Span

_PUBLISHED_MARKS = {
    Decision.CALL: "Next: caller.",
    Decision.CONCLUDE: "Next: conclusion.",
    Decision.GIVE_UP: "Next: give up.",
}
ACTION = "Action: "
"""Marker at the start of every call."""
_ARGUMENTS = "\nAction Input: "
_FRAME_PARTS = (Part.MARK, Part.DECISION)
_CALL = re.compile(r"Action: [^\n]+\nAction Input: ")
_LOOSE_NAME = re.compile(r"Action:[ \t]*(?P<name>.*?)[ \t]*(?:\n|Action Input:|$)")
_LOOSE_ARGUMENTS = re.compile(r"Action Input:\s*(?P<arguments>.*)", re.DOTALL)


@dataclass(frozen=True, slots=True, kw_only=True)
class Marks:
    """Decision marks: the words by which a plan names the next role."""

    decisions: Mapping[Decision, str] = field(default_factory=lambda: dict(_PUBLISHED_MARKS))

    def write_plan(self, plan: Plan) -> FramedText:
        return joined(self.plan_spans(plan))

    def plan_spans(self, plan: Plan) -> tuple[Span, ...]:
        return (plan.thought, Part.THOUGHT), (self.decisions.get(plan.decision, ""), Part.DECISION)

    def told(self, *, callable: bool) -> tuple[str, ...]:  # noqa: A002
        """Marks that a plan may end with; the call's is left out where no tool can be called."""
        return tuple(m for d, m in self.decisions.items() if m and (callable or d is not Decision.CALL))

    def read_plan(self, text: str) -> Plan:
        """Read the plan that `write_plan` writes as exactly `text`: a mark counts only at the very end."""
        for decision, mark in self.decisions.items():
            if mark and text.endswith(mark):
                return Plan(thought=text[: -len(mark)], decision=decision)
        return Plan(thought=text, decision=Decision.NONE)

    def parse_plan(self, text: str) -> Plan:
        """Parse a plan leniently: without a final mark the first one counts, and the text after it is dropped."""
        plan = self.read_plan(text)
        if plan.decision is not Decision.NONE:
            return plan
        found = [(text.find(mark), decision) for decision, mark in self.decisions.items() if mark in text]
        if not found:
            return plan
        at, decision = min(found)
        return Plan(thought=text[:at], decision=decision)


def joined(spans: Iterable[Span]) -> FramedText:
    """Concatenated text of spans: marks and decisions are frame, all else is content."""
    return framed((text, part not in _FRAME_PARTS) for text, part in spans)


def filled(spans: Iterable[Span]) -> tuple[Span, ...]:
    """Spans without the empty ones."""
    return tuple(span for span in spans if span[0])


def write_call(call: Call) -> FramedText:
    return joined(call_spans(call))


def call_spans(call: Call) -> tuple[Span, ...]:
    arguments = (call.arguments, Part.ARGUMENTS)
    if not call.name:
        return (arguments,)
    return (ACTION, Part.MARK), (call.name, Part.NAME), (_ARGUMENTS, Part.MARK), arguments


def read_call(text: str) -> Call:
    """Read the call that `write_call` writes as exactly `text`."""
    name, found, arguments = text.removeprefix(ACTION).partition(_ARGUMENTS)
    if text.startswith(ACTION) and found and name and "\n" not in name:
        return Call(name=name, arguments=arguments)
    return Call(name="", arguments=text)


def find_call(text: str) -> int:
    """Index at which a call starts in a longer text; -1 if there is none."""
    whole = _CALL.search(text)
    return whole.start() if whole else text.find("Action:")


def parse_call(text: str, finish: FinishReason = FinishReason.STOP) -> Call:
    """Parse a call leniently: markers may be out of place, spaces missing, arguments left out."""
    call = read_call(text)
    if call.name:
        return call
    name = _LOOSE_NAME.search(text)
    if name is None or not name["name"]:
        return call
    arguments = _LOOSE_ARGUMENTS.search(text)
    if arguments is None and finish is FinishReason.LENGTH:
        return cut_call(text)
    return Call(name=name["name"], arguments=arguments["arguments"].strip() if arguments else "{}")


def cut_call(text: str) -> Call:
    """Return the call of a text cut off before its arguments: no tool name; `arguments` holds the partial name."""
    # Without the marker: with it, a reader of a file of steps would take the partial name for a whole one.
    return Call(name="", arguments=text.rpartition(ACTION.rstrip())[2].lstrip())
