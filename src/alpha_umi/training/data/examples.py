"""Supervised examples of a trajectory, by one rule for every role and baseline.

A step is learned from when its plan names who goes next and that turn follows: a call to an offered tool,
an answer with content, or a give-up. Every other turn stays in the history, where the live agent will see
its like, and is no target: plans that name no role, calls to tools that do not exist, empty answers.

A trajectory may say itself what is learned from it: its task's metadata then holds under LEARN, by role, the indices
of the plans whose steps are. So data that was prepared otherwise is learned as it was prepared.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import pairwise

from alpha_umi.errors import FormatError
from alpha_umi.formats.fit import Window, fit
from alpha_umi.formats.rendering import render
from alpha_umi.protocols import Format
from alpha_umi.roles import LEARN, OPTIONAL_ROLES, ROLES, RoleSpec
from alpha_umi.types import Answer, Call, Decision, Example, Plan, Role, Task, Trajectory, Turn

_NO_ANSWER = ("", "none")


@dataclass(frozen=True, slots=True, kw_only=True)
class Examples:
    """Examples of one role in one trajectory, with the numbers cut or dropped by the length limit."""

    rows: tuple[Example, ...]
    cut: int = 0
    """Examples whose history was cut to fit."""
    left_out: int = 0
    """Examples whose tool documents and query alone exceed the limit."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """Target turns of one role after `turns[:at]`."""

    at: int
    said: tuple[Turn, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class FittedTarget:
    """Target with the part of the trajectory that its prompt shows within the length limit."""

    target: Target
    turns: tuple[Turn, ...] | None
    """None: left out, since no prompt would fit."""
    cut: bool = False


def make_examples(trajectory: Trajectory, role: Role, format: Format, window: Window | None = None) -> Examples:  # noqa: A002
    """Make the examples of `role`. `window` limits the prompt; its cutting rule is `formats.fit`."""
    rows: list[Example] = []
    cut = left_out = 0
    for fitted in fitted_targets(trajectory, role, format, window):
        if fitted.turns is None:
            left_out += 1
            continue
        cut += fitted.cut
        prompt = render(format, role, trajectory.task, fitted.turns)
        rows.append(Example(role=role, prompt=prompt, completion=format.write(role, fitted.target.said)))
    return Examples(rows=tuple(rows), cut=cut, left_out=left_out)


def fitted_targets(
    trajectory: Trajectory,
    role: Role,
    format: Format,  # noqa: A002
    window: Window | None = None,
) -> Iterator[FittedTarget]:
    """Targets of `role` in order, each with the part of the trajectory that its prompt shows."""
    for target in targets(trajectory, role):
        turns = trajectory.turns[: target.at]
        if window is None:
            yield FittedTarget(target=target, turns=turns)
            continue
        try:
            fitted = fit(format, role, trajectory.task, turns, window)
        except FormatError:
            yield FittedTarget(target=target, turns=None)
        else:
            yield FittedTarget(target=target, turns=fitted.turns, cut=fitted.cut)


def targets(trajectory: Trajectory, role: Role) -> Iterator[Target]:
    """Targets of `role` in a trajectory: position and turns."""
    if ROLES[role].follows is not None:
        yield from _targets_of_optional(trajectory, ROLES[role])
        return
    for at, step in _steps_for(trajectory, role):
        if role in _SPEAKERS[len(step), type(step[-1])]:
            start, stop = _SAID[role]
            yield Target(at=at + start, said=step[start:stop])


def count_targets(trajectory: Trajectory) -> dict[Role, int]:
    """Number of targets of each role."""
    if LEARN in trajectory.task.metadata:
        return {role: sum(1 for _ in targets(trajectory, role)) for role in Role}
    kinds = [(len(step), type(step[-1])) for _, step in learnable_steps(trajectory)]
    counts = {role: sum(role in _SPEAKERS[kind] for kind in kinds) for role in Role}
    return counts | {role: sum(1 for _ in targets(trajectory, role)) for role in OPTIONAL_ROLES}


def _targets_of_optional(trajectory: Trajectory, spec: RoleSpec) -> Iterator[Target]:
    """Turns of an optional role that stand right after the one that it follows."""
    for at, (before, turn) in enumerate(pairwise(trajectory.turns), 1):
        if type(turn) is spec.turn and type(before) is spec.follows:
            yield Target(at=at, said=(turn,))


_SPEAKERS: Mapping[tuple[int, type[Turn]], tuple[Role, ...]] = {
    (1, Plan): (Role.BACKBONE, Role.PLANNER),
    (2, Call): (Role.BACKBONE, Role.PLANNER, Role.CALLER),
    (2, Answer): (Role.BACKBONE, Role.PLANNER, Role.SUMMARIZER),
}
"""Roles that learn from a step, by its number of turns and its end."""
_SAID: Mapping[Role, tuple[int, int | None]] = {
    Role.BACKBONE: (0, None),
    Role.PLANNER: (0, 1),
    Role.CALLER: (1, None),
    Role.SUMMARIZER: (1, None),
}
"""Which turns of a step a role says."""


def _steps_for(trajectory: Trajectory, role: Role) -> Iterator[tuple[int, tuple[Turn, ...]]]:
    """Steps that a role may learn from: those that the trajectory names, else those by the rule."""
    said = trajectory.task.metadata.get(LEARN)
    if not isinstance(said, dict):
        yield from learnable_steps(trajectory)
        return
    turns, named = trajectory.turns, said.get(role.value)
    for at in named if isinstance(named, list) else ():
        plan = turns[at] if isinstance(at, int) and 0 <= at < len(turns) else None
        following = turns[at + 1 : at + 2] if isinstance(at, int) else ()
        if isinstance(at, int) and isinstance(plan, Plan):
            gives_up = plan.decision is Decision.GIVE_UP
            step = (plan,) if gives_up else (plan, *following)
            if (len(step), type(step[-1])) in _SPEAKERS:
                yield at, step


def learnable_steps(trajectory: Trajectory) -> Iterator[tuple[int, tuple[Turn, ...]]]:
    """Learnable steps: the index of a plan, and the plan with the turn that it asked for."""
    turns = trajectory.turns
    for at, turn in enumerate(turns):
        if not isinstance(turn, Plan):
            continue
        following = turns[at + 1] if at + 1 < len(turns) else None
        match turn.decision, following:
            case Decision.GIVE_UP, _:
                yield at, (turn,)
            case Decision.CALL, Call(name=name) if _is_offered(name, trajectory.task):
                yield at, (turn, following)
            case Decision.CONCLUDE, Answer(text=text) if text.strip() not in _NO_ANSWER:
                yield at, (turn, following)
            case _:
                pass


def _is_offered(name: str, task: Task) -> bool:
    return any(tool.name == name for tool in task.tools)
