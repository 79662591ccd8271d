"""Trajectories of chats in data sets: what every shape of messages has in common."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import NamedTuple

from alpha_umi.datasets.processed import as_text, stop_reason
from alpha_umi.datasets.toolbench import Reading
from alpha_umi.errors import DataError
from alpha_umi.formats.messages import read_arguments
from alpha_umi.formats.turn_builder import LAYOUT, SYSTEM, Layout, TurnBuilder
from alpha_umi.loose_json import read_loosely
from alpha_umi.types import Call, Json, Task, ToolSpec, Trajectory, Turn, Usage, User

COLUMNS = "columns"
"""Metadata key: columns of a row that no turn holds, as they were."""
_NO_USAGE = Usage()
_BETWEEN = re.compile(r"\s*</tool_response>\s*<tool_response>\s*")
_KEPT_SHORT = 2000
"""Characters of a column that is kept; pictures and whole documents are not."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Origin:
    """Place of a row: the id of its task, and what its metadata begins with."""

    task_id: str
    metadata: Mapping[str, Json] = field(default_factory=dict[str, Json])


class Chat(NamedTuple):
    """Chat of one row, read."""

    turns: Sequence[Turn]
    tools: tuple[ToolSpec, ...]
    system: str = ""
    layout: Layout = Layout()
    deviations: Mapping[str, int] = MappingProxyType({})
    columns: Mapping[str, Json] = MappingProxyType({})
    """The row's other columns."""
    metadata: Mapping[str, Json] = MappingProxyType({})
    """More that the shape wants kept."""


def finish(builder: TurnBuilder, tools: tuple[ToolSpec, ...], **more: object) -> Chat:
    """End the chat of a builder. Raises DataError."""
    layout = builder.finish()
    return Chat(turns=builder.turns, tools=tools, layout=layout, deviations=builder.deviations, **more)  # pyright: ignore[reportArgumentType]


def make_reading(chat: Chat, origin: Origin) -> Reading:
    """Make the trajectory of a chat; its query is the user's first text."""
    metadata: dict[str, Json] = {**origin.metadata, **chat.metadata}
    if chat.system:
        metadata[SYSTEM] = chat.system
    if chat.layout.parallel or chat.layout.reasoned:
        metadata[LAYOUT] = chat.layout.to_json()
    if columns := {key: value for key, value in chat.columns.items() if value is not None and _is_short(value)}:
        metadata[COLUMNS] = dict[str, Json](columns)
    turns = tuple(chat.turns)
    query = turns[0].text if isinstance(turns[0], User) else ""
    task = Task(id=origin.task_id, query=query, tools=chat.tools, metadata=metadata)
    deviations = dict(chat.deviations)
    called = [turn.name for turn in turns if type(turn) is Call]
    offered = [tool.name for tool in chat.tools]
    if strange := sum([name not in offered for name in called]):
        deviations["calls_of_tools_that_are_not_offered"] = strange
    trajectory = Trajectory(task=task, turns=turns, stop=stop_reason(turns), usage=_NO_USAGE)
    return Reading(trajectory=trajectory, deviations=deviations)


def _is_short(value: Json) -> bool:
    return not isinstance(value, str | list | dict) or len(as_text(value)) <= _KEPT_SHORT


# --- calls and results as text ---------------------------------------------------------------------------


def read_call_text(text: Json) -> list[tuple[str, str]]:
    """Read the calls of a text that holds nothing else: an object with a name and arguments, or a list of them.

    Returns names with arguments. Raises DataError.
    """
    value = text
    if isinstance(text, str):
        try:
            value = read_loosely(text).value
        except ValueError as error:
            raise DataError(f"a call is no JSON: {error}") from None
    entries = value if isinstance(value, list) else [value]
    if not entries:
        raise DataError("a list of calls is empty")
    return [_read_call(entry) for entry in entries]


def _read_call(entry: Json) -> tuple[str, str]:
    function = entry.get("function", entry) if isinstance(entry, dict) else None
    call = function if isinstance(function, dict) else entry
    name = call.get("name") if isinstance(call, dict) else None
    if not isinstance(call, dict) or not isinstance(name, str) or not name:
        raise DataError("a call has no text under 'name'")
    given = call.get("arguments", call.get("parameters"))
    return name, read_arguments(given)


def split_results(text: str, count: int) -> list[str]:
    """Split one message with the results of several calls: by tags, or the entries of a list. Raises DataError."""
    if count <= 1:
        return [text]
    parts = _BETWEEN.split(text)
    if len(parts) == count:
        return parts
    try:
        value = read_loosely(text).value
    except ValueError:
        value = None
    if isinstance(value, list) and len(value) == count:
        return [read_arguments(entry) for entry in value]
    raise DataError(f"{count} calls have one result, which is no list of {count}")


def text_of(value: Json) -> str:
    """Text of a message: a text as it is, nothing as an empty one, anything else as JSON."""
    return "" if value is None else read_arguments(value)


def messages_of(row: Mapping[str, Json], *keys: str) -> list[Mapping[str, Json]]:
    """The list of messages under the first of `keys` that there is. Raises DataError for another shape."""
    key = next((key for key in keys if row.get(key) is not None), keys[0])
    found = row.get(key)
    if not isinstance(found, list) or not found:
        raise DataError(f"{key!r} is no list of messages")
    for index, message in enumerate(found):
        if not isinstance(message, dict):
            raise DataError(f"{key}[{index}]: an object is needed")
    return found  # pyright: ignore[reportReturnType]
