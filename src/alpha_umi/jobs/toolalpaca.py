"""ToolAlpaca: the evaluation of a run against the golden calls of its evaluation files."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from alpha_umi.config.calls import validated
from alpha_umi.datasets.shapes import SHAPES
from alpha_umi.datasets.toolbench import Reading
from alpha_umi.errors import DataError
from alpha_umi.evaluation.toolalpaca import GoldCheck, ToolAlpacaReport, check_golds
from alpha_umi.output_lock import locks_out
from alpha_umi.preparation.shaped import read_shaped_file
from alpha_umi.rollouts.runner import ROLLOUTS
from alpha_umi.store import read_trajectories, write_json, write_text
from alpha_umi.types import Trajectory


@validated
@locks_out
def evaluate_toolalpaca(predictions: Path, out: Path, *, gold: Sequence[Path]) -> ToolAlpacaReport:
    """Check the calls of a run against ToolAlpaca's golden ones.

    `predictions`: a run of rollouts, or trajectories; `gold`: evaluation files, each a set, all of whose tasks count,
    found by their API and text; `out`: where figures (.json) and table (.md) go. Raises DataError for files without
    golden calls, and where no task is theirs.
    """
    path = predictions / ROLLOUTS if predictions.is_dir() else predictions
    made = {_key(trajectory): trajectory for trajectory in read_trajectories(path)}
    sets: dict[str, list[GoldCheck]] = {}
    for file in gold:
        golds = _read_golds(file)
        if any(_key(each) in made for each in golds):
            sets[file.stem] = [check_golds(made.get(_key(each)), each) for each in golds]
    if not sets:
        named = ", ".join(map(str, gold))
        raise DataError(f"{path}: none of its tasks is one of {named}; make them by 'umi prepare toolalpaca'")
    report = ToolAlpacaReport(sets=sets)
    write_json(out, report.to_json())
    with write_text(out.with_suffix(".md")) as text:
        text.write(report.to_markdown())
    return report


def _read_golds(file: Path) -> list[Trajectory]:
    read = read_shaped_file(file, SHAPES["toolalpaca"], file.stem)
    readings = [each for each in read if isinstance(each, Reading)]
    golds = [each.trajectory for each in readings if each.trajectory.calls]
    if not golds:
        raise DataError(f"{file}: holds no golden calls; ToolAlpaca's evaluation files have 'Golden_Answers'")
    return golds


def _key(trajectory: Trajectory) -> tuple[str, str]:
    return str(trajectory.task.metadata.get("api")), " ".join(trajectory.task.query.split())
