"""Cautious agent: gives up where it is less sure of a call than a threshold."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

from alpha_umi.formats.prompts.asking import unsure
from alpha_umi.protocols import Agent
from alpha_umi.types import Call, Proposal, Task, Turn


@dataclass(frozen=True, slots=True, kw_only=True)
class CautiousAgent:
    """Agent without calls of which it is not sure enough (`protocols.Agent`)."""

    drafter: Agent
    """Agent whose calls are looked at."""
    threshold: float
    """Least probability of a call, 0 to 1: the geometric mean over its tokens that the grammar left open, which is the
    exponential of `Call.confidence`. A call without a confidence is made."""

    async def propose(self, task: Task, turns: Sequence[Turn]) -> Proposal:
        proposal = await self.drafter.propose(task, turns)
        for turn in proposal.turns:
            if isinstance(turn, Call) and turn.confidence is not None and math.exp(turn.confidence) < self.threshold:
                return replace(proposal, turns=(unsure(turn.name),))
        return proposal
