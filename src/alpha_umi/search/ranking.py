"""Ranking of a node's children by pairwise comparisons of a model, each pair in both orders."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import combinations
from typing import Protocol

from alpha_umi.formats.prompts.hints import Preference, read_preference, write_comparison
from alpha_umi.protocols import Model
from alpha_umi.search.tree import Node
from alpha_umi.search.walk import Walk
from alpha_umi.types import Sampling, Task, Turn, Usage


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """Preference between two continuations, and the usage of the comparison."""

    preference: Preference
    usage: Usage = field(default_factory=Usage)


class Ranker(Protocol):
    """Protocol of a comparison of two continuations of one branch."""

    async def compare(
        self, task: Task, before: Sequence[Turn], first: Sequence[Turn], second: Sequence[Turn]
    ) -> Comparison:
        """Compare two continuations. Raises ModelError when a model could not complete."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelRanker:
    """Ranker by a chat model, with one completion per comparison."""

    model: Model
    sampling: Sampling = field(default_factory=lambda: Sampling(max_tokens=8))

    async def compare(
        self, task: Task, before: Sequence[Turn], first: Sequence[Turn], second: Sequence[Turn]
    ) -> Comparison:
        completion = await self.model.complete(write_comparison(task, before, first, second), self.sampling)
        return Comparison(preference=read_preference(completion.text), usage=completion.usage)


async def rank(
    ranker: Ranker, walk: Walk, parent: Node, children: Sequence[Node], unclear: Preference = Preference.NEITHER
) -> list[int] | None:
    """Rank `children`: their indices, the best first, equal ones in their order; None where a limit is spent.

    A pair is compared both ways round; the winner gets a point, a tie half of one each (ToolBench's `DFS_w2`). A
    comparison without a preference counts as `unclear`.
    """
    before = walk.tree.branch(parent)
    points = [0.0] * len(children)
    for one, other in combinations(range(len(children)), 2):
        won = 0
        for first, second in ((one, other), (other, one)):
            if walk.is_spent:
                return None
            turns = children[first].turns, children[second].turns
            compared = await walk.within_time(ranker.compare(walk.tree.task, before, *turns))
            if compared is None:
                return None
            comparison = compared.get()
            walk.charge(parent, comparison.usage)
            preference = unclear if comparison.preference is Preference.NEITHER else comparison.preference
            sign = 1 if first == one else -1
            won += {Preference.FIRST: sign, Preference.SECOND: -sign, Preference.NEITHER: 0}[preference]
        points[one] += 0.5 + (won > 0) / 2 - (won < 0) / 2
        points[other] += 0.5 + (won < 0) / 2 - (won > 0) / 2
    return sorted(range(len(children)), key=lambda at: -points[at])
