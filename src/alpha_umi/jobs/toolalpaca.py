"""ToolAlpaca: the evaluation of a run against the golden calls of its evaluation files."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TypeAlias

from alpha_umi.config import EndpointConfig, LocalConfig
from alpha_umi.config.calls import validated
from alpha_umi.datasets.shapes import SHAPES
from alpha_umi.datasets.toolbench import Reading
from alpha_umi.errors import ConfigError, DataError
from alpha_umi.evaluation.toolalpaca import GoldCheck, JudgedTask, ToolAlpacaReport, check_golds
from alpha_umi.event_loops import run_blocking
from alpha_umi.formats.prompts.toolalpaca import Verdicts
from alpha_umi.jobs.options import AtLeastOne
from alpha_umi.judging.files import LedgerRecord
from alpha_umi.judging.flow import Record
from alpha_umi.judging.toolalpaca import ProcessJudge
from alpha_umi.loading.judges import choose_model, open_process_judge
from alpha_umi.output_lock import locks_out
from alpha_umi.preparation.shaped import read_shaped_file
from alpha_umi.rollouts.runner import ROLLOUTS
from alpha_umi.store import read_trajectories, write_json, write_text
from alpha_umi.types import Trajectory

OnProgress: TypeAlias = Callable[[int, int], object]


@validated
@locks_out
def evaluate_toolalpaca(
    predictions: Path,
    out: Path,
    *,
    gold: Sequence[Path],
    model: str | None = None,
    base_url: str | None = None,
    key_env: str = "OPENAI_API_KEY",
    concurrency: AtLeastOne = 8,
    on_progress: OnProgress | None = None,
) -> ToolAlpacaReport:
    """Check the calls of a run against ToolAlpaca's golden ones; with a judge, judge processes and responses too.

    `predictions`: a run of rollouts, or trajectories; `gold`: evaluation files, each a set, all of whose tasks count,
    found by their API and text; `out`: where figures (.json) and table (.md) go. `model`: the judge, at `base_url` or
    one that runs here; its replies are kept beside `out` (.judged.jsonl), and what has one is not asked again. Raises
    DataError for files without golden calls, and where no task is theirs; ConfigError, ModelError.
    """
    if base_url and not model:
        raise ConfigError("--base-url needs --model, the name of the model there")
    path = predictions / ROLLOUTS if predictions.is_dir() else predictions
    made = {_key(trajectory): trajectory for trajectory in read_trajectories(path)}
    sets: dict[str, list[GoldCheck]] = {}
    pairs: list[tuple[Trajectory | None, Trajectory]] = []
    for file in gold:
        golds = _read_golds(file)
        if any(_key(each) in made for each in golds):
            sets[file.stem] = [check_golds(made.get(_key(each)), each) for each in golds]
            pairs += [(made.get(_key(each)), each) for each in golds]
    if not sets:
        named = ", ".join(map(str, gold))
        raise DataError(f"{path}: none of its tasks is one of {named}; make them by 'umi prepare toolalpaca'")
    judged: list[JudgedTask] = []
    if model is not None:
        config = choose_model(model, base_url, key_env, concurrency)
        name = os.path.basename(model.rstrip("/"))  # noqa: PTH119  it may be a hub id
        record = LedgerRecord(out.with_suffix(".judged.jsonl"))
        verdicts = run_blocking(_judge(config, name, record, pairs, on_progress))
        judged = [
            JudgedTask(id=pair[1].task.id, process=_text(each, "process"), response=_text(each, "response"))
            for pair, each in zip(pairs, verdicts, strict=True)
        ]
    report = ToolAlpacaReport(sets=sets, judge=model or "", judged={each.id: each for each in judged})
    write_json(out, report.to_json())
    with write_text(out.with_suffix(".md")) as text:
        text.write(report.to_markdown())
    return report


async def _judge(
    config: LocalConfig | EndpointConfig,
    name: str,
    record: Record,
    pairs: Sequence[tuple[Trajectory | None, Trajectory]],
    on_progress: OnProgress | None,
) -> list[Verdicts | None]:
    opened = open_process_judge(config)
    concurrency = config.concurrency if isinstance(config, EndpointConfig) else 1
    judge = ProcessJudge(name=name, model=opened.model, record=record, concurrency=concurrency)
    try:
        return await judge.judge_all(pairs, on_progress)
    finally:
        await opened.aclose()


def _text(verdicts: Verdicts | None, question: str) -> str:
    """A verdict as the report has it; empty where no reply held one."""
    return "" if verdicts is None else str(getattr(verdicts, question).value)


def _read_golds(file: Path) -> list[Trajectory]:
    read = read_shaped_file(file, SHAPES["toolalpaca"], file.stem)
    readings = [each for each in read if isinstance(each, Reading)]
    golds = [each.trajectory for each in readings if each.trajectory.calls]
    if not golds:
        raise DataError(f"{file}: holds no golden calls; ToolAlpaca's evaluation files have 'Golden_Answers'")
    return golds


def _key(trajectory: Trajectory) -> tuple[str, str]:
    return str(trajectory.task.metadata.get("api")), " ".join(trajectory.task.query.split())
