"""Choice of the demo's tasks: by rule, never by their outcome. A shown task is the first held-out one of its kind."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from itertools import count

from alpha_umi.errors import ConfigError
from alpha_umi.types import Task
from alpha_umi.world import Perturbation, TestSet, World
from alpha_umi.world import Split as TinySplit
from alpha_umi.world.table.configs import FULL, SMALL

FIRST = 10_000
"""Index of the first task; recipes were chosen by tasks before it."""
_LIMIT = 5_000
"""Tasks that are searched for one of a kind."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Kind:
    """A kind of task that the demo shows."""

    title: str
    split: str
    wants: Callable[[Task], bool]


@dataclass(frozen=True, slots=True, kw_only=True)
class Choice:
    """A task with the title of its kind."""

    title: str
    task: Task


def measured_splits(preset: str) -> tuple[str, str]:
    """Return the two test sets that are measured: new instructions for seen tools, and unseen tools.

    Raises ConfigError for a world whose tasks the demo does not show.
    """
    if preset == "tiny":
        return TinySplit.TEST.value, TinySplit.UNSEEN_TOOL.value
    if preset not in (SMALL.name, FULL.name):
        raise ConfigError(f"the demo shows the worlds tiny, {SMALL.name} and {FULL.name}, not {preset!r}")
    return TestSet.G1_INSTRUCTION.value, TestSet.G1_TOOL.value


def choose(world: World, preset: str) -> list[Choice]:
    """Choose the tasks that are shown, one of each kind."""
    return [Choice(title=kind.title, task=_first(world, kind)) for kind in _kinds(preset)]


def _kinds(preset: str) -> tuple[Kind, ...]:
    seen, unseen = measured_splits(preset)
    several = seen if preset == "tiny" else TestSet.G3_INSTRUCTION.value
    return (
        Kind(
            title="several calls",
            split=several,
            wants=lambda task: _perturbation(task) is Perturbation.NONE and _calls(task) > 1,
        ),
        Kind(title="a provider fails", split=seen, wants=lambda task: _perturbation(task) is Perturbation.FALLBACK),
        Kind(
            title="no tool can answer",
            split=seen,
            wants=lambda task: _perturbation(task) in (Perturbation.NO_TOOL, Perturbation.DOWN),
        ),
        Kind(title="an unseen tool", split=unseen, wants=lambda task: _perturbation(task) is Perturbation.NONE),
    )


def _first(world: World, kind: Kind) -> Task:
    tasks = (world.task(kind.split, index) for index in count(FIRST) if index < FIRST + _LIMIT)
    return next(task for task in tasks if kind.wants(task))


def _perturbation(task: Task) -> Perturbation:
    return Perturbation(str(task.metadata["trouble"]))


def _calls(task: Task) -> int:
    calls = task.metadata["calls"]
    return calls if isinstance(calls, int) else 0
