"""Export of trajectories as chats for other trainers, a JSON list or JSON Lines."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Protocol

from alpha_umi.datasets.toolbench import Skip
from alpha_umi.datasets.writers import WRITERS
from alpha_umi.errors import ConfigError, DataError, FormatError
from alpha_umi.preparation.export import ExportReport, make_report
from alpha_umi.preparation.lists import dump_indented, writing_list
from alpha_umi.store import dump_line, write_text
from alpha_umi.types import Json, Trajectory


def export_chats(trajectories: Iterable[Trajectory], to: str, out: Path) -> ExportReport:
    """Write a row for each trajectory in the shape `to`: JSON Lines, or a list where `out` is a `.json` file.

    Trajectories that the shape cannot say are left out and counted. Raises ConfigError for an unknown shape, DataError
    where nothing is left to write.
    """
    write = WRITERS.get(to)
    if write is None:
        raise ConfigError(f"--to {to!r} is not known; known: {', '.join(WRITERS)}")
    skipped: list[Skip] = []
    rows = 0
    with _writing(out) as add:
        for trajectory in trajectories:
            try:
                row = write(trajectory)
            except FormatError as error:
                skipped.append(Skip(reason=str(error), where=trajectory.task.id))
                continue
            add(row)
            rows += 1
        if not rows:
            why = f": {skipped[0].where}: {skipped[0].reason}" if skipped else "; there are no trajectories"
            raise DataError(f"nothing to write as {to}{why}")
    return make_report(rows, skipped)


class _Add(Protocol):
    def __call__(self, row: dict[str, Json], /) -> object: ...


@contextmanager
def _writing(out: Path) -> Iterator[_Add]:
    if out.name.removesuffix(".gz").removesuffix(".zst").endswith(".json"):
        with writing_list(out) as written:
            yield lambda row: written.add(dump_indented(row))
    else:
        with write_text(out) as text:
            yield lambda row: text.write(dump_line(row))
