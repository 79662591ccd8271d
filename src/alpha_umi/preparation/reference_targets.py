"""Reference implementation of the published choice of training targets, mistakes included, as annotated trajectories.

The trajectories' metadata (`roles.LEARN`) records the pairs that the published role files make and
leave out, so that any training method learns from them in any format: the backbone learns calls of tools that were not
offered, planner and caller do not; the backbone's give-ups are paired with the prompt of the step before, even of an
earlier dialogue.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path

from alpha_umi.datasets.toolbench import HALLUCINATED
from alpha_umi.preparation.answers import AnswerOptions, prepare_answers
from alpha_umi.preparation.report import PrepareReport
from alpha_umi.roles import LEARN
from alpha_umi.store import read_trajectories, write_trajectories
from alpha_umi.types import Answer, Call, Decision, Json, Plan, Role, Task, Trajectory, Turn

_NO_ANSWER = "none"


def prepare_published(answers: Path, out: Path) -> PrepareReport:
    """Prepare raw ToolBench answers as published, with the targets of each role. Raises as `prepare_answers`."""
    plain = out.with_name(f".{out.name}.plain")
    try:
        report = prepare_answers(answers, plain, AnswerOptions(compat=True))
        write_trajectories(out, published_targets(read_trajectories(plain)))
    finally:
        plain.unlink(missing_ok=True)
    return report


def published_targets(trajectories: Iterable[Trajectory]) -> Iterator[Trajectory]:
    """Annotate trajectories that were prepared as published with the targets of each role.

    Every give-up appears once more, for the backbone alone, behind the prompt that it is paired with there. The very
    first, before there is any prompt, stops the published script; here it is left out.
    """
    stale: tuple[Task, tuple[Turn, ...]] | None = None
    for trajectory in trajectories:
        learned: dict[Role, list[Json]] = {role: [] for role in Role}
        misplaced: list[Trajectory] = []
        for at, turn in enumerate(trajectory.turns):
            if not isinstance(turn, Plan):
                continue
            following = trajectory.turns[at + 1] if at + 1 < len(trajectory.turns) else None
            if turn.decision is Decision.GIVE_UP:
                learned[Role.PLANNER].append(at)
                if stale is not None:
                    misplaced.append(_misplaced(turn, *stale))
            elif isinstance(following, Call | Answer):
                learned[Role.BACKBONE].append(at)
                stale = trajectory.task, trajectory.turns[:at]
                for role in _roles(following):
                    learned[role].append(at)
        yield _saying(trajectory, learned)
        yield from misplaced


def _roles(said: Call | Answer) -> tuple[Role, ...]:
    """Roles besides the backbone that learn from a step with this end."""
    match said:
        case Call():
            return () if HALLUCINATED in said.name else (Role.PLANNER, Role.CALLER)
        case Answer(text=text):
            return (Role.PLANNER,) if text == _NO_ANSWER else (Role.PLANNER, Role.SUMMARIZER)


def _misplaced(plan: Plan, task: Task, history: tuple[Turn, ...]) -> Trajectory:
    return _saying(Trajectory(task=task, turns=(*history, plan)), {Role.BACKBONE: [len(history)]})


def _saying(trajectory: Trajectory, learned: dict[Role, list[Json]]) -> Trajectory:
    says: dict[str, Json] = {role.value: list(learned.get(role, ())) for role in Role}
    task = replace(trajectory.task, metadata={**trajectory.task.metadata, LEARN: says})
    return replace(trajectory, task=task)
