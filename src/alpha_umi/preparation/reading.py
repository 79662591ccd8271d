"""Reader of trajectories from either file shape: JSONL records or processed dialogues."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

from alpha_umi.errors import DataError
from alpha_umi.preparation.processed import read_processed_file
from alpha_umi.store import open_text, read_trajectories
from alpha_umi.types import Trajectory


def read_any(path: Path) -> Iterable[Trajectory]:
    """Read trajectories from a `.jsonl` file (`.gz`, `.zst` too), or a `.json` file of processed dialogues."""
    return read_processed_file(path) if path.suffix == ".json" else read_trajectories(path)


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
