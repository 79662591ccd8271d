"""Checks of the values that agents and environments return: foreign code may return anything, a tree holds turns."""

from __future__ import annotations

from collections.abc import Mapping

from alpha_umi.errors import ModelError
from alpha_umi.types import (
    Answer,
    Call,
    Decision,
    Observation,
    Plan,
    Proposal,
    Review,
    ToolStatus,
    Usage,
    User,
)

_FIELDS: Mapping[type, Mapping[str, type]] = {
    User: {"text": str},
    Review: {"text": str, "accepted": bool},
    Plan: {"thought": str, "decision": Decision},
    Call: {"name": str, "arguments": str},
    Observation: {"content": str, "status": ToolStatus},
    Answer: {"text": str},
}


def check_proposal(proposal: object) -> None:
    """Raise ModelError unless an agent returned a Proposal of whole turns and a Usage."""
    if not isinstance(proposal, Proposal):
        raise ModelError(f"the agent returned {_kind(proposal)}, not a Proposal")
    if type(proposal.turns) is not tuple:
        raise ModelError(f"the turns of the agent's proposal are {_kind(proposal.turns)}, not a tuple")
    if type(proposal.usage) is not Usage:
        raise ModelError(f"the usage of the agent's proposal is {_kind(proposal.usage)}, not a Usage")
    for turn in proposal.turns:
        if fault := _fault(turn):
            raise ModelError(f"the agent proposed {fault}")


def checked_observation(value: object) -> Observation:
    """Return what an environment returned, or that it is no Observation as an observation."""
    fault = _fault(value) if isinstance(value, Observation) else f"{_kind(value)}, not an Observation"
    if fault or not isinstance(value, Observation):
        return Observation(content=f"the environment returned {fault}", status=ToolStatus.ERROR)
    return value


def _fault(turn: object) -> str:
    """Words for what keeps a value from being a turn; empty for a turn."""
    fields = _FIELDS.get(type(turn))
    if fields is None:
        return f"{_kind(turn)}, which is no turn"
    for name, kind in fields.items():
        value = getattr(turn, name)
        if type(value) is not kind:
            return f"a turn {type(turn).__name__} whose {name} is {_kind(value)}, not {kind.__name__}"
    return ""


def _kind(value: object) -> str:
    return f"a value of type {type(value).__name__}"
