"""A search tree as SVG: depth to the right, every branch on a row of its own."""

from __future__ import annotations

from alpha_umi.report.markup import Html, join, tag
from alpha_umi.search import Node, NodeStatus, Tree
from alpha_umi.types import Answer, Call, Decision, Observation, Plan, ToolStatus, Turn, User

_COLUMN, _ROW, _RADIUS, _MARGIN = 208, 46, 6, 16
_BEND = 44
"""From the end of an edge back to where it leaves the row of its parent, so that it crosses no label."""
_LETTERS = 25
"""That a column has room for."""


def draw_tree(tree: Tree) -> Html:
    """Draw an `svg` element as large as the tree; the turns of a node are its tooltip."""
    positions = _positions(tree)
    width = max(x for x, _ in positions.values()) + _COLUMN
    height = max(y for _, y in positions.values()) + _ROW // 2 + _MARGIN
    best = _best(tree)
    edges = [_edge(positions, node, best=node.index in best) for node in tree.nodes if node.parent is not None]
    nodes = [_node(positions[node.index], node, best=node.index in best) for node in tree.nodes]
    label = f"search tree of {len(tree.nodes)} nodes"
    return tag("svg", *edges, *nodes, viewBox=f"0 0 {width} {height}", width=width, height=height, role="img",
               aria_label=label)  # fmt: skip


def _positions(tree: Tree) -> dict[int, tuple[float, float]]:
    """Coordinates by node. Children have higher indices than parents, so one pass each way suffices."""
    children: dict[int, list[int]] = {node.index: [] for node in tree.nodes}
    depths: dict[int, int] = {}
    for node in tree.nodes:
        depths[node.index] = 0 if node.parent is None else depths[node.parent] + 1
        if node.parent is not None:
            children[node.parent].append(node.index)
    rows: dict[int, float] = {}
    leaf, waiting = 0, [0]
    while waiting:
        index = waiting.pop()
        waiting += reversed(children[index])
        if not children[index]:
            rows[index], leaf = float(leaf), leaf + 1
    for node in reversed(tree.nodes):
        below = [rows[child] for child in children[node.index]]
        if below:
            rows[node.index] = sum(below) / len(below)
    return {
        index: (float(_MARGIN + depths[index] * _COLUMN), _MARGIN + _ROW / 2 + rows[index] * _ROW) for index in rows
    }


def _best(tree: Tree) -> set[int]:
    """The nodes of the best branch: the last whose turns are its turns."""
    turns = tree.best.turns
    ends = [node for node in tree.nodes if tree.branch(node) == turns]
    return {node.index for node in tree.path(ends[-1])} if ends else set()


def _edge(positions: dict[int, tuple[float, float]], node: Node, *, best: bool) -> Html:
    (left, above), (right, below) = positions[node.parent or 0], positions[node.index]
    middle = right - _BEND / 2
    line = f"M{left:.0f} {above:.0f} L{right - _BEND:.0f} {above:.0f} "
    curve = f"C{middle:.0f} {above:.0f} {middle:.0f} {below:.0f} {right:.0f} {below:.0f}"
    return tag("path", d=line + curve, class_="edge best" if best else "edge")


def _node(position: tuple[float, float], node: Node, *, best: bool) -> Html:
    x, y = position
    return tag(
        "g",
        tag("title", "\n".join(_words(turn) for turn in node.turns) or node.status.value),
        tag("circle", cx=x, cy=y, r=_RADIUS, class_=node.status.value),
        tag("text", _short(_label(node)), x=x + _RADIUS + 4, y=y - 7),
        tag("text", _short(_note(node)), x=x + _RADIUS + 4, y=y + 16, class_="note") if _note(node) else None,
        class_="best" if best else None,
    )


def _label(node: Node) -> str:
    if node.parent is None:
        return "query"
    calls = [turn.name or "no tool" for turn in node.turns if isinstance(turn, Call)]
    if calls:
        return calls[0] if len(calls) == 1 else f"{calls[0]} +{len(calls) - 1}"
    match node.turns[-1] if node.turns else None:
        case Answer():
            return "answer"
        case Plan(decision=Decision.GIVE_UP):
            return "give up"
        case _:
            return "undecided"


def _note(node: Node) -> str:
    """The outcome of a node."""
    if node.status in (NodeStatus.LIMIT, NodeStatus.FAILED):
        return "budget spent" if node.status is NodeStatus.LIMIT else "the model failed"
    for turn in reversed(node.turns):
        match turn:
            case Observation(status=ToolStatus.OK, content=content) | Answer(text=content):
                return content
            case Observation(status=status):
                return status.value.replace("_", " ")
            case _:
                continue
    return ""


def _words(turn: Turn) -> str:
    match turn:
        case User(text=text) | Answer(text=text):
            return text
        case Plan(thought=thought):
            return thought.strip()
        case Call(name=name, arguments=arguments):
            return f"{name} {arguments}"
        case Observation(content=content):
            return content


def _short(text: str) -> str:
    line = " ".join(text.split())
    return line if len(line) <= _LETTERS else f"{line[: _LETTERS - 1]}…"


_KEY = {
    NodeStatus.DONE: "step",
    NodeStatus.ANSWERED: "answer",
    NodeStatus.GAVE_UP: "give up",
    NodeStatus.LIMIT: "budget spent",
    NodeStatus.FAILED: "the model failed",
}


def draw_key(tree: Tree) -> Html:
    """Draw the legend of a tree: the colours that occur in it."""
    found = {node.status for node in tree.nodes}
    marks = (
        tag("span", tag("svg", tag("circle", cx=6, cy=6, r=5, class_=status.value), width=12, height=12), " ", word)
        for status, word in _KEY.items()
        if status in found
    )
    return tag("p", join(*marks, between=" "), class_="key")
