"""Environment of several others; each call goes to the one that has the tool."""

from __future__ import annotations

from collections.abc import Sequence

from alpha_umi.errors import ConfigError
from alpha_umi.formats.prompts.unknown_tools import unknown_tool
from alpha_umi.protocols import Environment
from alpha_umi.types import Call, Observation, ToolSpec


class CompositeEnvironment:
    """Several environments as one, by names of tools. A fork forks all parts."""

    def __init__(self, parts: Sequence[Environment]) -> None:
        """Raises ConfigError when two parts have a tool of one name."""
        self._parts = tuple(parts)
        self._owners: dict[str, Environment] = {}
        for part in self._parts:
            for spec in part.tools:
                if spec.name in self._owners:
                    raise ConfigError(f"two environments have a tool called {spec.name!r}; rename one or leave it out")
                self._owners[spec.name] = part

    @property
    def tools(self) -> tuple[ToolSpec, ...]:
        return tuple(spec for part in self._parts for spec in part.tools)

    async def execute(self, call: Call) -> Observation:
        owner = self._owners.get(call.name)
        if owner is None:
            return unknown_tool(call.name)
        return await owner.execute(call)

    def fork(self) -> CompositeEnvironment:
        return CompositeEnvironment([part.fork() for part in self._parts])
