"""A tree of steps drawn in ToolBench's nodes: a thought, an action and its input each are one."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import TypeAlias

from alpha_umi.search.tree import Node, NodeStatus, Tree
from alpha_umi.types import Answer, Call, Decision, Json, Observation, Plan, ToolStatus, Turn

Drawn: TypeAlias = dict[str, Json]

FINISH = "Finish"
"""The tool by whose call ToolBench's agents answer and give up."""
_CODES: Mapping[ToolStatus, int] = {
    ToolStatus.OK: 0,
    ToolStatus.UNKNOWN_TOOL: 1,
    ToolStatus.BAD_ARGUMENTS: 2,
    ToolStatus.RATE_LIMITED: 10,
    ToolStatus.ERROR: 11,
    ToolStatus.TIMEOUT: 12,
}
_ANSWERED, _GAVE_UP, _FAILED = 3, 4, -1
_BACK = 2
"""How many action inputs above its own an answer marks as finished."""


class Drawing:
    """Every step of a tree as the nodes that it is in ToolBench's trees, children inside their parents."""

    def __init__(self, tree: Tree, max_nodes: int) -> None:
        """`max_nodes`: depth from which a step that a limit ended is shown as pruned."""
        self._tree, self._max_nodes = tree, max_nodes
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
        """The nodes of one branch, without the root and without children."""
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
        """How many nodes the longest branch has, the root included."""
        return 1 + max(_number(nodes[-1]["depth"]) for nodes in self._steps.values())

    def _end(self, index: int) -> Drawn:
        return self._steps[index][-1]

    def _add(self, node: Node, parent: Drawn) -> list[Drawn]:
        nodes: list[Drawn] = []
        for kind, description in _parts(node.turns):
            drawn = _draw(kind, description, _number(parent["depth"]) + 1)
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
        observation, code = _outcome(node)
        if observation:
            end["observation"] = observation
        if code is not None:
            end["observation_code"] = code
        return nodes

    def _is_pruned(self, node: Node, depth: int) -> bool:
        at_limit = node.status is NodeStatus.LIMIT and depth >= self._max_nodes
        return at_limit or node.status in (NodeStatus.GAVE_UP, NodeStatus.FAILED)


_SAID: Mapping[NodeStatus, str] = {NodeStatus.ANSWERED: "the answer is given", NodeStatus.GAVE_UP: "it is given up"}
"""What `Finish` observes. ToolBench's converters stop where there is nothing."""


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


def _parts(turns: Sequence[Turn]) -> Iterator[tuple[str, str]]:
    thought = next((turn.thought for turn in turns if isinstance(turn, Plan)), "")
    call = write_act(turns)
    if thought or call is None:
        yield "Thought", thought
    if call is not None:
        yield "Action", call[0]
        yield "Action Input", call[1]


def write_act(turns: Sequence[Turn]) -> tuple[str, str] | None:
    """Name and arguments of the call that a step is in ToolBench; an answer and a give-up are calls of `Finish`."""
    for turn in turns:
        match turn:
            case Call(name=name, arguments=arguments):
                return name, arguments
            case Answer(text=text):
                return FINISH, json.dumps({"return_type": "give_answer", "final_answer": text}, ensure_ascii=False)
            case Plan(decision=Decision.GIVE_UP):
                return FINISH, json.dumps({"return_type": "give_up_and_restart"})
            case _:
                continue
    return None


def _outcome(node: Node) -> tuple[str, int | None]:
    last = node.turns[-1] if node.turns else None
    match node.status, last:
        case NodeStatus.ANSWERED, _:
            return "", _ANSWERED
        case NodeStatus.GAVE_UP, _:
            return "", _GAVE_UP
        case NodeStatus.FAILED, _:
            return "", _FAILED
        case _, Observation(content=content, status=status):
            return content, _CODES[status]
        case _:
            return "", None


def _children(drawn: Drawn) -> list[Json]:
    children = drawn["children"]
    return children if isinstance(children, list) else []


def _number(value: Json) -> int:
    return value if isinstance(value, int) else 0
