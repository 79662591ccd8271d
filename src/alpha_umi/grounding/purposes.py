"""Purposes of tools, by the words of their names and descriptions."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Set
from typing import cast

from alpha_umi.formats.prompts.retrieval import split_terms
from alpha_umi.grounding.evidence import choices_of, defaults_of
from alpha_umi.types import Json, ToolSpec

_CHANGES = frozenset(
    re.findall(
        "[a-z]+",
        "add block book buy cancel change close create delete move open order pay post put remove rename renew reserve"
        " reset sell send set sign start stop submit transfer update write",
    )
)
"""Verbs in the names of tools that change something."""


_PLAIN = frozenset(
    re.findall("[a-z]+", "away find get give go have know like look make need put see show take tell want")
)
"""Words of requests that tell no tool from another."""


def tells(tool: ToolSpec, sought: Iterable[str]) -> bool:
    """Test if a tool's name or description has a word for what is sought."""
    return not frozenset(sought).isdisjoint(split_terms(f"{tool.name} {tool.description}"))


def mentions(tool: ToolSpec, words: Set[str]) -> bool:
    """Test if a tool's name or description has one of the words that tell tools apart."""
    return tells(tool, words - _PLAIN)


def is_meant(tool: ToolSpec, words: Set[str]) -> bool:
    """Test if a tool that changes something is meant: the request has its verb, or a word of its description alone."""
    verbs = _CHANGES.intersection(split_terms(tool.name))
    return not verbs or not verbs.isdisjoint(words) or describes(tool, words)


def describes(tool: ToolSpec, words: Set[str]) -> bool:
    """Test if a tool's description has one of the words that neither its name nor its arguments have."""
    named = (tool.name, *cast("Mapping[str, Json]", tool.parameters.get("properties") or {}))
    return not (words - _PLAIN).isdisjoint({*split_terms(tool.description)}.difference(*map(split_terms, named)))


def names_choice(tool: ToolSpec, words: Set[str]) -> bool:
    """Test if a request has one of a tool's choices, other than a default."""
    usual = defaults_of(tool)
    for name, values in choices_of(tool).items():
        others = [split_terms(value) for value in values if value != usual.get(name)]
        if any(terms and words >= set(terms) for terms in others):
            return True
    return False
