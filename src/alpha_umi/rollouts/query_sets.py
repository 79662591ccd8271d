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

    A file holds queries of ToolBench's shape, trajectories, or tasks alone, as a JSON list or JSON Lines. Of a folder
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
    if any(_is_task(row.value) for row in rows):
        return gather_queries(name, _read_tasks(rows), str(path))
    return read_queries([row.value for row in rows], name, str(path))


def _is_task(row: object) -> bool:
    """Tell a task or a trajectory from a query of ToolBench's shape."""
    return isinstance(row, dict) and not row.keys() & {"query_id", "api_list"} and bool(row.keys() & {"id", "schema"})


def _read_tasks(rows: Iterable[JsonRow]) -> Iterator[Query]:
    for row in rows:
        try:
            if isinstance(row.value, dict) and "schema" in row.value:
                trajectory = decode_trajectory(row.value)
                yield Query(task=trajectory.task, recorded=trajectory)
            else:
                yield Query(task=decode_task(row.value))
        except DataError as error:
            raise DataError(f"{row.where}: {error}") from None
