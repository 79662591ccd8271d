"""Environments that an MCP server offers: the agent as a tool, and retrieval over a tool corpus."""

from __future__ import annotations

import asyncio
import contextvars
import json
import logging
from collections.abc import Awaitable, Callable
from typing import TypeAlias, cast

from alpha_umi.arguments import Fault, read_arguments
from alpha_umi.errors import AlphaUMiError, describe
from alpha_umi.formats.prompts.unknown_tools import unknown_tool
from alpha_umi.formats.tool_json import write_trained_spec
from alpha_umi.jobs.agent import Agent
from alpha_umi.jobs.ask import Conversation
from alpha_umi.jobs.chat import Chat
from alpha_umi.retrieval import Retriever
from alpha_umi.search import Node
from alpha_umi.types import Answer, Call, Json, Observation, Plan, ToolSpec, ToolStatus

OnProgress: TypeAlias = Callable[[str], Awaitable[object]]
PROGRESS: contextvars.ContextVar[OnProgress | None] = contextvars.ContextVar("progress", default=None)
"""Receiver of what an agent does, for the request that is being answered."""

_QUERY: Json = {"type": "string", "description": "The question, or what to do, in full."}
_log = logging.getLogger(__name__)


class AskEnvironment:
    """Environment of the tool `ask`: an agent that answers a query with tools of its own. Every call is a new query.

    The agent is loaded beside the first requests, which wait for it.
    """

    def __init__(self, conversation: Conversation) -> None:
        self._conversation = conversation
        self._opening: asyncio.Task[Agent] | None = None
        self.tools = (
            ToolSpec(
                name="ask",
                description=f"Ask the agent {conversation.choice.name}, which answers with tools of its own.",
                parameters={"type": "object", "properties": {"query": _QUERY}, "required": ["query"]},
            ),
        )

    def start(self) -> asyncio.Task[Agent]:
        """Begin to load the agent, in the running loop."""
        if self._opening is None:
            self._opening = asyncio.ensure_future(asyncio.to_thread(self._conversation.choice.open))
        return self._opening

    async def execute(self, call: Call) -> Observation:
        if call.name != self.tools[0].name:
            return unknown_tool(call.name)
        arguments = read_arguments(self.tools[0], call.arguments)
        if isinstance(arguments, Fault):
            return Observation(content=arguments.reason, status=ToolStatus.BAD_ARGUMENTS)
        query = cast("str", arguments["query"])
        if not query.strip():
            return Observation(content="argument 'query' is empty", status=ToolStatus.BAD_ARGUMENTS)
        try:
            return await self._ask(query)
        except AlphaUMiError as error:
            return Observation(content=str(error), status=ToolStatus.ERROR)

    async def _ask(self, query: str) -> Observation:
        agent = await asyncio.shield(self.start())
        chat = Chat(agent, self._conversation.toolbox, **agent.read_search(self._conversation.options))
        progress = _Progress(PROGRESS.get())
        done = await chat.asend(query, on_node=progress.on_node)
        await progress.settle()
        if done.answer is None:
            return Observation(content=f"no answer: {done.stop.value}", status=ToolStatus.ERROR)
        return Observation(content=done.answer)

    async def aclose(self) -> None:
        """Free the agent and close the connections of its tools."""
        await self._conversation.toolbox.__aexit__()
        if self._opening is not None and self._conversation.choice.given is None:
            self._opening.cancel()
            agent = None
            try:
                agent = await self._opening
            except (asyncio.CancelledError, AlphaUMiError):
                return
            await agent.aclose()

    def fork(self) -> AskEnvironment:
        return self


class _Progress:
    """Plans and calls of an agent, sent on in their order."""

    def __init__(self, send: OnProgress | None) -> None:
        self._send = send
        self._shown: dict[int, int] = {}
        self._sending: asyncio.Task[None] | None = None

    def on_node(self, node: Node) -> None:
        turns = node.turns[self._shown.get(node.index, 0) :] if node.parent is not None else ()
        self._shown[node.index] = len(node.turns)
        for turn in turns if self._send is not None else ():
            match turn:
                case Plan(thought=text) if text:
                    self._queue(text)
                case Call(name=name, arguments=arguments):
                    self._queue(f"{name} {arguments}")
                case Answer() | _:
                    pass

    def _queue(self, text: str) -> None:
        before = self._sending

        async def send() -> None:
            if before is not None:
                await before
            # The client's side of a connection: it may be gone, and then needs no progress.
            try:
                await cast("OnProgress", self._send)(text)
            except Exception as error:
                _log.debug("no progress is sent: %s", describe(error))

        self._sending = asyncio.ensure_future(send())

    async def settle(self) -> None:
        if self._sending is not None:
            await self._sending


class RetrievalEnvironment:
    """Environment of the tool `find_tools`: retrieval over the APIs of a corpus."""

    def __init__(self, retriever: Retriever) -> None:
        self._retriever = retriever
        count = len(retriever.corpus)
        self.tools = (
            ToolSpec(
                name="find_tools",
                description=f"Find the tools that fit a query best, out of {count:,}; the best comes first.",
                parameters={
                    "type": "object",
                    "properties": {
                        "query": {"type": "string", "description": "What the tools are needed for."},
                        "k": {"type": "integer", "description": "Number of tools, 1 to 50; 5 by default."},
                    },
                    "required": ["query"],
                },
            ),
        )

    async def execute(self, call: Call) -> Observation:
        if call.name != self.tools[0].name:
            return unknown_tool(call.name)
        arguments = read_arguments(self.tools[0], call.arguments)
        if isinstance(arguments, Fault):
            return Observation(content=arguments.reason, status=ToolStatus.BAD_ARGUMENTS)
        k = cast("int", arguments.get("k", 5))
        if not 1 <= k <= 50:
            return Observation(content=f"argument 'k' must be 1 to 50, not {k}", status=ToolStatus.BAD_ARGUMENTS)
        hits = await asyncio.to_thread(self._retriever.rank, cast("str", arguments["query"]), k)
        found: list[Json] = []
        for hit in hits:
            spec = write_trained_spec(hit.api)
            found.append(
                {
                    "name": spec.name,
                    "category": hit.api.category,
                    "tool": hit.api.tool,
                    "description": hit.api.description or hit.api.tool_description,
                    "parameters": dict(spec.parameters),
                    "score": round(hit.score, 3),
                }
            )
        return Observation(content=json.dumps(found, ensure_ascii=False))

    def fork(self) -> RetrievalEnvironment:
        return self
