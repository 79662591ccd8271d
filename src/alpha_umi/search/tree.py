"""Search tree: nodes, the tree they make, and the limits of a search.

A node is one step: a plan with the call and the observation, or the answer, that follow it. Nodes are named by
their index, in the order in which they were opened, so a parent always comes before its children.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from importlib import import_module

from alpha_umi.types import StopReason, Task, Trajectory, Turn, Usage


class NodeStatus(StrEnum):
    """Status of a node. OPEN: still growing; DONE: a step that another may follow; the others end their branch.

    LIMIT: a budget is spent, be it the branch's depth or one of the whole search. FAILED: a model could not
    complete; a chain raises the error instead.
    """

    OPEN = "open"
    DONE = "done"
    ANSWERED = "answered"
    GAVE_UP = "gave_up"
    LIMIT = "limit"
    FAILED = "failed"


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """Limits of a search; None: no limit. No completion, call or step starts beyond one."""

    max_steps: int = 12
    """Depth of a branch, in steps."""
    max_completions: int | None = None
    """Of all roles together; a comparison of two children is one too."""
    max_tokens: int | None = None
    """Prompt and completion tokens together, as the models report them; the completion that passes it is kept."""
    max_seconds: float | None = None
    """Wall time. What is awaited when it is over is cancelled."""
    max_calls: int | None = None
    """Tool calls."""
    max_repeats: int | None = None
    """Calls of a branch that are the same and gave the same; with that many it ends."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Node:
    """One step of a tree. The root holds the user's query and has no parent."""

    index: int
    parent: int | None
    turns: tuple[Turn, ...] = ()
    status: NodeStatus = NodeStatus.OPEN
    usage: Usage = field(default_factory=Usage)
    """Usage of the step, the comparison of its children included."""
    hint: str = ""
    """Hint that the agent read before this step, and before no later one."""
    visit: int | None = None
    """Index in the visiting order of a depth-first search, from 0; None: not visited, or a chain."""
    faulty: bool = False
    """True: the model gave an error with its call, and the search went on as the published ones do."""


@dataclass(slots=True, kw_only=True)
class Tree:
    """Tree of all steps that were tried for one task; filled with nodes in the order they are yielded."""

    task: Task
    nodes: list[Node] = field(default_factory=list[Node])

    def _repr_html_(self) -> str:
        """HTML for notebooks; what writes it is imported when it is needed."""
        return import_module("alpha_umi.report.notebook").write_tree(self)

    def add(self, node: Node) -> None:
        """Append a new node, or put a grown one in its place."""
        self.nodes[node.index : node.index + 1] = [node]

    def branch(self, node: Node) -> tuple[Turn, ...]:
        """Return the turns from the root to the end of `node`."""
        return tuple(turn for step in self.path(node) for turn in step.turns)

    def path(self, node: Node) -> list[Node]:
        """Return the nodes from the root to `node`."""
        path = [node]
        while path[-1].parent is not None:
            path.append(self.nodes[path[-1].parent])
        return path[::-1]

    def children(self, node: Node) -> list[Node]:
        """Return the children of a node in the order in which they were opened."""
        return [child for child in self.nodes[node.index + 1 :] if child.parent == node.index]

    @property
    def usage(self) -> Usage:
        """Usage of the whole tree."""
        return sum((node.usage for node in self.nodes), Usage())

    @property
    def best(self) -> Trajectory:
        """Return the branch of the first answer, else of the first give-up, else of the last node.

        Later branches may give up for what hints told them, which is no turn of theirs; the first shows why by itself.
        Usage counts the whole tree.
        """
        leaf, stop = self._leaf()
        return Trajectory(task=self.task, turns=self.branch(leaf), stop=stop, usage=self.usage)

    def _leaf(self) -> tuple[Node, StopReason]:
        first: dict[NodeStatus, Node] = {}
        for node in self.nodes:
            first.setdefault(node.status, node)
        if NodeStatus.ANSWERED in first:
            return first[NodeStatus.ANSWERED], StopReason.ANSWERED
        if NodeStatus.GAVE_UP in first:
            return first[NodeStatus.GAVE_UP], StopReason.GAVE_UP
        stopped = NodeStatus.LIMIT in first
        return self.nodes[-1], StopReason.LIMIT if stopped else StopReason.UNFINISHED
