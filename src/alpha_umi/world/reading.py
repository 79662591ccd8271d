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

    names: Mapping[str, Sequence[str]]
    """Domain -> every name of it that an answer may hold."""
    ordinary: frozenset[str] = frozenset()
    """Domains whose names are ordinary words, which say nothing in a task of other domains."""
    currencies: Iterable[str] = ()
    units: Mapping[str, Sequence[str]] = field(default_factory=dict[str, Sequence[str]])
    """Unit -> its spellings."""
    literal: str = ""
    """Regular expression of what is read as one name though it holds digits: codes, times of the day."""


_NUMBER = re.compile(r"(?<![\w.,])(?:[-+\u2212](?=\d))?(?:\d{1,3}(?:,\d{3})+|\d+)(?:\.\d+)?")
_DOUBT = re.compile(r"\b(?:either|maybe|perhaps|possibly|might be|could be)\b", re.IGNORECASE)
_OR = re.compile(r"\bor\b", re.IGNORECASE)
_NEAR = 30
"""Characters after an "or" in which a value would be another choice."""
_WORD = re.compile(r"\w+")
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
        self._names: dict[str, list[str]] = {}
        self._domain = {name.casefold(): domain for domain, names in words.names.items() for name in names}
        for name in sorted(self._domain, key=len, reverse=True):
            self._names.setdefault(_WORD.findall(name)[0], []).append(name)
        self._literal = re.compile(rf"(?<!\w)(?:{words.literal})(?!\w)", re.IGNORECASE) if words.literal else None
        self._ordinary = words.ordinary

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
        found = set(self._find_names(text.casefold()))
        if self._literal is not None:
            found |= {literal[0].casefold() for literal in self._literal.finditer(text)}
        return found

    def _find_names(self, text: str) -> Iterator[str]:
        """As whole words, and of those that begin at one place the longest."""
        end = 0
        for word in _WORD.finditer(text):
            start = word.start()
            for name in self._names.get(word[0], ()) if start >= end else ():
                if text.startswith(name, start) and not _WORD.match(text, start + len(name)):
                    yield name
                    end = start + len(name)
                    break

    def domain(self, name: str) -> str:
        """Of a name in lower case; "literal" for codes and times."""
        return self._domain.get(name, "literal")

    def telling(self, held: set[str], relevant: Iterable[str]) -> set[str]:
        """Those of the names `held` that are no ordinary words, or are such of a domain of the `relevant` names."""
        domains = {self.domain(name) for name in relevant}
        return {name for name in held if self.domain(name) not in self._ordinary - domains}

    def leaves_open(self, text: str) -> bool:
        """Whether it offers a choice of values, or is not sure of them."""
        after = (text[found.end() : found.end() + _NEAR] for found in _OR.finditer(text))
        return _DOUBT.search(text) is not None or any(self.terms(near) or any(self.quantities(near)) for near in after)


def denies(text: str) -> bool:
    return _NEGATION.search(text) is not None


def _any_of(words: Sequence[str]) -> str:
    return "|".join(re.escape(word) for word in sorted(words, key=len, reverse=True))
