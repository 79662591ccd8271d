"""Trajectories of a file in either shape that other rooms read: JSONL records or processed dialogues."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from alpha_umi.preparation.processed import read_processed_file
from alpha_umi.store import read_trajectories
from alpha_umi.types import Trajectory


def read_any(path: Path) -> Iterable[Trajectory]:
    """Trajectories from a `.jsonl` file (`.gz`, `.zst` too), or from a `.json` file of processed dialogues."""
    return read_processed_file(path) if path.suffix == ".json" else read_trajectories(path)
