"""Names of invented tools and their parameters, in the cases that programmers use."""

from __future__ import annotations

from enum import StrEnum
from functools import cache

from alpha_umi.world.random_streams import RandomStream


class Case(StrEnum):
    """Case in which the words of a name are joined."""

    SNAKE = "snake"
    CAMEL = "camel"
    PASCAL = "pascal"
    DOTTED = "dotted"
    """The domain, a dot, and the words in snake case."""
    PREFIXED = "prefixed"
    """The domain, an underscore, and the words in snake case."""
    KEBAB = "kebab"


CASES = {Case.SNAKE: 9, Case.CAMEL: 4, Case.PASCAL: 2, Case.DOTTED: 2, Case.PREFIXED: 2, Case.KEBAB: 1}
"""Frequency of each case."""


@cache
def join_name(words: str, case: Case, domain: str = "") -> str:
    """Join lower-case words to a name. `domain`: in snake case, for cases that hold it."""
    parts = [part for part in "".join(char if char.isalnum() else " " for char in words.lower()).split() if part]
    snake = "_".join(parts)
    match case:
        case Case.CAMEL:
            return parts[0] + "".join(part.capitalize() for part in parts[1:])
        case Case.PASCAL:
            return "".join(part.capitalize() for part in parts)
        case Case.DOTTED:
            return f"{domain}.{snake}" if domain else snake
        case Case.PREFIXED:
            return f"{domain}_{snake}" if domain else snake
        case Case.KEBAB:
            return "-".join(parts)
        case Case.SNAKE:
            return snake


def parameter_case(case: Case) -> Case:
    """The case of parameters beside tools of a case: camel or snake."""
    return Case.CAMEL if case in (Case.CAMEL, Case.PASCAL) else Case.SNAKE


def domain_word(rng: RandomStream, domain: str) -> str:
    """Short form of a domain's name: one of its content words, or all of it."""
    words = [word for word in domain.split("_") if word not in ("and", "of", "the", "for", "in")]
    return rng.pick([*words[:2], "_".join(words[:2])]) if words else domain
