"""Links: which arguments may have the values that tools told, by the names of the fields and tools they come from."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from typing import cast

from alpha_umi.formats.prompts.retrieval import split_terms
from alpha_umi.grounding.descriptions import described
from alpha_umi.grounding.evidence import is_identifier
from alpha_umi.types import Call, Json, Observation, ToolSpec, Turn

_GENERAL = frozenset(("name", "title", "value", "result", "item", "text", "match"))
"""Names of fields that tell nothing of what they hold: that is in the name of the tool."""


class Links:
    """Values that observations told, each with the words for what it is."""

    def __init__(self, turns: Sequence[Turn]) -> None:
        self._sources: dict[str, set[str]] = {}
        self._is_plain = False
        self._fields: set[str] = set()
        called = ""
        for turn in turns:
            if isinstance(turn, Call):
                called = turn.name
            elif isinstance(turn, Observation):
                self._read(called, turn.content)

    def _read(self, called: str, content: str) -> None:
        try:
            value = cast("Json", json.loads(content))
        except (ValueError, RecursionError):
            self._is_plain = True
            return
        for field, each in _leaves("", value):
            self._fields.add(field)
            terms = set(split_terms(field))
            if not terms or terms <= _GENERAL or is_identifier(field):
                terms |= set(split_terms(called))
            self._sources.setdefault(_key(each), set()).update(terms)

    @property
    def terms(self) -> set[str]:
        """Words of the fields that were told."""
        return {term for name in self._fields for term in split_terms(name)}

    def tells(self, names: Sequence[str]) -> bool:
        """Test if arguments are all fields, by their names, that were told; False for none."""
        return bool(names) and {_plain(name) for name in names} <= {_plain(name) for name in self._fields}

    def may_have(self, tool: ToolSpec, name: str, value: Json) -> bool:
        """Test if an argument may have a value that was told: its name, or its description, has a word of the source.

        True too for what no field told, and where a tool answered in plain text.
        """
        own = {*split_terms(name), *split_terms(described(tool, name))}
        sources = self._sources.get(_key(value))
        return self._is_plain or sources is None or not own.isdisjoint(sources)


def _plain(name: str) -> str:
    return name.replace("_", "").casefold()


def _leaves(field: str, value: Json) -> Iterator[tuple[str, Json]]:
    match value:
        case dict():
            for name, each in value.items():
                yield from _leaves(name, each)
        case list():
            for each in value:
                yield from _leaves(field, each)
        case _:
            yield field, value


def _key(value: Json) -> str:
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    return f"{value:g}" if is_number else str(value).casefold()
