"""Counts of malformed tool calls, found without running a tool: unknown tool names, arguments that are not JSON."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable
from dataclasses import dataclass

from alpha_umi.types import Call, Turn


@dataclass(frozen=True, slots=True, kw_only=True)
class CallFaults:
    """Counts of tool calls and of their faults; two of them add up."""

    calls: int = 0
    unknown_names: int = 0
    """Of tools that are not offered: hallucinated."""
    broken_json: int = 0
    """Arguments that are no JSON object."""

    def __add__(self, other: CallFaults) -> CallFaults:
        return CallFaults(
            calls=self.calls + other.calls,
            unknown_names=self.unknown_names + other.unknown_names,
            broken_json=self.broken_json + other.broken_json,
        )


def find_faults(turns: Iterable[Turn], offered: Collection[str]) -> CallFaults:
    """Count the faults of all calls in `turns`. `offered`: names of the tools that may be called."""
    calls = [turn for turn in turns if isinstance(turn, Call)]
    return CallFaults(
        calls=len(calls),
        unknown_names=sum(call.name not in offered for call in calls),
        broken_json=sum(not _is_object(call.arguments) for call in calls),
    )


def _is_object(text: str) -> bool:
    try:
        return isinstance(json.loads(text), dict)
    except (ValueError, RecursionError):
        return False
