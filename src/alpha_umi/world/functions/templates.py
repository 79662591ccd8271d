"""Templates of queries and answers: text with `{slots}` and optional `[parts]`."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass
from typing import TypeAlias

from alpha_umi.errors import DataError


@dataclass(frozen=True, slots=True)
class Slot:
    """Placeholder of a value."""

    name: str
    several: bool = False
    """Written `{name*}`: takes two or more values, one call for each."""


@dataclass(frozen=True, slots=True)
class OptionalPart:
    """Part of a template that appears only where values for all its slots are given."""

    parts: tuple[str | Slot, ...]


Part: TypeAlias = str | Slot | OptionalPart
_MARK = re.compile(r"\{(?P<name>[a-z_][a-z0-9_.]*)(?P<several>\*?)\}|(?P<bracket>[\[\]])|(?P<stray>[{}])")


@dataclass(frozen=True, slots=True)
class Template:
    """Text with slots and optional parts."""

    text: str
    parts: tuple[Part, ...]

    @property
    def required(self) -> frozenset[str]:
        """Names of the slots that stand outside of optional parts."""
        return frozenset(part.name for part in self.parts if isinstance(part, Slot))

    @property
    def optional(self) -> frozenset[str]:
        """Names of the slots in optional parts."""
        return frozenset(slot.name for slot in self._optional_slots())

    @property
    def several(self) -> tuple[str, ...]:
        """Names of the slots that take several values."""
        return tuple(part.name for part in self.parts if isinstance(part, Slot) and part.several)

    def fill(self, given: Collection[str], write: Callable[[str], str]) -> str:
        """Write the text. `given` names the slots whose optional parts appear; `write` words the value of a slot."""
        pieces: list[str] = []
        for part in self.parts:
            match part:
                case str():
                    pieces.append(part)
                case Slot(name=name):
                    pieces.append(write(name))
                case OptionalPart(parts=inner) if all(slot.name in given for slot in inner if isinstance(slot, Slot)):
                    pieces += [piece if isinstance(piece, str) else write(piece.name) for piece in inner]
                case OptionalPart():
                    continue
        return "".join(pieces)

    def _optional_slots(self) -> Iterator[Slot]:
        for part in self.parts:
            if isinstance(part, OptionalPart):
                yield from (inner for inner in part.parts if isinstance(inner, Slot))


def read_template(text: str) -> Template:
    """Read a template. Raises DataError for stray brackets or braces, nested parts, and parts without a slot."""
    parts: list[Part] = []
    inner: list[str | Slot] | None = None
    end = 0
    for mark in _MARK.finditer(text):
        target = parts if inner is None else inner
        if text[end : mark.start()]:
            target.append(text[end : mark.start()])
        end = mark.end()
        if mark["name"]:
            target.append(Slot(mark["name"], several=bool(mark["several"])))
        elif mark["bracket"] == "[" and inner is None:
            inner = []
        elif mark["bracket"] == "]" and inner and any(isinstance(part, Slot) for part in inner):
            parts.append(OptionalPart(tuple(inner)))
            inner = None
        else:
            raise DataError(f"template {text!r}: stray {mark[0]!r} at character {mark.start()}")
    if inner is not None:
        raise DataError(f"template {text!r}: an optional part [ is not closed")
    if text[end:]:
        parts.append(text[end:])
    return Template(text, tuple(parts))
