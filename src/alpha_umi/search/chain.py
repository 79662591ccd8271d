"""Chain strategy: one step after the other without branching (ReAct; `CoT@n` in ToolBench)."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from dataclasses import dataclass

from alpha_umi.protocols import Environment
from alpha_umi.search.tree import Node, NodeStatus
from alpha_umi.search.walk import Walk


@dataclass(frozen=True, slots=True, kw_only=True)
class Chain:
    """Strategy of up to `attempts` independent chains from the query, until one answers.

    With several the environment must fork.
    """

    attempts: int = 1

    async def run(self, walk: Walk, environment: Environment) -> AsyncGenerator[Node, None]:
        """Run the chains (`search.walk.Strategy`)."""
        places = [environment] if self.attempts == 1 else [environment.fork() for _ in range(self.attempts)]
        yield walk.root
        for place in places:
            node, steps = walk.root, 0
            while node.status is NodeStatus.DONE:
                if steps >= walk.limits.max_steps or walk.is_spent or walk.is_stuck(node):
                    yield walk.end(node)
                    break
                node, steps = walk.open(node), steps + 1
                while node.status is NodeStatus.OPEN:
                    node = await walk.grow(node, place)
                    yield node
            if node.status is NodeStatus.ANSWERED:
                return
