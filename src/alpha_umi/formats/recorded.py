"""Recorded messages of raw ToolBench answers in the shapes that their collectors wrote: calls, observations, tools.

OpenAI's older shape has one `function_call` per message and responses of the role `function`; the newer one has
`tool_calls`, which may be parallel, and responses that name theirs by `tool_call_id`. Nothing is refused: what is of
another shape is no call, or an empty text.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from alpha_umi.types import Json

_RESPONDING = ("function", "tool", "observation")


class RecordedCall(NamedTuple):
    """Call of a recorded message."""

    name: Json
    arguments: Json
    id: str = ""
    """Empty where the shape has none."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Exchange:
    """Message of the agent or the user, with the responses that follow it, of which some answer its calls."""

    message: Mapping[str, Json]
    answered: Sequence[tuple[RecordedCall, Mapping[str, Json] | None]] = ()
    """Calls, each with its response; None where there is none."""
    others: Sequence[Mapping[str, Json]] = ()
    """Responses that answer none of the calls."""


def read_exchanges(messages: Sequence[Json]) -> list[Exchange]:
    """Pair the calls of every message with their responses: by id, else in their order."""
    exchanges: list[Exchange] = []
    said = [message for message in messages if isinstance(message, dict)]
    at = 0
    while at < len(said):
        end = at + 1
        while end < len(said) and said[end].get("role") in _RESPONDING:
            end += 1
        first = at if said[at].get("role") in _RESPONDING else at + 1
        exchanges.append(_pair(said[at] if first > at else {}, said[first:end]))
        at = end
    return exchanges


def _pair(message: Mapping[str, Json], responses: Sequence[Mapping[str, Json]]) -> Exchange:
    calls = read_calls(message) if message.get("role") == "assistant" else []
    ids, waiting = {call.id for call in calls if call.id}, list(responses)
    found: dict[int, Mapping[str, Json]] = {}
    for named in (True, False):
        for number, call in enumerate(calls):
            for response in waiting if number not in found and not is_finish(call) else ():
                identity = response.get("tool_call_id")
                if (call.id and identity == call.id) if named else identity not in ids:
                    found[number] = response
                    waiting.remove(response)
                    break
    answered = [(call, found.get(number)) for number, call in enumerate(calls)]
    return Exchange(message=message, answered=answered, others=waiting)


def is_finish(call: RecordedCall) -> bool:
    """Tell whether a call ends the task; nothing responds to it."""
    return call.name == "Finish"


def read_calls(message: Mapping[str, Json]) -> list[RecordedCall]:
    """Read the calls of one message, in either shape."""
    listed, single = message.get("tool_calls"), message.get("function_call")
    calls = [call for each in (listed if isinstance(listed, list) else []) if (call := _read_call(each)) is not None]
    if not calls and isinstance(single, dict):
        calls = [RecordedCall(name=single.get("name", ""), arguments=single.get("arguments", ""))]
    return calls


def _read_call(entry: Json) -> RecordedCall | None:
    function = entry.get("function", entry) if isinstance(entry, dict) else None
    if not isinstance(entry, dict) or not isinstance(function, dict) or "name" not in function:
        return None
    identity = entry.get("id")
    return RecordedCall(
        name=function["name"],
        arguments=function.get("arguments", ""),
        id=identity if isinstance(identity, str) else "",
    )


def read_function(tool: Json) -> Mapping[str, Json] | None:
    """Read the declaration of a tool, bare or wrapped as `{"type": "function", "function": {...}}`."""
    function = tool.get("function", tool) if isinstance(tool, dict) else None
    return function if isinstance(function, dict) else None


def read_content(content: Json) -> str:
    """Read the text of a message: of a list of parts the texts, one after the other; of other values their JSON."""
    if content is None:
        return ""
    if isinstance(content, str):
        return content
    if isinstance(content, list) and content and all(isinstance(part, dict) and "type" in part for part in content):
        texts = [part.get("text") for part in content if isinstance(part, dict)]
        return "".join(text for text in texts if isinstance(text, str))
    return json.dumps(content)
