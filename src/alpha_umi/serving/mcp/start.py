"""Start of an MCP server from its options, over stdio or HTTP."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import anyio
from mcp.server.lowlevel import Server
from mcp.server.stdio import stdio_server

import alpha_umi
from alpha_umi.environments.composite import CompositeEnvironment
from alpha_umi.environments.world import OpenWorldEnvironment
from alpha_umi.errors import ConfigError
from alpha_umi.jobs.agent import AgentChoice, AgentLike, choose_agent, tool_options
from alpha_umi.jobs.ask import agent_options, own_tools, read_conversation
from alpha_umi.jobs.evaluate import open_retriever
from alpha_umi.jobs.toolbox import Toolbox, open_toolbox
from alpha_umi.jobs.world_query import name_task
from alpha_umi.protocols import Environment
from alpha_umi.serving.http import server as http
from alpha_umi.serving.http.guard import hosts_of
from alpha_umi.serving.mcp.episodes import EpisodeEnvironment
from alpha_umi.serving.mcp.key import KeyGuard
from alpha_umi.serving.mcp.server import make_server
from alpha_umi.serving.mcp.tools import AskEnvironment, RetrievalEnvironment
from alpha_umi.world import World
from alpha_umi.world.presets import find_preset

OFFERS = ("ask", "tools", "task", "retrieve")
PATH = "/mcp"


@dataclass(frozen=True, slots=True, kw_only=True)
class McpServerOptions:
    """Environment that is served, with what it holds; made by `read_options`."""

    environment: Environment
    ask: AskEnvironment | None = None
    toolbox: Toolbox | None = None
    """Of tools that are served themselves."""
    instructions: str | None = None


def read_options(
    agent: AgentLike | None,
    options: Any,
    *,
    offers: tuple[str, ...] = (),
    world_task: str | None = None,
    retrieve_from: Path | None = None,
    index: Path | None = None,
) -> McpServerOptions:
    """Check what is offered: `ask` the agent, its `tools` themselves, a `task`, `retrieve` over a corpus.

    No model is loaded. By default the agent alone, with a task of a world its tools, and retrieval where a corpus is
    named. Raises ConfigError, CheckpointError or DataError.
    """
    if unknown := [each for each in offers if each not in OFFERS]:
        raise ConfigError(f"--offer {unknown[0]!r} is not known; known: {', '.join(OFFERS)}")
    has_corpus = retrieve_from is not None or index is not None
    wanted = set(offers) or {"ask" if world_task is None else "tools", *(["retrieve"] if has_corpus else [])}
    if "ask" in wanted and world_task is not None:
        raise ConfigError("--world-task names one query of the world: offer its tools alone (--offer tools, or task)")
    if "task" in wanted and ("tools" in wanted or world_task is None):
        raise ConfigError("--offer task offers the tools of a --world-task with Finish, and no other tools")
    if has_corpus != ("retrieve" in wanted):
        raise ConfigError("retrieval needs a corpus (--retrieve-from or --index), and a corpus is for retrieval alone")
    parts: list[Environment] = []
    conversation = read_conversation(agent, options) if "ask" in wanted else None
    ask = None if conversation is None else AskEnvironment(conversation)
    if ask is not None:
        parts.append(ask)
    toolbox, instructions = None, None
    if world_task is not None and "task" in wanted:
        preset = _preset(choose_agent(agent, agent_options(options)), options)
        environment = EpisodeEnvironment(name_task(preset, world_task).task)
        parts.append(environment)
        instructions = environment.instructions
    if "tools" in wanted:
        choice = conversation.choice if conversation else choose_agent(agent, agent_options(options))
        toolbox = conversation.toolbox if conversation else _toolbox(choice, options, world_task)
        tools, instructions = _tools(toolbox, choice, options, world_task)
        parts.append(tools)
    if has_corpus:
        parts.append(RetrievalEnvironment(open_retriever(retrieve_from, index, None)))
    environment = parts[0] if len(parts) == 1 else CompositeEnvironment(parts)
    return McpServerOptions(environment=environment, ask=ask, toolbox=toolbox, instructions=instructions)


def _toolbox(choice: AgentChoice, options: Any, world_task: str | None) -> Toolbox:
    return open_toolbox(**{**tool_options(options), "world_task": world_task}, agent=choice.config)


def _tools(
    toolbox: Toolbox, choice: AgentChoice, options: Any, world_task: str | None
) -> tuple[Environment, str | None]:
    """Environment of tools that are served themselves, and instructions with the task that they are of."""
    if world_task is None and not own_tools(options):
        preset = _preset(choice, options)
        tools = find_preset(preset).open().tools
        if not tools:
            raise ConfigError(f"the world {preset!r} invents the tools of each task: name one by --world-task")
        return OpenWorldEnvironment(World(preset), tuple(tool.spec for tool in tools.values())), None
    task, environment = replace(toolbox, agent=None).open("")  # no agent reads them
    return environment, None if world_task is None else f"The task: {task.query}"


def _preset(choice: AgentChoice, options: Any) -> str:
    """The world that is named, else that of the agent."""
    provenance = None if choice.config is None else choice.config.provenance
    return options.get("world") or (provenance.preset if provenance else "")


# --- serving ----------------------------------------------------------------------------------------------


def open_server(options: McpServerOptions) -> Server[Any]:
    """Make the server; while it serves, the agent is loaded beside the first requests."""

    @asynccontextmanager
    async def lifespan(_: Any) -> AsyncIterator[None]:
        if options.ask is not None:
            options.ask.start()
        try:
            yield
        finally:
            await _close(options)

    return make_server(
        options.environment,
        name="alpha-umi",
        version=alpha_umi.__version__,
        instructions=options.instructions,
        lifespan=lifespan,
    )


async def _close(options: McpServerOptions) -> None:
    """Free the agent and close the connections of the tools."""
    if options.ask is not None:
        await options.ask.aclose()
    elif options.toolbox is not None:
        await options.toolbox.__aexit__()


def run_stdio(options: McpServerOptions) -> None:
    """Serve the client at the standard input and output until it leaves."""

    async def serve() -> None:
        server = open_server(options)
        async with stdio_server() as (read, write):
            await server.run(read, write, server.create_initialization_options())

    anyio.run(serve)


def run_http(
    options: McpServerOptions, host: str, port: int, key_env: str | None, ready: Callable[[str], None]
) -> None:
    """Serve over HTTP until interrupted; `ready` is called with the address.

    Raises ConfigError for a host that other machines reach and no key.
    """
    key = _key(host, key_env)
    listening = http.listen(host, port)
    try:
        app = open_server(options).streamable_http_app(streamable_http_path=PATH, host=host)
        if key:
            app.add_middleware(KeyGuard, key=key)
        http.serve(app, listening, lambda: ready(f"{http.address(listening)}{PATH}"))
    finally:
        listening.close()


def _key(host: str, key_env: str | None) -> str:
    if key_env is None:
        if not hosts_of(host):
            raise ConfigError(
                f"--host {host}: other machines reach it, so requests need a key; name the environment variable that "
                "holds it by --api-key-env"
            )
        return ""
    key = os.environ.get(key_env, "")
    if not key:
        raise ConfigError(f"--api-key-env {key_env}: that environment variable is not set")
    return key
