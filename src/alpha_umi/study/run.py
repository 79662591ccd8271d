"""Run of a whole study: its data, its cells in one process or several, its report. Finished work is not repeated."""

from __future__ import annotations

from functools import partial
from pathlib import Path

from alpha_umi.config import StudyConfig, resolved
from alpha_umi.errors import AlphaUMiError, InterruptedWorkError
from alpha_umi.jobs.workers import OnProgress, OnUpdate, Update, run_items
from alpha_umi.output_lock import locks_out
from alpha_umi.store import write_text
from alpha_umi.study.cells import Cell, cells, check_bases
from alpha_umi.study.data import Data
from alpha_umi.study.provenance import is_done
from alpha_umi.study.report import write_report
from alpha_umi.study.work import run_cell

_GO_ON = "interrupted; what is finished is kept, and the same command goes on from there"


class StudyError(AlphaUMiError):
    """Cells that failed; the others are measured."""


@locks_out
def run_study(config: StudyConfig, out: Path, show: OnUpdate, *, workers: int = 1) -> Path:
    """Do what is not done yet and write the report; return its folder. An Update is of a cell's key, or of `data`.

    Raises InterruptedWorkError after Ctrl-C, with everything finished kept; StudyError where cells failed, after the
    report on the others.
    """
    check_bases(config)
    try:
        waiting = {cell.key: cell for cell in cells(config) if not is_done(config, cell, out)}
        with write_text(out / "study.toml") as text:
            text.write(resolved(config))
        Data(out, config).make(lambda at: show(Update(what="data", at=at)))
        show(Update(what="data", ended=True))
        for cell in cells(config):
            if cell.key not in waiting:
                show(Update(what=cell.key, at="done before", ended=True))
        failed = run_items(waiting, partial(_run_cell, config, out), show, workers)
    except KeyboardInterrupt:
        raise InterruptedWorkError(_GO_ON) from None
    if not failed:
        return write_report(config, out)
    if len(failed) < len(list(cells(config))):
        write_report(config, out)
    first = next(iter(failed))
    raise StudyError(f"{len(failed)} of {len(waiting)} cells failed, the first: {first}: {failed[first]}")


def _run_cell(config: StudyConfig, out: Path, cell: Cell, on_progress: OnProgress) -> None:
    run_cell(config, cell, out, on_progress)
