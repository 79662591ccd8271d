"""Environment for benchmarks that judge calls alone: every call of an offered tool is acknowledged."""

from __future__ import annotations

from alpha_umi.formats.prompts.unknown_tools import unknown_tool
from alpha_umi.types import Call, Observation, Task, ToolSpec

_DONE = '{"status": "done"}'


class AcknowledgingEnvironment:
    """Environment that offers the tools of a task and answers each call that it was done; nothing is run or checked."""

    def __init__(self, task: Task) -> None:
        self._task = task

    @property
    def tools(self) -> tuple[ToolSpec, ...]:
        return self._task.tools

    async def execute(self, call: Call) -> Observation:
        if call.name not in {tool.name for tool in self._task.tools}:
            return unknown_tool(call.name)
        return Observation(content=_DONE)

    def fork(self) -> AcknowledgingEnvironment:
        return self
