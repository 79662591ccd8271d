"""Conversion of processed dialogues (stage-2 files and static test files) to trajectories."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import cast

from alpha_umi.datasets.processed import read_processed
from alpha_umi.errors import DataError
from alpha_umi.preparation.report import PrepareReport, PrepareStats, Progress
from alpha_umi.store import dump_line, encode_trajectory, read_json, write_text
from alpha_umi.types import Decision, Json, Plan, Trajectory


def prepare_processed(
    files: Sequence[Path], out: Path, limit: int | None = None, progress: Progress | None = None
) -> PrepareReport:
    """Write the dialogues of all files to `out`. Raises DataError naming file, row and turn."""
    stats = PrepareStats()
    with write_text(out) as lines:
        for done, path in enumerate(files, start=1):
            for trajectory in read_processed_file(path, stem=_stem(path, files)):
                if stats.kept == limit:
                    break
                lines.write(dump_line(encode_trajectory(trajectory)))
                stats.keep({"plans_without_call_kept": _undecided(trajectory)})
            if progress is not None:
                progress(done, len(files))
    return stats.report(compat=False)


def read_processed_file(path: Path, stem: str | None = None) -> Iterator[Trajectory]:
    """Read the dialogues of one file as tasks `STEM-INDEX`."""
    rows = read_json(path)
    if not isinstance(rows, list):
        raise DataError(f"{path}: a list of dialogues is needed, with tools, instruction and conversations each")
    name = path.name.split(".")[0] if stem is None else stem
    for index, row in enumerate(cast("list[Json]", rows)):
        try:
            yield read_processed(row, f"{name}-{index}", {"source": "processed", "file": path.name})
        except DataError as error:
            raise DataError(f"{path}: row {index}: {error}") from None


def _stem(path: Path, files: Sequence[Path]) -> str:
    """The file's stem, with its directory's name where two files have the same one."""
    names = Counter(file.name.split(".")[0] for file in files)
    name = path.name.split(".")[0]
    return name if names[name] == 1 else f"{path.parent.name}/{name}"


def _undecided(trajectory: Trajectory) -> int:
    return sum(isinstance(turn, Plan) and turn.decision is Decision.NONE for turn in trajectory.turns)
