"""What users want: each kind of task with its steps and the parts that an answer owes.

Slots are what the query names. A step binds its need's inputs to slots, to outputs of earlier steps or to fixed
values, and its outputs become known under their own names unless `keep` says otherwise.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from alpha_umi.world.needs import AnswerPart


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    need: str
    inputs: Mapping[str, str]
    """Canonical input -> what is known by that name, or "=text" for fixed text."""
    keep: Mapping[str, str] = field(default_factory=dict[str, str])
    """Canonical output -> the name under which it is known afterwards."""
    goal: str = ""
    """The need's noun phrase where this kind says it otherwise."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Kind:
    name: str
    slots: Mapping[str, str]
    """Slot -> domain."""
    steps: tuple[Step, ...]
    queries: tuple[str, ...]
    answer: str
    answer_parts: tuple[AnswerPart, ...]
