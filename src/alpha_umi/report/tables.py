"""Tables of text cells: Markdown for files, aligned columns for a terminal. Pure."""

from __future__ import annotations

from collections.abc import Container, Iterator, Sequence

_RULE = 3
"""Characters of the shortest rule below a head."""


def markdown_table(columns: Sequence[str], rows: Sequence[Sequence[str]], left: Container[int] = (0,)) -> str:
    """Write a Markdown table whose columns are aligned in the source too, so that it reads well as plain text.

    `left`: positions of the columns aligned to the left; all others are aligned to the right.
    """
    cells = [[cell.replace("|", r"\|") for cell in row] for row in (columns, *rows)]
    widths = _widths(cells, _RULE)
    rule = "|".join(
        "-" * (width + 2) if at in left else f"{'-' * (width + 1)}:" for at, width in enumerate(widths)
    )  # fmt: skip
    head, *lines = (f"| {' | '.join(row)} |" for row in _padded(cells, widths, left))
    return "\n".join([head, f"|{rule}|", *lines])


def plain_table(columns: Sequence[str], rows: Sequence[Sequence[str]], left: Container[int] = (0,)) -> str:
    """Write a table with two spaces between its columns; `left` as in `markdown_table`."""
    cells = [columns, *rows]
    return "\n".join("  ".join(row).rstrip() for row in _padded(cells, _widths(cells, 0), left))


def _widths(rows: Sequence[Sequence[str]], least: int) -> list[int]:
    return [max(least, *(len(row[at]) for row in rows)) for at in range(len(rows[0]))]


def _padded(rows: Sequence[Sequence[str]], widths: Sequence[int], left: Container[int]) -> Iterator[list[str]]:
    for row in rows:
        yield [
            cell.ljust(width) if at in left else cell.rjust(width)
            for at, (cell, width) in enumerate(zip(row, widths, strict=True))
        ]
