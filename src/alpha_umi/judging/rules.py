"""Rule-based judge for tasks of the sealed world: the world's exact verifier decides whether an answer passes."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache

from alpha_umi.errors import DataError
from alpha_umi.formats.prompts.judging import Case, tool_steps
from alpha_umi.judging.convert import read_trajectory
from alpha_umi.judging.flow import settled_by_passes
from alpha_umi.judging.verdicts import (
    AnswerStatus,
    Comparison,
    PassVerdict,
    Preference,
    TaskStatus,
    Vote,
)
from alpha_umi.types import Json
from alpha_umi.world import World

_world = cache(World)


def judge_world(case: Case, metadata: Mapping[str, Json]) -> PassVerdict:
    """Verify one answer; the verdict has a single vote. `metadata`: the task's own, from which the task is rebuilt.

    A task that cannot be solved is passed by giving up after seeing why. Raises DataError for any other task.
    """
    preset, seed, index = metadata.get("preset"), metadata.get("seed"), metadata.get("index")
    if (
        "world" not in metadata
        or not isinstance(preset, str)
        or not isinstance(seed, int)
        or not isinstance(index, int)
    ):
        raise DataError(
            "not a task of the sealed world, or its metadata was lost: convert the rollout's trajectories (.jsonl), "
            "or name a judge model"
        )
    world = _world(preset, seed)
    task = world.task(str(metadata.get("split")), index)
    if task.query != case.query:
        raise DataError(f"the world asks {task.query!r} there, the answer is to {case.query!r}; it was made by another")
    verdict = world.verify(task, read_trajectory(case, task))
    status = AnswerStatus.SOLVED if verdict.passed else AnswerStatus.UNSOLVED
    vote = Vote(answer=status, task=TaskStatus.SOLVABLE, reason="; ".join(verdict.reasons))
    return PassVerdict(votes=(vote,))


def compare_by_rule(cases: tuple[Case, Case], verdicts: tuple[PassVerdict, PassVerdict]) -> Comparison:
    """Compare two answers: passing beats failing; of two that pass, fewer tool calls are better; else a tie."""
    settled = settled_by_passes(*verdicts)
    if settled is not None:
        return Comparison(votes=(settled,), reason="only one passes")
    calls = len(tool_steps(cases[0])), len(tool_steps(cases[1]))
    solved = verdicts[0].answer is AnswerStatus.SOLVED
    better = prefer((solved, solved), calls)
    if better is Preference.TIE:
        return Comparison(votes=(better,), reason="neither is better by rule")
    return Comparison(votes=(better,), reason=f"{calls[0]} and {calls[1]} tool calls")


def prefer(passed: tuple[bool, bool], calls: tuple[int, int]) -> Preference:
    """Apply the same rule to a reference and a candidate given only (passed, number of calls)."""
    if passed[0] is not passed[1]:
        return Preference.REFERENCE if passed[0] else Preference.CANDIDATE
    if not passed[0] or calls[0] == calls[1]:
        return Preference.TIE
    return Preference.REFERENCE if calls[0] < calls[1] else Preference.CANDIDATE
