"""Reader of the table world's data files: titled sections of lines.

A file is a sequence of "[title]" lines, each with its entries below it, one a line. An indented line continues the
one before; empty lines and lines that begin with "#" are skipped. Each file is read once, when first needed.
"""

from __future__ import annotations

import pkgutil
from collections.abc import Iterable, Iterator, Mapping
from functools import cache

Sections = Mapping[str, list[str]]
"""Title -> lines, in the order of the file."""


@cache
def load_sections(name: str) -> Sections:
    """Sections of `data/NAME.txt`. Raises ValueError where the file has another form."""
    # importlib.resources would do the same, and take longer to import than all files take to read.
    content = pkgutil.get_data("alpha_umi.world.table", f"data/{name}.txt")
    if content is None:
        raise ValueError(f"data/{name}.txt: cannot be read as package data")
    try:
        return read_sections(content.decode())
    except ValueError as error:
        raise ValueError(f"data/{name}.txt: {error}") from error


def read_sections(text: str) -> Sections:
    """Read the sections of a text.

    Raises ValueError for a title that stands twice and for a line without a title.
    """
    sections: dict[str, list[str]] = {}
    lines: list[str] | None = None
    for number, raw in enumerate(text.splitlines(), start=1):
        line = raw.strip()
        if not line or line[0] == "#":
            continue
        if line[0] == "[" and line[-1] == "]":
            title = line[1:-1]
            if title in sections:
                raise ValueError(f"line {number}: the section {line} stands twice")
            lines = sections[title] = []
        elif lines is None:
            raise ValueError(f"line {number}: {line!r} stands in no section")
        elif raw[0] != " ":
            lines.append(line)
        elif lines:
            lines[-1] = f"{lines[-1]} {line}"
        else:
            raise ValueError(f"line {number}: {line!r} continues no line")
    return sections


def read_entries(lines: Iterable[str]) -> Iterator[tuple[str, str]]:
    """Read lines of the form "key: value"; a key may stand several times. Raises ValueError for other lines."""
    for line in lines:
        key, colon, value = line.partition(": ")
        if not colon:
            raise ValueError(f"{line!r} is not of the form 'key: value'")
        yield key, value


def read_list(text: str) -> tuple[str, ...]:
    """Read items between commas."""
    return tuple(item.strip() for item in text.split(","))


def read_words(lines: Iterable[str]) -> tuple[str, ...]:
    """Read words between spaces."""
    return tuple(word for line in lines for word in line.split())
