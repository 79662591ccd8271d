"""Words of synthetic providers, read from `data/vocabulary.txt` and `data/descriptions.txt`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache

from alpha_umi.world.table.sections import load_sections, read_words

_Lists = Mapping[str, tuple[str, ...]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Vocabulary:
    """Words and phrases of synthetic providers."""

    descriptions: _Lists
    """Need -> noun phrases for what it finds."""
    patterns: tuple[str, ...]
    """Ways to make a document of such a phrase."""
    classes: _Lists
    """Domain -> ways in which a document speaks of an input of it."""
    second_classes: _Lists
    """Domain -> the same of a second input of it."""
    arguments: _Lists
    """Domain -> names of arguments, the usual ones first."""
    inputs: _Lists
    """Input -> names of arguments, where its role is known: an end of a route, a source of an exchange."""
    joined: tuple[str, ...]
    """Names of an argument that joins two inputs."""
    results: _Lists
    """Output -> names of results."""
    wrappers: tuple[str, ...]
    """Keys under which replies lie."""
    api_words: tuple[str, ...]
    """Words in the names of APIs that say little."""
    any_words: tuple[str, ...]
    """Words without any meaning here: names are made of any, and have to be copied letter by letter."""


@cache
def load_vocabulary() -> Vocabulary:
    """Load the vocabulary."""
    sections = load_sections("vocabulary")

    def lists(kind: str) -> dict[str, list[str]]:
        titles = (title.rpartition(" ") for title in sections)
        return {name: sections[f"{kind} {name}"] for found, _, name in titles if found == kind}

    def words(kind: str) -> dict[str, tuple[str, ...]]:
        return {name: read_words(lines) for name, lines in lists(kind).items()}

    def phrases(kind: str) -> dict[str, tuple[str, ...]]:
        return {name: tuple(lines) for name, lines in lists(kind).items()}

    return Vocabulary(
        descriptions={need: tuple(lines) for need, lines in load_sections("descriptions").items()},
        patterns=tuple(sections["patterns"]),
        classes=phrases("class"),
        second_classes=phrases("second class"),
        arguments=words("argument"),
        inputs=words("argument of input"),
        joined=read_words(sections["joined arguments"]),
        results=words("result"),
        wrappers=read_words(sections["wrappers"]),
        api_words=read_words(sections["api words"]),
        any_words=read_words(sections["any words"]),
    )
