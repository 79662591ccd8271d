"""Readers of query sets: ToolBench's query files, trajectories, or tasks, one file or a folder."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path

from alpha_umi.datasets.queries import Query, QuerySet, gather_queries, read_queries
from alpha_umi.errors import DataError
from alpha_umi.store import decode_task, decode_trajectory
from alpha_umi.text_files import JsonRow, read_json_rows


def read_sets(path: Path) -> list[QuerySet]:
    """Read the queries of a file, or of all files of a folder; each file is a set under its own name.

    A file holds queries of ToolBench's shape, trajectories, or tasks alone, as a JSON list or JSON Lines. A task may
    be no more than a `query`: its number is its id, and its tools are those that its environment offers. Of a folder
    `.jsonl` files are read where it holds no `.json`. Raises DataError naming file and entry.
    """
    if not path.is_dir():
        return [_read_set(path)]
    files = sorted(path.glob("*.json")) or sorted(path.glob("*.jsonl"))
    if not files:
        raise DataError(f"{path}: holds no query file (*.json, *.jsonl); name a file of queries, or a folder of them")
    return [_read_set(file) for file in files]


def _read_set(path: Path) -> QuerySet:
    name = path.name.partition(".")[0]
    rows = list(read_json_rows(path))
    if any(_is_task(row.value) for row in rows) or all(_is_bare(row.value) for row in rows):
        return gather_queries(name, _read_tasks(rows), str(path))
    return read_queries([row.value for row in rows], name, str(path))


def _is_task(row: object) -> bool:
    """Tell a task or a trajectory from a query of ToolBench's shape."""
    return isinstance(row, dict) and not row.keys() & {"query_id", "api_list"} and bool(row.keys() & {"id", "schema"})


def _is_bare(row: object) -> bool:
    """Tell a query of which nothing else is said from one of ToolBench's shape without its id."""
    return isinstance(row, dict) and "query" in row and not row.keys() & {"query_id", "api_list", "relevant APIs"}


def _read_tasks(rows: Iterable[JsonRow]) -> Iterator[Query]:
    for row in rows:
        try:
            if isinstance(row.value, dict) and "schema" in row.value:
                trajectory = decode_trajectory(row.value)
                yield Query(task=trajectory.task, recorded=trajectory)
            else:
                yield _read_task(row.value, row.index + 1)
        except DataError as error:
            raise DataError(f"{row.where}: {error}") from None


def _read_task(row: object, number: int) -> Query:
    if not isinstance(row, dict):
        return Query(task=decode_task(row))
    task = decode_task({"id": str(number), "tools": [], **row})
    if not isinstance(task.id, str) or not task.id.strip():
        raise DataError(f"not a task: id is {task.id!r}, but must be text")
    if not isinstance(task.query, str) or not task.query.strip():
        raise DataError(f"not a task: query is {task.query!r}, but must be what the user asks")
    return Query(task=task, names_no_tools="tools" not in row)
