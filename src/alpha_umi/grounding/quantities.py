"""Numbers as arguments take them: by their units, and as percentages or shares."""

from __future__ import annotations

import re
from collections.abc import Container, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace

from alpha_umi.formats.json_types import Schema
from alpha_umi.formats.prompts.retrieval import split_terms
from alpha_umi.grounding.codes import converted, unit_of, units_in
from alpha_umi.grounding.descriptions import by_units, of_share
from alpha_umi.grounding.evidence import Evidence
from alpha_umi.grounding.mentions import Mention, MentionKind

_IN_UNIT = re.compile(r"\bin ((?:[a-z]+ ){0,3}[a-z]{2,})\b", re.IGNORECASE)
_SHARES = frozenset(("concentr-percent", "concentr-permille"))
_PARTS = frozenset(f"duration-{part}" for part in ("minute", "hour", "day", "month", "year"))
_RATE = re.compile(r"%|\bpercent|\bpct\b|\brate\b|\binterest\b|\bdiscount\b|\bprobability\b", re.IGNORECASE)
_NO_UNITS = ("", "a", "in", "degree", "degrees")
"""Words after a number that are no unit by themselves."""


def read_numbers(texts: Mapping[str, tuple[str, str]], required: Container[str], said: Evidence) -> dict[str, Evidence]:
    """What was said, to each argument that takes numbers: those of its unit, or those that have no other's unit.

    `texts`: the name and the description of each argument, by name.
    """
    numbers = [each for each in said.mentions if each.kind is MentionKind.NUMBER]
    own = {} if are_listed(numbers) else {**by_units(texts, numbers), **_percentages(texts, numbers)}
    owned = [mention for mentions in own.values() for mention in mentions]
    found: dict[str, Evidence] = {}
    for name, told in texts.items():
        text = " ".join(told)
        kept = own.get(name) or [each for each in said.mentions if each not in owned]
        kept = kept if kept or name not in required else said.mentions
        shares = [replace(each, numbers=of_share(each, text)) for each in kept]
        found[name] = replace(said, mentions=tuple(_in_units(shares, _unit_of_argument(name, text))))
    return found


def _percentages(texts: Mapping[str, tuple[str, str]], numbers: Sequence[Mention]) -> dict[str, list[Mention]]:
    """The one percentage, where a single argument takes a percentage or a rate."""
    named = [each for each in numbers if each.text.endswith(("%", "percent"))]
    takers = [name for name, told in texts.items() if _RATE.search(" ".join(told).replace("_", " "))]
    return {takers[0]: named} if len(named) == len(takers) == 1 else {}


def has_other_units(name: str, schema: Schema, text: str, said: Evidence) -> bool:
    """Test if an argument takes a unit, as a number or as one of its choices, and only others were named."""
    choices = schema.get("enum")
    if isinstance(choices, list):
        units = [unit_of(each) if isinstance(each, str) else frozenset[str]() for each in choices]
        return bool(said.units) and all(units) and not any(each & said.units for each in units)
    wanted = _unit_of_argument(name, text)
    if any(each.kind in (MentionKind.DATE, MentionKind.TIME) for each in said.mentions) and wanted <= _PARTS:
        return False  # the hour of a time, the day of a date
    numbers = [each for each in said.mentions if each.kind is MentionKind.NUMBER]
    return schema.get("type") in ("integer", "number") and bool(numbers) and not [*_in_units(numbers, wanted)]


def are_listed(numbers: Sequence[Mention]) -> bool:
    """Test if numbers are listed, and so share what stands beside the last one: 3, 4 and 5 days."""
    return any(each.after in ("", "and", "or") and not each.before for each in numbers[:-1])


def _unit_of_argument(name: str, text: str) -> frozenset[str]:
    """The unit that an argument's name or description tells: hours, weight_kg, a length in metres."""
    told = _IN_UNIT.search(text)
    words = re.findall("[A-Za-z]{2,}", re.sub(r"(?<=[a-z])(?=[A-Z])", " ", name.replace("_", " ")))
    named = next((unit for word in words if split_terms(word) and (unit := unit_of(word) - _SHARES)), frozenset[str]())
    return named or (units_in(told[1]) if told else frozenset())


def _in_units(mentions: Iterable[Mention], wanted: frozenset[str]) -> Iterator[Mention]:
    """Mentions without numbers of other units; lengths of time in the unit that is wanted."""
    for mention in mentions:
        if mention.kind is MentionKind.SPAN:
            said, amounts = unit_of(mention.text.split()[-1]), (1.0,)
        elif mention.kind is MentionKind.NUMBER and mention.after not in _NO_UNITS:
            said, amounts = unit_of(mention.after), mention.numbers
        else:
            said, amounts = frozenset[str](), mention.numbers
        if not wanted or not said or wanted & said:
            yield mention
            continue
        (unit, *_), (goal, *_) = sorted(said), sorted(wanted)
        values = [converted(number, unit, goal) for number in amounts]
        if mention.kind is MentionKind.SPAN and None in values:
            yield mention
            continue
        numbers = tuple(value for value in values if value is not None)
        if numbers:
            yield replace(mention, numbers=numbers)
