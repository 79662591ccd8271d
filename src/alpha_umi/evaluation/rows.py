"""Rows of a predictions file: tools, reference text and prediction text of a step, under the published keys."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from alpha_umi.errors import DataError
from alpha_umi.types import Json

_KEYS = ("tools", "reference", "predictions")


@dataclass(frozen=True, slots=True, kw_only=True)
class StepRow:
    """One row of a predictions file: a scored step."""

    tools: tuple[str | None, ...]
    """The offered names; None where a tool has no text under `Name`."""
    reference: str
    prediction: str
    missing: bool = False
    """True: the file has no prediction for the step, which is then empty and wrong."""


def read_rows(rows: Json) -> list[StepRow]:
    """Read the rows of a loaded file; further keys are ignored. A missing or null prediction is empty.

    Raises DataError naming row (from 0) and key, also where no row has a prediction.
    """
    if not isinstance(rows, list):
        raise DataError(f"scored steps are a JSON list of rows with {', '.join(_KEYS)}; this is {_kind(rows)}")
    if not rows:
        raise DataError("there are no rows to score: the list is empty")
    if not any(isinstance(row, dict) and "predictions" in row for row in rows):
        _checked(0, rows[0], _KEYS)
    return [_read_row(number, row) for number, row in enumerate(rows)]


def missing_note(rows: Sequence[StepRow]) -> Sequence[str]:
    """One note on rows without a prediction, where there are such."""
    missing = sum(row.missing for row in rows)
    return [f"{missing} of {len(rows)} predictions are missing or null and count as wrong"] if missing else []


def _read_row(number: int, row: Json) -> StepRow:
    found = _checked(number, row, ("tools", "reference"))
    missing = found.get("predictions") is None
    return StepRow(
        tools=tuple(_tool_name(number, tool) for tool in _list(number, found)),
        reference=_text(number, found, "reference"),
        prediction="" if missing else _text(number, found, "predictions"),
        missing=missing,
    )


def _checked(number: int, row: Json, keys: Sequence[str]) -> Mapping[str, Json]:
    """Return a row that has these keys. Raises DataError for another one."""
    if not isinstance(row, dict):
        raise DataError(f"row {number}: an object with {', '.join(_KEYS)} is needed, this is {_kind(row)}")
    missing = [key for key in keys if key not in row]
    if missing:
        has = ", ".join(row) or "nothing"
        raise DataError(f"row {number}: key {missing[0]!r} is missing (it has {has}); are these predictions?")
    return row


def _list(number: int, row: Mapping[str, Json]) -> Sequence[Json]:
    tools = row["tools"]
    if not isinstance(tools, list):
        raise DataError(f"row {number}: 'tools' must be a list of tool documents, this is {_kind(tools)}")
    return tools


def _tool_name(number: int, tool: Json) -> str | None:
    if not isinstance(tool, dict):
        raise DataError(f"row {number}: 'tools' must hold objects with a 'Name', one is {_kind(tool)}")
    name = tool.get("Name")
    return name if isinstance(name, str) else None


def _text(number: int, row: Mapping[str, Json], key: str) -> str:
    text = row[key]
    if not isinstance(text, str):
        raise DataError(f"row {number}: {key!r} must be a text, this is {_kind(text)}")
    return text


def _kind(value: Json) -> str:
    match value:
        case dict():
            return "an object"
        case list():
            return "a list"
        case str():
            return "a text"
        case None:
            return "null"
        case _:
            return "a boolean" if isinstance(value, bool) else "a number"
