"""Readers of query sets: ToolBench's query files, trajectories, or tasks, one file or a folder."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from alpha_umi.datasets.queries import Query, QuerySet, gather_queries, read_queries
from alpha_umi.errors import DataError
from alpha_umi.store import decode_task, decode_trajectory, read_json, read_rows


def read_sets(path: Path) -> list[QuerySet]:
    """Read the queries of a file, or of all files of a folder; each file is a set under its own name.

    `.json`: ToolBench's shape. `.jsonl`: trajectories, or tasks alone; of a folder they are read where it holds no
    `.json`. Raises DataError naming file and entry.
    """
    if not path.is_dir():
        return [_read_set(path)]
    files = sorted(path.glob("*.json")) or sorted(path.glob("*.jsonl"))
    if not files:
        raise DataError(f"{path}: holds no query file (*.json, *.jsonl); name a file of queries, or a folder of them")
    return [_read_set(file) for file in files]


def _read_set(path: Path) -> QuerySet:
    name = path.name.partition(".")[0]
    if path.suffix == ".json":
        return read_queries(read_json(path), name, str(path))
    return gather_queries(name, _read_tasks(path), str(path))


def _read_tasks(path: Path) -> Iterator[Query]:
    for number, row in read_rows(path):
        try:
            if isinstance(row, dict) and "schema" in row:
                trajectory = decode_trajectory(row)
                yield Query(task=trajectory.task, recorded=trajectory)
            else:
                yield Query(task=decode_task(row))
        except DataError as error:
            raise DataError(f"{path}:{number}: {error}") from None
