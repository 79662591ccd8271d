"""Kinds of tasks: the calls of the shortest solution and the values that an answer must hold.

Slots are values that the query names. A step binds its need's inputs to slots, to outputs of earlier steps or to fixed
values, and its outputs become known under their own names unless `keep` renames them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from alpha_umi.world.needs import AnswerPart


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """One call of the shortest solution."""

    need: str
    inputs: Mapping[str, str]
    """Canonical input -> what is known by that name, or "=text" for fixed text."""
    keep: Mapping[str, str] = field(default_factory=dict[str, str])
    """Canonical output -> the name under which it is known afterwards."""
    goal: str = ""
    """Noun phrase in place of the need's own; empty for that."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Kind:
    """Kind of task: slots, steps, and the sentence that answers."""

    name: str
    slots: Mapping[str, str]
    """Slot -> domain."""
    steps: tuple[Step, ...]
    queries: tuple[str, ...]
    answer: str
    answer_parts: tuple[AnswerPart, ...]
