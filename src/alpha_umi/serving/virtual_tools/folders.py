"""Import and export of StableToolBench's cache folders, `CATEGORY/TOOL_for_CATEGORY/API.json` = {arguments: reply}.

The arguments are written there as Python writes a dictionary; they are read as a literal and never run. Two ways to
write the same arguments are one question here, and the first stays.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from itertools import groupby
from pathlib import Path
from typing import cast

from alpha_umi.errors import DataError
from alpha_umi.file_names import folded, is_file_name
from alpha_umi.loose_json import read_loosely
from alpha_umi.serving.virtual_tools.cache import ReplyCache, Row
from alpha_umi.serving.virtual_tools.wire import ApiAddress, Asked, address_of, read_reply
from alpha_umi.store import read_json, write_json
from alpha_umi.types import Json

SOURCE = "imported"


@dataclass(slots=True, kw_only=True)
class Moved:
    """Counts of an import or an export."""

    files: int = 0
    replies: int = 0
    """Of an import: those that are new."""
    known: int = 0
    """Replies to questions that had one."""
    skipped: Counter[str] = field(default_factory=Counter[str])
    """Counts of replies that were left out, by reason."""
    broken: list[str] = field(default_factory=list[str])
    """Errors of files that could not be read."""


def import_folder(
    folder: Path, cache: ReplyCache, on_progress: Callable[[int, int], None] | None = None, *, strict: bool = False
) -> Moved:
    """Add all replies below a folder; `on_progress` is called with files done and in all.

    Files that cannot be read are named in the result. Raises DataError for a folder that holds no such files or broken
    ones alone, and with `strict` for the first broken one; what was read before it stays.
    """
    files = sorted(folder.glob("*/*/*.json"))
    if not files:
        raise DataError(f"{folder}: holds no reply cache (CATEGORY/TOOL/API.json)")
    moved = Moved()
    for number, path in enumerate(files, start=1):
        try:
            rows = list(_read_file(path, moved))
        except DataError as error:
            moved.broken.append(str(error))
            if strict or len(moved.broken) == len(files):
                raise
            continue
        added = cache.add_all(rows)
        moved.files += 1
        moved.replies, moved.known = moved.replies + added, moved.known + len(rows) - added
        if on_progress is not None:
            on_progress(number, len(files))
    return moved


def export_folder(cache: ReplyCache, folder: Path) -> Moved:
    """Write all replies that hold everywhere; those in the scope of a world's task have no place in such a folder."""
    moved = Moved()
    taken: set[str] = set()
    for address, rows in groupby(cache.rows(), key=lambda row: row.asked.address):
        replies: dict[str, Json] = {}
        path = _place(folder, address)
        if path is not None and folded(str(path)) in taken:
            path = None
        for row in rows:
            if row.scope:
                moved.skipped["they hold within one world only"] += 1
            elif path is None:
                moved.skipped["the names of their API make no file name, or another's"] += 1
            else:
                replies[str(dict(row.asked.arguments))] = row.reply.body
        if path is not None and replies:
            write_json(path, replies)
            taken.add(folded(str(path)))
            moved.files, moved.replies = moved.files + 1, moved.replies + len(replies)
    return moved


def _place(folder: Path, address: ApiAddress) -> Path | None:
    """Path of an API's file; None for a name, which clients choose, that is no file's on every system."""
    names = (address.category, f"{address.tool}_for_{address.category}", f"{address.api}.json")
    if not address.tool or not address.api or not all(map(is_file_name, names)):
        return None
    return folder.joinpath(*names)


def _read_file(path: Path, moved: Moved) -> Iterator[Row]:
    document: object = read_json(path)
    if not isinstance(document, dict):
        raise DataError(f"{path}: is no reply cache: an object of replies by their arguments is needed")
    address = address_of(path.parent.parent.name, path.parent.name, path.stem)
    for key, value in cast("dict[str, Json]", document).items():
        arguments, reply = _read_arguments(key), read_reply(value)
        if arguments is None:
            moved.skipped["their arguments are no dictionary"] += 1
        elif reply is None:
            moved.skipped["they are no {error, response}"] += 1
        else:
            yield Row(asked=Asked(address=address, arguments=arguments), reply=reply, source=SOURCE)


def _read_arguments(text: str) -> dict[str, Json] | None:
    if not text:
        return {}
    try:
        value = read_loosely(text).value
    except ValueError:
        return None
    return value if isinstance(value, dict) else None
