"""Report of exact answers: accuracy by judge with intervals, the published rows beside it, and every disagreement."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction

from alpha_umi.evaluation.exact.judge import ExactVerdict
from alpha_umi.evaluation.metrics import INTERVALS, Metric, mean
from alpha_umi.exact_answers import extract_answer, read_number
from alpha_umi.report.tables import markdown_table
from alpha_umi.types import Json

PUBLISHED: Mapping[str, Mapping[str, float]] = {
    "gsm8k": {"α-UMi 7B (paper)": 49.73, "Single-LLM 7B (paper)": 37.90},
    "math": {
        "α-UMi 7B (paper)": 25.60,
        "Single-LLM 7B (paper)": 17.38,
        "α-UMi 13B (paper)": 28.54,
        "Single-LLM 13B (paper)": 20.26,
    },
}
"""Accuracies of the paper in percent, by benchmark."""
JUDGES: Mapping[str, str] = {"number": "same number", "math_verify": "math-verify", "tora": "ToRA's rule"}
"""Judges of the report, with their labels. The first is for GSM8K, whose golds are all numbers."""


@dataclass(frozen=True, slots=True, kw_only=True)
class GradedAnswer:
    """Answer to one problem with its verdicts."""

    id: str
    gold: str
    text: str | None
    """What the agent answered; None: it did not."""
    group: str = ""
    """Level of a problem of MATH."""
    verdict: ExactVerdict | None = None
    """None: not judged, for there is no answer."""

    @property
    def answer(self) -> str:
        return "" if self.text is None else extract_answer(self.text)

    def passes(self, judge: str) -> bool:
        """Tell whether a judge accepts the answer; what none could judge is wrong."""
        if judge == "number":
            return _number(self.answer) is not None and _number(self.answer) == _number(self.gold)
        return self.verdict is not None and getattr(self.verdict, judge) is True


@dataclass(frozen=True, slots=True, kw_only=True)
class ExactReport:
    """Accuracies of one benchmark."""

    benchmark: str
    answers: Sequence[GradedAnswer]
    unanswered: int
    judges: tuple[str, ...]

    def accuracy(self, judge: str, group: str | None = None) -> Metric:
        """Fraction of right answers, of all or of one group."""
        chosen = [each for each in self.answers if group is None or each.group == group]
        return mean([float(each.passes(judge)) for each in chosen])

    @property
    def groups(self) -> tuple[str, ...]:
        return tuple(sorted({each.group for each in self.answers if each.group}))

    @property
    def disagreements(self) -> tuple[GradedAnswer, ...]:
        """Answers that one judge accepts and another does not, or that one could not judge."""
        return tuple(each for each in self.answers if _disagrees(each, self.judges))

    def to_json(self) -> dict[str, Json]:
        """JSON object of the results."""
        return {
            "benchmark": self.benchmark,
            "problems": len(self.answers),
            "unanswered": self.unanswered,
            "accuracy": {judge: _metric(self.accuracy(judge)) for judge in self.judges},
            "by_group": {
                group: {judge: _metric(self.accuracy(judge, group)) for judge in self.judges} for group in self.groups
            },
            "published": dict(PUBLISHED.get(self.benchmark, {})),
            "disagreements": [
                {
                    "id": each.id,
                    "gold": each.gold,
                    "answer": each.answer,
                    **{judge: each.passes(judge) for judge in self.judges},
                    "judged": each.verdict is None or None not in (each.verdict.math_verify, each.verdict.tora),
                }
                for each in self.disagreements
            ],
        }

    def to_markdown(self) -> str:
        """Table of the accuracies, the published ones beside them."""
        head = ["", "problems", *(JUDGES[judge] for judge in self.judges)]
        rows = [[self.benchmark, f"{len(self.answers):,}", *(self.accuracy(judge).percent for judge in self.judges)]]
        rows += [
            [
                group,
                f"{self.accuracy('tora', group).count:,}",
                *(self.accuracy(judge, group).percent for judge in self.judges),
            ]
            for group in self.groups
        ]
        rows += [
            [name, "", *("" for _ in self.judges[:-1]), f"{value:.2f}"]
            for name, value in PUBLISHED.get(self.benchmark, {}).items()
        ]
        notes = [
            f"Percent, {INTERVALS}. {self.unanswered:,} problems have no answer and count as wrong.",
            f"The judges differ on {len(self.disagreements):,} answers.",
        ]
        return "\n\n".join((markdown_table(head, rows), " ".join(notes))) + "\n"


def judges_of(golds: Iterable[str]) -> tuple[str, ...]:
    """Judges that fit golds: the comparison of numbers only where all are numbers."""
    return tuple(JUDGES) if all(_number(gold) is not None for gold in golds) else tuple(JUDGES)[1:]


def _number(text: str) -> Fraction | None:
    return read_number(text)


def _disagrees(each: GradedAnswer, judges: Sequence[str]) -> bool:
    unjudged = each.verdict is not None and None in (each.verdict.math_verify, each.verdict.tora)
    return unjudged or len({each.passes(judge) for judge in judges}) > 1


def _metric(metric: Metric) -> dict[str, Json]:
    return {"value": metric.value, "low": metric.low, "high": metric.high, "count": metric.count}
