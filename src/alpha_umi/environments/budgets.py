"""Length limits of observations, by characters or by whole JSON values."""

from __future__ import annotations

import json
import random
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import cast

from alpha_umi.protocols import Environment
from alpha_umi.types import Call, Json, Observation, ToolSpec

SERVER_CHARS = 2048
"""Length of a reply that ToolBench's server keeps."""
_LEFT_OUT = "..."
_TOLD = "... ({} more characters left out)"


class Cut(StrEnum):
    """Rule for shortening an observation.

    WHOLE: never inside a JSON value. As ToolBench's `strip`: TRUNCATE keeps the first characters; FILTER, of an object,
    the keys that the tool's declared reply has; RANDOM does one of the two, by chance.
    """

    WHOLE = "whole"
    TRUNCATE = "truncate"
    FILTER = "filter"
    RANDOM = "random"


@dataclass(frozen=True, slots=True, kw_only=True)
class Budget:
    """Length limit of observations and the rule for shortening them."""

    cut: Cut = Cut.WHOLE
    max_chars: int = 4096
    schemas: Mapping[str, Json] = field(default_factory=dict[str, Json])
    """Example of a reply by name of the tool, where known; for FILTER and RANDOM."""


class BudgetedEnvironment:
    """Environment that shortens the observations of another one."""

    def __init__(self, inner: Environment, budget: Budget, chance: random.Random | None = None) -> None:
        """`chance` decides for Cut.RANDOM."""
        self._inner, self._budget = inner, budget
        self._chance = chance or random.Random(0)  # noqa: S311

    @property
    def tools(self) -> tuple[ToolSpec, ...]:
        return self._inner.tools

    async def execute(self, call: Call) -> Observation:
        seen: object = await self._inner.execute(call)
        if not isinstance(seen, Observation) or not isinstance(cast("object", seen.content), str):
            return cast("Observation", seen)  # of foreign code; the search says what is wrong with it
        return replace(seen, content=shorten(seen.content, self._budget, call.name, self._chance))

    def fork(self) -> BudgetedEnvironment:
        return BudgetedEnvironment(self._inner.fork(), self._budget, self._chance)


def shorten(text: str, budget: Budget, tool: str = "", chance: random.Random | None = None) -> str:
    """Shorten `text` to the budget. FILTER and RANDOM change only JSON objects of tools whose schema is known."""
    if budget.cut is Cut.WHOLE:
        return fit_json(text, budget.max_chars)
    filters = budget.cut is Cut.FILTER
    if budget.cut is Cut.RANDOM:
        draws = chance or random.Random(0)  # noqa: S311
        draws.random()  # one that ToolBench's server only prints
        filters = draws.random() > 0.5
    value = _read(text) if filters else None
    schema = budget.schemas.get(tool)
    if isinstance(value, dict) and isinstance(schema, dict) and schema:
        text = json.dumps(keep_declared(value, schema), ensure_ascii=False)
    return text if len(text) <= budget.max_chars else f"{text[: budget.max_chars]}{_LEFT_OUT}"


def keep_declared(value: Mapping[str, Json], schema: Mapping[str, Json]) -> dict[str, Json]:
    """Keep the entries that `schema` has, too; of objects below, those that the schema has there (as published)."""
    return {key: _keep(item, schema[key]) for key, item in value.items() if key in schema}


def _keep(item: Json, schema: Json) -> Json:
    if isinstance(item, dict):
        return keep_declared(item, schema if isinstance(schema, dict) else {})
    if isinstance(item, list):
        first = schema[0] if isinstance(schema, list) and schema else None
        below = first if isinstance(first, dict) else {}
        return [keep_declared(one, below) if isinstance(one, dict) else one for one in item]
    return item


# --- whole values -----------------------------------------------------------------------------------------


def fit_json(text: str, max_chars: int) -> str:
    """Cut a text to at most `max_chars`. JSON stays JSON: whole entries go, and `...` says how many.

    Other text, a single JSON string included, is cut at a blank where one is near, and says how much is left out. Law:
    the result is never longer than `max_chars`; if `text` is a JSON list or object and `max_chars` at least 2, it is
    one, too.
    """
    if len(text) <= max_chars:
        return text
    value = _read(text)
    if isinstance(value, dict | list):
        shrunk = _dump(_shrink(value, max_chars))
        empty = "[]" if isinstance(value, list) else "{}"
        return shrunk if len(shrunk) <= max_chars else empty[: max(max_chars, 0)]
    return _cut_text(text, max_chars)


def _shrink(value: Json, room: int) -> Json:
    """The first entries of a list or an object that fit into `room` characters, large ones shrunk in turn."""
    if isinstance(value, list):
        kept: list[Json] = []
        room -= len(_note(len(value))) + 6
        for item in value:
            fitted = _fit_item(item, room)
            if fitted is None:
                break
            kept.append(fitted[0])
            room -= fitted[1] + 2
        left = len(value) - len(kept)
        return [*kept, _note(left)] if left else kept
    if isinstance(value, dict):
        shown: dict[str, Json] = {}
        room -= len(_note(len(value))) + len(_LEFT_OUT) + 10
        for key, item in value.items():
            fitted = _fit_item(item, room - len(_dump(key)) - 2)
            if fitted is not None:
                shown[key] = fitted[0]
                room -= fitted[1] + len(_dump(key)) + 4
        left = len(value) - len(shown)
        return {**shown, _LEFT_OUT: _note(left)} if left else shown
    return value


def _fit_item(item: Json, room: int) -> tuple[Json, int] | None:
    size = len(_dump(item))
    if size <= room:
        return item, size
    if not isinstance(item, dict | list) or room < 32:
        return None
    shrunk = _shrink(item, room)
    size = len(_dump(shrunk))
    return (shrunk, size) if size <= room else None


def _note(count: int) -> str:
    return f"{count} left out"


def _cut_text(text: str, max_chars: int) -> str:
    if max_chars <= len(_LEFT_OUT):
        return text[: max(max_chars, 0)]
    mark = _TOLD if max_chars > 4 * len(_TOLD) else _LEFT_OUT
    start = text[: max_chars - len(mark.format(len(text)))]
    blank = max(start.rfind(" "), start.rfind("\n"))
    kept = start[:blank] if blank > len(start) * 0.8 else start
    return kept + mark.format(len(text) - len(kept))


def _read(text: str) -> Json:
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return None


def _dump(value: Json) -> str:
    return json.dumps(value, ensure_ascii=False)
