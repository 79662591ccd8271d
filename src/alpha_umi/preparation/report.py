"""What became of the input of a preparation."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

Progress = Callable[[int, int], None]
"""Told how many inputs are done, and of how many."""
_SHOWN = 20


@dataclass(frozen=True, slots=True, kw_only=True)
class PrepareReport:
    """Counts of one preparation."""

    compat: bool
    read: int
    """Answers or rows that were looked at."""
    kept: int
    """Trajectories written."""
    held_out: int = 0
    ignored: int = 0
    """Entries of the answer directories that are no answer files."""
    skipped: Mapping[str, int] = field(default_factory=dict[str, int])
    """How many answers hold no trajectory, by reason."""
    skipped_first: tuple[str, ...] = ()
    """The first of them by name."""
    mends: Mapping[str, int] = field(default_factory=dict[str, int])
    """How often each difference to the published preparation occurred; `docs/compat.md` explains them."""


@dataclass(slots=True)
class Tally:
    """A report in the making."""

    read: int = 0
    kept: int = 0
    skipped: Counter[str] = field(default_factory=Counter[str])
    skipped_first: list[str] = field(default_factory=list[str])
    mends: Counter[str] = field(default_factory=Counter[str])

    def keep(self, mends: Mapping[str, int]) -> None:
        self.read += 1
        self.kept += 1
        self.mends.update(mends)

    def skip(self, name: str, reason: str) -> None:
        self.read += 1
        self.skipped[reason] += 1
        if len(self.skipped_first) < _SHOWN:
            self.skipped_first.append(f"{name}: {reason}")

    def report(self, *, compat: bool, held_out: int = 0, ignored: int = 0) -> PrepareReport:
        return PrepareReport(
            compat=compat,
            read=self.read,
            kept=self.kept,
            held_out=held_out,
            ignored=ignored,
            skipped=dict(self.skipped),
            skipped_first=tuple(self.skipped_first),
            mends=dict(self.mends),
        )
