"""Writers of rows for other trainers: OpenAI's, ms-swift's, ShareGPT's (LLaMA-Factory) and TRL's shape.

The whole agent speaks as one assistant: a thought is its text before a call, or its reasoning before an answer. Law:
the reader of the shape (`datasets.shapes`) reads the turns of a written row again, where it says nothing else. A
trajectory that the shape cannot say raises FormatError: one that gives up, or calls whose arguments are no object.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import cast

from alpha_umi.errors import FormatError
from alpha_umi.formats.messages import Step, split_steps, write_messages
from alpha_umi.formats.tool_lists import write_tools
from alpha_umi.formats.turn_builder import SYSTEM, Layout
from alpha_umi.loose_json import decode_json
from alpha_umi.types import Call, Json, Observation, Trajectory

Row = dict[str, Json]


def write_openai(trajectory: Trajectory) -> Row:
    """Write `{messages, tools}` of OpenAI's chat completions. Raises FormatError."""
    tools = write_tools(trajectory.task.tools)
    messages = cast("Json", _messages(trajectory))
    return {"messages": messages, "tools": tools} if tools else {"messages": messages}


def write_trl(trajectory: Trajectory) -> Row:
    """Write `{messages, tools}` for TRL's SFTTrainer: arguments are objects, as chat templates want them.

    Tools are text, which every version of `datasets` keeps as it is. Raises FormatError.
    """
    messages = _messages(trajectory)
    for message in messages:
        for call in cast("list[Row]", message.get("tool_calls") or []):
            function = cast("Row", call["function"])
            function["arguments"] = _object(str(function["name"]), str(function["arguments"]))
        message["content"] = message.get("content") or ""
    return {"messages": cast("Json", messages), "tools": _dump(write_tools(trajectory.task.tools))}


def write_swift(trajectory: Trajectory) -> Row:
    """Write `{tools, messages}` with ms-swift's roles tool_call and tool_response. Raises FormatError."""
    messages: list[Json] = [{"role": "system", "content": text} for text in _system(trajectory)]
    for step in _steps(trajectory):
        if isinstance(step, str):
            messages.append({"role": "user", "content": step})
            continue
        if step.calls and step.thought.strip():
            text = _think(step.thought) if step.is_reasoned else step.thought
            messages.append({"role": "assistant", "content": text})
        messages.extend({"role": "tool_call", "content": _call(call)} for call, _ in step.calls)
        messages.extend({"role": "tool_response", "content": seen.content} for seen in _results(step))
        if not step.calls:
            messages.append({"role": "assistant", "content": _said(step)})
    tools = write_tools(trajectory.task.tools)
    return {"tools": _dump(tools), "messages": messages} if tools else {"messages": messages}


def write_sharegpt(trajectory: Trajectory) -> Row:
    """Write `{conversations, system, tools}` as LLaMA-Factory reads it, where the two sides speak in turn.

    Calls of one message become steps one after the other. Raises FormatError where a side would speak twice.
    """
    said: list[tuple[str, str]] = []
    for step in _steps(trajectory, joined=False):
        if isinstance(step, str):
            said.append(("human", step))
        elif not step.calls:
            said.append(("gpt", _said(step)))
        for call, seen in step.calls if isinstance(step, Step) else ():
            thought = _think(step.thought) if isinstance(step, Step) and step.thought.strip() else ""
            said.append(("function_call", f"{thought}{_call(call)}"))
            said += [("observation", seen.content)] if seen is not None else []
    for number, (role, _) in enumerate(said):
        if (role in ("human", "observation")) != (number % 2 == 0):
            raise FormatError("one side speaks twice in a row, which ShareGPT's rows cannot say")
    if len(said) % 2:
        raise FormatError("it ends with a message that nothing answers, which ShareGPT's rows cannot say")
    return {
        "conversations": [{"from": role, "value": text} for role, text in said],
        "system": next(_system(trajectory), ""),
        "tools": _dump(write_tools(trajectory.task.tools)),
    }


WRITERS: Mapping[str, Callable[[Trajectory], Row]] = {
    "openai": write_openai,
    "swift": write_swift,
    "sharegpt": write_sharegpt,
    "trl": write_trl,
}
"""Writers of one row, by name."""


def _messages(trajectory: Trajectory) -> list[Row]:
    layout = Layout.of(trajectory.task.metadata)
    return write_messages(trajectory.turns, system=next(_system(trajectory), ""), layout=layout)


def _steps(trajectory: Trajectory, *, joined: bool = True) -> Sequence[str | Step]:
    layout = Layout.of(trajectory.task.metadata)
    return split_steps(trajectory.turns, layout if joined else Layout(reasoned=layout.reasoned))


def _system(trajectory: Trajectory) -> Iterator[str]:
    text = trajectory.task.metadata.get(SYSTEM)
    if isinstance(text, str) and text:
        yield text


def _results(step: Step) -> list[Observation]:
    return [seen for _, seen in step.calls if seen is not None]


def _said(step: Step) -> str:
    """Text of a step without calls: the answer, after its thought."""
    if step.answer is None:
        return step.thought
    return f"{_think(step.thought)}{step.answer}" if step.thought.strip() else step.answer


def _think(thought: str) -> str:
    return f"<think>\n{thought.strip()}\n</think>\n\n"


def _call(call: Call) -> str:
    return _dump({"name": call.name, "arguments": _object(call.name, call.arguments)})


def _object(name: str, arguments: str) -> Json:
    try:
        value = decode_json(arguments)
    except ValueError:
        value = None
    if not isinstance(value, dict):
        raise FormatError(f"the arguments of a call of {name!r} are no JSON object")
    return value


def _dump(value: Json) -> str:
    return json.dumps(value, ensure_ascii=False)
