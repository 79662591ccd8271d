"""One JSON list, written row by row: the same bytes as `json.dump(rows, file, indent=2)`, in constant memory."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from json.encoder import encode_basestring_ascii
from pathlib import Path
from typing import IO

from alpha_umi.store import write_text
from alpha_umi.types import Json

ROW_MARGIN = "\n  "


class ListWriter:
    """Takes rows that `dump_indented` wrote with ROW_MARGIN."""

    def __init__(self, text: IO[str]) -> None:
        self._text = text
        self.rows = 0

    def add(self, row: str) -> None:
        self._text.write(f"{',' if self.rows else '['}{ROW_MARGIN}{row}")
        self.rows += 1

    def close(self) -> None:
        self._text.write("\n]" if self.rows else "[]")


@contextmanager
def writing_list(path: Path) -> Iterator[ListWriter]:
    """A list that appears at `path` only when all of it is there."""
    with write_text(path) as text:
        rows = ListWriter(text)
        yield rows
        rows.close()


def dump_indented(value: Json, margin: str = ROW_MARGIN) -> str:
    """`value` indented by two under `margin`. The standard library indents in Python, too, but by small pieces."""
    if isinstance(value, str):
        return encode_basestring_ascii(value)
    inner = margin + "  "
    if isinstance(value, dict) and value:
        members = [
            f"{encode_basestring_ascii(key)}: "
            + (encode_basestring_ascii(item) if isinstance(item, str) else dump_indented(item, inner))
            for key, item in value.items()
        ]
        return f"{{{inner}{f',{inner}'.join(members)}{margin}}}"
    if isinstance(value, list) and value:
        return f"[{inner}{f',{inner}'.join([dump_indented(item, inner) for item in value])}{margin}]"
    return json.dumps(value)
