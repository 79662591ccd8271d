"""Retrieval of a task's tools: an agent reads the few that fit its query, or at each step those that fit its thought.

What is in view is a function of the task and its turns alone, so agents stay stateless and branches need no care.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from enum import StrEnum
from itertools import islice

from alpha_umi.protocols import Agent
from alpha_umi.retrieval.terms import import_bm25
from alpha_umi.retrieval.tool_indexes import ToolIndexes
from alpha_umi.search.tree import Tree
from alpha_umi.types import Call, Decision, Plan, Proposal, Task, ToolSpec, Turn, User


class RetrieveAt(StrEnum):
    """Moment of retrieval: before the run, by the query, or at each step, by its thought and the query."""

    QUERY = "query"
    STEP = "step"


@dataclass(frozen=True, slots=True, kw_only=True)
class ToolSelection:
    """Selection of the tools that an agent reads out of those that a task offers.

    Raises ConfigError where retrieval is not installed.

    Planner and caller of a step differ: the planner reads the tools of the step before, the caller those of the thought
    that called it. Tools called before stay in view, and what stays in view stays in its place, so that prompts share
    as long a prefix as they can; behind the first new tool a prompt is computed again.
    """

    k: int
    """Tools in view, beside those that were called."""
    at: RetrieveAt = RetrieveAt.STEP
    model: str | None = None
    """A SentenceTransformer in place of BM25."""
    _indexes: ToolIndexes = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        if self.model is None:
            import_bm25()
        object.__setattr__(self, "_indexes", ToolIndexes(self.model))

    def of(self, agent: Agent) -> Agent:
        """Return the agent with the tools that it reads selected."""
        return SelectingAgent(agent=agent, selection=self)

    def view(self, task: Task, turns: Sequence[Turn]) -> tuple[ToolSpec, ...]:
        """Return the tools in view after `turns`."""
        if len(task.tools) <= self.k:
            return task.tools
        by_name = {tool.name: tool for tool in task.tools}
        asked = max((at for at, turn in enumerate(turns) if turn == User(text=task.query)), default=0)
        called = dict.fromkeys(turn.name for turn in turns[:asked] if isinstance(turn, Call))
        names = self._next(task, task.query, called, ())
        for turn in turns[asked:]:
            if isinstance(turn, Call):
                called[turn.name] = None
            elif isinstance(turn, Plan) and turn.decision is Decision.CALL and self.at is RetrieveAt.STEP:
                names = self._next(task, _step_query(turn.thought, task.query), called, names)
        return tuple(by_name[name] for name in names)

    def seen(self, tree: Tree) -> tuple[ToolSpec, ...]:
        """Return the task's tools that some step of a tree had in view, or called, in the task's order."""
        names: set[str] = set()
        for node in tree.nodes:
            branch = tree.branch(node)
            names |= {tool.name for tool in self.view(tree.task, branch)}
            names |= {turn.name for turn in node.turns if isinstance(turn, Call)}
        return tuple(tool for tool in tree.task.tools if tool.name in names)

    def _next(self, task: Task, query: str, called: Iterable[str], before: Sequence[str]) -> tuple[str, ...]:
        """Names of the tools in view for a query: the called ones, and the k that fit, before others in their order."""
        known = {tool.name for tool in task.tools}
        found = [api.name for api in self._indexes.of(task.tools).offer(query, self.k)]
        best = islice(dict.fromkeys([*found, *before, *(tool.name for tool in task.tools)]), self.k)
        wanted = dict.fromkeys([*(name for name in called if name in known), *best])
        return (*(name for name in before if name in wanted), *(name for name in wanted if name not in before))


def _step_query(thought: str, query: str) -> str:
    """Search query of a step: the thought counts twice, since the query also tells of other steps."""
    return f"{thought}\n{thought}\n{query}"


@dataclass(frozen=True, slots=True, kw_only=True)
class SelectingAgent:
    """Agent that reads a selection of a task's tools (`protocols.Agent`)."""

    agent: Agent
    selection: ToolSelection

    async def propose(self, task: Task, turns: Sequence[Turn]) -> Proposal:
        return await self.agent.propose(replace(task, tools=self.selection.view(task, turns)), turns)
