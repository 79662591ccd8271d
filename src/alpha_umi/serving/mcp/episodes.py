"""Environment that an MCP server offers: an episode of the sealed world, whose last call returns the verdict."""

from __future__ import annotations

import json

from alpha_umi.episodes.episode import Ending, Episode
from alpha_umi.formats.finish import FINISH_TOOL
from alpha_umi.types import Call, Observation, Task


class EpisodeEnvironment:
    """Environment of a task's tools and of `Finish`, which ends the task and returns the verdict as JSON."""

    def __init__(self, task: Task) -> None:
        self.episode = Episode(task, Ending.FINISH)
        self.tools = self.episode.tools
        self.instructions = f"The task: {task.query} {FINISH_TOOL.description}"

    async def execute(self, call: Call) -> Observation:
        was_ended = self.episode.ended
        seen = self.episode.call(call.name, call.arguments)
        if was_ended or not self.episode.ended:
            return seen
        return Observation(content=json.dumps(self.episode.outcome, ensure_ascii=False))

    def fork(self) -> EpisodeEnvironment:
        return self
