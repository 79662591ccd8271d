"""Reader of trajectories from either file shape: JSONL records or processed dialogues."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from alpha_umi.errors import DataError
from alpha_umi.preparation.processed import read_dialogue
from alpha_umi.store import decode_trajectory
from alpha_umi.text_files import JsonRow, open_text, read_json_rows
from alpha_umi.types import Trajectory


def read_any(path: Path) -> Iterator[Trajectory]:
    """Read trajectories or processed dialogues from a JSON list or JSON Lines, whatever the file's name.

    Raises DataError naming the row.
    """
    for row in read_json_rows(path):
        try:
            yield read_row(row, path)
        except DataError as error:
            raise DataError(f"{row.where}: {error}") from None


def read_row(row: JsonRow, path: Path) -> Trajectory:
    """Read one row of `path`: a trajectory, or a dialogue. Raises DataError."""
    keys = row.value if isinstance(row.value, dict) else {}
    listed = path.name.removesuffix(".gz").removesuffix(".zst").endswith(".json")
    is_dialogue = "conversations" in keys or (listed and "schema" not in keys)
    return read_dialogue(row, path) if is_dialogue else decode_trajectory(row.value)


def check_not_empty(files: Sequence[str], kind: str = "trajectories") -> None:
    """Check the beginning of data files, before slow imports.

    Raises DataError for one that cannot be read, and where none of them holds anything.
    """
    filled = [_begins(Path(file)) for file in files]
    if files and not any(filled):
        raise DataError(f"{', '.join(files)}: no {kind} to learn from")


def _begins(path: Path) -> bool:
    with open_text(path) as text:
        return bool(text.read(1))
