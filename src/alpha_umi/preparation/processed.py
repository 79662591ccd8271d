"""Conversion of processed dialogues (stage-2 files and static test files) to trajectories."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path

from alpha_umi.datasets.processed import read_processed
from alpha_umi.errors import DataError
from alpha_umi.preparation.report import BROKEN, PrepareReport, PrepareStats, Progress
from alpha_umi.store import dump_line, encode_trajectory, write_text
from alpha_umi.text_files import JsonRow, read_json_rows
from alpha_umi.types import Decision, Plan, Trajectory


def prepare_processed(
    files: Sequence[Path],
    out: Path,
    limit: int | None = None,
    progress: Progress | None = None,
    *,
    strict: bool = False,
) -> PrepareReport:
    """Write the dialogues of all files to `out`; rows and files that cannot be read are counted and named.

    Raises DataError naming file, row and turn where `strict`, or where no dialogue at all can be read.
    """
    stats = PrepareStats()
    first: DataError | None = None
    with write_text(out) as lines:
        for done, path in enumerate(files, start=1):
            for found in _read_each(path, _stem(path, files)):
                if stats.kept == limit:
                    break
                if isinstance(found, DataError):
                    first = first or found
                    if strict:
                        raise found
                    stats.skip(str(path), BROKEN, str(found))
                    continue
                lines.write(dump_line(encode_trajectory(found)))
                stats.keep({"plans_without_call_kept": _undecided(found)})
            if progress is not None:
                progress(done, len(files))
        if first is not None and not stats.kept:
            raise first
    return stats.report(compat=False)


def _read_each(path: Path, stem: str) -> Iterator[Trajectory | DataError]:
    """Read the dialogues of one file, with the error of each row that is none, and of a file that breaks off."""
    try:
        for row in read_json_rows(path):
            try:
                yield read_dialogue(row, path, stem)
            except DataError as error:
                yield DataError(f"{row.where}: {error}")
    except DataError as error:
        yield error


def read_processed_file(path: Path, stem: str | None = None) -> Iterator[Trajectory]:
    """Read the dialogues of one file, a JSON list or JSON Lines, as tasks `STEM-INDEX`.

    Raises DataError naming the first row that is none.
    """
    for found in _read_each(path, path.name.split(".")[0] if stem is None else stem):
        if isinstance(found, DataError):
            raise found
        yield found


def read_dialogue(row: JsonRow, path: Path, stem: str | None = None) -> Trajectory:
    """Read the dialogue of one row of `path`. Raises DataError naming the wrong key or turn."""
    name = path.name.split(".")[0] if stem is None else stem
    return read_processed(row.value, f"{name}-{row.index}", {"source": "processed", "file": path.name})


def _stem(path: Path, files: Sequence[Path]) -> str:
    """The file's stem, with its directory's name where two files have the same one."""
    names = Counter(file.name.split(".")[0] for file in files)
    name = path.name.split(".")[0]
    return name if names[name] == 1 else f"{path.parent.name}/{name}"


def _undecided(trajectory: Trajectory) -> int:
    return sum(isinstance(turn, Plan) and turn.decision is Decision.NONE for turn in trajectory.turns)
