"""Messages of smolagents' ToolCallingAgent, which writes calls and their results as text, in the usual shape.

An assistant's `Calling tools:` with a list of calls becomes `tool_calls`, the user's `Observation:` or `Error:` behind
a tool's message; the words before a task are left out. Messages of others, and text that is no such list, stay as they
are.
"""

from __future__ import annotations

from collections.abc import Sequence

from alpha_umi.formats.recorded import read_content
from alpha_umi.loose_json import read_loosely
from alpha_umi.types import Json

_CALLING, _OBSERVATION, _ERROR, _CALL_ID, _TASK = (
    "Calling tools:\n",
    "Observation:\n",
    "Error:\n",
    "Call id: ",
    "New task:\n",
)


def with_calls(messages: Sequence[Json]) -> list[Json]:
    """Return the messages with calls and results in the usual shape."""
    read: list[Json] = []
    waiting: list[str] = []
    for message in messages:
        role = message.get("role") if isinstance(message, dict) else None
        if not isinstance(message, dict) or role not in ("user", "assistant") or message.get("tool_calls"):
            read.append(message)
            continue
        text = read_content(message.get("content"))
        if role == "assistant":
            thought, calls = _calls_in(text)
            waiting = [str(call.get("id", "")) for call in calls]
            read.append({**message, "content": thought, "tool_calls": list[Json](calls)} if calls else message)
        elif waiting and (result := _result_in(text)) is not None:
            read.append({"role": "tool", "tool_call_id": waiting.pop(0), "content": result})
        else:
            read.append({**message, "content": text.removeprefix(_TASK)} if text.startswith(_TASK) else message)
    return read


def _calls_in(text: str) -> tuple[str, list[dict[str, Json]]]:
    """The thought and the calls of a text; no calls, and all of the text, where it holds none."""
    thought, mark, written = text.rpartition(_CALLING)
    if not mark:
        return text, []
    try:
        entries = read_loosely(written.strip()).value
    except ValueError:
        return text, []
    calls = [entry for entry in entries if _is_call(entry)] if isinstance(entries, list) else []
    return (thought.rstrip(), calls) if calls else (text, [])  # pyright: ignore[reportReturnType]


def _is_call(entry: Json) -> bool:
    function = entry.get("function") if isinstance(entry, dict) else None
    return isinstance(function, dict) and isinstance(function.get("name"), str)


def _result_in(text: str) -> str | None:
    if text.startswith(_OBSERVATION):
        return text.removeprefix(_OBSERVATION)
    head, mark, error = text.partition(_ERROR)
    return error if mark and (not head or head.startswith(_CALL_ID)) else None
