"""Depth-first search over steps (ToolLLM, section 3.2: DFSDT), with or without ranking the children first.

Without a ranker (`DFS_woFilter_w2` in ToolBench) a child is followed as soon as it is there, in pre-order. After
an answer or a give-up the search backs up two steps: the step before is left alone, and the one before that gets
its next child. Before a further child the agent is told what the earlier ones did. When an agent that
was told of its attempts gives up again, the search ends: going on would only yield something like an answer.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator
from dataclasses import dataclass, field

from alpha_umi.formats.prompts.hints import write_hint
from alpha_umi.protocols import Environment
from alpha_umi.search.ranking import Ranker, rank
from alpha_umi.search.tree import Node, NodeStatus
from alpha_umi.search.walk import Walk
from alpha_umi.types import Turn

_ENDS = (NodeStatus.ANSWERED, NodeStatus.GAVE_UP)


@dataclass(slots=True, kw_only=True)
class _Frame:
    """Stack frame of the search: a step and its children."""

    node: Node
    environment: Environment
    """State after the step; every child gets its own copy."""
    depth: int
    children: list[Node] = field(default_factory=list[Node])
    waiting: list[tuple[Node, Environment]] = field(default_factory=list[tuple[Node, Environment]])
    """Children that are not looked into yet, the next one first."""
    closed: bool = False
    """True if it gets no further child."""
    ranked: bool = False

    @property
    def tried(self) -> list[tuple[Turn, ...]]:
        return [child.turns for child in self.children if child.status is not NodeStatus.FAILED]

    def take(self, node: Node, environment: Environment) -> None:
        self.children.append(node)
        if node.status is NodeStatus.DONE:
            self.waiting.append((node, environment))


@dataclass(frozen=True, slots=True, kw_only=True)
class DepthFirst:
    """Strategy DFSDT with `width` children per step, until `answers` branches answered or `give_ups` gave up.

    The environment must fork.

    A model that fails ends its branch; the error is raised when no branch came to an end of its own.
    """

    width: int = 2
    answers: int = 1
    give_ups: int | None = 2
    """None: go on until there is nothing left to try, as published."""
    ranker: Ranker | None = None
    """Compares children; then all children of a step are made before the best of them is followed."""

    async def run(self, walk: Walk, environment: Environment) -> AsyncGenerator[Node, None]:
        """Run the search (`search.walk.Strategy`)."""
        frames = [_Frame(environment=environment.fork(), node=walk.visit(walk.root), depth=0)]
        yield walk.root
        answers = give_ups = 0
        while frames:
            frame = frames[-1]
            if frame.depth >= walk.limits.max_steps:
                yield walk.end(frames.pop().node)
            elif self._wants_child(frame):
                if walk.is_spent:
                    yield walk.end(frame.node)
                    return
                place = frame.environment.fork()
                node = walk.open(frame.node, hint=write_hint(frame.tried))
                while node.status is NodeStatus.OPEN:
                    node = await walk.try_to_grow(node, place)
                    yield node
                if node.status is NodeStatus.DONE and walk.is_stuck(node):
                    frame.children.append(node := walk.end(node))
                    yield node
                    continue
                answers += node.status is NodeStatus.ANSWERED
                give_ups += node.status is NodeStatus.GAVE_UP
                if node.status is NodeStatus.LIMIT or answers >= self.answers or give_ups == self.give_ups:
                    return
                frame.take(node, place)
                # Two steps back are this step and the one before; before the query there is none to go back to.
                frame.closed = not self.ranker and node.status in _ENDS and len(frames) > 1
            elif self.ranker and len(frame.waiting) > 1 and not frame.ranked:
                node = await self._rank(self.ranker, walk, frame)
                yield node
                if node.status is NodeStatus.LIMIT:
                    return
            elif frame.waiting:
                node, place = frame.waiting.pop(0)
                frames.append(_Frame(node=walk.visit(node), environment=place, depth=frame.depth + 1))
                yield frames[-1].node
            else:
                frames.pop()
        if walk.failure and not any(node.status in _ENDS for node in walk.tree.nodes):
            raise walk.failure

    def _wants_child(self, frame: _Frame) -> bool:
        room = len(frame.children) < self.width and not frame.closed
        return room and (self.ranker is not None or not frame.waiting)

    async def _rank(self, ranker: Ranker, walk: Walk, frame: _Frame) -> Node:
        """Bring the waiting children into order; the step that they follow, with what that cost."""
        order = await rank(ranker, walk, frame.node, [node for node, _ in frame.waiting])
        if order is None:
            return walk.end(frame.node)
        frame.waiting = [frame.waiting[at] for at in order]
        frame.ranked = True
        return walk.tree.nodes[frame.node.index]
