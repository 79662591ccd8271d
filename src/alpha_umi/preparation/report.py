"""Report of a preparation: inputs read, kept and skipped, and deviations from the published preparation."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

Progress = Callable[[int, int], None]
"""Callback with the number of inputs done, and of all inputs."""
_SHOWN = 20
BROKEN = "broken or of another shape; --strict stops there"
"""Reason for skipping an input that cannot be read."""


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
    """Counts of answers without a trajectory, by reason."""
    skipped_first: tuple[str, ...] = ()
    """The first of them by name."""
    deviations: Mapping[str, int] = field(default_factory=dict[str, int])
    """Counts of deviations from the published preparation; `docs/compat.md` explains them."""


@dataclass(slots=True)
class PrepareStats:
    """Counts of a preparation in progress."""

    read: int = 0
    kept: int = 0
    skipped: Counter[str] = field(default_factory=Counter[str])
    skipped_first: list[str] = field(default_factory=list[str])
    deviations: Counter[str] = field(default_factory=Counter[str])

    def keep(self, deviations: Mapping[str, int]) -> None:
        """Count one input that became a trajectory."""
        self.read += 1
        self.kept += 1
        if deviations:
            self.deviations.update(deviations)

    def skip(self, name: str, reason: str, detail: str = "") -> None:
        """Count one input without a trajectory; `detail` is an error message that names it."""
        self.read += 1
        self.skipped[reason] += 1
        if len(self.skipped_first) < _SHOWN:
            self.skipped_first.append(detail or f"{name}: {reason}")

    def report(self, *, compat: bool, held_out: int = 0, ignored: int = 0) -> PrepareReport:
        """Make the report of the finished preparation."""
        return PrepareReport(
            compat=compat,
            read=self.read,
            kept=self.kept,
            held_out=held_out,
            ignored=ignored,
            skipped=dict(self.skipped),
            skipped_first=tuple(self.skipped_first),
            deviations=dict(self.deviations),
        )
