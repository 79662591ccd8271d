"""Taskset of the sealed world for verifiers (0.4), which finds it by a module's name (docs/environments.md)."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from pydantic import Field

from alpha_umi.episodes.episode import Episode
from alpha_umi.errors import explain_missing_library

with explain_missing_library("verifiers", "the taskset"):
    import verifiers.v1 as vf  # pyright: ignore  # of the user's environment
    from mcp.server.mcpserver import MCPServer
    from mcp.types import CallToolResult, TextContent, Tool
    from verifiers.v1.dialects.chat import ChatDialect  # pyright: ignore


class WorldConfig(vf.TasksetConfig):
    preset: str = "small"
    split: str = "train"
    seed: int = 0
    start: int = 0
    count: int = 1000
    tools: vf.SharedToolsetConfig = vf.SharedToolsetConfig()


class WorldState(vf.State):
    place: dict[str, Any] = Field(default_factory=dict)
    calls: list[tuple[str, dict[str, Any]]] = Field(default_factory=list)


class WorldToolset(vf.Toolset[vf.SharedToolsetConfig, WorldState]):
    TOOL_PREFIX = None

    def register(self, mcp: MCPServer) -> None:
        mcp.list_tools = self._with_state(self.list_tools)
        mcp.call_tool = self._with_state(self.call_tool)

    async def list_tools(self) -> list[Tool]:
        tools = Episode.open(**self.state.place).tools
        return [Tool(name=each.name, description=each.description, input_schema={**each.parameters}) for each in tools]

    async def call_tool(self, name: str, arguments: dict[str, Any], context: Any = None) -> CallToolResult:
        seen = Episode.open(**self.state.place).replay([("", self.state.calls)]).call(name, arguments)
        self.state.calls.append((name, arguments))
        return CallToolResult(content=[TextContent(text=seen.content)])


class WorldData(vf.TaskData):
    place: dict[str, Any]


class WorldTask(vf.Task[WorldData, WorldState]):
    async def setup(self, trace: vf.Trace, runtime: vf.Runtime) -> None:
        trace.state.place = self.data.place

    @vf.reward
    async def passed(self, trace: vf.Trace) -> float:
        replies = trace.assistant_messages
        said = [(each.content or "", [(it.name, it.arguments) for it in each.tool_calls or ()]) for each in replies]
        told = Episode.open(**self.data.place).replay(said).outcome
        trace.record_metrics({name: told[name] for name in ("right", "supported")})
        trace.info["reasons"] = told["reasons"]
        return float(told["passed"])


class WorldTaskset(vf.Taskset[WorldTask, WorldConfig]):
    @classmethod
    def toolsets(cls, config: WorldConfig) -> list[vf.Toolset]:
        return [WorldToolset(config.tools)]

    def load(self) -> Iterator[WorldTask]:
        for index in range(self.config.start, self.config.start + self.config.count):
            place = {**self.config.model_dump(include={"preset", "split", "seed"}), "index": index}
            episode = Episode.open(**place)
            system, *prompt = ChatDialect().parse_request(episode.request).messages
            data = WorldData(name=episode.task.id, system_prompt=system.content, prompt=prompt, place=place)
            yield WorldTask(data, self.config.task)


if __name__ == "__main__":
    WorldToolset.run()
