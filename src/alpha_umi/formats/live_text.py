"""Completions in progress as a reader sees them: the thought or the answer so far, without the marks of the format.

Law: the pieces of `feed` and `finish`, joined, are the text that the whole completion parses to, or a beginning of it
where a later token changes how an earlier one reads.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from alpha_umi.errors import FormatError
from alpha_umi.protocols import Format
from alpha_umi.types import Answer, Call, Decision, FinishReason, Plan, Role, Turn

_STAND_IN = "✱"
_OPEN_MARK = re.compile(r"[<\[◁][^<>\[\]◁▷]{0,60}\Z")
"""What may become a mark of reasoning, or of a chat template."""
_READS = 64
"""A text is read again when it has grown by this part of its length, so that long ones take linear time."""


class LiveText:
    """Text of one turn of a completion in progress: of the plan's thought, or of the answer."""

    def __init__(self, format: Format, role: Role, kind: type[Plan | Answer], stops: Sequence[str] = ()) -> None:  # noqa: A002
        """`stops`: what ends the text, beside the format's marks."""
        self._format, self._role, self._kind, self._stops = format, role, kind, stops
        self._heads, self._tails = _frame(format, role, kind)
        self._written = ""
        self._read_at = 0
        self.shown = ""
        """The pieces so far."""

    def feed(self, piece: str) -> str:
        """Add a piece of the completion; the text that it makes certain, often empty."""
        self._written += piece
        if len(self._written) - self._read_at < len(self._written) // _READS:
            return ""
        self._read_at = len(self._written)
        if any(head.startswith(self._written) for head in self._heads):
            return ""
        turns = self._format.parse(self._role, self._written, FinishReason.LENGTH)
        return self._show(self._certain(before_stop(_text_of(turns, self._kind), self._stops)))

    def finish(self, text: str) -> str:
        """The rest of the text that the whole completion reads as."""
        return self._show(text)

    def _certain(self, text: str) -> str:
        """The text without an end that may turn out to be a mark, or to end the text."""
        if found := _OPEN_MARK.search(text):
            text = text[: found.start()]
        text = text.rstrip()
        for tail in (*self._tails, *self._stops):
            for width in range(min(len(tail), len(text)), 0, -1):
                if text.endswith(tail[:width]):
                    text = text[:-width].rstrip()
                    break
        return text

    def _show(self, text: str) -> str:
        if not text.startswith(self.shown):
            return ""
        piece, self.shown = text[len(self.shown) :], text if len(text) > len(self.shown) else self.shown
        return piece


def before_stop(text: str, stops: Sequence[str]) -> str:
    """The text before the first of the strings that end it."""
    return text[: min((at for stop in stops if (at := text.find(stop)) >= 0), default=len(text))]


def _text_of(turns: tuple[Turn, ...], kind: type[Plan | Answer]) -> str:
    for turn in turns:
        if isinstance(turn, kind):
            return turn.thought if isinstance(turn, Plan) else turn.text
    return ""


def _frame(format: Format, role: Role, kind: type[Plan | Answer]) -> tuple[set[str], set[str]]:  # noqa: A002
    """Marks that a format writes before and behind a text of this kind."""
    heads, tails = set[str](), set[str]()
    for written in _samples(format, role, kind):
        head, mark, tail = written.partition(_STAND_IN)
        if mark:
            heads |= {head} if head else set()
            tails |= {tail.strip()} if tail.strip() else set()
    return heads, tails


def _samples(format: Format, role: Role, kind: type[Plan | Answer]) -> Iterator[str]:  # noqa: A002
    text = _STAND_IN if kind is Answer else "-"
    thought = _STAND_IN if kind is Plan else "-"
    answer, call = Answer(text=text), Call(name="tool", arguments="{}")
    steps: list[tuple[Turn, ...]]
    if role is Role.BACKBONE:
        plans = {decision: Plan(thought=thought, decision=decision) for decision in Decision}
        steps = [(plans[Decision.CONCLUDE], answer), (plans[Decision.CALL], call), (plans[Decision.GIVE_UP],)]
    elif kind is Plan:
        steps = [(Plan(thought=thought, decision=decision),) for decision in Decision]
    else:
        steps = [(answer,)]
    for step in steps:
        try:
            yield format.write(role, step)
        except FormatError:
            continue
