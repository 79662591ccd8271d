"""Codes and units of what was named in English words, as Unicode's CLDR has them: Swiss francs are CHF, pounds lb."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator, Mapping
from enum import StrEnum
from functools import cache, lru_cache

from babel import Locale
from babel.numbers import get_currency_name

from alpha_umi.formats.prompts.retrieval import split_terms

_WORD = re.compile(r"[^\W\d_]+")
_SIGNS = "$\u20ac\u00a3\u00a5\u20b9"
_SIGN = re.compile(rf"[{_SIGNS}](?=\s?\d)|(?<=\d)\s?[{_SIGNS}]")
_DEGREES = re.compile(r"^(?:degrees? |\u00b0)(?=\w)")
_PAST = re.compile(r"\(|\d")
"""What stands in the name of a currency that is no longer one."""
_LONGEST = 4
"""Words of a name, at most."""
_SHORT_NAMES = {"uk": "GB", "great britain": "GB", "us": "US", "usa": "US"}
_SECONDS = {"second": 1.0, "minute": 60.0, "hour": 3600.0, "day": 86400.0, "week": 604800.0}


class CodeKind(StrEnum):
    """What codes stand for."""

    CURRENCY = "currency"
    COUNTRY = "country"
    LANGUAGE = "language"


@lru_cache(maxsize=64)
def codes_in(text: str, kind: CodeKind) -> tuple[str, ...]:
    """The codes of what a text names, in its order: ISO 4217 (signs of sums, too), ISO 3166-1 alpha-2, ISO 639."""
    found = [(at, names[name]) for at, name in _phrases(text) if name in (names := _codes_by_name(kind))]
    if kind is CodeKind.CURRENCY:
        signs = _currencies_by_sign()
        found += [(match.start(), signs[match.group().strip()]) for match in _SIGN.finditer(text)]
    return tuple(dict.fromkeys(code for _, code in sorted(found)))


@lru_cache(maxsize=64)
def units_in(text: str) -> frozenset[str]:
    """CLDR's names of the units that a text names: "centimetres" and "cm" are length-centimeter."""
    known = _units_by_name()
    return frozenset(unit for _, name in _phrases(text) if split_terms(name) for unit in known.get(name, ()))


def unit_of(choice: str) -> frozenset[str]:
    """CLDR's names of the units that a word or an abbreviation stands for."""
    return _units_by_name().get(_folded(choice), frozenset())


def converted(number: float, unit: str, wanted: str) -> float | None:
    """A length of time in another unit: 2 hours are 120 minutes. None where that is not whole, and for other units."""
    sizes = [_SECONDS.get(each.removeprefix("duration-")) for each in (unit, wanted)]
    if sizes[0] is None or sizes[1] is None:
        return None
    value = number * sizes[0] / sizes[1]
    return value if value.is_integer() else None


def _phrases(text: str) -> Iterator[tuple[int, str]]:
    """Runs of a text's words with where they begin; longer ones first, whose words no other run has."""
    words = [(match.start(), _folded(match.group())) for match in _WORD.finditer(text)]
    at = 0
    while at < len(words):
        for count in range(min(_LONGEST, len(words) - at), 0, -1):
            name = " ".join(word for _, word in words[at : at + count])
            if _is_name(name):
                yield words[at][0], name
                at += count
                break
        else:
            at += 1


@lru_cache(maxsize=4096)
def _is_name(name: str) -> bool:
    return any(name in _codes_by_name(kind) for kind in CodeKind) or name in _units_by_name()


def _folded(text: str) -> str:
    plain = "".join(letter for letter in unicodedata.normalize("NFKD", text) if not unicodedata.combining(letter))
    return plain.casefold().replace("metre", "meter").replace("litre", "liter")


@cache
def _english() -> Locale:
    return Locale("en")


@cache
def _codes_by_name(kind: CodeKind) -> Mapping[str, str]:
    match kind:
        case CodeKind.CURRENCY:
            return _currencies_by_name()
        case CodeKind.COUNTRY:
            named = {_folded(name): code for code, name in _english().territories.items() if code.isalpha()}
            return {**named, **_SHORT_NAMES}
        case CodeKind.LANGUAGE:
            return {_folded(name): code for code, name in _english().languages.items() if len(code) == len("en")}


@cache
def _currencies_by_sign() -> Mapping[str, str]:
    return {sign: code for code, sign in _english().currency_symbols.items() if sign in tuple(_SIGNS)}


@cache
def _currencies_by_name() -> Mapping[str, str]:
    """Currencies by their whole names; by the last word alone too, of the one that has a sign: dollars are USD."""
    signs = _currencies_by_sign().values()
    found: dict[str, str] = {}
    for code in map(str, _english().currencies):
        for name in {_english().currencies[code], get_currency_name(code, 1, "en"), get_currency_name(code, 2, "en")}:
            if _PAST.search(name):
                continue
            found[_folded(name)] = code
            if code in signs:
                found[_folded(name).rpartition(" ")[2]] = code
    return found


@cache
def _units_by_name() -> Mapping[str, frozenset[str]]:
    found: dict[str, set[str]] = {}
    for unit, lengths in _english()._data["unit_patterns"].items():  # noqa: SLF001  # babel has no list of units
        for forms in lengths.values():
            for pattern in forms.values() if isinstance(forms, Mapping) else ():
                name = _folded(str(pattern).replace("{0}", "").strip())
                for each in {name, _DEGREES.sub("", name)}:
                    found.setdefault(each, set()).add(unit)
    return {name: frozenset(units) for name, units in found.items() if name}
