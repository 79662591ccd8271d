"""Conversion of files of any shape to trajectories, by a reader function of the user."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

from alpha_umi.errors import DataError
from alpha_umi.preparation.checks import check_types
from alpha_umi.preparation.report import PrepareReport, PrepareStats, Progress
from alpha_umi.store import dump_line, encode_trajectory, write_text
from alpha_umi.types import Trajectory


def prepare_custom(
    read: Callable[[Path], Iterable[Trajectory]],
    files: Sequence[Path],
    out: Path,
    limit: int | None = None,
    progress: Progress | None = None,
) -> PrepareReport:
    """Write the trajectories that `read` finds in all files to `out`, at most `limit`.

    Raises DataError naming file and trajectory where a value is of another type than the field asks for.
    """
    stats = PrepareStats()
    with write_text(out) as lines:
        for done, path in enumerate(files, start=1):
            if not path.exists():
                raise DataError(f"{path}: no such file")
            for number, trajectory in enumerate(read(path), start=1):
                if stats.kept == limit:
                    break
                lines.write(_encoded(trajectory, f"{path}: trajectory {number}"))
                stats.keep({})
            if progress is not None:
                progress(done, len(files))
    return stats.report(compat=False)


def _encoded(trajectory: Trajectory, where: str) -> str:
    # A reader may have put anything into the fields: what cannot be checked or written is of a wrong type.
    try:
        faults = check_types(trajectory)
        line = "" if faults else dump_line(encode_trajectory(trajectory))
    except (TypeError, ValueError, AttributeError) as error:
        raise DataError(f"{where}: a field or turn is of a type that alpha_umi.types does not name: {error}") from None
    if faults:
        raise DataError(f"{where}, {faults[0].where}: {faults[0].message}")
    return line
