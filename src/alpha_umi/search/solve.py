"""The loop over a search's nodes: every node joins a tree, and an observer sees it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import aclosing
from typing import TypeAlias

from alpha_umi.protocols import Agent, Environment
from alpha_umi.search import explore
from alpha_umi.search.tree import Limits, Node, Tree
from alpha_umi.search.walk import Strategy
from alpha_umi.types import Turn

OnNode: TypeAlias = Callable[[Node], object]


async def solve(
    tree: Tree,
    agent: Agent,
    environment: Environment,
    limits: Limits,
    strategy: Strategy | None = None,
    *,
    history: Sequence[Turn] = (),
    begun: Sequence[Turn] = (),
    on_node: OnNode | None = None,
) -> None:
    """Search for an answer to the tree's task and grow the tree to the search's end; what was found stays on an error.

    `on_node` sees each node as often as it grows. Raises as `explore`.
    """
    steps = explore(agent, environment, tree.task, limits, strategy, history=history, begun=begun)
    async with aclosing(steps) as nodes:
        async for node in nodes:
            tree.add(node)
            if on_node is not None:
                on_node(node)
