"""Codec of processed dialogues `{tools, instruction, conversations}` to and from trajectories, lossless.

The shape of the published stage-2 files and static test files. One entry of `conversations` is one turn.
Law: `write_processed(read_processed(row, id)) == row` for every row this module accepts. Content that a turn cannot
hold (an answer that is no text, further keys) is kept in the task's metadata and written back in its place.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import cast

from alpha_umi.errors import DataError
from alpha_umi.formats.documents import read_document, write_document
from alpha_umi.formats.marks import Marks, read_call, write_call
from alpha_umi.types import (
    Answer,
    Call,
    Decision,
    Json,
    Observation,
    Plan,
    StopReason,
    Task,
    ToolSpec,
    Trajectory,
    Turn,
    User,
)

VERBATIM = "verbatim"
"""Metadata key: index of a turn (as text) -> the entry of `conversations` that the turn cannot hold."""
_ROW, _TOOLS = "row", "tools"
_KEYS = ["tools", "instruction", "conversations"]
_ROLES = ("user", "assistant", "caller", "observation", "conclusion")
_MARKS = Marks()


def read_processed(row: Json, task_id: str, metadata: Mapping[str, Json] | None = None) -> Trajectory:
    """Read one dialogue. Raises DataError naming the wrong key or turn."""
    if not isinstance(row, dict):
        raise DataError("not a dialogue: an object with tools, instruction and conversations is needed")
    missing = [key for key in _KEYS if key not in row]
    if missing:
        raise DataError(f"not a dialogue: {' and '.join(missing)} missing (its keys: {', '.join(row) or 'none'})")
    turns, verbatim = _read_turns(row["conversations"])
    kept: dict[str, Json] = dict(metadata or {})
    if verbatim:
        kept[VERBATIM] = verbatim
    instruction = row["instruction"]
    if list(row) != _KEYS or not isinstance(instruction, str):
        held = {key: value for key, value in row.items() if key not in ("tools", "conversations")}
        kept[_ROW] = {key: held.get(key) for key in row}
    query = as_text(instruction)
    tools = row["tools"]
    if isinstance(tools, str):
        kept[_TOOLS] = tools
        tools = _decode_tools(tools)
    task = Task(id=task_id, query=query, tools=_read_tools(tools), metadata=kept)
    return Trajectory(task=task, turns=turns, stop=stop_reason(turns))


def write_processed(trajectory: Trajectory) -> dict[str, Json]:
    """Write a trajectory as a dialogue; the exact inverse of `read_processed`."""
    task = trajectory.task
    written: dict[str, Json] = {
        "tools": task.metadata.get(_TOOLS, [write_document(tool) for tool in task.tools]),
        "instruction": task.query,
        "conversations": cast("Json", write_conversations(trajectory)),
    }
    row = task.metadata.get(_ROW)
    if not isinstance(row, dict):
        return written
    rebuilt = {key: written[key] if key in ("tools", "conversations") else value for key, value in row.items()}
    return {**rebuilt, **{key: value for key, value in written.items() if key not in rebuilt}}


def write_conversations(trajectory: Trajectory) -> list[dict[str, Json]]:
    """Write the entries of all turns, verbatim ones included."""
    entries = [write_entry(turn) for turn in trajectory.turns]
    for index, entry in verbatim_entries(trajectory).items():
        if index < len(entries):
            entries[index] = entry
    return entries


def verbatim_entries(trajectory: Trajectory) -> dict[int, dict[str, Json]]:
    """Entries that their turns cannot hold, by index of the turn."""
    kept = trajectory.task.metadata.get(VERBATIM)
    if not isinstance(kept, dict):
        return {}
    return {int(index): entry for index, entry in kept.items() if index.isdecimal() and isinstance(entry, dict)}


def read_entry(role: str, text: str) -> Turn | None:
    """Read the turn of one entry; None for an unknown role."""
    match role:
        case "user":
            return User(text=text)
        case "assistant":
            return _MARKS.read_plan(text)
        case "caller":
            return read_call(text)
        case "observation":
            return Observation(content=text)
        case "conclusion":
            return Answer(text=text)
        case _:
            return None


def write_entry(turn: Turn) -> dict[str, Json]:
    """Write the entry of one turn."""
    match turn:
        case User(text=text):
            return {"from": "user", "value": text}
        case Plan():
            return {"from": "assistant", "value": _MARKS.write_plan(turn)}
        case Call():
            return {"from": "caller", "value": write_call(turn)}
        case Observation(content=content):
            return {"from": "observation", "value": content}
        case Answer(text=text):
            return {"from": "conclusion", "value": text}


def stop_reason(turns: Sequence[Turn]) -> StopReason:
    """Stop reason of a recorded path, from its last turn."""
    match turns[-1] if turns else None:
        case Answer():
            return StopReason.ANSWERED
        case Plan(decision=Decision.GIVE_UP):
            return StopReason.GAVE_UP
        case _:
            return StopReason.UNFINISHED


def as_text(value: Json) -> str:
    """Return text as it is, anything else as JSON."""
    return value if isinstance(value, str) else json.dumps(value)


def _decode_tools(text: str) -> Json:
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        raise DataError(f"'tools' is text, and no JSON: {error}") from None


def _read_tools(tools: Json) -> tuple[ToolSpec, ...]:
    if not isinstance(tools, list):
        raise DataError("'tools' is no list")
    specs: list[ToolSpec] = []
    for index, document in enumerate(tools):
        if not isinstance(document, dict):
            raise DataError(f"tools[{index}] is no object")
        try:
            specs.append(read_document(document))
        except DataError as error:
            raise DataError(f"tools[{index}]: {error}") from None
    return tuple(specs)


def _read_turns(conversations: Json) -> tuple[tuple[Turn, ...], dict[str, Json]]:
    if not isinstance(conversations, list):
        raise DataError("'conversations' is no list")
    turns: list[Turn] = []
    verbatim: dict[str, Json] = {}
    for index, entry in enumerate(conversations):
        if not isinstance(entry, dict) or "from" not in entry or "value" not in entry:
            raise DataError(f"turn {index}: an object with 'from' and 'value' is needed")
        role, value = entry["from"], entry["value"]
        turn = read_entry(role, as_text(value)) if isinstance(role, str) else None
        if turn is None:
            raise DataError(f"turn {index}: unknown role {role!r}; known: {', '.join(_ROLES)}")
        turns.append(turn)
        if not isinstance(value, str) or list(entry) != ["from", "value"]:
            verbatim[str(index)] = entry
    return tuple(turns), verbatim
