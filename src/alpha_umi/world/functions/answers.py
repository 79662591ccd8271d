"""Answers: the results that an answer has to hold, and their words."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from alpha_umi.types import Json
from alpha_umi.world.functions.needs import FunctionNeed
from alpha_umi.world.functions.problems import AnswerPart, Exchange, Made
from alpha_umi.world.functions.tools import InventedTool, with_defaults
from alpha_umi.world.functions.values import Records
from alpha_umi.world.functions.wording import join_words, write_dates, write_plain, write_times
from alpha_umi.world.random_streams import RandomStream


def required_results(exchange: Exchange, known: Mapping[str, Made]) -> list[tuple[InventedTool, dict[str, Json]]]:
    """The tools of an exchange's parts with the results that the answer has to hold."""
    return [
        (known[name].tool, {result: known[name].results[result] for result in _used(part, name, known[name])})
        for part in exchange.parts
        for name in part.steps
        if not part.chained or _used(part, name, known[name])
    ]


def _used(part: AnswerPart, name: str, made: Made) -> list[str]:
    """Results of a step that a part of an answer names."""
    prefix = f"{name}." if part.chained else ""
    return [result for result in made.tool.need.results if f"{prefix}{result}" in part.template.required]


def write_part(rng: RandomStream, part: AnswerPart, known: Mapping[str, Made]) -> str:
    """Write a part of an answer."""

    def write(slot: str) -> str:
        step, _, rest = slot.partition(".") if part.chained else (part.steps[0], "", slot)
        return _word(rng, known[step], rest)

    text = part.template.fill((), write)
    if part.lead:
        return f"{part.lead}: {text}"
    return text[:1].upper() + text[1:] if text[:1].islower() and text.split(" ", 1)[0].isalpha() else text


def _word(rng: RandomStream, made: Made, slot: str) -> str:
    need = made.tool.need
    if slot in need.results:
        return word_result(rng, need, slot, made.results[slot])
    if slot in made.step.texts:
        return made.step.texts[slot]
    name, _, inner = slot.partition(".")
    value = with_defaults(need, made.values).get(name)
    return write_plain(value.get(inner) if inner and isinstance(value, dict) else value)


def word_result(rng: RandomStream, need: FunctionNeed, name: str, value: Json) -> str:
    """Word a result: dates and times as they are, or as people write them."""
    if isinstance(need.results[name], Records):
        return _word_records(value)
    if isinstance(value, str):
        return rng.pick(write_dates(value)) if rng.below(2) else rng.pick(write_times(value)[:2])
    return write_plain(value)


def _word_records(value: Json) -> str:
    """The records by their keys, each with its first further field."""
    records: Sequence[Json] = value if isinstance(value, list) else []
    words: list[str] = []
    for record in records:
        if isinstance(record, dict):
            (_, key), *rest = record.items()
            words.append(f"{write_plain(key)} ({write_plain(rest[0][1])})" if rest else write_plain(key))
    return join_words(words) or "none"
