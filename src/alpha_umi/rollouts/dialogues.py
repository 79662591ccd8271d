"""Dialogues with a scripted user: a task whose metadata has `followups` is asked on, whatever the answer was.

    "followups": [{"user": "And tomorrow?", "tools": ["forecast"]}]

`tools` names tools of the task that are offered from this message on; all others are from the first on.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from alpha_umi.errors import DataError
from alpha_umi.protocols import Agent, Environment
from alpha_umi.search import Chain, Limits, Node, NodeStatus, Strategy, Tree
from alpha_umi.search.solve import solve
from alpha_umi.types import Call, StopReason, Task, Turn

_GOES_ON = (StopReason.ANSWERED, StopReason.GAVE_UP)
_ENDED = (NodeStatus.ANSWERED, NodeStatus.GAVE_UP, NodeStatus.LIMIT)


@dataclass(frozen=True, slots=True, kw_only=True)
class Followup:
    """Later message of a scripted user."""

    text: str
    tools: frozenset[str] = frozenset()
    """Names of the tools that are offered from it on."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Opening:
    """Beginning of a dialogue, before the task's query."""

    history: tuple[Turn, ...] = ()
    """Exchanges of user and agent before it."""
    introduction: str = ""
    """Text of the environment that stands above the query."""


def read_followups(task: Task) -> tuple[Followup, ...]:
    """Read the later messages of a task's user. Raises DataError for another shape."""
    listed = task.metadata.get("followups", [])
    fault = f"task {task.id}: 'followups' of its metadata must be a list of objects with 'user', a text"
    if not isinstance(listed, list):
        raise DataError(fault)
    followups: list[Followup] = []
    for each in listed:
        text = each.get("user") if isinstance(each, dict) else None
        names = each.get("tools", []) if isinstance(each, dict) else None
        if not isinstance(text, str) or not isinstance(names, list):
            raise DataError(fault)
        followups.append(Followup(text=text, tools=frozenset(map(str, names))))
    return tuple(followups)


async def converse(
    tree: Tree,
    agent: Agent,
    environment: Environment,
    limits: Limits,
    strategy: Strategy,
    opening: Opening | None = None,
) -> None:
    """Solve a tree's task, then ask on as its followups say; limits hold for each message.

    An exchange that a limit ended is the last. All exchanges are one tree: the message follows the best branch before
    it, whose end is a step like others from then on. Raises as `solve`, and DataError.
    """
    opening = opening or Opening()
    first = "\n\n".join(part for part in (opening.introduction, tree.task.query) if part)
    messages, history = (Followup(text=first), *read_followups(tree.task)), opening.history
    for number, message in enumerate(messages):
        later = frozenset(name for each in messages[number + 1 :] for name in each.tools)
        tools = tuple(tool for tool in tree.task.tools if tool.name not in later)
        part = tree if number == 0 else Tree(task=tree.task)
        task, part.task = tree.task, replace(tree.task, query=message.text, tools=tools)
        is_chain = isinstance(strategy, Chain) and strategy.attempts == 1
        place = environment if is_chain or number == len(messages) - 1 else environment.fork()
        try:
            await solve(part, agent, place, limits, strategy, history=history)
        finally:
            best = part.best if part.nodes else None
            part.task = task
            if number:
                _append(tree, part, len(history))
        if best is None or best.stop not in _GOES_ON:
            return
        if place is not environment:
            for call in best.turns[len(history) :]:
                if isinstance(call, Call):
                    await environment.execute(call)
        history = best.turns


def _append(tree: Tree, part: Tree, before: int) -> None:
    """Append the nodes of an exchange below the leaf of the best branch; its root keeps the message alone."""
    leaf = _leaf(tree)
    for node in list(tree.nodes):
        if node.status in _ENDED:
            tree.add(replace(node, status=NodeStatus.DONE))
    offset = len(tree.nodes)
    for node in part.nodes:
        parent = leaf.index if node.parent is None else node.parent + offset
        turns = node.turns[before:] if node.parent is None else node.turns
        tree.add(replace(node, index=node.index + offset, parent=parent, turns=turns))


def _leaf(tree: Tree) -> Node:
    """The end of the best branch."""
    best = tree.best.turns
    return next(node for node in tree.nodes if node.status in _ENDED and tree.branch(node) == best)
