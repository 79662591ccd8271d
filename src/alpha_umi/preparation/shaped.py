"""Conversion of public data sets to trajectories, by the shape of their rows (`datasets.shapes`)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from alpha_umi.datasets.chats import Origin
from alpha_umi.datasets.shapes import SHAPES, Shape, describe_row, identify, read_as
from alpha_umi.datasets.toolbench import Reading
from alpha_umi.errors import DataError
from alpha_umi.preparation.report import PrepareReport, Progress
from alpha_umi.preparation.rows import prepare_rows
from alpha_umi.text_files import OnBytes, read_json_rows


def prepare_shaped(
    files: Sequence[Path],
    out: Path,
    shape: Shape,
    limit: int | None = None,
    progress: Progress | None = None,
    *,
    strict: bool = False,
) -> PrepareReport:
    """Write the rows of all files, each of `shape`, to `out`; rows that cannot be read are counted and named.

    Raises DataError naming file and row where `strict`, or where no row at all can be read.
    """

    def read(path: Path, stem: str, on_bytes: OnBytes | None) -> Iterator[Reading | DataError]:
        return read_shaped_file(path, shape, stem, on_bytes)

    return prepare_rows(files, out, read, limit, progress, strict=strict)


def prepare_any(
    files: Sequence[Path],
    out: Path,
    limit: int | None = None,
    progress: Progress | None = None,
    *,
    strict: bool = False,
) -> PrepareReport:
    """Write the rows of all files to `out`, each file read by the shape of its first row.

    Raises DataError as `prepare_shaped` does, and before anything is read where the shape of a file is not known.
    """
    shapes = {path: identify_file(path) for path in files}

    def read(path: Path, stem: str, on_bytes: OnBytes | None) -> Iterator[Reading | DataError]:
        return read_shaped_file(path, shapes[path], stem, on_bytes)

    return prepare_rows(files, out, read, limit, progress, strict=strict)


def identify_file(path: Path) -> Shape:
    """Tell the shape of a file by its first row. Raises DataError where it is of none, saying what it is."""
    for row in read_json_rows(path):
        if found := identify(row.value):
            return found
        keys = ", ".join(map(str, row.value))[:120] if isinstance(row.value, dict) else "none"
        told = (
            describe_row(row.value) or f"it is of no known shape (its keys: {keys}); umi prepare custom takes a reader"
        )
        raise DataError(f"{row.where}: {told}; known shapes: {', '.join(sorted(SHAPES))}")
    raise DataError(f"{path}: holds no rows")


def read_shaped_file(
    path: Path, shape: Shape, stem: str, on_bytes: OnBytes | None = None
) -> Iterator[Reading | DataError]:
    """Read the rows of one file, with the error of each that is none, and of a file that breaks off."""
    metadata = {"source": shape.name, "file": path.name}
    try:
        for row in read_json_rows(path, on_bytes):
            try:
                for found in read_as(shape, row.value, Origin(task_id=f"{stem}-{row.index}", metadata=metadata)):
                    yield DataError(f"{row.where}: {found}") if isinstance(found, DataError) else found
            except DataError as error:
                yield DataError(f"{row.where}: {error}")
    except DataError as error:
        yield error
