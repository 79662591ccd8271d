"""Tools of queries by hand: which are offered, and the environment that runs them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from alpha_umi.config import (
    PLACES,
    AgentConfig,
    BudgetConfig,
    EnvironmentConfig,
    OpenApiConfig,
    PythonConfig,
    WorldConfig,
    is_code,
    load_config,
    make_config,
)
from alpha_umi.datasets.queries import Query, offered
from alpha_umi.environments.confirming import Confirmation
from alpha_umi.environments.python import PythonEnvironment
from alpha_umi.errors import ConfigError
from alpha_umi.jobs.options import Tools
from alpha_umi.jobs.world_query import free_query, name_task, open_world
from alpha_umi.loading.bundled import check_world
from alpha_umi.loading.environments import LoadedEnvironment, open_environment
from alpha_umi.loading.mcp import McpSource
from alpha_umi.loading.trained_tools import warn_of_untrained_tools
from alpha_umi.protocols import Confirm, Environment
from alpha_umi.rollouts.runner import with_tools
from alpha_umi.text_files import read_json
from alpha_umi.tools import BUILT_IN
from alpha_umi.types import Task, ToolSpec


@dataclass(frozen=True, slots=True, kw_only=True)
class ToolRules:
    """Rules for the calls of tools that options set, on top of what the environment's file says."""

    max_observation_chars: int | None = None
    """Budget of an observation."""
    confirm: Confirm | None = None
    confirm_tools: tuple[str, ...] = ()
    approve_tools: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Toolbox:
    """Tools that queries may use, with what runs them; an async context manager that closes connections."""

    environment: LoadedEnvironment
    make_query: Callable[[str, Sequence[ToolSpec]], Query]
    """The query of a text; the tools that earlier queries of a conversation called stay offered."""
    agent: AgentConfig | None = None
    """Agent that they are offered to; None: one that is code."""

    async def __aenter__(self) -> Toolbox:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.environment.__aexit__()

    def open(self, text: str, called: Sequence[ToolSpec] = ()) -> tuple[Task, Environment]:
        """Task and environment of a text. Raises ConfigError or DataError where no tools can be had for it.

        Warns of tools for which the agent was not trained.
        """
        query = self.make_query(text, called)
        environment = self.environment.open(query)
        task = with_tools(query.task, environment)
        warn_of_untrained_tools(self.agent, [task])
        return task, environment


def open_toolbox(
    tools: Tools | str | None = None,
    env: str | None = None,
    mcp: McpSource | Sequence[McpSource] | None = None,
    world: str | None = None,
    world_task: str | None = None,
    agent: AgentConfig | None = None,
    rules: ToolRules | None = None,
) -> Toolbox:
    """Tools of one's own, of JSON files called at `env`, of the environment `env`, of MCP servers, or of a world.

    Without any of these the world is that in which `agent` was trained.

    Raises ConfigError where the arguments contradict each other or no tools are named, DataError for broken files,
    CheckpointError for an agent that was trained in another version of the world.
    """
    if mcp is not None and (world is not None or world_task is not None):
        raise ConfigError("tools of MCP servers need a query, and neither --world nor --world-task")
    if mcp is None or tools is not None or env is not None:
        toolbox = _open(tools, env, world, world_task, agent)
    else:
        toolbox = _open_mcp()
    if mcp is not None:
        toolbox = replace(toolbox, environment=toolbox.environment.with_mcp(_listed(mcp)))
    return _ruled(replace(toolbox, agent=agent), rules)


def _open_mcp() -> Toolbox:
    """No tools but those of MCP servers; those that a conversation has called stay offered."""
    return Toolbox(environment=LoadedEnvironment(openers=()), make_query=_conversing)


def _conversing(text: str, called: Sequence[ToolSpec]) -> Query:
    return Query(task=replace(_task(text), tools=tuple(called)))


def _listed(mcp: McpSource | Sequence[McpSource]) -> Sequence[McpSource]:
    return mcp if isinstance(mcp, list | tuple) else [mcp]


def _ruled(toolbox: Toolbox, rules: ToolRules | None) -> Toolbox:
    """The toolbox under rules, which come on top of its environment's own."""
    if rules is None:
        return toolbox
    environment = toolbox.environment
    own, budget = environment.confirmation, environment.budget
    if rules.max_observation_chars is not None:
        budget = (budget or BudgetConfig()).model_copy(update={"max_chars": rules.max_observation_chars})
    confirmation = Confirmation(
        confirm=rules.confirm,
        tools=(*own.tools, *rules.confirm_tools),
        approved=(*own.approved, *rules.approve_tools),
    )
    return replace(toolbox, environment=replace(environment, budget=budget, confirmation=confirmation))


def _open(
    tools: Tools | str | None, env: str | None, world: str | None, world_task: str | None, agent: AgentConfig | None
) -> Toolbox:
    if tools is not None or env is not None:
        if world is not None or world_task is not None:
            raise ConfigError("tools of your own need a query, and neither --world nor --world-task")
        return _open_own(Path(tools) if isinstance(tools, str) else tools, env)
    provenance = None if agent is None else agent.provenance
    preset = world or (provenance.preset if provenance else None)
    if preset is None:
        raise ConfigError("which tools may be used? Name them by --tools or --mcp, or a sealed world by --world")
    if provenance is not None:
        check_world(provenance)
    if world_task is not None:
        environment, query = open_environment(EnvironmentConfig(world=WorldConfig())), name_task(preset, world_task)
        return Toolbox(environment=environment, make_query=lambda _, __: query)
    return Toolbox(environment=open_world(preset), make_query=lambda text, called: free_query(preset, text, called))


def task_toolbox(
    task: Task,
    tools: Tools | None,
    env: str | None,
    mcp: McpSource | Sequence[McpSource] | None = None,
    agent: AgentConfig | None = None,
    rules: ToolRules | None = None,
) -> Toolbox:
    """Tools of a task that is there already: tools of one's own, else those of the sealed world that it is of."""
    if tools is not None or env is not None or mcp is not None:
        own = open_toolbox(tools, env, mcp, agent=agent, rules=rules)
        return replace(own, make_query=lambda text, called: replace(own.make_query(text, called), task=task))
    if "world" not in task.metadata:
        raise ConfigError(f"task {task.id!r}: nothing runs its tools; name an environment or functions by 'tools'")
    environment = open_environment(EnvironmentConfig(world=WorldConfig()))
    return _ruled(Toolbox(environment=environment, make_query=lambda _, __: Query(task=task), agent=agent), rules)


def _open_own(tools: Tools | None, env: str | None) -> Toolbox:
    if tools is None:
        config = read_environment(env or "")
        if config.mcp is not None and config.python is None and config.code is None:
            return Toolbox(environment=_connected(open_environment(config)), make_query=_conversing)
        if config.python is None and config.code is None and config.openapi is None:
            raise ConfigError(f"--env {env} does not say which tools there are; name their JSON files by --tools")
        return Toolbox(environment=open_environment(config), make_query=lambda text, _: Query(task=_task(text)))
    if isinstance(tools, Path) and (tools.suffix == ".json" or tools.is_dir()):
        return _open_api_tools(tools) if env is None and _calls_an_api(tools) else _open_apis(tools, env)
    if env is not None:
        raise ConfigError(f"{tools}: Python functions run here; --env is for ToolBench's tool JSON files")
    if isinstance(tools, Path) and (str(tools) in BUILT_IN or is_code(str(tools))) and not tools.exists():
        environment = open_environment(read_environment(str(tools)))
    elif isinstance(tools, Path):
        file = Path.cwd() / tools.expanduser()
        environment = open_environment(EnvironmentConfig(python=PythonConfig(tools=str(file))))
    else:
        place = tools if isinstance(tools, Environment) else PythonEnvironment(tools)
        environment = LoadedEnvironment(openers=(lambda _, __: place,))
    return Toolbox(environment=environment, make_query=lambda text, _: Query(task=_task(text)))


def _connected(environment: LoadedEnvironment) -> LoadedEnvironment:
    if environment.mcp is not None:
        environment.mcp.servers.connect()
    return environment


def _calls_an_api(file: Path) -> bool:
    """Tell whether a file says itself where its tools are called: one of `umi tools`, or an OpenAPI document."""
    from alpha_umi.environments.openapi.tool_file import is_tool_file

    return file.is_file() and is_tool_file(read_json(file))


def _open_api_tools(file: Path) -> Toolbox:
    config = EnvironmentConfig(openapi=OpenApiConfig(tools=str(Path.cwd() / file.expanduser())))
    return Toolbox(environment=open_environment(config), make_query=lambda text, _: Query(task=_task(text)))


def _open_apis(files: Path, env: str | None) -> Toolbox:
    from alpha_umi.environments.rapidapi import load_apis

    if env is None:
        raise ConfigError(f"{files}: tools of JSON files are called somewhere: name a service by --env, or rapidapi")
    apis = load_apis(files)
    overrides = [f"rapidapi.tools={files}"] if env == "rapidapi" else []
    environment = open_environment(read_environment(env, overrides))

    def make_query(text: str, _: Sequence[ToolSpec]) -> Query:
        return Query(task=replace(_task(text), tools=offered(apis)), apis=tuple(apis))

    return Toolbox(environment=environment, make_query=make_query)


def _task(text: str) -> Task:
    return Task(id="ask", query=text)


def read_environment(name: str, overrides: Sequence[str] = (), concurrency: int | None = None) -> EnvironmentConfig:
    """The environment's configuration from a file's path, an address, or the name of a kind.

    `concurrency`: requests at once, for kinds that are services. Raises ConfigError for another name.
    """
    if name.endswith(".toml"):
        return load_config(EnvironmentConfig, Path(name), overrides)
    service: dict[str, Any] = {} if concurrency is None else {"concurrency": concurrency}
    if name.startswith(("http://", "https://")):
        document: dict[str, Any] = {"http": {"url": name, **service}}
    elif name.endswith(".py"):
        document = {"python": {"tools": name}}
    elif name.endswith(".json"):
        document = {"openapi": {"tools": name, **service}}
    elif name in BUILT_IN and not overrides:
        document = {"code": f"alpha_umi.tools:{name}"}
    elif is_code(name):
        document = {"code": name}
    elif name in PLACES:
        document = {name: service if name in ("http", "rapidapi") else {}}
    else:
        raise ConfigError(
            f"--env {name!r} is not known; known: {', '.join((*PLACES, 'calculator'))}, an address (http://...), "
            "TOOLS.py, a TOML file, module:attribute"
        )
    return make_config(EnvironmentConfig, document, overrides, f"--env {name}").rebased(Path.cwd())
