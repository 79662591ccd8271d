"""Report of BFCL's categories: accuracy with intervals, faults by kind, and rows that others published."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from alpha_umi.evaluation.metrics import INTERVALS, Metric, mean
from alpha_umi.report.tables import markdown_table
from alpha_umi.types import Json

PUBLISHED: Mapping[str, Mapping[str, float]] = {
    "simple_python": {"FunctionGemma-270M": 61.6, "Hammer2.0-0.5B": 62.2},
    "multiple": {"Hammer2.0-0.5B": 80.0},
    "parallel": {"Hammer2.0-0.5B": 67.5},
    "irrelevance": {"Hammer2.0-0.5B": 64.5},
}
"""Accuracies in percent that others published, with older versions of the scoring."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckedResult:
    """Result of one question."""

    id: str
    category: str
    error: str
    """The checker's fault; empty where the result is right."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BfclReport:
    """Accuracies by category."""

    results: Sequence[CheckedResult]

    @property
    def categories(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys(each.category for each in self.results))

    def accuracy(self, category: str) -> Metric:
        """Fraction of right results of a category."""
        return mean([float(not each.error) for each in self.results if each.category == category])

    def faults(self, category: str) -> Counter[str]:
        """Wrong results of a category by fault."""
        return Counter(each.error for each in self.results if each.category == category and each.error)

    def to_json(self) -> dict[str, Json]:
        """JSON object of the results."""
        categories: dict[str, Json] = {}
        for name in self.categories:
            metric = self.accuracy(name)
            categories[name] = {
                "value": metric.value,
                "low": metric.low,
                "high": metric.high,
                "count": metric.count,
                "faults": dict(self.faults(name).most_common()),
                "published": dict(PUBLISHED.get(name, {})),
            }
        return {"categories": categories, "wrong": {each.id: each.error for each in self.results if each.error}}

    def to_markdown(self) -> str:
        """Table of the categories."""
        rows: list[list[str]] = []
        for name in self.categories:
            metric = self.accuracy(name)
            peers = ", ".join(f"{peer} {value:.1f}" for peer, value in PUBLISHED.get(name, {}).items())
            fault = ", ".join(f"{error} {count}" for error, count in self.faults(name).most_common(2))
            rows.append([name, f"{metric.count:,}", metric.percent, fault, peers])
        head = ["category", "questions", "right", "most frequent faults", "published by others (older scoring)"]
        table = markdown_table(head, rows, left=(0, 3, 4))
        return (
            f"{table}\n\nPercent, {INTERVALS}; checked by bfcl-eval. An irrelevance question is right without a call.\n"
        )
