"""Faults of trajectory records that cannot be decoded: the first one, by its place and in words.

Standard library only. Asked after decoding has failed, so that decoding itself stays fast; types of text fields are
checked by `preparation.checks`.
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


def trajectory_fault(row: Mapping[str, object]) -> str:
    """First fault of a trajectory's record; empty where none is known."""
    return next(_trajectory_faults(row), "")


def task_fault(task: object) -> str:
    """First fault of a task's record; empty where none is known."""
    return next(_task_faults(task, ""), "")


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
