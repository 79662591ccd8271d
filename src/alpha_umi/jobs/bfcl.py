"""BFCL: its questions as tasks, and the evaluation of a run by bfcl-eval's own checker."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from alpha_umi.config.calls import validated
from alpha_umi.datasets.bfcl import CATEGORIES, category_of, read_bfcl, write_result
from alpha_umi.environments.bfcl.environment import INSTALL
from alpha_umi.errors import ConfigError, DataError
from alpha_umi.evaluation.bfcl.report import BfclReport, CheckedResult
from alpha_umi.jobs.options import AtLeastOne
from alpha_umi.output_lock import locks_out
from alpha_umi.rollouts.runner import ROLLOUTS
from alpha_umi.store import dump_line, read_trajectories, write_json, write_text, write_trajectories
from alpha_umi.types import Json, StopReason, Trajectory

_CHECKER = Path(__file__).parents[1] / "evaluation" / "bfcl" / "checker.py"
_SECONDS = 600


@validated
@locks_out
def prepare_bfcl(files: Sequence[Path], out: Path, *, limit: AtLeastOne | None = None) -> int:
    """Write the questions of BFCL's files as tasks for `rollout`; returns their number.

    `limit`: questions of each file. Roll them out with the environment `bfcl`. Raises DataError naming a row.
    """
    tasks = [task for path in files for task in read_bfcl(path, limit)]
    return write_trajectories(out, (Trajectory(task=task, turns=()) for task in tasks))


@validated
@locks_out
def evaluate_bfcl(predictions: Path, out: Path, *, python: Path) -> BfclReport:
    """Check the calls of a run by bfcl-eval's own checker.

    `predictions`: a run of rollouts, or trajectories, whose tasks are BFCL's; all calls of a trajectory count. `out`:
    where figures (.json) and table (.md) go, and beside them BFCL's result files; `python`: the interpreter of an
    environment with bfcl-eval, which needs one of its own. Raises ConfigError where it has none, DataError.
    """
    path = predictions / ROLLOUTS if predictions.is_dir() else predictions
    rows: dict[str, list[dict[str, Json]]] = {}
    silent: set[str] = set()
    for trajectory in read_trajectories(path):
        category = category_of(trajectory.task.id)
        if category is not None:
            rows.setdefault(category, []).append(write_result(trajectory))
            if trajectory.stop is StopReason.UNFINISHED and not trajectory.calls and trajectory.answer is None:
                silent.add(trajectory.task.id)
    if not rows:
        raise DataError(f"{path}: none of its tasks is a question of BFCL; make them by 'umi prepare bfcl'")
    ordered = {category: rows[category] for category in CATEGORIES if category in rows}
    checked = _check(ordered, python)
    report = BfclReport(results=[replace(each, error="no reply") if each.id in silent else each for each in checked])
    for category, results in ordered.items():
        with write_text(out.with_name(f"BFCL_v4_{category}_result.json")) as lines:
            lines.writelines(map(dump_line, results))
    write_json(out, report.to_json())
    with write_text(out.with_suffix(".md")) as file:
        file.write(report.to_markdown())
    return report


def _check(rows: dict[str, list[dict[str, Json]]], python: Path) -> list[CheckedResult]:
    """Results in the order of their rows, as the checker of the other environment reads them."""
    asked = [{**row, "category": category} for category, results in rows.items() for row in results]
    try:
        run = subprocess.run(
            [python, _CHECKER],
            input="".join(map(dump_line, asked)),
            capture_output=True,
            text=True,
            encoding="utf-8",
            timeout=_SECONDS,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise ConfigError(f"--python {python}: cannot be run: {error}") from None
    if run.returncode != 0:
        last = (run.stderr.strip().splitlines() or ["no message"])[-1]
        raise ConfigError(f"--python {python}: bfcl-eval's checker cannot be run there: {last}; there: {INSTALL}")
    found = {row["id"]: row for row in map(json.loads, run.stdout.splitlines())}
    return [
        CheckedResult(id=str(row["id"]), category=str(row["category"]), error=found[row["id"]]["error"])
        for row in asked
    ]
