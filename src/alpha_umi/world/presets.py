"""Presets: the worlds by name."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Generic, Protocol, TypeVar

from alpha_umi.errors import ConfigError
from alpha_umi.types import Call, Observation, Task, Trajectory, Turn
from alpha_umi.world.catalogue import Catalogue
from alpha_umi.world.functions import oracle as functions_oracle
from alpha_umi.world.functions import tasks as functions
from alpha_umi.world.functions import verifier as functions_verifier
from alpha_umi.world.functions.library import version as functions_version
from alpha_umi.world.oracle import write_gold
from alpha_umi.world.reading import Reader, Words
from alpha_umi.world.table.configs import FULL, SMALL
from alpha_umi.world.table.tasks import SPLITS, draw_problem
from alpha_umi.world.tiny import tasks as tiny
from alpha_umi.world.tiny.tools import CATALOGUE as TINY
from alpha_umi.world.verifier import Verdict, judge


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
    version: str
    """Changes with anything that changes a task, a fact or a tool."""
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


_NO_CATALOGUE = Catalogue.of({}, (), (), Reader(Words(names={})))
PRESETS: Mapping[str, Preset[Any]] = {
    preset.name: preset
    for preset in (
        Preset(
            name=tiny.NAME,
            version=tiny.VERSION,
            open=lambda: TINY,
            splits=tuple(tiny.Split),
            draw=tiny.draw_problem,
            gold=write_gold,
            judge=judge,
        ),
        *(
            Preset(
                name=config.name,
                version=config.version,
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
            version=functions_version(),
            open=lambda: _NO_CATALOGUE,
            splits=functions.SPLITS,
            draw=functions.draw_problem,
            gold=functions_oracle.write_gold,
            judge=functions_verifier.judge,
            history=functions_oracle.write_history,
        ),
    )
}


def find_preset(name: str) -> Preset[Any]:
    """The preset of that name. Raises ConfigError, which names the known ones."""
    if name not in PRESETS:
        raise ConfigError(f"unknown world preset {name!r}; known: {', '.join(PRESETS)}")
    return PRESETS[name]
