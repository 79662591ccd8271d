"""Environments of the sealed world: the tools of one task with its facts and outages, or tools outside any task."""

from __future__ import annotations

from collections.abc import Sequence

from alpha_umi.formats.prompts.unknown_tools import unknown_tool
from alpha_umi.types import Call, Observation, Task, ToolSpec
from alpha_umi.world import World


class WorldEnvironment:
    """Environment of the tools that a task of the sealed world offers.

    What a call finds depends on the calls before it on the same branch, which a fork takes along.
    """

    def __init__(self, world: World, task: Task, earlier: Sequence[Call] | None = None) -> None:
        """`earlier`: calls of the branch; None: those of the task's history. Raises DataError for another world's."""
        world.check(task)
        self._world = world
        self._task = task
        calls = (turn for turn in world.history(task) if isinstance(turn, Call)) if earlier is None else earlier
        self._earlier = tuple(calls)

    @property
    def tools(self) -> tuple[ToolSpec, ...]:
        return self._task.tools

    async def execute(self, call: Call) -> Observation:
        observation = self._world.execute(call, self._task, self._earlier)
        self._earlier = (*self._earlier, call)
        return observation

    def fork(self) -> WorldEnvironment:
        return WorldEnvironment(self._world, self._task, self._earlier)


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
