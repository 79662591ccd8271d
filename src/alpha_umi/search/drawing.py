"""Conversion of a tree of steps to ToolBench's tree nodes: one each for a thought, an action and its input."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import zip_longest
from typing import TypeAlias

from alpha_umi.formats.finish import write_finish
from alpha_umi.search.tree import Node, NodeStatus, Tree
from alpha_umi.types import Answer, Call, Decision, Json, Observation, Plan, ToolStatus, Turn

Drawn: TypeAlias = dict[str, Json]

_CODES: Mapping[ToolStatus, int] = {
    ToolStatus.OK: 0,
    ToolStatus.UNKNOWN_TOOL: 1,
    ToolStatus.BAD_ARGUMENTS: 2,
    ToolStatus.RATE_LIMITED: 10,
    ToolStatus.ERROR: 11,
    ToolStatus.DECLINED: 11,
    ToolStatus.TIMEOUT: 12,
}
_ENDS: Mapping[NodeStatus, int] = {NodeStatus.ANSWERED: 3, NodeStatus.GAVE_UP: 4, NodeStatus.FAILED: -1}
_THOUGHT = "Thought"
_BACK = 2
"""Number of action inputs above its own that an answer marks as finished."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Act:
    """Call in ToolBench's sense; an answer and a give-up are calls of `Finish`."""

    name: str
    arguments: str
    observation: Observation | None = None


def write_acts(turns: Sequence[Turn], *, published: bool = False) -> list[Act]:
    """Write a step as ToolBench's calls, in order: one, unless a model wrote several at once.

    `published`: an answer in ASCII escapes, as the published searches record it.
    """
    acts: list[Act] = []
    for turn, after in zip_longest(turns, turns[1:]):
        match turn:
            case Call(name=name, arguments=arguments):
                acts.append(
                    Act(name=name, arguments=arguments, observation=after if isinstance(after, Observation) else None)
                )
            case Answer() | Plan(decision=Decision.GIVE_UP):
                finish = write_finish(turn)
                arguments = json.dumps(json.loads(finish.arguments)) if published else finish.arguments
                acts.append(Act(name=finish.name, arguments=arguments))
            case _:
                continue
    return acts


class Drawing:
    """Tree of ToolBench nodes, children inside their parents, with the nodes of every step."""

    def __init__(self, tree: Tree, max_nodes: int, *, published: bool = False) -> None:
        """Convert `tree`. `max_nodes`: depth from which a step that a limit ended is shown as pruned.

        `published`: answers as in `write_acts`.
        """
        self._tree, self._max_nodes, self._published = tree, max_nodes, published
        self.root = _draw("Action Input", "", 0)
        self._steps: dict[int, list[Drawn]] = {0: [self.root]}
        self._fathers: dict[int, Drawn] = {}
        for node in tree.nodes[1:]:
            self._steps[node.index] = self._add(node, self._end(node.parent or 0))
        self.root["expand_num"] = tree.nodes[0].visit or 0
        for node in tree.nodes:
            if node.status is NodeStatus.ANSWERED:
                self.finish(node)

    def chain(self, leaf: Node) -> list[Drawn]:
        """Return the nodes of one branch, without the root and without children."""
        steps = self._tree.path(leaf)[1:]
        return [
            {key: value for key, value in drawn.items() if key not in ("children", "finished")} | {"finished": False}
            for step in steps
            for drawn in self._steps[step.index]
        ]

    def finish(self, node: Node) -> None:
        """Mark a step, and the two above it, as finished."""
        drawn: Drawn | None = self._end(node.index)
        left = _BACK
        while drawn is not None and left >= 0:
            drawn["finished"] = True
            left -= drawn["node_type"] == "Action Input"
            drawn = self._fathers.get(id(drawn))

    @property
    def size(self) -> int:
        return sum(len(nodes) for nodes in self._steps.values())

    @property
    def length(self) -> int:
        """Number of nodes of the longest branch, the root included."""
        return 1 + max(_number(nodes[-1]["depth"]) for nodes in self._steps.values())

    def _end(self, index: int) -> Drawn:
        return self._steps[index][-1]

    def _add(self, node: Node, parent: Drawn) -> list[Drawn]:
        nodes: list[Drawn] = []
        for kind, description, observed in _parts(node.turns, published=self._published):
            drawn = _draw(kind, description, _number(parent["depth"]) + 1)
            if observed is not None:
                drawn |= {"observation": observed.content} if observed.content else {}
                drawn["observation_code"] = _CODES[observed.status]
            _children(parent).append(drawn)
            parent["child_count"] = len(_children(parent))
            self._fathers[id(drawn)] = parent
            nodes.append(drawn)
            parent = drawn
        end = nodes[-1]
        if node.status in _SAID:
            end["observation"] = json.dumps({"response": _SAID[node.status]})
        end["expand_num"] = node.visit or 0
        end["pruned"] = self._is_pruned(node, _number(end["depth"]))
        if (code := _ENDS.get(node.status)) is not None:
            end["observation_code"] = code
        if node.faulty and nodes[0]["node_type"] == _THOUGHT:
            nodes[0] |= {"pruned": True, "observation_code": _ENDS[NodeStatus.FAILED]}
        return nodes

    def _is_pruned(self, node: Node, depth: int) -> bool:
        at_limit = node.status is NodeStatus.LIMIT and depth >= self._max_nodes
        return at_limit or node.status in (NodeStatus.GAVE_UP, NodeStatus.FAILED)


_SAID: Mapping[NodeStatus, str] = {NodeStatus.ANSWERED: "the answer is given", NodeStatus.GAVE_UP: "it is given up"}
"""Observation of `Finish`. ToolBench's converters stop where there is nothing."""


def _draw(kind: str, description: str, depth: int) -> Drawn:
    return {
        "is_terminal": False,
        "pruned": False,
        "finished": False,
        "depth": depth,
        "node_type": kind,
        "description": description,
        "child_count": 0,
        "expand_num": 0,
        "children": [],
    }


def _parts(turns: Sequence[Turn], *, published: bool) -> Iterator[tuple[str, str, Observation | None]]:
    """Kinds and texts of nodes, and the observations after them."""
    thought = next((turn.thought for turn in turns if isinstance(turn, Plan)), "")
    acts = write_acts(turns, published=published)
    if thought or not acts:
        yield _THOUGHT, thought, None
    for act in acts:
        yield "Action", act.name, None
        yield "Action Input", act.arguments, act.observation


def _children(drawn: Drawn) -> list[Json]:
    children = drawn["children"]
    return children if isinstance(children, list) else []


def _number(value: Json) -> int:
    return value if isinstance(value, int) else 0
