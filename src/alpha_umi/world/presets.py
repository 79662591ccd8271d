"""Presets: the worlds by name."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, Generic, Protocol, TypeVar

from alpha_umi.errors import ConfigError
from alpha_umi.types import Call, Observation, Task, Trajectory, Turn
from alpha_umi.world.catalogue import Catalogue
from alpha_umi.world.functions import splits as functions
from alpha_umi.world.oracle import write_gold
from alpha_umi.world.reading import Reader, Words
from alpha_umi.world.table.configs import FULL, SMALL
from alpha_umi.world.table.tasks import SPLITS, draw_problem
from alpha_umi.world.tiny import tasks as tiny
from alpha_umi.world.tiny.tools import CATALOGUE as TINY
from alpha_umi.world.verifier import Verdict, judge

if TYPE_CHECKING:
    from alpha_umi.world.functions.problems import FunctionProblem


class AnyProblem(Protocol):
    """A task with what is behind it: what its tools answer."""

    @property
    def task(self) -> Task: ...

    def execute(self, call: Call, earlier: Sequence[Call] = ()) -> Observation:
        """Execute a call after the earlier ones of its branch; total over all calls."""
        ...


Drawn = TypeVar("Drawn", bound=AnyProblem)


@dataclass(frozen=True, slots=True, kw_only=True)
class Preset(Generic[Drawn]):
    """A world by name: its version, catalogue, splits and problems, with their oracle and their verifier."""

    name: str
    edition: str | Callable[[], str]
    """The version, or what finds it."""
    open: Callable[[], Catalogue]
    """Its catalogue, which takes some milliseconds to make; empty where tools are invented for each task."""
    splits: tuple[str, ...]
    """`train` and the test sets."""
    draw: Callable[[int, str, int], Drawn]
    """(seed, split, index) -> the problem; always the same within a version."""
    gold: Callable[[Drawn], Trajectory]
    judge: Callable[[Drawn, Trajectory], Verdict]
    history: Callable[[Drawn], tuple[Turn, ...]] = lambda _: ()
    """The exchanges of user and agent before the one that the task asks for."""

    @property
    def version(self) -> str:
        """Changes with anything that changes a task, a fact or a tool."""
        return self.edition if isinstance(self.edition, str) else self.edition()


# The functions world reads files and brings many modules, so it is imported where it is used.


def _functions_version() -> str:
    from alpha_umi.world.functions.library import version

    return version()


def _draw_function(seed: int, split: str, index: int) -> FunctionProblem:
    from alpha_umi.world.functions.tasks import draw_problem

    return draw_problem(seed, split, index)


def _function_gold(problem: FunctionProblem) -> Trajectory:
    from alpha_umi.world.functions.oracle import write_gold

    return write_gold(problem)


def _function_history(problem: FunctionProblem) -> tuple[Turn, ...]:
    from alpha_umi.world.functions.oracle import write_history

    return write_history(problem)


def _judge_function(problem: FunctionProblem, trajectory: Trajectory) -> Verdict:
    from alpha_umi.world.functions.verifier import judge

    return judge(problem, trajectory)


_NO_CATALOGUE = Catalogue.of({}, (), (), Reader(Words(names={})))
PRESETS: Mapping[str, Preset[Any]] = {
    preset.name: preset
    for preset in (
        Preset(
            name=tiny.NAME,
            edition=tiny.VERSION,
            open=lambda: TINY,
            splits=tuple(tiny.Split),
            draw=tiny.draw_problem,
            gold=write_gold,
            judge=judge,
        ),
        *(
            Preset(
                name=config.name,
                edition=config.version,
                open=lambda config=config: config.toolset.catalogue,
                splits=SPLITS,
                draw=partial(draw_problem, config),
                gold=write_gold,
                judge=judge,
            )
            for config in (SMALL, FULL)
        ),
        Preset(
            name=functions.NAME,
            edition=_functions_version,
            open=lambda: _NO_CATALOGUE,
            splits=tuple(functions.Split),
            draw=_draw_function,
            gold=_function_gold,
            judge=_judge_function,
            history=_function_history,
        ),
    )
}


def find_preset(name: str) -> Preset[Any]:
    """The preset of that name. Raises ConfigError, which names the known ones."""
    if name not in PRESETS:
        raise ConfigError(f"unknown world preset {name!r}; known: {', '.join(PRESETS)}")
    return PRESETS[name]
