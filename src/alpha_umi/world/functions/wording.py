"""Wording of values in queries and answers: dates, times, numbers in words, lists, phrases for enums."""

from __future__ import annotations

import re
from collections.abc import Sequence

from alpha_umi.types import Json
from alpha_umi.world.functions.needs import Parameter, ParameterType
from alpha_umi.world.functions.pools import MONTHS
from alpha_umi.world.functions.values import Range
from alpha_umi.world.random_streams import RandomStream

_ONES_TEXT = (
    "zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen seventeen "
    "eighteen nineteen"
)
_ONES = tuple(_ONES_TEXT.split())
_TENS = ("", "", "twenty", "thirty", "forty", "fifty", "sixty", "seventy", "eighty", "ninety")
_ISO_DATE = re.compile(r"(\d{4})-(\d\d)-(\d\d)(?:T(\d\d:\d\d))?")
_TIME = re.compile(r"(\d\d):(\d\d)")
_YEARS = (1800, 2100)
"""Whole numbers of a range within it may be years, which are written as they are."""


def word_argument(rng: RandomStream, parameter: Parameter, value: Json) -> str:
    """Word an argument as a query names it."""
    if isinstance(value, list) and parameter.count is not None:
        return join_words([_word_element(rng, parameter, each) for each in value], rng.pick(["and", "and", ""]))
    return _word_element(rng, parameter, value)


def join_words(words: Sequence[str], conjunction: str = "and") -> str:
    """Join words as an enumeration: "a, b and c"; without a conjunction: "a, b, c"."""
    if len(words) < 2 or not conjunction:
        return ", ".join(words)
    return f"{', '.join(words[:-1])} {conjunction} {words[-1]}"


def _word_element(rng: RandomStream, parameter: Parameter, value: Json) -> str:
    match parameter.type:
        case ParameterType.ENUM | ParameterType.BOOLEAN:
            key = str(value).lower() if isinstance(value, bool) else str(value)
            phrases = parameter.choices.get(key)
            return rng.pick(phrases) if phrases else key
        case ParameterType.DATE:
            return rng.pick(write_dates(str(value)))
        case ParameterType.TIME:
            return rng.pick(write_times(str(value)))
        case ParameterType.INTEGER | ParameterType.NUMBER if isinstance(value, int | float):
            return _word_number(rng, parameter, value)
        case _:
            return write_plain(value)


def _word_number(rng: RandomStream, parameter: Parameter, value: float) -> str:
    kind = parameter.values
    if isinstance(kind, Range) and kind.digits and not isinstance(value, bool):
        return f"{value:.{kind.digits}f}" if rng.below(2) else write_plain(value)
    if not isinstance(value, int) or (isinstance(kind, Range) and _YEARS[0] <= kind.low <= kind.high <= _YEARS[1]):
        return write_plain(value)
    if parameter.count is None and rng.below(5) == 0 and (words := number_words(value)):
        return words
    return f"{value:,}" if value >= 1000 and rng.below(3) == 0 else str(value)


def number_words(value: int) -> str:
    """A whole number from 2 to 99, or of whole hundreds or thousands, in words; empty for others."""
    if 1 < value < 20:
        return _ONES[value]
    if 20 <= value < 100:
        tens, ones = divmod(value, 10)
        return f"{_TENS[tens]}-{_ONES[ones]}" if ones else _TENS[tens]
    for unit, name in ((1000, "thousand"), (100, "hundred")):
        count, rest = divmod(value, unit)
        if not rest and 0 < count < 20:
            return f"{_ONES[count]} {name}"
    return ""


def write_plain(value: Json) -> str:
    """A value as text: booleans as yes or no, lists as an enumeration, numbers without an empty fraction."""
    match value:
        case bool():
            return "yes" if value else "no"
        case float() if value.is_integer():
            return str(int(value))
        case list():
            return join_words([write_plain(each) for each in value])
        case dict():
            return ", ".join(f"{name.replace('_', ' ')} {write_plain(each)}" for name, each in value.items())
        case _:
            return str(value)


def write_dates(value: str) -> list[str]:
    """Wordings of an ISO date that nobody reads as another one; of a date with a time also that."""
    found = _ISO_DATE.fullmatch(value)
    if found is None:
        return [value]
    year, month, day, time = found[1], MONTHS[int(found[2]) - 1], int(found[3]), found[4]
    ordinal = f"{day}{'th' if 10 < day < 20 else {1: 'st', 2: 'nd', 3: 'rd'}.get(day % 10, 'th')}"
    words = [
        value.partition("T")[0],
        f"{day} {month} {year}",
        f"{month} {day}, {year}",
        f"{month} {ordinal}, {year}",
        f"the {ordinal} of {month} {year}",
        f"{day} {month[:3]} {year}",
    ]
    return [value, *(f"{each}, {time}" for each in words[1:])] if time else words


def write_times(value: str) -> list[str]:
    """Wordings of a time of the day that are unambiguous."""
    found = _TIME.fullmatch(value)
    if found is None:
        return [value]
    hour, minutes = int(found[1]), found[2]
    half, shown = "am" if hour < 12 else "pm", hour % 12 or 12
    words = [value, f"{shown}:{minutes} {half}", f"{shown}.{minutes} {half}"]
    part = "in the morning" if hour < 12 else "in the afternoon" if hour < 18 else "in the evening"
    if minutes == "00":
        words += [f"{shown} {half}"]
    if 5 <= hour < 22 and hour != 12:
        late = _ONES[hour % 12 + 1] if hour % 12 < 12 else "one"
        words += {
            "00": [f"{_ONES[shown]} {part}"],
            "15": [f"quarter past {_ONES[shown]} {part}"],
            "30": [f"half past {_ONES[shown]} {part}"],
            "45": [f"quarter to {late} {part}"] if hour not in (11, 17) else [],
        }.get(minutes, [])
    return words
