"""Conversation with an agent: every reply is searched with the earlier exchanges as context."""

from __future__ import annotations

import asyncio
import queue
import threading
from collections.abc import AsyncGenerator, Callable, Generator
from concurrent.futures import wait
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, TypeAlias

from alpha_umi.config.calls import validated
from alpha_umi.environments.python import CallersLoopEnvironment
from alpha_umi.errors import ConfigError
from alpha_umi.jobs.toolbox import Toolbox
from alpha_umi.protocols import Environment
from alpha_umi.search import Limits, Node, Tree
from alpha_umi.search.names import Named
from alpha_umi.search.solve import solve
from alpha_umi.types import Call, Role, StopReason, ToolSpec, Trajectory, Turn, Usage

if TYPE_CHECKING:
    from alpha_umi.jobs.agent import Agent
    from alpha_umi.retrieval.selection import ToolSelection

OnNode: TypeAlias = Callable[[Node], object]
OnToken: TypeAlias = Callable[[Role, str], object]


@dataclass(frozen=True, slots=True, kw_only=True)
class Piece:
    """Text that a role has just generated, before its turn is complete."""

    role: Role
    text: str


StreamEvent: TypeAlias = Piece | Turn
"""A piece of a turn that is being generated, or a turn that is complete."""


class Chat:
    """Conversation of a user and an agent as one growing trajectory.

    An interrupted reply keeps its complete turns. Context manager, sync and async; leave it to close the tools'
    connections, and the agent where it was loaded for this conversation.
    """

    def __init__(
        self,
        agent: Agent,
        toolbox: Toolbox,
        *,
        strategy: Named,
        limits: Limits,
        selection: ToolSelection | None = None,
        owns_agent: bool = False,
    ) -> None:
        self.agent = agent
        self._toolbox = toolbox
        self._strategy, self._limits, self._selection = strategy, limits, selection
        self._owns_agent = owns_agent
        self._exchanges: list[Trajectory] = []
        self._busy = threading.Lock()

    # --- history --------------------------------------------------------------------------------------

    @property
    def turns(self) -> tuple[Turn, ...]:
        """Every turn of the conversation."""
        return tuple(turn for exchange in self._exchanges for turn in exchange.turns)

    @property
    def exchanges(self) -> tuple[Trajectory, ...]:
        """Each of the user's messages with the turns that follow it, and what the reply cost."""
        return tuple(self._exchanges)

    @property
    def trajectory(self) -> Trajectory | None:
        """Whole conversation: the newest task, every turn, the last stop reason, all usage. None before a message."""
        return self._whole() if self._exchanges else None

    # --- messages -------------------------------------------------------------------------------------

    @validated
    def send(self, text: str, *, on_node: OnNode | None = None, on_token: OnToken | None = None) -> Trajectory:
        """Send a message, wait for the reply, and return the whole conversation; `.answer` is the reply.

        Works inside a running event loop. Raises ModelError when a model cannot complete; KeyboardInterrupt keeps the
        turns that are complete.
        """
        return self.agent.run(self._send(text, on_node, on_token))

    @validated
    async def asend(self, text: str, *, on_node: OnNode | None = None, on_token: OnToken | None = None) -> Trajectory:
        """As `send`, awaited: async tools run in the caller's event loop."""
        return await self._send(text, on_node, on_token, CallersLoopEnvironment)

    def stream(self, text: str) -> Generator[StreamEvent, None, None]:
        """Send a message; yield pieces of text as they are generated and every turn when it is complete."""
        events: queue.SimpleQueue[StreamEvent | None] = queue.SimpleQueue()
        reply = self.agent.start(self._send(text, _turns_to(events.put), _pieces_to(events.put)))
        reply.result.add_done_callback(lambda _: events.put(None))
        try:
            while (event := events.get()) is not None:
                yield event
        finally:
            reply.cancel()
            wait([reply.result])
        reply.result.result()

    async def astream(self, text: str) -> AsyncGenerator[StreamEvent, None]:
        """As `stream`, in the caller's event loop."""
        events: asyncio.Queue[StreamEvent | None] = asyncio.Queue()
        put = events.put_nowait
        reply = asyncio.ensure_future(self._send(text, _turns_to(put), _pieces_to(put), CallersLoopEnvironment))
        reply.add_done_callback(lambda _: put(None))
        try:
            while (event := await events.get()) is not None:
                yield event
            await reply
        finally:
            reply.cancel()
            await asyncio.wait([reply])

    async def _send(
        self,
        text: str,
        on_node: OnNode | None,
        on_token: OnToken | None,
        placed: Callable[[Environment], Environment] = lambda environment: environment,
    ) -> Trajectory:
        """`placed`: where tools run that are coroutines."""
        if not self._busy.acquire(blocking=False):
            raise ConfigError("a reply is being generated; wait for it, or open another chat")
        try:
            task, environment = self._toolbox.open(text, self._called())
            environment = placed(environment)
            past = () if self._exchanges else self._toolbox.environment.history(task)
            if past:
                self._exchanges.append(Trajectory(task=task, turns=past, stop=StopReason.ANSWERED))
            history, tree = self.turns, Tree(task=task)
            agent = self.agent.observed(on_token)
            if self._selection is not None:
                agent = self._selection.of(agent)

            def on_new(node: Node) -> None:
                if on_node is not None:
                    on_node(replace(node, turns=node.turns[len(history) :]) if node.parent is None else node)

            try:
                await solve(tree, agent, environment, self._limits, self._strategy, history=history, on_node=on_new)
            except asyncio.CancelledError:
                self._keep(tree, len(history), StopReason.CANCELLED)
                raise
            self._keep(tree, len(history))
        finally:
            self._busy.release()
        return self._whole()

    def _whole(self) -> Trajectory:
        usage = sum((exchange.usage for exchange in self._exchanges), Usage())
        return replace(self._exchanges[-1], turns=self.turns, usage=usage)

    def _keep(self, tree: Tree, before: int, stop: StopReason | None = None) -> None:
        if tree.nodes:
            if self._selection is not None:
                tree.task = replace(tree.task, tools=self._selection.seen(tree))
            best = tree.best
            self._exchanges.append(replace(best, turns=best.turns[before:], stop=stop or best.stop))

    def _called(self) -> list[ToolSpec]:
        """Tools that the conversation has called, as they were offered."""
        names = {turn.name for turn in self.turns if isinstance(turn, Call)}
        specs = {tool.name: tool for exchange in self._exchanges for tool in exchange.task.tools}
        return [spec for name, spec in specs.items() if name in names]

    # --- closing --------------------------------------------------------------------------------------

    def close(self) -> None:
        """Close the tools' connections, and the agent where this conversation owns it."""
        self.agent.run(self._toolbox.__aexit__())
        if self._owns_agent:
            self.agent.close()

    async def aclose(self) -> None:
        """As `close`, awaited."""
        await self._toolbox.__aexit__()
        if self._owns_agent:
            await self.agent.aclose()

    def __enter__(self) -> Chat:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    async def __aenter__(self) -> Chat:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()


def _pieces_to(put: Callable[[StreamEvent], object]) -> OnToken:
    return lambda role, text: put(Piece(role=role, text=text))


def _turns_to(put: Callable[[StreamEvent], object]) -> OnNode:
    """Each turn of each node once, when it is complete; not the user's own."""
    shown: dict[int, int] = {}

    def on_node(node: Node) -> None:
        for turn in node.turns[shown.get(node.index, 0) :] if node.parent is not None else ():
            put(turn)
        shown[node.index] = len(node.turns)

    return on_node
