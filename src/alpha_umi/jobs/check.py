"""Validation of a data file: the faults of each row with its line number, and counts of its contents."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import cast

from alpha_umi.errors import AlphaUMiError, DataError
from alpha_umi.preparation.checks import Finding, Severity, check_trajectory, check_types
from alpha_umi.preparation.contents import Contents, new_contents
from alpha_umi.preparation.reading import read_row
from alpha_umi.store import dump_line, encode_trajectory
from alpha_umi.text_files import JsonRow, is_json_lines, open_text, parse_json, read_json_rows, read_lines
from alpha_umi.types import Json, Trajectory


@dataclass(frozen=True, slots=True, kw_only=True)
class RowFinding:
    """A fault, and the row that has it."""

    row: int
    """Number of the row, from 1."""
    line: int
    """Of the file, from 1; of processed dialogues the line on which the dialogue begins."""
    task: str
    """The task's id; empty where the row could not be read."""
    finding: Finding


@dataclass(frozen=True, slots=True, kw_only=True)
class DataReport:
    """The findings and the contents of one file."""

    path: Path
    rows: int
    findings: tuple[RowFinding, ...]
    contents: Contents

    def by_severity(self, severity: Severity) -> tuple[RowFinding, ...]:
        """The findings of one severity, in the order of the file."""
        return tuple(found for found in self.findings if found.finding.severity is severity)

    def count_rows(self, severity: Severity) -> int:
        """Number of rows with a finding of one severity."""
        return len({found.row for found in self.by_severity(severity)})

    def to_document(self) -> dict[str, Json]:
        """The report as JSON, for scripts."""
        listed: dict[str, Json] = {
            severity.value: [_row(found) for found in self.by_severity(severity)] for severity in Severity
        }
        return {"file": str(self.path), "rows": self.rows, **listed, "holds": self.contents.to_document()}


def _row(found: RowFinding) -> dict[str, Json]:
    finding = found.finding
    return {
        "row": found.row,
        "line": found.line,
        "task": found.task,
        "where": finding.where,
        "message": finding.message,
    }


def check_data(path: Path, on_progress: Callable[[int, int], object] = lambda _done, _total: None) -> DataReport:
    """Check trajectories or processed dialogues, either also `.gz` or `.zst`, row by row.

    `on_progress` is called with the line reached and the number of lines. Raises DataError for an unreadable file.
    """
    lines = _count_lines(path)
    contents, findings, seen = new_contents(), list[RowFinding](), _Seen()
    rows = 0
    for line, row in _rows(path):
        rows, task = rows + 1, ""
        if isinstance(row, str):
            found = (_wrong("", row),)
        elif not (found := check_types(row)):
            task = row.task.id
            found = (*check_trajectory(row), *seen.repeats(row, line))
            contents.add(row)
        findings += [RowFinding(row=rows, line=line, task=task, finding=finding) for finding in found]
        on_progress(line, lines)
    if not rows:
        raise DataError(f"{path}: holds no rows")
    return DataReport(path=path, rows=rows, findings=tuple(findings), contents=contents)


# --- rows ---------------------------------------------------------------------------------------------


def _rows(path: Path) -> Iterator[tuple[int, Trajectory | str]]:
    """The line of every row, with its trajectory, or with the reason why it is none."""
    if not is_json_lines(path):
        for row in read_json_rows(path):
            read = _read(row, path)
            yield row.line, read if isinstance(read, Trajectory) else f"row {row.index + 1}: {read}"
        return
    lines = ((number, line) for number, line in read_lines(path) if line.strip())
    for index, (number, line) in enumerate(lines):
        try:
            value = parse_json(line.rstrip("\n"), path, before=number - 1)
        except DataError as error:
            yield number, _without_line(str(error), f"{path}:{number}:")
        else:
            yield number, _read(JsonRow(value=value, index=index, line=number, where=""), path)


def _without_line(message: str, where: str) -> str:
    column, _, rest = message.removeprefix(where).partition(": broken JSON: ")
    return f"broken JSON at column {column}: {rest}" if column.isdecimal() else message.removeprefix(where).strip()


def _read(row: JsonRow, path: Path) -> Trajectory | str:
    try:
        return read_row(row, path)
    except AlphaUMiError as error:
        return str(error)


def _count_lines(path: Path) -> int:
    with open_text(path) as text:
        return sum(1 for _ in text)


# --- repeats ------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Seen:
    """The first line of every task id and of every content."""

    ids: dict[str, int] = field(default_factory=dict[str, int])
    contents: dict[int, int] = field(default_factory=dict[int, int])

    def repeats(self, trajectory: Trajectory, line: int) -> Iterator[Finding]:
        """Findings for an id or a content that an earlier row has."""
        row = encode_trajectory(trajectory)
        task = cast("dict[str, Json]", row["task"])
        content = hash(dump_line([task["query"], task["tools"], row["turns"]]))
        same, first = self.contents.setdefault(content, line), self.ids.setdefault(trajectory.task.id, line)
        if same != line:
            yield _doubtful("turns", f"repeats line {same} word for word")
        elif first != line:
            yield _doubtful("task.id", f"is also that of line {first}")


def _wrong(where: str, message: str) -> Finding:
    return Finding(severity=Severity.WRONG, where=where, message=message)


def _doubtful(where: str, message: str) -> Finding:
    return Finding(severity=Severity.DOUBTFUL, where=where, message=message)
