"""Tool choice of a request: plans that decide otherwise are overruled, and a named tool is the caller's only one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from enum import StrEnum

from alpha_umi.protocols import Agent
from alpha_umi.types import Decision, Plan, Proposal, Task, Turn


class ToolChoice(StrEnum):
    """Choice that a client leaves to the agent, or does not."""

    AUTO = "auto"
    NONE = "none"
    REQUIRED = "required"


@dataclass(frozen=True, slots=True, kw_only=True)
class SteeredAgent:
    """Agent that calls tools as a client's tool choice says (`protocols.Agent`)."""

    agent: Agent
    choice: ToolChoice
    name: str | None = None
    """The tool that must be called (REQUIRED)."""

    async def propose(self, task: Task, turns: Sequence[Turn]) -> Proposal:
        last = turns[-1] if turns else None
        if self.name is not None and isinstance(last, Plan):
            task = replace(task, tools=tuple(tool for tool in task.tools if tool.name == self.name))
        proposal = await self.agent.propose(task, turns)
        match proposal.turns:
            case (Plan() as plan,):
                return replace(proposal, turns=(replace(plan, decision=self._decide(plan.decision)),))
            case _:
                return proposal

    def _decide(self, decision: Decision) -> Decision:
        match self.choice:
            case ToolChoice.REQUIRED:
                return Decision.CALL
            case ToolChoice.NONE if decision in (Decision.CALL, Decision.NONE):
                return Decision.CONCLUDE
            case _:
                return decision
