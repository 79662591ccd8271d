"""Faults of trajectory records that cannot be decoded: the first one, by its place and in words.

Standard library only. Asked after decoding has failed, so that decoding itself stays fast; types of text fields are
checked by `preparation.checks`, and by `value_fault` where a file of others is read.
"""

from __future__ import annotations

import reprlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import MISSING, fields
from enum import StrEnum
from typing import Any, cast

from alpha_umi.types import (
    Answer,
    Call,
    Decision,
    Observation,
    Plan,
    Review,
    StopReason,
    ToolSpec,
    ToolStatus,
    Trajectory,
    Usage,
    User,
)

_TURNS: Mapping[str, type[Any]] = {
    "user": User,
    "plan": Plan,
    "call": Call,
    "observation": Observation,
    "answer": Answer,
    "review": Review,
}
_TEXTS = ("text", "thought", "name", "arguments", "content")
"""Fields of turns that are text."""
_MOST_SECONDS = 1e10


def trajectory_fault(row: Mapping[str, object]) -> str:
    """First fault of a trajectory's record; empty where none is known."""
    return next(_trajectory_faults(row), "")


def task_fault(task: object) -> str:
    """First fault of a task's record; empty where none is known."""
    return next(_task_faults(task, ""), "")


def value_fault(trajectory: Trajectory) -> str:
    """First field of a decoded trajectory that holds another type than its own; empty where there is none.

    For files of others: what is no text fails only later, where it is written, compared or named.
    """
    return next(_value_faults(trajectory), "")


def rollout_fault(row: Mapping[str, object]) -> str:
    """First fault of what a rollout's record has beside its trajectory; empty where none is known."""
    return next(_rollout_faults(row), "")


def _value_faults(trajectory: Trajectory) -> Iterator[str]:
    task = trajectory.task
    yield from _typed("task.", _fields_of(task, "id", "query"), str)
    yield from _typed("task.", _fields_of(task, "metadata"), Mapping)
    for index, tool in enumerate(task.tools):
        yield from _typed(f"task.tools[{index}].", _fields_of(tool, "name", "description"), str)
        yield from _typed(f"task.tools[{index}].", _fields_of(tool, "parameters"), Mapping)
    for index, turn in enumerate(trajectory.turns):
        texts = [name for name in _TEXTS if hasattr(turn, name)]
        yield from _typed(f"turns[{index}].", _fields_of(turn, *texts), str)


def _rollout_faults(row: Mapping[str, object]) -> Iterator[str]:
    yield from _missing(row, "set", "method", "nodes")
    yield from _typed("", {key: row[key] for key in ("set", "method")}, str)
    yield from _typed("", {"error": row.get("error", "")}, str)
    seconds = row.get("seconds", 0.0)
    if isinstance(seconds, bool) or not isinstance(seconds, int | float) or not 0 <= seconds < _MOST_SECONDS:
        yield _wanted("seconds", seconds, "a number of seconds")
    verdict = row.get("verdict")
    if verdict is not None:
        found = cast("Mapping[str, object]", verdict) if isinstance(verdict, Mapping) else {}
        reasons = found.get("reasons", [])
        texts = isinstance(reasons, list) and all(isinstance(each, str) for each in cast("list[object]", reasons))
        if not isinstance(found.get("passed"), bool) or not texts:
            yield _wanted("verdict", verdict, "null, or an object with 'passed' (true or false) and 'reasons' (texts)")
    nodes = row["nodes"]
    if not isinstance(nodes, list):
        yield _wanted("nodes", nodes, "a list")
        return
    for index, node in enumerate(cast("list[object]", nodes)):
        yield from _node_faults(node, index, f"nodes[{index}]")


def _node_faults(node: object, index: int, at: str) -> Iterator[str]:
    if not isinstance(node, Mapping):
        yield _wanted(at, node, "an object")
        return
    node = cast("Mapping[str, object]", node)
    yield from _missing(node, "index", "parent", "turns", "status", "usage", "hint", "visit", at=f"{at}.")
    yield from _typed(f"{at}.", {"hint": node["hint"]}, str)
    if type(node["index"]) is not int or not 0 <= node["index"] <= index:
        yield _wanted(f"{at}.index", node["index"], f"its place, {index}")
    parent, visit = node["parent"], node["visit"]
    if parent is not None and (type(parent) is not int or not 0 <= parent < index):
        yield _wanted(f"{at}.parent", parent, "null, or the index of an earlier node")
    if visit is not None and (type(visit) is not int or visit < 0):
        yield _wanted(f"{at}.visit", visit, "null, or a whole number from 0")
    if not isinstance(node["turns"], list):
        yield _wanted(f"{at}.turns", node["turns"], "a list")
        return
    for number, turn in enumerate(cast("list[object]", node["turns"])):
        yield from _turn_faults(turn, f"{at}.turns[{number}]")
        turn = cast("Mapping[str, object]", turn)
        yield from _typed(f"{at}.turns[{number}].", {key: turn[key] for key in _TEXTS if key in turn}, str)
    yield from _object_faults(node["usage"], f"{at}.usage", Usage)


def _fields_of(value: object, *names: str) -> dict[str, object]:
    return {name: getattr(value, name) for name in names}


def _typed(at: str, values: Mapping[str, object], kind: type[Any]) -> Iterator[str]:
    wanted = "text" if kind is str else "an object"
    yield from (_wanted(f"{at}{name}", value, wanted) for name, value in values.items() if not isinstance(value, kind))


def _trajectory_faults(row: Mapping[str, object]) -> Iterator[str]:
    yield from _missing(row, "task")
    yield from _task_faults(row.get("task"), "task")
    yield from _missing(row, "turns")
    turns = row.get("turns")
    if not isinstance(turns, list):
        yield _wanted("turns", turns, "a list")
        return
    for index, turn in enumerate(cast("list[object]", turns)):
        yield from _turn_faults(turn, f"turns[{index}]")
    yield from _choice_faults(row, "stop", StopReason, "stop")
    yield from _object_faults(row.get("usage") or {}, "usage", Usage)


def _task_faults(task: object, at: str) -> Iterator[str]:
    if not isinstance(task, Mapping):
        yield _wanted(at or "it", task, "an object")
        return
    task, dot = cast("Mapping[str, object]", task), f"{at}." if at else ""
    yield from _missing(task, "id", "query", "tools", at=dot)
    if not isinstance(task["tools"], list):
        yield _wanted(f"{dot}tools", task["tools"], "a list")
        return
    for index, tool in enumerate(cast("list[object]", task["tools"])):
        yield from _object_faults(tool, f"{dot}tools[{index}]", ToolSpec)


def _turn_faults(turn: object, at: str) -> Iterator[str]:
    if not isinstance(turn, Mapping):
        yield _wanted(at, turn, "an object")
        return
    turn = cast("Mapping[str, object]", turn)
    yield from _missing(turn, "turn", at=f"{at}.")
    kind = turn["turn"]
    if not isinstance(kind, str) or kind not in _TURNS:
        yield _wanted(f"{at}.turn", kind, _one_of(_TURNS))
        return
    yield from _missing(turn, *_needed(_TURNS[kind]), at=f"{at}.")
    if kind == "plan":
        yield from _choice_faults(turn, "decision", Decision, f"{at}.decision")
    if kind == "observation":
        yield from _choice_faults(turn, "status", ToolStatus, f"{at}.status")


def _object_faults(value: object, at: str, kind: type[Any]) -> Iterator[str]:
    """Faults of a record whose keys are the fields of a type."""
    known = [field.name for field in fields(kind)]
    if not isinstance(value, Mapping):
        yield _wanted(at, value, f"an object with {', '.join(known)}")
        return
    record = cast("Mapping[str, object]", value)
    yield from (f"{at} has an unknown key {key!r}; known: {', '.join(known)}" for key in record if key not in known)
    yield from _missing(record, *_needed(kind), at=f"{at}.")


def _needed(kind: type[Any]) -> list[str]:
    return [field.name for field in fields(kind) if field.default is MISSING and field.default_factory is MISSING]


def _choice_faults(row: Mapping[str, object], key: str, kind: type[StrEnum], at: str) -> Iterator[str]:
    if key in row and row[key] not in list(kind):
        yield _wanted(at, row[key], _one_of(kind))


def _missing(row: Mapping[str, object], *needed: str, at: str = "") -> Iterator[str]:
    yield from (f"{at}{key} is missing" for key in needed if key not in row)


def _one_of(choices: Sequence[str] | Mapping[str, object] | type[StrEnum]) -> str:
    return f"one of {', '.join(choices)}"


def _wanted(at: str, value: object, what: str) -> str:
    return f"{at} is {reprlib.repr(value)}, but must be {what}"
