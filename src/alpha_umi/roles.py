"""Table of an agent's roles: the turn that each writes, its place in the order, adapter number, colour and label.

Everything that differs between roles outside the formats is a column of this table, so that a further role is a row
here, its prompts in `formats`, and its turn in `types`. The critic is such a role: optional, asked after an answer.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from alpha_umi.types import Answer, Call, Decision, Plan, Review, Role, StopReason, Turn

LEARN = "learn"
"""Key of a task's metadata: by role, the indices of the plans whose steps it learns from; absent: from all."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RoleSpec:
    """Row of the table: one role."""

    role: Role
    turn: type[Turn] | None
    """The turn that it writes; None: whole steps (the backbone)."""
    decision: Decision | None = None
    """The planner's decision by which it is asked next."""
    follows: type[Turn] | None = None
    """The turn after which it is asked unbidden, where an agent has it."""
    adapter: int
    """The number by which a token names its adapter; 0 is the base alone."""
    colour: str = ""
    """Style of its turns on a terminal (rich)."""

    @property
    def label(self) -> str:
        return self.role.value


ROLES: Mapping[Role, RoleSpec] = {
    spec.role: spec
    for spec in (
        RoleSpec(role=Role.PLANNER, turn=Plan, adapter=1, colour="cyan"),
        RoleSpec(role=Role.CALLER, turn=Call, decision=Decision.CALL, adapter=2, colour="magenta"),
        RoleSpec(role=Role.SUMMARIZER, turn=Answer, decision=Decision.CONCLUDE, adapter=3, colour="bold blue"),
        RoleSpec(role=Role.BACKBONE, turn=None, adapter=4),
        RoleSpec(role=Role.CRITIC, turn=Review, follows=Answer, adapter=5, colour="yellow"),
    )
}
AGENT_ROLES = (Role.PLANNER, Role.CALLER, Role.SUMMARIZER)
"""The roles that every multi-model agent has (paper, section 3.2)."""
FORMAT_ROLES = (*AGENT_ROLES, Role.BACKBONE)
"""The roles that a format itself may have prompts of."""
OPTIONAL_ROLES = tuple(spec.role for spec in ROLES.values() if spec.follows is not None)


def next_role(turns: Sequence[Turn]) -> Role:
    """Return the role that writes after `turns`: the one that a plan decided for, else the planner."""
    last = turns[-1] if turns else None
    if isinstance(last, Plan):
        return next((spec.role for spec in ROLES.values() if spec.decision is last.decision), Role.PLANNER)
    return Role.PLANNER


def followers(turn: Turn) -> Iterator[Role]:
    """Return the optional roles that are asked right after a turn."""
    return (spec.role for spec in ROLES.values() if spec.follows is not None and type(turn) is spec.follows)


def writer(turn: Turn) -> RoleSpec | None:
    """Return the role that writes such a turn; None for users and tools."""
    return next((spec for spec in ROLES.values() if type(turn) is spec.turn), None)


def optional_turn(turn: Turn) -> tuple[RoleSpec, str] | None:
    """Describe an optional role's turn: its role, and its text with what it decides; None for the turns of others."""
    match turn:
        case Review(text=text, accepted=accepted):
            return ROLES[Role.CRITIC], f"{text.strip()}  → {'accepted' if accepted else 'sent back'}"
        case _:
            return None


def ending(turn: Turn) -> StopReason | None:
    """Return the reason for which a turn ends its trajectory; None where it goes on."""
    match turn:
        case Answer() | Review(accepted=True):
            return StopReason.ANSWERED
        case Plan(decision=Decision.GIVE_UP):
            return StopReason.GAVE_UP
        case _:
            return None
