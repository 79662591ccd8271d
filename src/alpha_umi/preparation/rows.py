"""Conversion of the rows of files to trajectories, one at a time: what every reader of rows has in common.

A row that cannot be read is counted and named, and so is a file that breaks off; the output appears whole or not at
all.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path

from alpha_umi.datasets.toolbench import Reading
from alpha_umi.errors import DataError
from alpha_umi.preparation.report import BROKEN, PrepareReport, PrepareStats, Progress
from alpha_umi.store import dump_row, encode_trajectory, write_text
from alpha_umi.text_files import OnBytes

Rows = Callable[[Path, str, OnBytes | None], Iterator[Reading | DataError]]
"""Reader of a file, whose tasks' ids begin with a text: the reading of each row, or its error."""


def prepare_rows(
    files: Sequence[Path],
    out: Path,
    read: Rows,
    limit: int | None = None,
    progress: Progress | None = None,
    *,
    strict: bool = False,
) -> PrepareReport:
    """Write the trajectories of all files to `out`; `progress` is called with the bytes read and those of all files.

    Raises DataError naming file and row where `strict`, or where no row at all can be read.
    """
    stats = PrepareStats()
    first: DataError | None = None
    sizes = [path.stat().st_size if path.is_file() else 0 for path in files]
    with write_text(out) as lines:
        for number, path in enumerate(files):
            on_bytes = partial(_show, progress, sum(sizes[:number]), sum(sizes)) if progress else None
            for found in read(path, stem(path, files), on_bytes):
                if stats.kept == limit:
                    break
                if isinstance(found, DataError):
                    first = first or found
                    if strict:
                        raise found
                    stats.skip(str(path), BROKEN, str(found))
                    continue
                lines.write(dump_row(encode_trajectory(found.trajectory)))
                stats.keep(found.deviations)
            if on_bytes is not None:
                on_bytes(sizes[number])
        if first is not None and not stats.kept:
            raise first
    return stats.report(compat=False)


def _show(progress: Progress, before: int, total: int, count: int) -> None:
    progress(before + count, total)


def stem(path: Path, files: Sequence[Path]) -> str:
    """The file's stem, with its directory's name where two files have the same one."""
    names = Counter(file.name.split(".")[0] for file in files)
    name = path.name.split(".")[0]
    return name if names[name] == 1 else f"{path.parent.name}/{name}"
