"""Search: one async generator of nodes. A chain is a tree of width one.

A node is one step: a plan with the call and the observation, or the answer, that follow it. It is yielded
each time it grows by a turn, so whoever iterates sees every turn as it happens; a node whose status is not
OPEN is whole. Closing the generator at any moment leaves the tree built so far valid.
"""

from __future__ import annotations

import time
from collections.abc import AsyncGenerator, Callable
from dataclasses import dataclass, field, replace
from enum import StrEnum

from alpha_umi.protocols import Agent, Environment
from alpha_umi.types import (
    Answer,
    Call,
    Decision,
    Plan,
    StopReason,
    Task,
    Trajectory,
    Turn,
    Usage,
    User,
)


class NodeStatus(StrEnum):
    """OPEN: still growing; DONE: a step that another may follow; the others end their branch."""

    OPEN = "open"
    DONE = "done"
    ANSWERED = "answered"
    GAVE_UP = "gave_up"
    LIMIT = "limit"


_STOPS = {
    NodeStatus.ANSWERED: StopReason.ANSWERED,
    NodeStatus.GAVE_UP: StopReason.GAVE_UP,
    NodeStatus.LIMIT: StopReason.LIMIT,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """Every budget of a search; None: no limit."""

    max_steps: int = 12
    """Depth of a branch, in steps."""
    max_completions: int | None = None
    max_tokens: int | None = None
    """Prompt and completion tokens together, as the models report them."""
    max_seconds: float | None = None
    """Wall time; checked between turns."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Node:
    """One step of a tree. The root holds the user's query and has no parent."""

    index: int
    parent: int | None
    turns: tuple[Turn, ...] = ()
    status: NodeStatus = NodeStatus.OPEN
    usage: Usage = field(default_factory=Usage)


@dataclass(slots=True, kw_only=True)
class Tree:
    """All that was tried for one task; fed with nodes in the order they are yielded."""

    task: Task
    nodes: list[Node] = field(default_factory=list[Node])

    def add(self, node: Node) -> None:
        """Append a new node, or put a grown one in its place."""
        self.nodes[node.index : node.index + 1] = [node]

    def branch(self, node: Node) -> tuple[Turn, ...]:
        """The turns from the root to the end of `node`."""
        path = [node]
        while path[-1].parent is not None:
            path.append(self.nodes[path[-1].parent])
        return tuple(turn for node in reversed(path) for turn in node.turns)

    @property
    def usage(self) -> Usage:
        """What all of it cost."""
        return sum((node.usage for node in self.nodes), Usage())

    @property
    def best(self) -> Trajectory:
        """The branch of the last answer, else of the last node; usage counts the whole tree."""
        answered = [node for node in self.nodes if node.status is NodeStatus.ANSWERED]
        leaf = answered[-1] if answered else self.nodes[-1]
        stop = _STOPS.get(leaf.status, StopReason.UNFINISHED)
        return Trajectory(task=self.task, turns=self.branch(leaf), stop=stop, usage=self.usage)


async def explore(
    agent: Agent,
    environment: Environment,
    task: Task,
    limits: Limits | None = None,
    clock: Callable[[], float] = time.monotonic,
) -> AsyncGenerator[Node, None]:
    """Solve `task` as a chain: propose, execute, go on until an answer, a give-up or a limit."""
    limits, started = limits or Limits(), clock()
    tree = Tree(task=task)
    tree.add(Node(index=0, parent=None, turns=(User(text=task.query),), status=NodeStatus.DONE))
    yield tree.nodes[0]
    while tree.nodes[-1].status is NodeStatus.DONE:
        parent = tree.nodes[-1]
        node = Node(index=len(tree.nodes), parent=parent.index)
        if _is_spent(limits, tree, seconds=clock() - started):
            node = replace(node, status=NodeStatus.LIMIT)
            tree.add(node)
            yield node
            return
        history = tree.branch(parent)
        while node.status is NodeStatus.OPEN:
            node = await _grow(node, agent, environment, task, history)
            tree.add(node)
            yield node


async def _grow(node: Node, agent: Agent, environment: Environment, task: Task, history: tuple[Turn, ...]) -> Node:
    """The node with its next turns and the status they give it."""
    last = node.turns[-1] if node.turns else None
    if isinstance(last, Call):
        observation = await environment.execute(last)
        return replace(node, turns=(*node.turns, observation), status=NodeStatus.DONE)
    proposal = await agent.propose(task, (*history, *node.turns))
    turns = (*node.turns, *proposal.turns)
    return replace(node, turns=turns, status=_status(turns), usage=node.usage + proposal.usage)


def _status(turns: tuple[Turn, ...]) -> NodeStatus:
    match turns[-1]:
        case Answer():
            return NodeStatus.ANSWERED
        case Plan(decision=Decision.GIVE_UP):
            return NodeStatus.GAVE_UP
        case Plan(decision=Decision.NONE):
            return NodeStatus.DONE
        case _:
            return NodeStatus.OPEN


def _is_spent(limits: Limits, tree: Tree, seconds: float) -> bool:
    """Whether no further step may start."""
    used = tree.usage
    amounts: list[tuple[float, float | None]] = [
        (len(tree.nodes) - 1, limits.max_steps),
        (used.completions, limits.max_completions),
        (used.prompt_tokens + used.completion_tokens, limits.max_tokens),
        (seconds, limits.max_seconds),
    ]
    return any(limit is not None and amount >= limit for amount, limit in amounts)
