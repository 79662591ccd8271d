"""Tasks of tau2-bench's domains, whose user is scripted from the task's instructions.

tau2 has a language model play the user. Here the instructions are put into the first person and said one after the
other, whatever the agent answers: why the user calls, what it knows, what else it wants, and a consent. So figures are
not those of its leaderboard.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from alpha_umi.errors import DataError
from alpha_umi.types import Json, Task, ToolSpec

DOMAINS = ("airline", "retail")
"""Domains whose user has no tools."""
CONSENT = "Yes, please go ahead."
"""The user's last message: both policies want a consent before anything is changed."""
_OBJECT = re.compile(
    r"\b(tells?|told|gives?|gave|asks?|asked|offers?|offered|helps?|lets?|informs?|informed|provides?|provided|charges?|"
    r"charged|refunds?|for|to|with|of|from|by|about|that gets) you\b(?!['r])",
    re.IGNORECASE,
)
_PERSONS: Sequence[tuple[re.Pattern[str], str]] = tuple(
    (re.compile(rf"\b{second}\b", re.IGNORECASE), first)
    for second, first in (
        ("you are", "I am"),
        ("you're", "I'm"),
        ("you were", "I was"),
        ("are you", "am I"),
        ("yourself", "myself"),
        ("yours", "mine"),
        ("your", "my"),
        ("you", "I"),
    )
)


def in_first_person(text: str) -> str:
    """Put an instruction to the user (`You want your money back.`) into the user's own words."""
    said = _OBJECT.sub(r"\1 me", text)
    for second, first in _PERSONS:
        said = second.sub(lambda found, first=first: _cased(found, first), said)
    return said.strip()


def _cased(found: re.Match[str], word: str) -> str:
    return word[0].upper() + word[1:] if found[0][0].isupper() else word


def read_task(document: Mapping[str, Any], domain: str, tools: Sequence[ToolSpec]) -> Task:
    """Read a task as tau2 describes it. Raises DataError for another shape."""
    try:
        told: Mapping[str, Any] = document["user_scenario"]["instructions"]
        reason = in_first_person(str(told["reason_for_call"]))
        known = [in_first_person(str(told.get(key) or "")) for key in ("known_info", "unknown_info")]
        wanted = in_first_person(str(told.get("task_instructions") or ""))
        identity = str(document["id"])
    except (KeyError, TypeError, AttributeError) as error:
        raise DataError(f"a task of {domain} is of another shape: {error!r}") from None
    later = [" ".join(filter(None, known)), wanted if wanted.strip(". ") else "", CONSENT]
    followups: list[Json] = [{"user": text} for text in later if text]
    metadata: dict[str, Json] = {
        "source": "tau2",
        "followups": followups,
        "simulation": {"domain": domain, "task": identity},
    }
    return Task(id=f"tau2-{domain}-{identity}", query=reason, tools=tuple(tools), metadata=metadata)
