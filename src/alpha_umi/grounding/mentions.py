"""Mentions: the values that a text names, as numbers, dates, times of day, identifiers and names.

Numbers are read in digits and in English words; a mention has the further values that it may stand for, such as the
share of a percentage. Nothing is resolved that needs a calendar ("tomorrow").
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from datetime import date
from enum import StrEnum

_UNITS = re.findall(
    "[a-z]+",
    "zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen"
    " seventeen eighteen nineteen",
)
_TENS = re.findall("[a-z]+", "twenty thirty forty fifty sixty seventy eighty ninety")
_ORDINALS = re.findall(
    "[a-z]+",
    "zeroth first second third fourth fifth sixth seventh eighth ninth tenth eleventh twelfth thirteenth fourteenth"
    " fifteenth sixteenth seventeenth eighteenth nineteenth twentieth",
)
_WORDS: dict[str, float] = {
    **{word: float(value) for value, word in enumerate(_UNITS)},
    **{word: 10.0 * value for value, word in enumerate(_TENS, 2)},
    "twice": 2.0,
    "thrice": 3.0,
}
_SCALES: dict[str, float] = {
    "hundred": 100.0, "thousand": 1e3, "k": 1e3, "million": 1e6, "billion": 1e9, "dozen": 12.0
}  # fmt: skip
_LETTERS = {"m": 1e6, "bn": 1e9}
_MONTHS = re.findall("[a-z]+", "january february march april may june july august september october november december")
_MONTH = rf"(?P<month>{'|'.join(f'{name[:3]}(?:{name[3:]})?' for name in _MONTHS)}|sept)\.?"
_DAY = r"(?P<day>\d{1,2})(?:st|nd|rd|th)?"
_YEAR = r"(?:,?\s+(?P<year>\d{4}))?"
_TO = r"(?:\s*(?:,|-|\u2013)\s*|\s+(?:and|or|to|until|till|through)\s+(?:the\s+)?)"
_DATES = tuple(
    re.compile(rf"\b{pattern}\b", re.IGNORECASE)
    for pattern in (
        rf"{_DAY}(?={_TO}\d{{1,2}}(?:st|nd|rd|th)?\s+(?:of\s+)?{_MONTH}{_YEAR}\b)",
        r"(?P<year>\d{4})(?P<between>[-/])(?P<number>\d{1,2})(?P=between)(?P<day>\d{1,2})",
        rf"{_DAY}\s+(?:of\s+)?{_MONTH}{_YEAR}",
        rf"{_MONTH}[\s.]*(?:the\s+)?{_DAY}{_YEAR}",
        r"(?P<day>\d{1,2})\.(?P<number>\d{1,2})\.(?P<year>\d{4})",
    )
)
_HALF = r"(?P<half>[ap])\.?m\b\.?"
_TIMES = tuple(
    re.compile(pattern, re.IGNORECASE)
    for pattern in (
        rf"(?<![\w:])(?P<hour>\d{{1,2}}):(?P<minute>[0-5]\d)(?!\d)(?:\s*{_HALF})?",
        rf"\b(?P<hour>\d{{1,2}})\s*{_HALF}",
        r"\b(?P<hour>\d{1,2})\s+o['\u2019]?clock\b",
    )
)
_QUOTED = re.compile("\"([^\"\n]{1,80})\"|\u201c([^\u201d\n]{1,80})\u201d|(?<!\\w)'([^'\n]{2,80})'(?!\\w)")
_IDENTIFIER = re.compile(
    r"\b[A-Za-z](?=[\w-]*\d)[\w-]*\w\b|\b\d+(?:-\w+)*-?[A-Z][A-Z\d-]{2,}\b|\b[A-Za-z]+(?:_[A-Za-z\d]+)+\b"
)
_NUMBER = re.compile(
    r"(?<![A-Za-z\d_.\u00c0-\u024f])(?P<sign>[-\u2212]?)(?P<digits>(?<![\[,])\d{1,3}(?:,\d{3})+(?!\d|,\d|\])|\d+)(?P<rest>(?:\.\d+)?(?:e[-+]?\d+)?)(?!\.?\d)"
    rf"(?:\s*(?P<percent>%|percent\b)|\s?(?P<scale>{'|'.join(_SCALES)}|m|bn)\b|\s?\u00b0?\s?(?P<south>[SW])\b)?",
    re.IGNORECASE,
)
_NUMERAL = f"(?:{'|'.join((*_WORDS, *_SCALES, 'half', 'quarter'))})"
_WORDED = re.compile(
    rf"\b{_NUMERAL}(?:(?:[\s-]+and[\s-]+(?:an?[\s-]+)?|[\s-]+(?:an?[\s-]+)?){_NUMERAL})*\b(?:\s+(?P<percent>percent)\b)?",
    re.IGNORECASE,
)
_ORDINAL = re.compile(rf"(?<!\d[\s-])\b(?:{'|'.join(_ORDINALS)})\b|\b(?P<digits>\d+)(?:st|nd|rd|th)\b", re.IGNORECASE)
_BEFORE, _AFTER, _NEAR = re.compile(r"([A-Za-z]+)\s*$"), re.compile(r"\s*-?([A-Za-z]+)(?![\^/\u00b2\u00b3A-Za-z])"), 40
_SPAN = re.compile(
    r"(?:\b(?:next|past|last|this|coming|upcoming)|\b(?:for|in|within|after|about|over|half)\s+an?)\s+(?P<unit>hour|day|week|month|year|decade)\b",
    re.IGNORECASE,
)
_SPANS: dict[str, tuple[float, ...]] = {
    "hour": (1.0, 60.0), "day": (1.0, 24.0), "week": (1.0, 7.0), "month": (1.0, 30.0), "year": (1.0, 12.0, 365.0),
    "decade": (10.0, 1.0),
}  # fmt: skip
_NAME = re.compile(
    r"(?<![.!?:]\s)(?<!^)(?<!\n)\b[A-Z][\w'\u2019&-]*(?:\s+(?:of\s+|the\s+|and\s+)?[A-Z][\w'\u2019&-]*)*"
    r"(?:,\s[A-Z]{2}\b)?"
)


class MentionKind(StrEnum):
    """Kind of a mention."""

    NUMBER = "number"
    ORDINAL = "ordinal"
    SPAN = "span"
    """Of time, without a number: the next week."""
    DATE = "date"
    TIME = "time"
    IDENTIFIER = "identifier"
    QUOTED = "quoted"
    NAME = "name"
    """Words with capital letters, within a sentence."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Mention:
    """Value that a text names."""

    kind: MentionKind
    text: str
    """As written, without the quotes."""
    numbers: tuple[float, ...] = ()
    """What it may stand for as a number, likeliest first: of a date its day, of a time its hour."""
    dates: tuple[str, ...] = ()
    """As YYYY-MM-DD; empty where the year is not said."""
    times: tuple[str, ...] = ()
    """As HH:MM."""
    before: str = ""
    """The word right before it, in small letters."""
    after: str = ""


def read_mentions(text: str) -> tuple[Mention, ...]:
    """Read the mentions of a text, in order; of two that overlap, the more telling one."""
    taken = bytearray(len(text))
    found: list[tuple[int, Mention]] = []
    for start, end, mention in _candidates(text):
        if not any(taken[start:end]):
            taken[start:end] = b"x" * (end - start)
            found.append((start, replace(mention, **_beside(text, start, end))))
    return tuple(mention for _, mention in sorted(found, key=lambda each: each[0]))


def _beside(text: str, start: int, end: int) -> dict[str, str]:
    before, after = _BEFORE.search(text[max(start - _NEAR, 0) : start]), _AFTER.match(text, end)
    return {"before": before[1].lower() if before else "", "after": after[1].lower() if after else ""}


def read_all(texts: Iterable[str]) -> tuple[Mention, ...]:
    """Read the mentions of several texts."""
    return tuple(mention for text in texts for mention in read_mentions(text))


def _candidates(text: str) -> Iterator[tuple[int, int, Mention]]:
    """Mentions that may overlap, the more telling kinds first."""
    for pattern, read in _READERS:
        for match in pattern.finditer(text):
            if (mention := read(match)) is not None:
                yield match.start(), match.end(), mention


def _quoted(match: re.Match[str]) -> Mention:
    inner = next(group for group in match.groups() if group is not None)
    within = read_mentions(inner)
    if len(within) == 1 and within[0].text == inner and within[0].kind is not MentionKind.NUMBER:
        return within[0]
    numbers = tuple(number for each in within if each.kind is MentionKind.NUMBER for number in each.numbers)
    return Mention(kind=MentionKind.QUOTED, text=inner, numbers=numbers)


def _named(match: re.Match[str]) -> Mention | None:
    text = match.group().removesuffix("'s").removesuffix("\u2019s")
    return None if text == "I" else Mention(kind=MentionKind.NAME, text=text)


def _identifier(match: re.Match[str]) -> Mention:
    return Mention(kind=MentionKind.IDENTIFIER, text=match.group())


def _ordinal(match: re.Match[str]) -> Mention:
    value = float(match["digits"]) if match["digits"] else float(_ORDINALS.index(match.group().lower()))
    return Mention(kind=MentionKind.ORDINAL, text=match.group(), numbers=(value,))


def _span(match: re.Match[str]) -> Mention:
    return Mention(kind=MentionKind.SPAN, text=match.group(), numbers=_SPANS[match["unit"].lower()])


def _worded(match: re.Match[str]) -> Mention:
    value = _value_of_words(match.group())
    numbers = (value, value / 100) if match["percent"] else (value,)
    return Mention(kind=MentionKind.NUMBER, text=match.group(), numbers=numbers)


def _number(match: re.Match[str]) -> Mention:
    value = float(match["digits"].replace(",", "") + (match["rest"] or ""))
    values = (value, value / 100) if match["percent"] else (value,)
    if match["scale"]:
        scaled = value * (_SCALES | _LETTERS)[match["scale"].lower()]
        values = (scaled, value) if len(match["scale"]) == 1 else (scaled,)  # 300 K may be kelvins, 100 m metres
    if match["south"]:
        values = (value, -value)
    # A dash before digits is a sign, or divides a range.
    numbers = (*(-each for each in values), *values) if match["sign"] else values
    return Mention(kind=MentionKind.NUMBER, text=match.group().strip(), numbers=numbers)


def _value_of_words(text: str) -> float:
    """Value of a number in words: three hundred and twenty, two and a half, half a dozen."""
    total, current, part = 0.0, 0.0, 0.0
    said = False
    for word in re.findall("[a-z]+", text.lower()):
        if word in _WORDS:
            current, said = current + _WORDS[word], True
        elif word in _SCALES:
            scaled = (current if said else part or 1.0) * _SCALES[word]
            part = part if said else 0.0
            total, current = (total, scaled) if word in ("hundred", "dozen") else (total + scaled, 0.0)
            said = True
        elif word in ("half", "quarter"):
            part = 0.5 if word == "half" else 0.25
    return total + current + part


def _date(match: re.Match[str]) -> Mention | None:
    said = match.groupdict()
    month = int(said["number"]) if said.get("number") else 1 + _month(said["month"])
    day, year = int(said["day"]), said.get("year")
    try:
        known = date(int(year) if year else 2000, month, day)
    except ValueError:
        return None
    numbers = (float(day), float(month), *((float(year),) if year else ()))
    dates = (known.isoformat(),) if year else ()
    return Mention(kind=MentionKind.DATE, text=match.group(), numbers=numbers, dates=dates)


def _month(name: str) -> int:
    return next(at for at, month in enumerate(_MONTHS) if month.startswith(name.lower().rstrip(".")[:3]))


def _time(match: re.Match[str]) -> Mention | None:
    said = match.groupdict()
    hour, minute, half = int(said["hour"]), int(said.get("minute") or 0), (said.get("half") or "").lower()
    if hour > 24 or (half and not 1 <= hour <= 12):
        return None
    hour = hour % 12 + 12 * (half == "p") if half else hour % 24
    time = f"{hour:02}:{minute:02}"
    return Mention(kind=MentionKind.TIME, text=match.group(), numbers=(float(hour), float(minute)), times=(time,))


_READERS: tuple[tuple[re.Pattern[str], Callable[[re.Match[str]], Mention | None]], ...] = (
    (_QUOTED, _quoted),
    *((pattern, _date) for pattern in _DATES),
    *((pattern, _time) for pattern in _TIMES),
    (_IDENTIFIER, _identifier),
    (_NUMBER, _number),
    (_WORDED, _worded),
    (_ORDINAL, _ordinal),
    (_SPAN, _span),
    (_NAME, _named),
)
