"""Observations of calls that reach no tool, in every environment: an unknown name, or no call that could be read."""

from __future__ import annotations

from alpha_umi.types import Observation, ToolStatus

_UNREADABLE = (
    "no tool call could be read in this reply; write the name of one tool, and its arguments as one whole JSON object"
)


def unknown_tool(name: str) -> Observation:
    """Return the observation of a call whose name no tool has; without a name, the call could not be read."""
    if not name:
        return Observation(content=_UNREADABLE, status=ToolStatus.UNKNOWN_TOOL)
    return Observation(content=f"there is no tool '{name}'", status=ToolStatus.UNKNOWN_TOOL)
