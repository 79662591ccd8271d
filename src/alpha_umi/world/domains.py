"""Domains of values: names, codes that stand for names, and amounts.

A need's inputs are read by their domains, so that every provider refuses the same values for the same reasons.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TypeAlias

from alpha_umi.world.facts import Facts

_LETTERS = "ABCDEFGHJKLMNPQRSTUVWXYZ"
_LARGEST_AMOUNT = 10**9


@dataclass(frozen=True, slots=True, kw_only=True)
class Unknown:
    """Refusal of a value that is not in the domain."""

    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Names:
    """Domain of the names in a list."""

    name: str
    terms: tuple[str, ...]
    former: Mapping[str, str] = field(default_factory=dict[str, str])
    """Names that tools refuse, saying the new one."""
    unknown_entities: tuple[str, ...] = ()
    """Plausible names that are none of the domain."""
    description: str = ""
    """Description of such an argument in a document."""
    vague: tuple[str, ...] = ()
    """Mentions that leave open which one is meant; empty where queries do not name these."""

    def read(self, _: Facts, value: str) -> str | Unknown:
        """The name, where it is one of the domain."""
        if value in self.terms:
            return value
        if value in self.former:
            return Unknown(reason=f"{value} is now {self.former[value]}")
        return Unknown(reason=f"{value} is unknown")


@dataclass(frozen=True, slots=True, kw_only=True)
class Codes:
    """Domain of codes for names: a letter and digits, drawn afresh for every moment of the facts."""

    name: str
    of: Names
    low: int = 10
    """Smallest number behind the letter."""
    count: int = 90
    """Count of numbers."""
    stride: int = 37
    description: str = ""
    mention: str = "{}"
    """Phrase of a query for a code."""
    vague: tuple[str, ...] = ()

    def write(self, facts: Facts, name: str) -> str:
        """The code of a name."""
        place = (facts.any(self.name) + self.of.terms.index(name) * self.stride) % self._size
        return f"{_LETTERS[place % len(_LETTERS)]}{self.low + place // len(_LETTERS)}"

    def read(self, facts: Facts, value: str) -> str | Unknown:
        """The name behind a code."""
        digits = value[1:]
        if value[:1] in _LETTERS and digits.isascii() and digits.isdecimal() and len(digits) < 9:
            place = (int(digits) - self.low) * len(_LETTERS) + _LETTERS.index(value[0])
            index, rest = divmod((place - facts.any(self.name)) % self._size, self.stride)
            if not rest and index < len(self.of.terms) and self.write(facts, self.of.terms[index]) == value:
                return self.of.terms[index]
        return Unknown(reason=f"{value} is unknown")

    @property
    def _size(self) -> int:
        return self.count * len(_LETTERS)


@dataclass(frozen=True, slots=True, kw_only=True)
class Amounts:
    """Domain of numbers from 0 up to a large one; queries name numbers from `low` to `high`."""

    name: str
    low: int = 5
    high: int = 500
    called: str = "sum of money"
    description: str = ""
    vague: tuple[str, ...] = ()

    def read(self, _: Facts, value: str) -> str | Unknown:
        """The number as it is written, where it is in range."""
        try:
            known = 0 <= float(value) <= _LARGEST_AMOUNT
        except ValueError:
            known = False
        return value if known else Unknown(reason=f"{value} is no {self.called}")


Domain: TypeAlias = Names | Codes | Amounts
