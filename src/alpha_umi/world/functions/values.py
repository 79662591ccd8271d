"""Kinds of values that needs draw: ranges, pools of names, lists and patterns of ids."""

from __future__ import annotations

import re
from collections.abc import Collection
from dataclasses import dataclass
from typing import TypeAlias, cast

from alpha_umi.errors import DataError

POOLS = (
    "person",
    "first_name",
    "surname",
    "city",
    "country",
    "company",
    "street",
    "email",
    "phone",
    "url",
    "date",
    "time",
    "datetime",
    "year",
    "month",
    "weekday",
    "language",
    "currency",
    "color",
    "username",
    "file_name",
    "ip_address",
    "animal",
    "job",
)


@dataclass(frozen=True, slots=True)
class Range:
    """Numbers from `low` to `high`, both in; with `digits` after the point, in steps of `step`."""

    low: float
    high: float
    digits: int
    step: float


@dataclass(frozen=True, slots=True)
class Pool:
    """Names of a pool that every domain shares."""

    name: str


@dataclass(frozen=True, slots=True)
class NameList:
    """Names of the domain, or of this value alone."""

    names: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Pattern:
    """Ids: A is a letter, 9 a digit, everything else stands as it is."""

    pattern: str


@dataclass(frozen=True, slots=True)
class Several:
    """`low` to `high` different values of a kind."""

    low: int
    high: int
    of: ValueKind


@dataclass(frozen=True, slots=True)
class Truth:
    """True or false."""


@dataclass(frozen=True, slots=True)
class Records:
    """The records of the need's store."""


ValueKind: TypeAlias = Range | Pool | NameList | Pattern | Several | Truth | Records
_NUMBER = r"-?\d+(?:\.\d+)?"
_RANGE = re.compile(rf"({_NUMBER})\.\.({_NUMBER})(?: by ({_NUMBER}))?")
_SEVERAL = re.compile(r"(\d+)\.\.(\d+) of (.+)")
_FEWEST = 8


def read_values(written: object, lists: dict[str, tuple[str, ...]]) -> ValueKind:
    """Read a kind of values as the files write it. Raises DataError for what none of them is."""
    if isinstance(written, list):
        names = tuple(str(name) for name in cast("list[object]", written))
        if len(set(names)) < _FEWEST:
            raise DataError(f"a list of values has {len(set(names))} different ones; at least {_FEWEST}")
        return NameList(names)
    text = str(written)
    if several := _SEVERAL.fullmatch(text):
        return Several(int(several[1]), int(several[2]), read_values(several[3], lists))
    if numbers := _RANGE.fullmatch(text):
        return _read_range(text, numbers)
    kind, _, name = text.partition(" ")
    match kind:
        case "pool":
            return Pool(_known(name, POOLS, "pool"))
        case "list":
            return NameList(lists[_known(name, lists, "list")])
        case "id" if re.search(r"[A9]", name):
            return Pattern(name)
        case "boolean" if not name:
            return Truth()
        case "records" if not name:
            return Records()
        case _:
            raise DataError(f"values {text!r} are none of: A..B, A..B by C, pool NAME, list NAME, id PATTERN, [...]")


def _read_range(text: str, numbers: re.Match[str]) -> Range:
    digits = max(len(bound.partition(".")[2]) for bound in numbers.groups() if bound)
    low, high = float(numbers[1]), float(numbers[2])
    if low >= high:
        raise DataError(f"values {text!r}: the first number is not below the second")
    return Range(low, high, digits, float(numbers[3]) if numbers[3] else 10.0**-digits)


def _known(name: str, names: Collection[str], kind: str) -> str:
    if name not in names:
        raise DataError(f"{kind} {name!r} is unknown; known: {', '.join(names) or 'none'}")
    return name
