"""One query answered live by an agent with tools."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from contextlib import aclosing
from pathlib import Path

from alpha_umi.environments.python import PythonEnvironment, PythonTool
from alpha_umi.errors import InterruptedWorkError
from alpha_umi.loading.agents import LoadedAgent, open_agent, read_agent
from alpha_umi.loading.bundled import DEFAULT
from alpha_umi.protocols import Environment
from alpha_umi.search import Limits, Node, Tree, explore
from alpha_umi.types import Task, Trajectory


def ask(query: str, *, tools: Sequence[PythonTool], agent: str | Path = DEFAULT) -> Trajectory:
    """One query answered live by a bundled agent, or that of a run directory or agent file, with Python functions.

    Raises ConfigError or CheckpointError when there is no such agent. Not to be called inside a running event loop:
    there, await `build.open_agent` and `search.explore`.
    """
    environment = PythonEnvironment(tools)
    task = Task(id="ask", query=query, tools=environment.tools)
    return roll_out(open_agent(read_agent(Path(agent))), environment, task, lambda _: None)


def roll_out(loaded: LoadedAgent, environment: Environment, task: Task, show: Callable[[Node], None]) -> Trajectory:
    """One task as a chain; `show` sees every node as it grows. The agent's models are closed afterwards."""
    try:
        return asyncio.run(_roll_out(loaded, environment, task, show))
    except KeyboardInterrupt:
        raise InterruptedWorkError("interrupted") from None


async def _roll_out(
    loaded: LoadedAgent, environment: Environment, task: Task, show: Callable[[Node], None]
) -> Trajectory:
    tree = Tree(task=task)
    async with loaded, aclosing(explore(loaded.agent, environment, task, Limits())) as nodes:
        async for node in nodes:
            tree.add(node)
            show(node)
    return tree.best
