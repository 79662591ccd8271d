"""Environment that replays the observations of a recorded trajectory in their order."""

from __future__ import annotations

from itertools import pairwise

from alpha_umi.formats.prompts.unknown_tools import unknown_tool
from alpha_umi.types import Call, Observation, ToolSpec, ToolStatus, Trajectory


class ReplayEnvironment:
    """Environment that answers the n-th call with the n-th recorded observation, if the call names the recorded tool.

    Arguments are not compared. A call that names another tool, or comes after the last one, is answered with a
    status and takes nothing from the recording.
    """

    def __init__(self, trajectory: Trajectory, position: int = 0) -> None:
        """`position`: number of recorded calls that have been answered before."""
        self._trajectory = trajectory
        self._position = position
        self._recorded = [
            (call.name, observation)
            for call, observation in pairwise(trajectory.turns)
            if isinstance(call, Call) and isinstance(observation, Observation)
        ]

    @property
    def tools(self) -> tuple[ToolSpec, ...]:
        return self._trajectory.task.tools

    async def execute(self, call: Call) -> Observation:
        name, observation = self._next
        if observation is not None and call.name == name:
            self._position += 1
            return observation
        if call.name not in {tool.name for tool in self.tools}:
            return unknown_tool(call.name)
        recorded = f"the recording calls '{name}' here" if observation else "the recording has no further call"
        return Observation(content=f"{recorded}, not '{call.name}'", status=ToolStatus.ERROR)

    @property
    def _next(self) -> tuple[str, Observation | None]:
        return self._recorded[self._position] if self._position < len(self._recorded) else ("", None)

    def fork(self) -> ReplayEnvironment:
        return ReplayEnvironment(self._trajectory, self._position)
