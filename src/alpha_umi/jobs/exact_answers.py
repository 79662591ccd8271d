"""Evaluation of exact answers: GSM8K's, MATH's, and those of other word problems."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import TypeAlias

from alpha_umi.config.calls import validated
from alpha_umi.datasets.problems import read_math_tasks
from alpha_umi.errors import DataError
from alpha_umi.evaluation.exact.judge import judge_exact
from alpha_umi.evaluation.exact.report import ExactReport, GradedAnswer, judges_of
from alpha_umi.output_lock import locks_out
from alpha_umi.rollouts.runner import ROLLOUTS
from alpha_umi.store import read_trajectories, write_json, write_text, write_trajectories
from alpha_umi.types import Task, Trajectory

OnProgress: TypeAlias = Callable[[int, int], object]


@validated
@locks_out
def evaluate_gsm8k(
    predictions: Path, out: Path, *, gold: Path | None = None, on_progress: OnProgress | None = None
) -> ExactReport:
    """Score answers to GSM8K, or other word problems, by three judges: same number, math-verify, ToRA's rule.

    `predictions`: a run of rollouts, or trajectories; `gold`: the test file, all of whose problems count, found by
    their text (without it the tasks must hold their `answer`); `out`: where figures (.json) and table (.md) go.
    Raises DataError for what holds no answers, ConfigError where math-verify or the sandbox is missing.
    """
    return _evaluate("gsm8k", predictions, out, gold, on_progress)


@validated
@locks_out
def evaluate_math(
    predictions: Path, out: Path, *, gold: Path | None = None, on_progress: OnProgress | None = None
) -> ExactReport:
    """Score answers to MATH by math-verify and ToRA's rule; as `evaluate_gsm8k`."""
    return _evaluate("math", predictions, out, gold, on_progress)


def write_math_tasks(file: Path, out: Path, limit: int | None = None) -> int:
    """Write the problems of a test file as tasks that `rollout` takes; returns their number. Raises DataError."""
    tasks = list(read_math_tasks(file))[:limit]
    return write_trajectories(out, (Trajectory(task=task, turns=()) for task in tasks))


def _evaluate(
    benchmark: str, predictions: Path, out: Path, gold: Path | None, on_progress: OnProgress | None
) -> ExactReport:
    answers = list(_answers(predictions, gold))
    if not answers:
        raise DataError(f"{predictions}: holds no trajectory")
    asked = [each for each in answers if each.answer]
    verdicts = judge_exact([(each.gold, each.answer) for each in asked], on_progress=on_progress)
    judged = {id(each): verdict for each, verdict in zip(asked, verdicts, strict=True)}
    report = ExactReport(
        benchmark=benchmark,
        answers=[replace(each, verdict=judged.get(id(each))) for each in answers],
        unanswered=sum(not each.answer for each in answers),
        judges=judges_of(each.gold for each in answers),
    )
    write_json(out, report.to_json())
    with write_text(out.with_suffix(".md")) as file:
        file.write(report.to_markdown())
    return report


def _answers(predictions: Path, gold: Path | None) -> Iterator[GradedAnswer]:
    path = predictions / ROLLOUTS if predictions.is_dir() else predictions
    trajectories = list(read_trajectories(path))
    if gold is None:
        for trajectory in trajectories:
            yield _graded(trajectory.task, trajectory, path)
        return
    by_query = {" ".join(each.task.query.split()): each for each in trajectories}
    tasks = list(read_math_tasks(gold))
    found = [by_query.get(" ".join(task.query.split())) for task in tasks]
    if not any(found):
        raise DataError(f"{path}: none of its tasks asks a problem of {gold}")
    for task, trajectory in zip(tasks, found, strict=True):
        yield _graded(task, trajectory, gold)


def _graded(task: Task, trajectory: Trajectory | None, path: Path) -> GradedAnswer:
    answer, level = task.metadata.get("answer"), task.metadata.get("level")
    if not isinstance(answer, str):
        raise DataError(f"{path}: task {task.id} holds no 'answer' in its metadata; name the test file by --gold")
    text = None if trajectory is None else trajectory.answer
    return GradedAnswer(id=task.id, gold=answer, text=text, group=level if isinstance(level, str) else "")
