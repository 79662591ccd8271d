"""Conversion of processed dialogues (stage-2 files and static test files) to trajectories."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path

from alpha_umi.datasets.processed import read_processed
from alpha_umi.errors import DataError
from alpha_umi.preparation.report import PrepareReport, PrepareStats, Progress
from alpha_umi.store import dump_line, encode_trajectory, write_text
from alpha_umi.text_files import JsonRow, read_json_rows
from alpha_umi.types import Decision, Plan, Trajectory


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
    """Read the dialogues of one file, a JSON list or JSON Lines, as tasks `STEM-INDEX`."""
    for row in read_json_rows(path):
        try:
            yield read_dialogue(row, path, stem)
        except DataError as error:
            raise DataError(f"{row.where}: {error}") from None


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
