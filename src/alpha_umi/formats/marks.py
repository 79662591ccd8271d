"""Decision marks and call syntax of the published data: single turns written and read.

These are the words inside a turn, not the prompt around it. The processed data files, the `template`
formats and the static evaluation all share them. Whatever these shapes cannot express is kept verbatim:
a plan without a mark is `Plan(text, NONE)`, a call without a name is `Call("", text)`.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from alpha_umi.formats.dialects.reasoning import masked
from alpha_umi.formats.framed import FramedText, framed
from alpha_umi.types import Call, Decision, FinishReason, Part, Plan, Span

_PUBLISHED_MARKS = {
    Decision.CALL: "Next: caller.",
    Decision.CONCLUDE: "Next: conclusion.",
    Decision.GIVE_UP: "Next: give up.",
}
ACTION = "Action: "
"""Marker at the start of every call."""
COLON = r"[*_`]*+[ \t\u3000]*+[:：][*_]*+"
"""Pattern of a label's colon, full-width ones and markdown around it included."""
_ARGUMENTS = "\nAction Input: "
_FRAME_PARTS = (Part.MARK, Part.DECISION)
_LOOSE_ACTION = re.compile("Action[:：]")
_LOOSE_NAME = re.compile(r"(?:Action[:：][ \t\u3000]*+)++(?P<name>.*?)[ \t]*(?:\n|Action Input[:：]|$)")
_LOOSE_ARGUMENTS = re.compile(r"(?:Action Input[:：]\s*+)++(?P<arguments>.*)", re.DOTALL)
_WIDE = {"：": ":", "。": ".", "．": ".", "！": "!"}


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
        """Parse a plan leniently: without a final mark the first one counts, and the text after it is dropped.

        A mark within reasoning does not count; one in full-width punctuation counts where no other is found.
        """
        said = masked(text)
        plan = self.read_plan(text)
        if plan.decision is not Decision.NONE and not said.endswith("\0"):
            return plan
        marks = [(decision, mark) for decision, mark in self.decisions.items() if mark]
        found = [(said.find(mark), decision) for decision, mark in marks if mark in said]
        if not found and any(wide in said for wide in _WIDE):
            placed = ((_wide_pattern(mark).search(said), decision) for decision, mark in marks)
            found = [(place.start(), decision) for place, decision in placed if place]
        if not found:
            return Plan(thought=text, decision=Decision.NONE)
        at, decision = min(found)
        return Plan(thought=text[:at], decision=decision)


def _wide_pattern(mark: str) -> re.Pattern[str]:
    """Pattern of a mark whose punctuation may be full-width, which takes no blank behind it."""
    spelled = {plain: "".join(wide for wide, narrow in _WIDE.items() if narrow == plain) for plain in _WIDE.values()}
    parts = [rf"[{char}{spelled[char]}]\s?" if char in spelled else re.escape(char) for char in mark.strip()]
    return re.compile("".join(parts).replace(r"\s?\ ", r"\s?"))


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
    end = text.find(_ARGUMENTS)
    while end >= 0:  # by the second label: a search for both takes time squared on a line of first ones
        start = text.find(ACTION, text.rfind("\n", 0, end) + 1, end - 1)
        if start >= 0:
            return start
        end = text.find(_ARGUMENTS, end + 1)
    loose = _LOOSE_ACTION.search(text)
    return loose.start() if loose else -1


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
