"""Zero-shot format: chat messages in which an instruct model plays all roles after one worked example.

All roles read one conversation: the instructions, the example, the tools with the request, and then each turn behind
its cue. So a prompt of any role begins with the whole prompt before it, and a step costs what is new in it. What the
roles write is what `chat` reads. The prompts are `prompts.zero_shot`'s.

Constrained, a thought is one line, and a planner is not offered another call where the same one was just repeated; it
gives up where every call of the exchange failed.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from alpha_umi.errors import FormatError
from alpha_umi.formats.chat import MARKS, ChatFormat, add_message, calls_of, step_ending, step_grammar, write_turn
from alpha_umi.formats.grammars import Calls, decision, quoted
from alpha_umi.formats.prompts import zero_shot as prompts
from alpha_umi.formats.signatures import signature
from alpha_umi.types import (
    Answer,
    Call,
    Decision,
    Ending,
    FinishReason,
    Json,
    Message,
    Observation,
    Plan,
    Role,
    Span,
    Task,
    ToolSpec,
    ToolStatus,
    Turn,
    User,
)

KIND = "zero-shot"
_VERSION = 1
"""Changes with anything that changes a prompt."""
_CHAT = ChatFormat()
_WRITERS: Mapping[type[Turn], Role] = {Plan: Role.PLANNER, Call: Role.CALLER, Answer: Role.SUMMARIZER}
_MOST_ALIKE, _MOST_SAME = 2, 3
"""The same call with the same result, and with any result, after so many of which no other is offered."""
_LINE_BREAK = quoted("\n")
_SENTENCE = r"/[^\n<][^\n]*/ & ~(/[^\n]*/ /(?i:next)[*_`]*[ \t]*[:：]/ /[^\n]*/)"
"""A thought of one line; it opens no reasoning block, and names nobody before the mark does.

Its length is bounded by tokens alone: with a count in it llguidance may give up, for "too many expressions"."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ZeroShotFormat:
    """Format over chat messages (`protocols.Format`) that an untrained instruct model needs no training for."""

    name: str = KIND

    @property
    def end(self) -> str:
        return ""

    @property
    def special_tokens(self) -> tuple[str, ...]:
        return ()

    @classmethod
    def from_document(cls, document: Mapping[str, Json]) -> ZeroShotFormat:
        """Read the document. Raises FormatError for a version that this package does not write."""
        if document.get("version") != _VERSION:
            raise FormatError(
                f"format {KIND!r} has version {document.get('version')!r}; this package knows {_VERSION}: "
                "use the package version that wrote it"
            )
        return cls()

    def to_document(self) -> dict[str, Json]:
        return {"kind": KIND, "version": _VERSION}

    def role_token(self, role: Role) -> str:
        return ""

    def render(self, role: Role, task: Task, turns: Sequence[Turn]) -> tuple[Message, ...]:
        """Render the instructions, the example, and the turns behind their cues. Raises FormatError for another role.

        Turns without a request get the task's.
        """
        if role not in prompts.CUES:
            raise FormatError(f"format {self.name!r} has no prompt of the {role.value}")
        alone = role is Role.BACKBONE
        said = list(turns) if turns and isinstance(turns[0], User) else [User(text=task.query), *turns]
        messages = [Message(role="system", content=prompts.SYSTEM_ALONE if alone else prompts.SYSTEM)]
        _converse(messages, prompts.EXAMPLE_TOOLS, prompts.EXAMPLE, alone=alone)
        _converse(messages, task.tools, said, alone=alone)
        add_message(messages, "user", _cue(role, said[-1]))
        return tuple(messages)

    def write(self, role: Role, turns: Sequence[Turn]) -> str:
        return _CHAT.write(role, turns)

    def spans(self, role: Role, turns: Sequence[Turn]) -> tuple[Span, ...]:
        return _CHAT.spans(role, turns)

    def parse(self, role: Role, text: str, finish: FinishReason = FinishReason.STOP) -> tuple[Turn, ...]:
        return _CHAT.parse(role, text, finish)

    def stops(self, role: Role) -> tuple[str, ...]:
        """Return where a reply goes on into the next turn."""
        if role is Role.SUMMARIZER:
            return (f"\n{prompts.OBSERVATION.strip()}", *(f"\n{mark}" for mark in MARKS.told(callable=True)))
        return _CHAT.stops(role)

    def grammar(self, role: Role, task: Task, turns: Sequence[Turn] = ()) -> str | None:
        """Return the grammar of a reply, whose thought is one line; a caller's is that of `chat`."""
        match role:
            case Role.PLANNER:
                ending = " | ".join(quoted(f"\n{mark}") for mark in _marks(task, turns))
                return f"start: SENTENCE ({ending})\nSENTENCE: {_SENTENCE}"
            case Role.BACKBONE:
                return step_grammar(f"({_SENTENCE}) {_LINE_BREAK}", _calls(task, turns))
            case _:
                return _CHAT.grammar(role, task, turns)

    def ending(self, role: Role, task: Task, turns: Sequence[Turn] = ()) -> Ending | None:
        match role:
            case Role.PLANNER:
                return decision(_marks(task, turns), "\n")
            case Role.BACKBONE:
                return step_ending(_calls(task, turns))
            case _:
                return None


def _converse(messages: list[Message], tools: Sequence[ToolSpec], turns: Sequence[Turn], *, alone: bool) -> None:
    """Add turns to the conversation, each behind its cue; the first request brings the tools. `alone`: one role."""
    offered: str | None = "\n".join(signature(tool) for tool in tools) or prompts.NO_TOOLS
    before: Turn | None = None
    for turn in turns:
        match turn:
            case User(text=text):
                head = "" if offered is None else f"{prompts.TOOLS}\n{offered}\n\n"
                add_message(messages, "user", f"{head}{prompts.REQUEST}{text}")
                offered = None
            case Observation(content=content):
                add_message(messages, "user", f"{prompts.OBSERVATION}{content}")
            case Plan() | Call() | Answer():
                role = Role.BACKBONE if alone else _WRITERS[type(turn)]
                if before is not None and not (alone and isinstance(before, Plan)):
                    add_message(messages, "user", _cue(role, before))
                add_message(messages, "assistant", write_turn(role, turn))
        before = turn


def _cue(role: Role, before: Turn) -> str:
    """Cue of a role after the turn `before`."""
    if role is Role.PLANNER and isinstance(before, Observation):
        return prompts.AFTER_OBSERVATION
    return prompts.CUES[role]


def _marks(task: Task, turns: Sequence[Turn]) -> tuple[str, ...]:
    """Marks of the decisions that are offered: no further call where one was repeated, nor an answer if all failed."""
    calls = _calls(task, turns)
    seen = [turn.status for turn in _exchange(turns) if isinstance(turn, Observation)]
    if calls is None and seen and ToolStatus.OK not in seen:
        return (MARKS.decisions[Decision.GIVE_UP],)
    return MARKS.told(callable=calls is not None)


def _calls(task: Task, turns: Sequence[Turn]) -> Calls | None:
    """Calls that are offered; None also where the last call was a repetition that brought nothing."""
    made = [(turn, after) for turn, after in itertools.pairwise(_exchange(turns)) if isinstance(turn, Call)]
    if made:
        same = [after for call, after in made if call == made[-1][0]]
        if same.count(made[-1][1]) >= _MOST_ALIKE or len(same) >= _MOST_SAME:
            return None
    return calls_of(task)


def _exchange(turns: Sequence[Turn]) -> Sequence[Turn]:
    """The turns since the last request."""
    asked = (at for at in range(len(turns) - 1, -1, -1) if isinstance(turns[at], User))
    return turns[next(asked, 0) :]
