"""Streaming writer of one JSON list: the same bytes as `json.dump(rows, file, indent=2)`, in constant memory."""

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
    """Writer of rows that `dump_indented` formatted with ROW_MARGIN."""

    def __init__(self, text: IO[str]) -> None:
        self._text = text
        self.rows = 0

    def add(self, row: str) -> None:
        """Append one formatted row."""
        self._text.write(f"{',' if self.rows else '['}{ROW_MARGIN}{row}")
        self.rows += 1

    def close(self) -> None:
        """End the list."""
        self._text.write("\n]" if self.rows else "[]")


@contextmanager
def writing_list(path: Path) -> Iterator[ListWriter]:
    """Open a list for writing; it appears at `path` only when it is complete."""
    with write_text(path) as text:
        rows = ListWriter(text)
        yield rows
        rows.close()


def dump_indented(value: Json, margin: str = ROW_MARGIN) -> str:
    """Format `value` indented by two under `margin`; faster than the standard library's indentation."""
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
