"""OpenEnv server of the sealed world: `reset(index=...)` opens a task, `step` calls one of its tools.

The task ends by a call of `Finish`; its observation is done, and its reward is 1 where the task was passed.
"""

from __future__ import annotations

from typing import Any

from pydantic import Field

from alpha_umi.episodes.episode import Ending, Episode
from alpha_umi.errors import DataError, explain_missing_library

with explain_missing_library("openenv-core", "the server"):
    from openenv.core.env_server import mcp_types  # pyright: ignore
    from openenv.core.env_server.http_server import create_app  # pyright: ignore  # of the user's environment
    from openenv.core.env_server.interfaces import Environment  # pyright: ignore
    from openenv.core.env_server.types import Action, Observation, State  # pyright: ignore


class WorldObservation(Observation):
    content: str = ""
    """Observation of the call."""
    status: str = "ok"
    request: dict[str, Any] = Field(default_factory=dict)
    """After a reset: messages and tools of the task, in OpenAI's format."""


class WorldEnvironment(Environment):
    SUPPORTS_CONCURRENT_SESSIONS = True

    def __init__(self, preset: str = "small", split: str = "train", world_seed: int = 0) -> None:
        super().__init__()
        self._place = {"preset": preset, "split": split, "seed": world_seed}
        self._state, self._episode = State(), None

    def reset(
        self, seed: int | None = None, episode_id: str | None = None, index: int | None = None, **place: Any
    ) -> WorldObservation:
        """Open the task of an index (else of the seed); `preset`, `split` and the world's `seed` stay the server's."""
        number = index if index is not None else seed or 0
        self._episode = Episode.open(**{**self._place, **place, "index": number}, ending=Ending.FINISH)
        self._state = State(episode_id=episode_id or self._episode.task.id, step_count=0)
        return WorldObservation(request=self._episode.request)

    def step(self, action: Action, timeout_s: float | None = None, **_: Any) -> Observation:
        if self._episode is None:
            raise DataError("no task is open: reset the environment first")
        if isinstance(action, mcp_types.ListToolsAction):
            declared = [
                mcp_types.Tool(name=tool.name, description=tool.description, input_schema={**tool.parameters})
                for tool in self._episode.tools
            ]
            return mcp_types.ListToolsObservation(tools=declared)
        seen = self._episode.call(action.tool_name, action.arguments)
        self._state.step_count += 1
        if not self._episode.ended:
            return WorldObservation(content=seen.content, status=seen.status)
        return WorldObservation(content=seen.content, done=True, reward=float(self._episode.verdict.passed))

    @property
    def state(self) -> State:
        """State of the server's side: the verdict on what happened so far."""
        told = {} if self._episode is None else self._episode.outcome
        return State(**self._state.model_dump(), **told)


def make_app(preset: str = "small", split: str = "train", seed: int = 0, sessions: int = 64) -> Any:
    """Make the FastAPI application, for uvicorn."""
    make, action = (lambda: WorldEnvironment(preset, split, seed)), mcp_types.CallToolAction
    return create_app(make, action, WorldObservation, "umi-world", sessions)
