"""Reliability of confidences: how often calls are right by how sure the agent was of them."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise

from alpha_umi.evaluation.metrics import Metric, mean
from alpha_umi.types import Call, Turn

THRESHOLDS = (0.25, 0.5, 0.75, 0.9, 0.99)
_BINS = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class Bin:
    """Tasks of like confidence."""

    low: float
    high: float
    right: Metric
    """Share of them whose calls are right, with its 95 % interval."""


@dataclass(frozen=True, slots=True)
class Reliability:
    """Confidences of tasks, 0 to 1, each with whether its calls were right."""

    pairs: tuple[tuple[float, bool], ...]

    def bins(self) -> list[Bin]:
        """Fifths of the tasks, by rising confidence; fewer where there are fewer tasks."""
        ordered = sorted(self.pairs)
        cuts = [round(at * len(ordered) / _BINS) for at in range(_BINS + 1)]
        groups = [ordered[start:end] for start, end in pairwise(cuts) if end > start]
        return [Bin(low=group[0][0], high=group[-1][0], right=_share(group)) for group in groups]

    def kept(self, threshold: float) -> Metric:
        """Share of right calls among the tasks whose every call is at least so sure; what `--threshold` keeps."""
        return _share([pair for pair in self.pairs if pair[0] >= threshold])

    @property
    def error(self) -> float:
        """Expected calibration error: the mean distance of confidence and share of right calls, over the fifths."""
        ordered, at, total = sorted(self.pairs), 0, 0.0
        for each in self.bins():
            group = ordered[at : at + each.right.count]
            at += each.right.count
            total += abs(sum(sure for sure, _ in group) - sum(right for _, right in group))
        return total / len(ordered) if ordered else math.nan


def least_confidence(turns: Iterable[Turn]) -> float | None:
    """The confidence, 0 to 1, of the least sure call; None where no call has one."""
    found = [turn.confidence for turn in turns if isinstance(turn, Call) and turn.confidence is not None]
    return math.exp(min(found)) if found else None


def _share(pairs: Sequence[tuple[float, bool]]) -> Metric:
    return mean([float(right) for _, right in pairs])
