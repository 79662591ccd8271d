"""Builder of turns from the messages of a chat: texts, calls and results, in the order in which they were said.

One rule for every data set and server. A call or an answer has a plan before it; its thought is what the assistant
wrote or reasoned first, and without any the plan is the decision alone. Calls of one message become steps one after
the other, each with its result; `Layout` keeps what a writer needs to join them again.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field

from alpha_umi.errors import DataError
from alpha_umi.types import Answer, Call, Decision, Json, Observation, Plan, ToolStatus, Turn, User

LAYOUT, SYSTEM = "messages", "system"
"""Metadata keys of a task: the layout of its messages, and the text of its system message."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Layout:
    """Places of turns whose messages say more than the turns do, by index of the turn."""

    parallel: tuple[int, ...] = ()
    """Plans that were no message: their call stood beside the call before it."""
    reasoned: tuple[int, ...] = ()
    """Plans with a call whose thought was reasoning, and no text that the user sees."""

    def to_json(self) -> dict[str, Json]:
        """JSON object for the metadata of a task; empty where there is nothing to keep."""
        kept = {"parallel": self.parallel, "reasoned": self.reasoned}
        return {name: list[Json](places) for name, places in kept.items() if places}

    @classmethod
    def of(cls, metadata: Mapping[str, Json]) -> Layout:
        """Layout in the metadata of a task; what is of another shape is ignored."""
        kept = metadata.get(LAYOUT)
        return cls(
            **{name: _places(kept.get(name)) for name in ("parallel", "reasoned")} if isinstance(kept, dict) else {}
        )


def _places(value: Json) -> tuple[int, ...]:
    return tuple(each for each in value if isinstance(each, int)) if isinstance(value, list) else ()


_THINK = re.compile(r"\s*<think(?:ing)?>(?P<thought>.*?)</think(?:ing)?>\s*", re.DOTALL)


def split_think(text: str) -> tuple[str, str]:
    """Split a text into the reasoning of its first `<think>` block and what is said after it."""
    found = _THINK.match(text)
    return ("", text) if found is None else (found["thought"].strip(), text[found.end() :])


@dataclass(slots=True)
class _Waiting:
    """Call whose result may still come."""

    call: Call
    id: str
    result: Observation | None = None


@dataclass(slots=True)
class TurnBuilder:
    """Turns of a chat, message by message. Every method raises DataError for a message that cannot stand there."""

    turns: list[Turn] = field(default_factory=list)
    call_ids: list[str] = field(default_factory=list)
    """Id of every call in `turns`, in order; empty where its message gave none."""
    deviations: Counter[str] = field(default_factory=Counter)
    """Counts of what was read otherwise than it was written."""
    _texts: list[tuple[str, str]] = field(default_factory=list)
    """Text and reasoning of the assistant's messages that no call or user has followed yet."""
    _thought: str = ""
    _is_reasoned: bool = False
    _calls: list[_Waiting] = field(default_factory=list)
    _answered: int = 0
    """Calls of those that have a result."""
    _parallel: list[int] = field(default_factory=list)
    _reasoned: list[int] = field(default_factory=list)

    def user(self, text: str) -> None:
        """Add a message of the user."""
        self._settle()
        self.turns.append(User(text=text))

    def say(self, text: str, reasoning: str = "") -> None:
        """Add a text of the assistant: an answer, or the thought before a call of the same or the next message."""
        if self._calls:
            self._settle_calls()
        if "<think" in text[:40]:
            thought, text = split_think(text)
            reasoning = "\n\n".join(part for part in (reasoning, thought) if part)
        self._texts.append((text, reasoning))

    def call(self, name: str, arguments: str, identity: str = "") -> None:
        """Add a call: beside calls that have no result yet, else a step of its own. `arguments`: as written."""
        if not name:
            raise DataError("a call names no tool")
        if not self.turns:
            raise DataError("a call comes before the user has said anything")
        if self._calls and self._answered:
            self._settle_calls()
        if not self._calls:
            texts = [part for text, reasoning in self._texts for part in (reasoning, text) if part]
            if len(texts) > 1:
                self.deviations["texts_joined_to_a_thought"] += len(texts) - 1
            self._thought = "\n\n".join(texts)
            self._is_reasoned = bool(texts) and not any(text for text, _ in self._texts)
            self._texts = []
        self._calls.append(_Waiting(Call(name=name, arguments=arguments), identity))

    def result(self, content: str, identity: str = "", status: ToolStatus = ToolStatus.OK) -> None:
        """Add the result of a call: of the one with this id, else of the first that waits."""
        waiting = None
        for each in self._calls:
            if identity and each.id == identity:
                waiting = each
                break
            if waiting is None and each.result is None:
                waiting = each
        if waiting is None:
            raise DataError("a tool's result answers no call")
        if waiting.result is not None:
            raise DataError(f"a second result of the call {identity!r}")
        waiting.result = Observation(content=content, status=status)
        self._answered += 1

    def give_up(self) -> None:
        """Add the assistant's decision to give up; what it said before is the thought."""
        self._settle_calls()
        thought = "\n\n".join(part for text, reasoning in self._texts for part in (reasoning, text) if part)
        self._texts = []
        self.turns.append(Plan(thought=thought, decision=Decision.GIVE_UP))

    @property
    def waiting(self) -> int:
        """Number of calls whose result has not come."""
        return len(self._calls) - self._answered

    def finish(self) -> Layout:
        """End the chat; calls at its end may have no results at all. Raises DataError where no user said anything."""
        self._settle(at_end=True)
        if not self.turns:
            raise DataError("no message of the user")
        return Layout(parallel=tuple(self._parallel), reasoned=tuple(self._reasoned))

    def _settle(self, *, at_end: bool = False) -> None:
        if self._calls:
            self._settle_calls(at_end=at_end)
        if not self._texts:
            return
        *before, (answer, reasoning) = self._texts
        self._texts = []
        if not self.turns:
            self.deviations["greetings_left_out"] += 1
            return
        thoughts = [part for text, thought in before for part in (thought, text) if part]
        if before:
            self.deviations["texts_joined_to_a_thought"] += len(before)
        thought = "\n\n".join((*thoughts, reasoning)) if reasoning else "\n\n".join(thoughts)
        self.turns += (Plan(thought=thought, decision=Decision.CONCLUDE), Answer(text=answer))

    def _settle_calls(self, *, at_end: bool = False) -> None:
        missing = self.waiting
        if missing and not (at_end and missing == len(self._calls)):
            name = next(each.call.name for each in self._calls if each.result is None)
            raise DataError(f"the call of {name!r} has no result")
        if missing:
            self.deviations["calls_without_result_at_the_end"] += missing
        turns, thought = self.turns, self._thought
        for number, waiting in enumerate(self._calls):
            if number:
                self._parallel.append(len(turns))
            elif self._is_reasoned:
                self._reasoned.append(len(turns))
            turns += (Plan(thought="" if number else thought, decision=Decision.CALL), waiting.call)
            self.call_ids.append(waiting.id)
            if waiting.result is not None:
                turns.append(waiting.result)
        self._calls, self._answered = [], 0
