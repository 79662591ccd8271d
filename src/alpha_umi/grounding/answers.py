"""Answers held against the observations: their numbers were named, and they tell something that the tools told."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import cast

from alpha_umi.formats.prompts.asking import tell
from alpha_umi.formats.prompts.retrieval import split_terms
from alpha_umi.grounding.evidence import Evidence, is_identifier, is_moment
from alpha_umi.grounding.mentions import MentionKind, read_mentions
from alpha_umi.types import Answer, Call, Json, Observation, ToolStatus, Turn

_WHEN, _TIME = re.compile(r"\bwhat time\b|\bwhen\b", re.IGNORECASE), re.compile(r"\b\d\d?:\d\d\b")
_FEW = 12
"""Records of a list that an answer should name each."""


def ground_answer(answer: Answer, turns: Sequence[Turn], asked: int) -> Answer:
    """The answer, or what the tools told where it names a number that nobody did, or leaves out what was found.

    `asked`: the index of the user's last message.
    """
    told = [each for each in _observed(turns[asked + 1 :]) if each[1] is not None]
    if not told or _is_grounded(answer.text, told, Evidence.of(turns), Evidence.of(turns[: asked + 1])):
        return answer
    return Answer(text=tell([(name, value) for name, value in told]))


def _observed(turns: Sequence[Turn]) -> Iterator[tuple[str, Json]]:
    """Results of the calls that went well, by the names of their tools."""
    call: Call | None = None
    for turn in turns:
        if isinstance(turn, Call):
            call = turn
        elif isinstance(turn, Observation) and call is not None and turn.status is ToolStatus.OK:
            yield call.name, _read(turn.content)


def _read(content: str) -> Json:
    try:
        return cast("Json", json.loads(content))
    except (ValueError, RecursionError):
        return content


def _is_grounded(text: str, told: Sequence[tuple[str, Json]], said: Evidence, before: Evidence) -> bool:
    known = [number for each in said.mentions for number in each.numbers]
    for mention in read_mentions(text):
        plain = mention.kind in (MentionKind.NUMBER, MentionKind.DATE, MentionKind.TIME)
        if plain and not any(_near(mention.numbers[0], number) for number in known):
            return False
    answer = Evidence.read([text])
    takes = all(_takes(value, answer, before) for _, value in told)
    return takes and _tells_when(text, told[-1][1], before) and _tells_fields(told[-1][1], answer, before)


def _tells_fields(value: Json, answer: Evidence, before: Evidence) -> bool:
    """Test if an answer tells the fields of the last result that the request names."""
    if not isinstance(value, dict):
        return True
    asked = set(split_terms(before.text.rpartition("\n")[2]))
    wanted = [each for name, each in value.items() if asked.intersection(split_terms(name)) and not is_identifier(name)]
    numbers = [each for each in wanted if isinstance(each, int | float) and not isinstance(each, bool)]
    return all(_is_told(each, answer) or before.is_named(each) for each in numbers)


def _tells_when(text: str, value: Json, before: Evidence) -> bool:
    """Test if an answer has a time of the last result where the request asks for one."""
    asked = before.text.rpartition("\n")[2]
    times = [each for each in _scalars(value) if isinstance(each, str) and _TIME.search(each)]
    return not times or not _WHEN.search(asked) or any(each in text for each in times) or _TIME.search(text) is not None


def _takes(value: Json, answer: Evidence, before: Evidence, *, one_of_several: bool = False) -> bool:
    """Test if an answer names something of a result that the request did not; of a few records, each by a name."""
    if isinstance(value, list) and 1 < len(value) <= _FEW and all(isinstance(each, dict) for each in value):
        return all(_takes(each, answer, before, one_of_several=True) for each in value)
    told = [each for each in _scalars(value) if not before.is_named(each)]
    new = [each for each in _scalars(_telling(value)) if not before.is_named(each)] or told
    names = [each for each in new if isinstance(each, str) and not is_moment(each)]
    new = names if one_of_several and names else new
    return not new or any(_is_told(each, answer) for each in new)


def _telling(value: Json) -> Json:
    """A result without its identifiers, which alone are no answer."""
    match value:
        case dict():
            return {name: _telling(each) for name, each in value.items() if not is_identifier(name)}
        case list():
            return [_telling(each) for each in value]
        case _:
            return value


def _is_told(value: Json, answer: Evidence) -> bool:
    if isinstance(value, int | float) and not isinstance(value, bool):
        return any(_near(value, number) for each in answer.mentions for number in each.numbers)
    return answer.is_named(value)


def _near(first: float, second: float) -> bool:
    """Test if two numbers are the same but for rounding to two digits after the point."""
    return math.isclose(first, second, rel_tol=1e-6, abs_tol=0.0051 if first % 1 or second % 1 else 1e-9)


def _scalars(value: Json) -> Iterator[Json]:
    match value:
        case Mapping():
            for each in value.values():
                yield from _scalars(each)
        case list():
            for each in value:
                yield from _scalars(each)
        case bool() | None:
            return
        case _:
            yield value
