"""Chat messages of OpenAI's API, read as turns and written from turns.

Servers and data sets share both directions. Text parts of a message are its text; `reasoning_content` (`reasoning`,
`thinking`) is a thought. Arguments of a call stay the text that was written; an object is written as text.

Laws: `read_messages(write_messages(turns))` has the turns of a chat in which each plan has its call and result, or its
answer, after it; and messages as `write_messages` spells them are written back unchanged.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import NamedTuple, cast

from alpha_umi.errors import DataError, FormatError
from alpha_umi.formats.recorded import read_calls, read_content
from alpha_umi.formats.turn_builder import Layout, TurnBuilder
from alpha_umi.types import Answer, Call, Decision, Json, Observation, Plan, Review, Turn, User

_SYSTEM = ("system", "developer")
_REASONING = ("reasoning_content", "reasoning", "thinking")
_REASONS_ANYWHERE = frozenset(_REASONING)
_KNOWN = "system, developer, user, assistant, tool, function"


class ReadMessages(NamedTuple):
    """Turns of messages, with what turns do not hold."""

    turns: tuple[Turn, ...]
    system: str = ""
    """Text of the system messages at the beginning."""
    layout: Layout = Layout()
    call_ids: tuple[str, ...] = ()
    """Id of every call in `turns`, in order; empty where its message gave none."""
    deviations: Mapping[str, int] = MappingProxyType({})
    """Counts of what was read otherwise than it was written."""


def read_messages(messages: Json) -> ReadMessages:
    """Read messages. Raises DataError naming the first message that cannot stand where it is.

    A call needs a result, except where all calls of the last message have none.
    """
    if not isinstance(messages, list):
        raise DataError("'messages' is no list")
    builder, system = TurnBuilder(), list[str]()
    for index, message in enumerate(messages):
        try:
            if not isinstance(message, dict):
                raise DataError("an object with 'role' and 'content' is needed")
            _read_message(message, builder, system)
        except DataError as error:
            raise DataError(f"messages[{index}]: {error}") from None
    layout = builder.finish()
    return ReadMessages(
        turns=tuple(builder.turns),
        system="\n\n".join(system),
        layout=layout,
        call_ids=tuple(builder.call_ids),
        deviations=builder.deviations,
    )


def _read_message(message: Mapping[str, Json], builder: TurnBuilder, system: list[str]) -> None:
    role, content = message.get("role"), message.get("content")
    text = content if isinstance(content, str) else _read_parts(content, builder)
    if role == "assistant":
        _read_assistant(message, text, builder)
    elif role == "tool" or role == "function":
        identity = message.get("tool_call_id")
        builder.result(text, identity if isinstance(identity, str) else "")
    elif role == "user":
        builder.user(text)
    elif role in _SYSTEM:
        if builder.turns:
            builder.deviations["later_system_messages_read_as_the_user's"] += 1
            builder.user(text)
        elif text:
            system.append(text)
    else:
        raise DataError(f"unknown role {json.dumps(role)[:60]}; known: {_KNOWN}")


def _read_assistant(message: Mapping[str, Json], text: str, builder: TurnBuilder) -> None:
    listed = message.get("tool_calls")
    calls = read_calls(message) if listed or message.get("function_call") else ()
    if listed and isinstance(listed, list) and len(listed) != len(calls):
        raise DataError("an entry of 'tool_calls' is no {function: {name, arguments}}")
    reasoning = "" if _REASONS_ANYWHERE.isdisjoint(message) else _read_reasoning(message)
    if text or reasoning or not calls:
        refusal = message.get("refusal")
        builder.say(text or (refusal if isinstance(refusal, str) else ""), reasoning)
    elif builder.waiting:
        builder.say("")  # which refuses calls without results
    for call in calls:
        if not isinstance(call.name, str):
            raise DataError("a call names no tool")
        builder.call(call.name, read_arguments(call.arguments), call.id)


def _read_reasoning(message: Mapping[str, Json]) -> str:
    texts = [said for key in _REASONING if isinstance(said := message.get(key), str)]
    return next(filter(None, texts), "")


def read_arguments(arguments: Json) -> str:
    """Read the arguments of a call: text as it was written, anything else as JSON, nothing as an empty object."""
    if isinstance(arguments, str):
        return arguments
    return "{}" if arguments is None else json.dumps(arguments, ensure_ascii=False)


def _read_parts(content: Json, builder: TurnBuilder) -> str:
    if isinstance(content, list):
        left_out = sum(not (isinstance(part, dict) and isinstance(part.get("text"), str)) for part in content)
        builder.deviations["parts_that_are_no_text_left_out"] += left_out
        if left_out and all(isinstance(part, dict) and "type" in part for part in content):
            return read_content(
                [part for part in content if isinstance(cast("dict[str, Json]", part).get("text"), str)] or ""
            )
    return read_content(content)


# --- writing ------------------------------------------------------------------------------------------


def call_id(number: int) -> str:
    """The id of a call by its number: nine letters and digits, as the strictest endpoints want it."""
    return f"call{number:05}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """Turns of one message: a plan's thought, with the answer, or with calls and their results."""

    thought: str = ""
    calls: tuple[tuple[Call, Observation | None], ...] = ()
    answer: str | None = None
    is_reasoned: bool = False
    """The thought of the calls was reasoning."""


def split_steps(turns: Sequence[Turn], layout: Layout | None = None) -> list[str | Step]:
    """Split turns into what messages hold: texts of the user, and steps of the assistant; calls by `layout` together.

    Raises FormatError for turns that no chat message can say: a give-up, or an observation without its call.
    """
    steps = _Steps(layout or Layout())
    for index, turn in enumerate(turns):
        steps.add(index, turn)
    steps.flush()
    return steps.done


@dataclass(slots=True)
class _Steps:
    layout: Layout
    done: list[str | Step] = field(default_factory=list["str | Step"])
    plan: Plan | None = None
    """Whose call or answer has not come."""
    at: int = -1
    """Index of that plan."""

    def add(self, index: int, turn: Turn) -> None:
        match turn:
            case Plan(decision=Decision.GIVE_UP):
                raise FormatError("it gives up, which no chat message says")
            case Plan():
                self.flush()
                self.plan, self.at = turn, index
            case Call():
                self.call(turn)
            case Observation():
                self.observe(index, turn)
            case Answer(text=text):
                self.done.append(Step(thought=self.plan.thought if self.plan else "", answer=text))
                self.plan = None
            case Review(accepted=True):
                pass
            case User(text=text):
                self.flush()
                self.done.append(text)

    def call(self, call: Call) -> None:
        last, plan = self.done[-1] if self.done else None, self.plan
        joins = plan is None or (self.at in self.layout.parallel and not plan.thought)
        if joins and isinstance(last, Step) and last.calls:
            self.done[-1] = replace(last, calls=(*last.calls, (call, None)))
        else:
            is_reasoned = plan is not None and self.at in self.layout.reasoned
            thought = plan.thought if plan else ""
            self.done.append(Step(thought=thought, calls=((call, None),), is_reasoned=is_reasoned))
        self.plan = None

    def observe(self, index: int, seen: Observation) -> None:
        last = self.done[-1] if self.done else None
        if self.plan is not None or not isinstance(last, Step) or not last.calls or last.calls[-1][1] is not None:
            raise FormatError(f"turn {index} is an observation without its call")
        self.done[-1] = replace(last, calls=(*last.calls[:-1], (last.calls[-1][0], seen)))

    def flush(self) -> None:
        """Make a step of a plan that nothing followed."""
        if self.plan is not None:
            self.done.append(Step(thought=self.plan.thought))
        self.plan = None


def write_messages(turns: Sequence[Turn], *, system: str = "", layout: Layout | None = None) -> list[dict[str, Json]]:
    """Write turns as messages, each call with an id of its own. Raises FormatError for a turn that none can say."""
    messages: list[dict[str, Json]] = []
    if system:
        messages.append({"role": "system", "content": system})
    made = 0
    for step in split_steps(turns, layout):
        if isinstance(step, str):
            messages.append({"role": "user", "content": step})
        elif not step.calls:
            messages.append(_write_text(step))
        else:
            ids = [call_id(made + number) for number in range(len(step.calls))]
            made += len(ids)
            messages.append(_write_calls(step, ids))
            for identity, (_, seen) in zip(ids, step.calls, strict=True):
                if seen is not None:
                    messages.append({"role": "tool", "tool_call_id": identity, "content": seen.content})
    return messages


def _write_text(step: Step) -> dict[str, Json]:
    if step.answer is None:
        return {"role": "assistant", "content": step.thought}
    reasoning: dict[str, Json] = {"reasoning_content": step.thought} if step.thought else {}
    return {"role": "assistant", "content": step.answer, **reasoning}


def _write_calls(step: Step, ids: Sequence[str]) -> dict[str, Json]:
    said: dict[str, Json] = {"content": step.thought if step.thought.strip() else None}
    if step.is_reasoned and step.thought:
        said = {"content": None, "reasoning_content": step.thought}
    calls: list[Json] = [
        {"id": identity, "type": "function", "function": {"name": call.name, "arguments": call.arguments}}
        for identity, (call, _) in zip(ids, step.calls, strict=True)
    ]
    return {"role": "assistant", **said, "tool_calls": calls}
