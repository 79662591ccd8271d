"""Reference strategies: the published searches of ToolBench, with their order, their counts and their bugs.

What differs from ours is listed in docs/compat.md. Depth is counted in ToolBench's nodes: a thought is one, a call
with its arguments two. A query is one step of the agent, whatever it took to write it, or one comparison.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Sequence
from dataclasses import dataclass, field, replace
from itertools import pairwise

from alpha_umi.formats.prompts.hints import Preference, write_hint
from alpha_umi.protocols import Environment
from alpha_umi.search.drawing import write_acts
from alpha_umi.search.ranking import Ranker, rank
from alpha_umi.search.tree import Node, NodeStatus, Tree
from alpha_umi.search.walk import FaultyReplyError, Walk
from alpha_umi.types import Call, Decision, Observation, Plan, ToolStatus, Turn, User

HALLUCINATED = "invalid_hallucination_function_name"
"""Name that the published agents read in place of an unknown tool's."""


def node_depth(tree: Tree, node: Node) -> int:
    """Return the depth as published, in ToolBench's nodes."""
    return sum(count_nodes(step.turns) for step in tree.path(node))


def count_nodes(turns: Sequence[Turn]) -> int:
    """Count ToolBench's nodes in a step; an empty reply, at which the published code stops, is one."""
    if not any(not isinstance(turn, User) for turn in turns):
        return 0
    thought = any(isinstance(turn, Plan) and turn.thought for turn in turns)
    return max(thought + 2 * len(write_acts(turns)), 1)


@dataclass(frozen=True, slots=True, kw_only=True)
class PublishedChain:
    """Published chain strategy `CoT@n`: chains until `answers` of them answered."""

    attempts: int = 1
    answers: int = 1
    max_nodes: int = 12

    async def run(self, walk: Walk, environment: Environment) -> AsyncGenerator[Node, None]:
        """search.walk.Strategy."""
        places = [environment.fork() for _ in range(self.attempts)]
        yield walk.root
        answers = 0
        for place in places:
            node = walk.root
            while node.status is NodeStatus.DONE:
                node = walk.open(node)
                while node.status is NodeStatus.OPEN:
                    node = await _grow(walk, node, place)
                    yield node
                if node.status is NodeStatus.DONE and node_depth(walk.tree, node) >= self.max_nodes:
                    yield (node := walk.end(node))
            answers += node.status is NodeStatus.ANSWERED
            if answers >= self.answers:
                return


@dataclass(slots=True, kw_only=True)
class _Frame:
    node: Node
    environment: Environment
    hints: tuple[Turn, ...] = ()
    """All that were given here; every later child goes on hearing them."""
    children: list[Node] = field(default_factory=list[Node])
    waiting: list[tuple[Node, Environment]] = field(default_factory=list[tuple[Node, Environment]])
    ranked: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class PublishedTree:
    """Published tree strategy `DFS_woFilter_wN`, and with a ranker `DFS_wN`."""

    width: int = 2
    answers: int = 1
    max_nodes: int = 12
    max_queries: int = 200
    ranker: Ranker | None = None

    async def run(self, walk: Walk, environment: Environment) -> AsyncGenerator[Node, None]:
        """search.walk.Strategy."""
        frames = [_Frame(environment=environment.fork(), node=walk.visit(walk.root))]
        yield walk.root
        answers = queries = 0
        while frames:
            frame = frames[-1]
            if frame.waiting and (frame.ranked or not self.ranker):
                node, place = frame.waiting.pop(0)
                node = walk.visit(node)
                if node.status is NodeStatus.DONE and node_depth(walk.tree, node) >= self.max_nodes:
                    node = walk.end(node)
                yield node
                answers += node.status is NodeStatus.ANSWERED
                if answers >= self.answers:
                    return
                if node.status in (NodeStatus.ANSWERED, NodeStatus.GAVE_UP):
                    frames.pop()
                elif node.status is NodeStatus.DONE:
                    frames.append(_Frame(node=node, environment=place))
            elif len(frame.children) < self.width:
                queries += 1
                node, place = self._open(walk, frame), frame.environment.fork()
                if queries >= self.max_queries or walk.is_spent:
                    yield await _discard(walk, node, frame)
                    return
                while node.status is NodeStatus.OPEN:
                    node = await _grow(walk, node, place)
                    yield node
                frame.children.append(node)
                frame.waiting.append((node, place))
            elif frame.waiting and self.ranker:
                queries += len(frame.waiting) * (len(frame.waiting) - 1)
                yield await self._rank(self.ranker, walk, frame)
            else:
                frames.pop()

    def _open(self, walk: Walk, frame: _Frame) -> Node:
        tried = [acted for child in frame.children if (acted := _first_act(walk.tree, child))]
        if tried:
            frame.hints = (*frame.hints, User(text=write_hint(tried)))
        return walk.open(frame.node, turns=frame.hints)

    async def _rank(self, ranker: Ranker, walk: Walk, frame: _Frame) -> Node:
        children = [node for node, _ in frame.waiting]
        order = await rank(ranker, walk, frame.node, children, unclear=Preference.SECOND)
        frame.waiting = [frame.waiting[at] for at in order or range(len(children))]
        frame.ranked = True
        return walk.tree.nodes[frame.node.index]


def _first_act(tree: Tree, node: Node) -> tuple[Turn, ...]:
    """Call or end of a child, else of its first descendant that has one."""
    while not write_acts(node.turns) and (children := tree.children(node)):
        node = children[0]
    return tuple(turn for turn in node.turns if not isinstance(turn, User)) if write_acts(node.turns) else ()


async def _discard(walk: Walk, node: Node, parent: _Frame) -> Node:
    """Ask the last query, which counts, and discard its reply."""
    while node.status is NodeStatus.OPEN and not isinstance(node.turns[-1] if node.turns else None, Call):
        node = await _grow(walk, node, parent.environment)
    walk.tree.nodes.pop()
    walk.charge(parent.node, node.usage)
    return walk.end(parent.node)


async def _grow(walk: Walk, node: Node, place: Environment) -> Node:
    """Grow a node; the error of a model that fails becomes its thought, as in the published search.

    A call that comes with the error is run.
    """
    grown = await walk.try_to_grow(node, place, retell)
    if grown.status is not NodeStatus.FAILED:
        return grown
    failure = walk.failure
    if isinstance(failure, FaultyReplyError) and any(isinstance(turn, Call) for turn in failure.proposal.turns):
        return walk.say(replace(node, faulty=True), failure.proposal)
    said = Plan(thought=str(failure), decision=Decision.NONE)
    return walk.put(replace(grown, turns=(*grown.turns, said)))


def retell(turns: tuple[Turn, ...]) -> tuple[Turn, ...]:
    """Return a branch as the published agents read it: a call of an unknown tool has lost its name."""
    told = list(turns)
    for at, (turn, after) in enumerate(pairwise(turns)):
        if isinstance(turn, Call) and isinstance(after, Observation) and after.status is ToolStatus.UNKNOWN_TOOL:
            told[at] = replace(turn, name=HALLUCINATED)
    return tuple(told)
