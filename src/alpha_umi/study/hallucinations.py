"""Raw answers as a language model gives them now and then: with a call of a tool that is not there.

ToolBench's answers hold such calls, under a name that says so; the oracle never makes one. Here a share of the
training answers gets one before its first right call, so that preparations that treat them differently can differ.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import replace

from alpha_umi.datasets.toolbench import HALLUCINATED
from alpha_umi.types import Call, Observation, Plan, ToolStatus, Trajectory
from alpha_umi.world import World

_SAYS = "No such function name: {name}"


def hallucinating(world: World, share: float, seed: int) -> Callable[[int, Trajectory], Trajectory]:
    """What to make of the trajectory at some place: a pure function of (seed, place, trajectory)."""
    names = sorted(tool.name for tool in world.tools)

    def change(place: int, trajectory: Trajectory) -> Trajectory:
        drawn = random.Random(f"hallucinated/{seed}/{place}")  # noqa: S311
        at = next((at for at, turn in enumerate(trajectory.turns) if isinstance(turn, Call)), None)
        if at is None or drawn.random() >= share:
            return trajectory
        plan, call = trajectory.turns[at - 1], trajectory.turns[at]
        offered = {tool.name for tool in trajectory.task.tools}
        other = drawn.choice([name for name in names if name not in offered])
        if not isinstance(plan, Plan) or not isinstance(call, Call):
            return trajectory
        tried = (
            replace(plan, thought=plan.thought.replace(call.name, other)),
            Call(name=HALLUCINATED, arguments=call.arguments),
            Observation(content=_SAYS.format(name=other), status=ToolStatus.UNKNOWN_TOOL),
        )
        return replace(trajectory, turns=(*trajectory.turns[: at - 1], *tried, *trajectory.turns[at - 1 :]))

    return change
