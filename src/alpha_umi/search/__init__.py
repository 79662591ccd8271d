"""Search over an agent's steps: one async generator of tree nodes; a chain is a tree of width one.

A node is one step and is yielded each time it changes, so an iterating caller sees every turn as it happens; a node
whose status is not OPEN is whole. Closing or cancelling the generator at any moment leaves the tree built from
what was yielded valid.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Sequence

from alpha_umi.protocols import Agent, Environment
from alpha_umi.search.chain import Chain
from alpha_umi.search.dfsdt import DepthFirst
from alpha_umi.search.names import method_name, open_published, open_strategy
from alpha_umi.search.ranking import Comparison, ModelRanker, Ranker
from alpha_umi.search.reference import PublishedChain, PublishedTree
from alpha_umi.search.tree import Limits, Node, NodeStatus, Tree
from alpha_umi.search.walk import Strategy, Walk
from alpha_umi.types import Task, Turn

__all__ = [
    "Chain",
    "Comparison",
    "DepthFirst",
    "Limits",
    "ModelRanker",
    "Node",
    "NodeStatus",
    "PublishedChain",
    "PublishedTree",
    "Ranker",
    "Strategy",
    "Tree",
    "explore",
    "method_name",
    "open_published",
    "open_strategy",
]


def explore(
    agent: Agent,
    environment: Environment,
    task: Task,
    limits: Limits | None = None,
    strategy: Strategy | None = None,
    *,
    history: Sequence[Turn] = (),
    begun: Sequence[Turn] = (),
) -> AsyncGenerator[Node, None]:
    """Solve `task`: grow the nodes that the strategy picks until it has its answers or a limit is spent.

    A chain by default. `history`: the earlier exchanges of a conversation, which stand before the query in the root.
    `begun`: whole steps that stand behind it, after which the search goes on.
    A strategy that branches forks the environment before anything else, so one that cannot fork is refused before a
    model is asked (ConfigError). Raises ModelError when a model cannot complete and there is no other branch.
    """
    return (strategy or Chain()).run(Walk(agent, task, limits or Limits(), history=history, begun=begun), environment)
