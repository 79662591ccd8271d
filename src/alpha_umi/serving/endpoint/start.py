"""Start of an endpoint from its options."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from alpha_umi.config import AgentConfig
from alpha_umi.errors import ConfigError
from alpha_umi.jobs.agent import (
    AgentChoice,
    AgentLike,
    choose_agent,
    read_limits,
    read_selection,
    tool_options,
    tool_rules,
)
from alpha_umi.jobs.ask import agent_options, own_tools
from alpha_umi.jobs.options import AgentChatOptions
from alpha_umi.jobs.toolbox import Toolbox, ToolRules, open_toolbox
from alpha_umi.loading.agents import AgentKind, LoadedAgent, open_agent, open_coded_agent
from alpha_umi.search import Limits, open_strategy
from alpha_umi.search.names import check_strategy
from alpha_umi.serving.endpoint.app import make_app
from alpha_umi.serving.endpoint.approvals import WAIT_S, Approvals, confirm_by_client
from alpha_umi.serving.endpoint.named_servers import NamedServers
from alpha_umi.serving.endpoint.routes import AppOptions
from alpha_umi.serving.endpoint.served import ServedAgent
from alpha_umi.serving.endpoint.spans import open_spans
from alpha_umi.serving.endpoint.state import State
from alpha_umi.serving.http import server
from alpha_umi.serving.http.guard import hosts_of
from alpha_umi.world.presets import find_preset

if TYPE_CHECKING:
    from alpha_umi.retrieval.selection import ToolSelection


@dataclass(frozen=True, slots=True, kw_only=True)
class EndpointOptions:
    """Options of an endpoint."""

    choice: AgentChoice
    toolbox: Toolbox | None = None
    """Tools that run here."""
    tools_by_query: bool = False
    """True: which of them are offered depends on the query."""
    named_mcp: ToolRules | None = None
    """Rules for the tools of MCP servers that users of the page name; None: they may name none."""
    approval_s: float = WAIT_S
    """Time in which a client approves a call that asks for it, in seconds."""
    strategy: str = "chain"
    limits: Limits = field(default_factory=Limits)
    selection: ToolSelection | None = None
    """Tools that the agent reads; None: all."""
    host: str = "127.0.0.1"
    port: int = 8000
    origins: tuple[str, ...] = ()
    """Origins of pages of other sites that may ask."""
    state: Path | None = None
    """File of responses and calls; None: they are forgotten when the endpoint ends."""
    keep: Path | None = None
    """Folder of the trajectories of replies; None: none is kept."""
    key_env: str | None = None
    """The environment variable with the key that requests must have; None: any will do."""


def read_options(
    agent: AgentLike | None, options: AgentChatOptions, *, allow_mcp: bool = False, **listening: Any
) -> EndpointOptions:
    """Check the options of an agent, its tools and the search of a reply; nothing is loaded.

    Without tools of any kind those of the agent's own sealed world are used, where it has such. `allow_mcp`: users of
    the page may name MCP servers. `listening`: host, port and key. Raises ConfigError, CheckpointError or DataError.
    """
    check_strategy(strategy := options.get("strategy", "chain"))
    choice = choose_agent(agent, agent_options(options), own_tools=own_tools(options))
    asking: Any = {**options, "confirm": options.get("confirm") or confirm_by_client}
    named, rules = tool_options(asking), tool_rules(asking) if allow_mcp else None
    has_tools = any(named[name] is not None for name in ("tools", "env", "mcp", "world"))
    toolbox = open_toolbox(**named, agent=choice.config) if has_tools or _has_world(choice.config) else None
    by_query = not any(named[name] is not None for name in ("tools", "env", "mcp"))
    return EndpointOptions(
        choice=choice,
        toolbox=toolbox,
        tools_by_query=by_query,
        named_mcp=rules,
        strategy=strategy,
        limits=read_limits(options),
        selection=read_selection(options),
        **listening,
    )


def _has_world(config: AgentConfig | None) -> bool:
    """Return True for an agent that was trained in a world with tools outside its tasks."""
    provenance = None if config is None else config.provenance
    return provenance is not None and bool(find_preset(provenance.preset).open().tools)


def run(options: EndpointOptions, ready: Callable[[str], None]) -> None:
    """Serve until interrupted; `ready` is called with the address.

    Raises ConfigError, before anything is loaded, for a host that other machines reach and no key.
    """
    app_options = AppOptions(
        key=accepted_key(options), hosts=hosts_of(options.host), origins=options.origins, keep=options.keep
    )
    listening = server.listen(options.host, options.port)
    try:
        app = make_app(open_served(options), app_options, State(options.state))
        server.serve(app, listening, lambda: ready(server.address(listening)))
    finally:
        listening.close()


def open_served(options: EndpointOptions) -> ServedAgent:
    """Load the agent. Raises ConfigError, CheckpointError."""
    loaded, config = load_choice(options.choice), options.choice.config
    servers = None if options.named_mcp is None else NamedServers(agent=config, rules=options.named_mcp)
    return ServedAgent(
        name=options.choice.name,
        loaded=loaded,
        config=config,
        named_servers=servers,
        toolbox=options.toolbox,
        strategy=open_strategy(options.strategy, loaded.ranker),
        tools_by_query=options.tools_by_query,
        approvals=Approvals(options.approval_s),
        limits=options.limits,
        selection=options.selection,
        spans=open_spans(),
    )


def load_choice(choice: AgentChoice) -> LoadedAgent:
    """Load a chosen agent, for the event loop of the server."""
    if choice.coded is not None:
        return LoadedAgent(agent=choice.coded)
    if choice.config is None:
        return open_coded_agent(choice.name)
    return open_agent(choice.config, AgentKind.SINGLE if choice.single else None)


def accepted_key(options: EndpointOptions) -> str:
    """The key that requests must have. Raises ConfigError where it is not set, or a host needs one."""
    if options.key_env is None:
        if not hosts_of(options.host):
            raise ConfigError(
                f"--host {options.host}: other machines reach it, so requests need a key; name the environment "
                "variable that holds it by --api-key-env"
            )
        return ""
    key = os.environ.get(options.key_env, "")
    if not key:
        raise ConfigError(f"--api-key-env {options.key_env}: that environment variable is not set")
    return key
