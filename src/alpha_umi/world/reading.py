"""Reading an answer: the quantities with their units and the names that it holds, however it is worded."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal


@dataclass(frozen=True, slots=True, kw_only=True)
class Quantity:
    value: Decimal
    unit: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Words:
    """What is to be recognised."""

    names: Sequence[str]
    """Every name that an answer may hold."""
    ordinary: Mapping[str, Sequence[str]] = field(default_factory=dict[str, Sequence[str]])
    """Domain -> its names, where these are ordinary words, which say nothing in a task of other domains."""
    currencies: Iterable[str] = ()
    units: Mapping[str, Sequence[str]] = field(default_factory=dict[str, Sequence[str]])
    """Unit -> its spellings."""
    literal: str = ""
    """Regular expression of what is read as one name though it holds digits: codes, times of the day."""


_NUMBER = re.compile(r"(?<![\w.,])(?:[-+\u2212](?=\d))?(?:\d{1,3}(?:,\d{3})+|\d+)(?:\.\d+)?")
_NEGATION = re.compile(r"\b(?:not|never|cannot|neither|nor|unable)\b|n['’]t\b", re.IGNORECASE)


class Reader:
    def __init__(self, words: Words) -> None:
        currencies = list(words.currencies)
        self._spellings = {
            **{code.casefold(): code for code in currencies},
            **{spelling.casefold(): unit for unit, spellings in words.units.items() for spelling in spellings},
        }
        money = [spelling for spelling, unit in self._spellings.items() if unit in currencies]
        self._unit_after = re.compile(rf"\s?({_any_of(list(self._spellings))})(?!\w)", re.IGNORECASE)
        self._unit_before = re.compile(rf"(?<!\w)({_any_of(money)})\s?$", re.IGNORECASE)
        ordinary = [name for names in words.ordinary.values() for name in names]
        self._term = re.compile(rf"(?<!\w)({_any_of([*words.names, *ordinary])})(?!\w)", re.IGNORECASE)
        self._literal = re.compile(rf"(?<!\w)(?:{words.literal})(?!\w)", re.IGNORECASE) if words.literal else None
        self._domain = {name.casefold(): domain for domain, names in words.ordinary.items() for name in names}

    def quantities(self, text: str) -> Iterator[Quantity]:
        """The numbers of a text, each with the unit after it, else the currency before it."""
        if self._literal is not None:
            text = self._literal.sub(lambda found: "_" * len(found[0]), text)
        taken = 0
        for number in _NUMBER.finditer(text):
            after = self._unit_after.match(text, number.end())
            before = self._unit_before.search(text[taken : number.start()])
            unit = after or before
            taken = after.end() if after else number.end()
            value = Decimal(number[0].replace(",", "").replace("\u2212", "-"))
            yield Quantity(value=value, unit=self._spellings[unit[1].casefold()] if unit else "")

    def terms(self, text: str) -> set[str]:
        """The names in a text, in lower case; codes and times, too."""
        found = {term[1].casefold() for term in self._term.finditer(text)}
        if self._literal is not None:
            found |= {literal[0].casefold() for literal in self._literal.finditer(text)}
        return found

    def telling(self, held: set[str], relevant: Iterable[str]) -> set[str]:
        """Those of the names `held` that are no ordinary words, or are such of a domain of the `relevant` names."""
        domains = {self._domain[name] for name in relevant if name in self._domain}
        return {name for name in held if name not in self._domain or self._domain[name] in domains}


def denies(text: str) -> bool:
    return _NEGATION.search(text) is not None


def _any_of(words: Sequence[str]) -> str:
    return "|".join(re.escape(word) for word in sorted(words, key=len, reverse=True))
