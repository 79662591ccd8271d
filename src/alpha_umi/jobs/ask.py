"""One query, one search or a conversation with an agent that is chosen by name, endpoint or object."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import AsyncExitStack, aclosing
from dataclasses import dataclass
from typing import Annotated, Any, Unpack

from alpha_umi.config.calls import InstanceOnly, validated
from alpha_umi.deprecation import called_as
from alpha_umi.environments.python import CallersLoopEnvironment
from alpha_umi.event_loops import run_blocking
from alpha_umi.jobs.agent import AgentChoice, AgentLike, choose_agent, read_toolbox, tool_options, tool_rules
from alpha_umi.jobs.chat import Chat
from alpha_umi.jobs.options import AgentAskOptions, AgentChatOptions, AgentOptions
from alpha_umi.jobs.toolbox import Toolbox, open_toolbox, task_toolbox
from alpha_umi.search import Node
from alpha_umi.search import explore as search_tree
from alpha_umi.search.names import check_strategy
from alpha_umi.types import Task, Trajectory


@validated
def ask(query: str | None = None, *, agent: AgentLike | None = None, **options: Unpack[AgentAskOptions]) -> Trajectory:
    """Answer one query with tools: Python functions, files of them, tool JSON files, or a sealed world's.

    Works inside a running event loop (a notebook): the search runs in a thread with a loop of its own. `agent`: a
    loaded one, or a name as `load` takes it; None: umi-smol for tools of one's own, umi-tiny for its own world. An
    agent that is named is loaded for this query and freed: for several, load it once.
    Raises ConfigError for wrong arguments before anything is loaded, CheckpointError for an agent that is not there,
    ModelError when a model cannot complete.
    """
    with read_question(query, agent, options).open() as chat:
        return chat.send(query or "", on_node=options.get("on_node"), on_token=options.get("on_token"))


@validated
async def aask(
    query: str | None = None, *, agent: AgentLike | None = None, **options: Unpack[AgentAskOptions]
) -> Trajectory:
    """As `ask`, awaited: async tools run in the caller's event loop."""
    async with await asyncio.to_thread(read_question(query, agent, options).open) as chat:
        return await chat.asend(query or "", on_node=options.get("on_node"), on_token=options.get("on_token"))


@validated
def chat(agent: AgentLike | None = None, **options: Unpack[AgentChatOptions]) -> Chat:
    """Start a conversation with an agent that `load` would find; a loaded one stays loaded when the chat is closed."""
    return read_conversation(agent, options).open()


@validated
def explore(
    agent: AgentLike | None, task: Annotated[Task, InstanceOnly()] | str, **options: Unpack[AgentChatOptions]
) -> AsyncGenerator[Node, None]:
    """Search for an answer and yield every node as it grows, for `async for`.

    `task`: a query, or a task with its tools; a task of a sealed world runs there unless `tools` says otherwise. An
    agent that is named is freed at the end. Raises as `ask`.
    """
    choice = choose_agent(agent, agent_options(options), own_tools=own_tools(options))
    check_strategy(options.get("strategy", "chain"))
    if isinstance(task, Task):
        own = {name: options.get(name) for name in ("tools", "env", "mcp")}
        toolbox = task_toolbox(task, **own, agent=choice.config, rules=tool_rules(options))
    else:
        toolbox = open_toolbox(**tool_options(options), agent=choice.config)
    return _explore(choice, toolbox, task, options)


async def _explore(
    choice: AgentChoice, toolbox: Toolbox, task: Task | str, options: AgentChatOptions
) -> AsyncGenerator[Node, None]:
    async with AsyncExitStack() as stack:
        agent = await asyncio.to_thread(choice.open)
        if choice.given is None:
            stack.push_async_exit(agent)
        await stack.enter_async_context(toolbox)
        opened, environment = toolbox.open(task if isinstance(task, str) else task.query)
        named = agent.read_search(options)
        environment = CallersLoopEnvironment(environment)
        selection = named["selection"]
        reading = agent if selection is None else selection.of(agent)
        nodes = search_tree(reading, environment, opened, named["limits"], named["strategy"])
        async with aclosing(nodes):
            async for node in nodes:
                yield node


# --- what is read before anything is loaded ---------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class Conversation:
    """Conversation, or single query, whose arguments are checked and whose agent is not loaded."""

    choice: AgentChoice
    toolbox: Toolbox
    options: AgentAskOptions

    def open(self) -> Chat:
        """Load the agent, which the chat frees unless it was given. Raises ConfigError or CheckpointError."""
        owned = self.choice.given is None
        try:
            agent = self.choice.open()
        except BaseException:
            run_blocking(self.toolbox.__aexit__())
            raise
        try:
            return Chat(agent, self.toolbox, **agent.read_search(self.options), owns_agent=owned)
        except BaseException:
            if owned:
                agent.close()
            raise


def read_question(query: str | None, agent: AgentLike | None, options: AgentAskOptions) -> Conversation:
    """Check the arguments of one query. Raises ConfigError, CheckpointError or DataError."""
    choice = choose_agent(agent, agent_options(options), own_tools=own_tools(options))
    check_strategy(options.get("strategy", "chain"))
    return Conversation(choice=choice, toolbox=read_toolbox(query, options, choice.config), options=options)


def read_conversation(agent: AgentLike | None, options: AgentChatOptions) -> Conversation:
    """Check the arguments of a conversation. Raises ConfigError, CheckpointError or DataError."""
    choice = choose_agent(agent, agent_options(options), own_tools=own_tools(options))
    check_strategy(options.get("strategy", "chain"))
    toolbox = open_toolbox(**tool_options(options), agent=choice.config)
    return Conversation(choice=choice, toolbox=toolbox, options={**options})


def agent_options(options: AgentAskOptions | AgentChatOptions) -> Any:
    """The options that choose an agent."""
    return {name: options.get(name) for name in AgentOptions.__annotations__ if name in options}


def own_tools(options: AgentAskOptions | AgentChatOptions) -> bool:
    """Test if the options name tools of one's own."""
    return any(options.get(name) is not None for name in ("tools", "env", "mcp"))


called_as(__name__, "ask")
