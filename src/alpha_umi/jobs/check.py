"""Validation of a data file: the faults of each row with its line number, and counts of its contents."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import cast

from alpha_umi.datasets.processed import read_processed
from alpha_umi.errors import AlphaUMiError, DataError
from alpha_umi.preparation.checks import Finding, Severity, check_trajectory, check_types
from alpha_umi.preparation.contents import Contents, new_contents
from alpha_umi.store import decode_trajectory, dump_line, encode_trajectory, open_text, read_json
from alpha_umi.types import Json, Trajectory


@dataclass(frozen=True, slots=True, kw_only=True)
class RowFinding:
    """A fault, and the row that has it."""

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

    def to_document(self) -> dict[str, Json]:
        """The report as JSON, for scripts."""
        listed: dict[str, Json] = {
            severity.value: [_row(found) for found in self.by_severity(severity)] for severity in Severity
        }
        return {"file": str(self.path), "rows": self.rows, **listed, "holds": self.contents.to_document()}


def _row(found: RowFinding) -> dict[str, Json]:
    finding = found.finding
    return {"line": found.line, "task": found.task, "where": finding.where, "message": finding.message}


def check_data(path: Path, on_progress: Callable[[int, int], object] = lambda _done, _total: None) -> DataReport:
    """Check trajectories (`.jsonl`) or processed dialogues (`.json`), either also `.gz` or `.zst`, row by row.

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
        findings += [RowFinding(line=line, task=task, finding=finding) for finding in found]
        on_progress(line, lines)
    if not rows:
        raise DataError(f"{path}: holds no rows")
    return DataReport(path=path, rows=rows, findings=tuple(findings), contents=contents)


# --- rows ---------------------------------------------------------------------------------------------


def _rows(path: Path) -> Iterator[tuple[int, Trajectory | str]]:
    """The line of every row, with its trajectory, or with the reason why it is none."""
    return _dialogues(path) if path.name.removesuffix(".gz").removesuffix(".zst").endswith(".json") else _lines(path)


def _count_lines(path: Path) -> int:
    with open_text(path) as text:
        return sum(1 for _ in text)


def _lines(path: Path) -> Iterator[tuple[int, Trajectory | str]]:
    with open_text(path) as text:
        for number, line in enumerate(text, start=1):
            if line.strip():
                yield number, _decoded(line)


def _decoded(line: str) -> Trajectory | str:
    try:
        return decode_trajectory(json.loads(line))
    except json.JSONDecodeError as error:
        return f"broken JSON at column {error.colno}: {error.msg}"
    except (ValueError, RecursionError) as error:
        return f"JSON that cannot be read: {error}"
    except AlphaUMiError as error:
        return str(error)


def _dialogues(path: Path) -> Iterator[tuple[int, Trajectory | str]]:
    rows = read_json(path)
    if not isinstance(rows, list):
        raise DataError(f"{path}: a list of dialogues is needed, with tools, instruction and conversations each")
    lines = _first_lines(path, len(cast("list[Json]", rows)))
    for index, (line, row) in enumerate(zip(lines, cast("list[Json]", rows), strict=True)):
        try:
            yield line, read_processed(row, f"{path.name.split('.')[0]}-{index}")
        except DataError as error:
            yield line, str(error)


def _first_lines(path: Path, count: int) -> Iterator[int]:
    """The line on which each value of a JSON list begins."""
    with open_text(path) as file:
        text = file.read()
    decoder, at, line = json.JSONDecoder(), text.index("[") + 1, 1
    counted = 0
    for _ in range(count):
        while text[at] in " \t\r\n,":
            at += 1
        line += text.count("\n", counted, at)
        counted = at
        yield line
        at = decoder.raw_decode(text, at)[1]


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
