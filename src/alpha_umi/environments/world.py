"""Environments of the sealed world: the tools of one task with its facts and outages, or tools outside any task."""

from __future__ import annotations

from alpha_umi.formats.prompts.unknown_tools import unknown_tool
from alpha_umi.types import Call, Observation, Task, ToolSpec
from alpha_umi.world import World


class WorldEnvironment:
    """Environment of the tools that a task of the sealed world offers. Calls change nothing, so forks need no copy."""

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


class OpenWorldEnvironment:
    """Environment of some of the world's tools outside any task: they know the facts of no task, and none is down."""

    def __init__(self, world: World, tools: tuple[ToolSpec, ...]) -> None:
        self._world = world
        self._tools = tools
        self._names = frozenset(tool.name for tool in tools)

    @property
    def tools(self) -> tuple[ToolSpec, ...]:
        return self._tools

    async def execute(self, call: Call) -> Observation:
        if call.name not in self._names:
            return unknown_tool(call.name)
        return self._world.execute(call)

    def fork(self) -> OpenWorldEnvironment:
        return self
