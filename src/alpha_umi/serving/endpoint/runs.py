"""Runs, the page's own stream: a conversation as turns goes in; pieces of text, nodes and approvals come out."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from dataclasses import replace
from typing import Any

from alpha_umi.errors import AlphaUMiError, ConfigError, DataError
from alpha_umi.formats.messages import ReadMessages
from alpha_umi.jobs.toolbox import Toolbox
from alpha_umi.record_faults import value_fault
from alpha_umi.rollouts.runner import encode_node
from alpha_umi.search.names import Named, open_strategy
from alpha_umi.serving.endpoint.asking import Asked, ParsedRequest, ask_about, read_functions
from alpha_umi.serving.endpoint.errors import ApiError, invalid
from alpha_umi.serving.endpoint.events import ApprovalAsked, Ended, Event, Grown, Text, Thought
from alpha_umi.serving.endpoint.meters import Settings
from alpha_umi.serving.endpoint.served import ServedAgent
from alpha_umi.serving.endpoint.state import State
from alpha_umi.serving.endpoint.steering import ToolChoice
from alpha_umi.serving.endpoint.wire import RunRequest
from alpha_umi.store import SCHEMA, decode_trajectory, encode_usage
from alpha_umi.types import Json, ToolSpec, Turn, User

STRATEGIES = ("chain", "dfsdt", "dfs")


async def ask_run(body: RunRequest, served: ServedAgent, state: State) -> Asked:
    """Turn a run's request into what is asked of the agent. Raises ApiError naming the field."""
    turns = read_turns(body.turns)
    if body.mcp is not None:
        servers = served.named_servers
        if servers is None:
            raise invalid("mcp: this server was not started with --allow-mcp", "mcp")
        served = replace(served, toolbox=servers.find(body.mcp))
    parsed = ParsedRequest(
        model=served.name,
        conversation=ReadMessages(turns=turns),
        tools=read_functions(body.tools),
        choice=ToolChoice.AUTO,
        named=None,
        settings=Settings(temperature=body.temperature, seed=body.seed),
        format=None,
        budgets=body,
        parallel=False,
        streams=True,
        strategy=_strategy(body.strategy, served),
        shows_nodes=True,
    )
    asked = await ask_about(turns, parsed, served, state, own_tools=True)
    tools = asked.request.tools
    if tools is not None and not tools.is_chain:
        try:
            tools.environment.fork()
        except ConfigError as error:
            raise invalid(f"strategy: {error}", "strategy") from None
    return asked


def read_turns(rows: list[dict[str, Any]]) -> tuple[Turn, ...]:
    """Read the turns of a conversation. Raises ApiError naming the field."""
    row = {"schema": SCHEMA, "task": {"id": "run", "query": "", "tools": [], "metadata": {}}, "turns": rows}
    try:
        read = decode_trajectory(row)
    except DataError:
        read = None
    if read is None or value_fault(read):
        shape = "user, plan, call, observation, answer or review, with its texts, as files of trajectories have them"
        raise invalid(f"turns: each is an object with a 'turn': {shape}", "turns")
    if not any(type(turn) is User for turn in read.turns):
        raise invalid("turns: one of the user is needed", "turns")
    return read.turns


def _strategy(name: str | None, served: ServedAgent) -> Named | None:
    try:
        return None if name is None else open_strategy(name, served.loaded.ranker)
    except ConfigError as error:
        raise invalid(f"strategy: {error}", "strategy") from None


async def run_events(asked: Asked, events: AsyncGenerator[Event]) -> AsyncGenerator[dict[str, Json]]:
    """Write the events of a run. Raises ApiError."""
    request = asked.request
    own = request.tools is not None
    yield {"type": "run.started", "tools": [write_tool(tool) for tool in request.task.tools], "server_tools": own}
    async for event in events:
        match event:
            case Thought(text=piece, starts=starts):
                yield {"type": "run.thought", "text": piece, "starts": starts}
            case Text(text=piece):
                yield {"type": "run.answer", "text": piece}
            case Grown(node=node):
                yield {"type": "run.node", "node": encode_node(node)}
            case ApprovalAsked(id=name, called=called):
                seconds = None if request.tools is None else request.tools.approvals.wait_s
                call: Json = {"name": called.call.name, "arguments": called.call.arguments}
                yield {"type": "run.approval", "id": name, "call": call, "seconds": seconds}
            case Ended(trajectory=trajectory, finish=finish, nodes=nodes):
                for node in () if own else nodes[1:]:
                    yield {"type": "run.node", "node": encode_node(node)}
                usage = encode_usage(trajectory.usage)
                yield {"type": "run.ended", "finish": finish, "stop": trajectory.stop.value, "usage": usage}
            case _:
                pass


def write_tool(tool: ToolSpec, *, asks: bool | None = None) -> dict[str, Json]:
    """Write a tool for people; `asks`: whether its calls are approved."""
    written: dict[str, Json] = {"name": tool.name, "description": tool.description, "parameters": dict(tool.parameters)}
    return written if asks is None else {**written, "asks": asks}


def describe_agent(served: ServedAgent, *, keeps: bool) -> dict[str, Json]:
    """Describe what a page can ask for: the agent, its search strategies and the server's tools."""
    ranker, toolbox = served.loaded.ranker, served.toolbox
    shown = [] if toolbox is None or served.tools_by_query else describe_tools(toolbox)
    names = [name for name in STRATEGIES if name != "dfs" or ranker is not None]
    return {
        "name": served.name,
        "strategies": list[Json](names),
        "strategy": next(
            (name for name in names if open_strategy(name, served.loaded.ranker) == served.strategy), None
        ),
        "tools": list[Json](shown),
        "tools_by_query": served.tools_by_query,
        "has_tools": served.toolbox is not None,
        "keeps": keeps,
        "allows_mcp": served.named_servers is not None,
    }


def describe_tools(toolbox: Toolbox) -> list[dict[str, Json]]:
    """Describe the tools of a toolbox, and whether their calls are approved. Raises ApiError."""
    try:
        task, _ = toolbox.open("")
    except AlphaUMiError as error:
        raise ApiError(status=503, message=f"no tools can be had: {error}", code="no_tools") from None
    rules = toolbox.environment.confirmation
    return [write_tool(tool, asks=rules.needs(tool)) for tool in task.tools]
