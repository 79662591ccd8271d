"""Several environments as one: every tool is run where it is from."""

from __future__ import annotations

from collections.abc import Sequence

from alpha_umi.errors import ConfigError
from alpha_umi.protocols import Environment
from alpha_umi.types import Call, Observation, ToolSpec, ToolStatus


class CompositeEnvironment:
    """Routes by tool name. It forks if all of its parts do."""

    def __init__(self, parts: Sequence[Environment]) -> None:
        """Raises ConfigError when two parts have a tool of one name."""
        self._parts = tuple(parts)
        self._places: dict[str, Environment] = {}
        for part in self._parts:
            for spec in part.tools:
                if spec.name in self._places:
                    raise ConfigError(f"two environments have a tool called {spec.name!r}; rename one or leave it out")
                self._places[spec.name] = part

    @property
    def tools(self) -> tuple[ToolSpec, ...]:
        return tuple(spec for part in self._parts for spec in part.tools)

    async def execute(self, call: Call) -> Observation:
        place = self._places.get(call.name)
        if place is None:
            return Observation(content=f"there is no tool '{call.name}'", status=ToolStatus.UNKNOWN_TOOL)
        return await place.execute(call)

    def fork(self) -> CompositeEnvironment:
        return CompositeEnvironment([part.fork() for part in self._parts])
