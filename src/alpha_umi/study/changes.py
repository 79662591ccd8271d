"""Changes of the oracle's training trajectories before preparation, the same for all variants: masking, hallucinations.

Every change is a pure function of (seed, index, trajectory).
"""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import replace

from alpha_umi.config.study import StudyWorldConfig
from alpha_umi.datasets.toolbench import HALLUCINATED
from alpha_umi.preparation.masking import collect_words, mask_some
from alpha_umi.types import Call, Observation, Plan, ToolStatus, Trajectory
from alpha_umi.world import World

_READ = 200
"""Training tasks whose tools give the words of masked names; no held-out task is among them."""
_SAYS = "No such function name: {name}"


def changing(config: StudyWorldConfig) -> Callable[[int, Trajectory], Trajectory]:
    """Return the change of the trajectory at an index: some are masked, some call a tool that does not exist."""
    world = World(config.preset, config.seed)
    names = sorted(tool.name for tool in world.tools)
    words = collect_words(world.gold(world.task("train", index)) for index in range(_READ)) if config.masked else ()

    def change(index: int, trajectory: Trajectory) -> Trajectory:
        [masked] = mask_some([trajectory], config.masked, words, config.seed)
        drawn = random.Random(f"hallucinated/{config.seed}/{index}")  # noqa: S311
        return hallucinate(masked, names, drawn) if drawn.random() < config.hallucinated else masked

    return change


def hallucinate(trajectory: Trajectory, names: list[str], drawn: random.Random) -> Trajectory:
    """Insert a call of a tool that does not exist before the first call, if there is one.

    Language models make such calls now and then, and ToolBench's answers hold them under a reserved name; the oracle
    never makes one. Without any, preparations that treat them differently could not differ. `names`: of all tools.
    """
    at = next((at for at, turn in enumerate(trajectory.turns) if isinstance(turn, Call)), None)
    if at is None:
        return trajectory
    plan, call = trajectory.turns[at - 1], trajectory.turns[at]
    if not isinstance(plan, Plan) or not isinstance(call, Call):
        return trajectory
    offered = {tool.name for tool in trajectory.task.tools}
    other = drawn.choice([name for name in names if name not in offered])
    tried = (
        replace(plan, thought=plan.thought.replace(call.name, other)),
        Call(name=HALLUCINATED, arguments=call.arguments),
        Observation(content=_SAYS.format(name=other), status=ToolStatus.UNKNOWN_TOOL),
    )
    return replace(trajectory, turns=(*trajectory.turns[: at - 1], *tried, *trajectory.turns[at - 1 :]))
