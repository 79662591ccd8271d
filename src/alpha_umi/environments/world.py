"""The sealed world as an environment: the tools of one task, with its facts and its outages."""

from __future__ import annotations

from alpha_umi.types import Call, Observation, Task, ToolSpec
from alpha_umi.world import World


class WorldEnvironment:
    """Only the tools that the task offers can be called. Calls change nothing, so forks need no copy."""

    def __init__(self, world: World, task: Task) -> None:
        """Raises DataError when `task` was made by another world."""
        world.check(task)
        self._world = world
        self._task = task

    @property
    def tools(self) -> tuple[ToolSpec, ...]:
        return self._task.tools

    async def execute(self, call: Call) -> Observation:
        return self._world.execute(call, self._task)

    def fork(self) -> WorldEnvironment:
        return WorldEnvironment(self._world, self._task)
