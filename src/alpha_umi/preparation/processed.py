"""Processed dialogues (stage-2 files and static test files) as trajectories."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from alpha_umi.datasets.chats import Origin
from alpha_umi.datasets.shapes import SHAPES, read_as
from alpha_umi.errors import DataError
from alpha_umi.preparation.report import PrepareReport, Progress
from alpha_umi.preparation.shaped import prepare_shaped, read_shaped_file
from alpha_umi.text_files import JsonRow
from alpha_umi.types import Trajectory

_SHAPE = SHAPES["processed"]


def prepare_processed(
    files: Sequence[Path],
    out: Path,
    limit: int | None = None,
    progress: Progress | None = None,
    *,
    strict: bool = False,
) -> PrepareReport:
    """Write the dialogues of all files to `out`, as `prepare_shaped` does. Raises DataError."""
    return prepare_shaped(files, out, _SHAPE, limit, progress, strict=strict)


def read_processed_file(path: Path, stem: str | None = None) -> Iterator[Trajectory]:
    """Read the dialogues of one file, a JSON list or JSON Lines, as tasks `STEM-INDEX`.

    Raises DataError naming the first row that is none.
    """
    for found in read_shaped_file(path, _SHAPE, _stem(path, stem)):
        if isinstance(found, DataError):
            raise found
        yield found.trajectory


def read_dialogue(row: JsonRow, path: Path, stem: str | None = None) -> Trajectory:
    """Read the dialogue of one row of `path`. Raises DataError naming the wrong key or turn, or what reads the row."""
    origin = Origin(task_id=f"{_stem(path, stem)}-{row.index}", metadata={"source": _SHAPE.name, "file": path.name})
    for found in read_as(_SHAPE, row.value, origin):
        if isinstance(found, DataError):
            raise found
        return found.trajectory
    raise AssertionError("a dialogue is one trajectory")


def _stem(path: Path, stem: str | None) -> str:
    return path.name.split(".")[0] if stem is None else stem
