"""Events of a reply: thoughts and answers while they are written, calls and observations whole, approvals, nodes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

from alpha_umi.search import Node
from alpha_umi.types import Call, Observation, Trajectory, Turn


@dataclass(frozen=True, slots=True)
class Thought:
    """Piece of a plan's thought."""

    text: str
    starts: bool = False
    """True for the first piece of a plan."""


@dataclass(frozen=True, slots=True)
class Text:
    """Piece of the answer."""

    text: str


@dataclass(frozen=True, slots=True)
class Called:
    """Call, with the thought of the plan before it."""

    call: Call
    thought: str
    approval_id: str | None = None
    """Request for approval that was decided; None: the call asked for none."""


@dataclass(frozen=True, slots=True)
class Calling:
    """Piece of the arguments of a call that is being written, and is certain to be sent (`Called`)."""

    name: str
    arguments: str
    starts: bool = False
    """True for the first piece of a call."""


@dataclass(frozen=True, slots=True)
class ApprovalAsked:
    """Call that waits for the client's approval."""

    id: str
    called: Called


@dataclass(frozen=True, slots=True)
class Grown:
    """Node of the search as it is now; sent where a request shows its nodes."""

    node: Node


@dataclass(frozen=True, slots=True)
class Ended:
    """End of a reply: what it is in all."""

    trajectory: Trajectory
    """The conversation with the turns of the reply; its usage is the reply's."""
    said: tuple[Turn, ...]
    """Turns of the reply."""
    finish: str
    """`stop`, `tool_calls` or `length`, as OpenAI has it."""
    nodes: tuple[Node, ...]
    """Of the search, where the server ran the tools; else the reply as one."""


Event: TypeAlias = Thought | Text | Calling | Called | ApprovalAsked | Grown | Observation | Ended
