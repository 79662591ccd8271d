"""Static evaluation: rows of reference and prediction texts in, one report out. Pure: whoever calls reads and writes.

`evaluate_rows` scores by the definitions in `metrics`, `evaluate_rows(..., published=True)` by the published scripts'.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from typing import TypeAlias, cast

from alpha_umi.evaluation.metrics import (
    HALLUCINATION_RATE,
    METRICS,
    PLAN_ACCURACY,
    Metric,
    StepScore,
    ToolScore,
    aggregate,
    by_tool,
    confusion,
    score_step,
)
from alpha_umi.evaluation.published import PublishedScores, score_published
from alpha_umi.evaluation.rows import StepRow, read_rows
from alpha_umi.formats.steps import StepShape, read_step
from alpha_umi.types import Decision, Json

_TOOLS_SHOWN = 15
_NOTES_SHOWN = 20


@dataclass(frozen=True, slots=True, kw_only=True)
class StaticScores:
    """Everything that is reported about one file of predictions."""

    count: int
    """Rows."""
    metrics: dict[str, Metric]
    by_tool: dict[str, ToolScore]
    by_decision: dict[Decision, dict[Decision, int]]
    """Reference decision, predicted decision, how many."""
    hallucinated: tuple[int, ...]
    """Rows (from 0) whose prediction calls a tool that is not offered."""
    notes: tuple[str, ...]
    """What could not be scored, and why."""


StaticReport: TypeAlias = StaticScores | PublishedScores


def evaluate_rows(
    rows: Json, *, published: bool = False, shape: StepShape | None = None, seed: int = 0
) -> StaticReport:
    """Score the loaded rows of a predictions file.

    `published`: reproduce the published scripts' numbers instead; `shape` then chooses the script (else the
    references do). `seed`: of the intervals. Raises DataError when the rows have another shape.
    """
    steps = read_rows(rows)
    if published:
        return score_published(steps, shape)
    scores: list[StepScore] = []
    notes: list[str] = []
    for number, row in enumerate(steps):
        score = _score(row)
        scores.append(score)
        notes += (f"row {number}: {note}" for note in _notes(row, score))
    return StaticScores(
        count=len(scores),
        metrics=aggregate(scores, seed=seed),
        by_tool=by_tool(scores),
        by_decision=confusion(scores),
        hallucinated=tuple(number for number, score in enumerate(scores) if score.hallucinated),
        notes=tuple(notes),
    )


def _score(row: StepRow) -> StepScore:
    tools = frozenset(name for name in row.tools if name is not None)
    return score_step(read_step(row.prediction), read_step(row.reference), tools)


def _notes(row: StepRow, score: StepScore) -> Iterable[str]:
    nameless = row.tools.count(None)
    if nameless:
        yield f"{nameless} of {len(row.tools)} tools have no 'Name' and are not offered"
    if score.reference is Decision.NONE:
        yield "the reference names no decision; no plan, call or answer is scored"
    elif score.reference is Decision.CALL and score.tool is None:
        yield "the reference calls no tool; no call is scored"
    elif score.reference is Decision.CONCLUDE and "rouge_l" not in score.scores:
        yield "the reference has no answer; no answer is scored"


# --- as JSON ----------------------------------------------------------------------------------------------


def report_document(report: StaticReport) -> dict[str, Json]:
    """What `metrics.json` holds: `metrics`, `by_tool`, `by_decision`, `hallucinated`, `notes`, and how many rows.

    A metric is `{value, count, low, high}`; published ones are plain numbers under the published keys.
    """
    shared: dict[str, Json] = {
        "rows": report.count,
        "hallucinated": list(report.hallucinated),
        "notes": list(report.notes),
    }
    if isinstance(report, PublishedScores):
        return {"metrics": dict(report.metrics), "shape": report.shape.value, **shared}
    return {
        "metrics": {name: cast("Json", asdict(metric)) for name, metric in report.metrics.items()},
        "by_tool": {tool: cast("Json", asdict(score)) for tool, score in report.by_tool.items()},
        "by_decision": {
            expected.value: {predicted.value: count for predicted, count in row.items()}
            for expected, row in report.by_decision.items()
        },
        **shared,
    }


# --- as text ----------------------------------------------------------------------------------------------


def report_text(report: StaticReport) -> str:
    """The report as Markdown tables that also read well in a terminal."""
    if isinstance(report, PublishedScores):
        rows = [[name, f"{value:.4f}"] for name, value in report.metrics.items()]
        title = f"{report.count} steps, as the published {report.shape.value} script scores them"
        parts = [title, _table(["metric", "value"], rows)]
    else:
        parts = [f"{report.count} steps", *_tables(report)]
    shown = [f"- {note}" for note in report.notes[:_NOTES_SHOWN]]
    if len(report.notes) > _NOTES_SHOWN:
        shown.append(f"- and {len(report.notes) - _NOTES_SHOWN} more")
    if shown:
        parts.append("\n".join(["notes:", *shown]))
    return "\n\n".join(parts) + "\n"


def _tables(report: StaticScores) -> Iterable[str]:
    yield _table(
        ["metric", "value", "95 % interval", "steps", "what it counts"],
        [[name, *_cells(metric), METRICS[name]] for name, metric in report.metrics.items()],
    )
    decisions = [decision for decision, row in report.by_decision.items() if any(row.values())]
    yield _table(
        ["reference decision", "steps", PLAN_ACCURACY, *(f"said {predicted.value}" for predicted in Decision)],
        [
            [
                decision.value,
                str(sum(row.values())),
                f"{row[decision] / sum(row.values()):.4f}" if decision is not Decision.NONE else "-",
                *(str(row[predicted]) for predicted in Decision),
            ]
            for decision in decisions
            for row in [report.by_decision[decision]]
        ],
    )
    if not report.by_tool:
        return
    tools = list(report.by_tool.items())
    rows = [
        [tool, str(score.count), *(f"{value:.4f}" for value in _values(score))] for tool, score in tools[:_TOOLS_SHOWN]
    ]
    yield _table(["reference tool", "steps", "action_exact_match", "argument_f1", HALLUCINATION_RATE], rows)
    if len(tools) > _TOOLS_SHOWN:
        yield f"and {len(tools) - _TOOLS_SHOWN} more tools"


def _values(score: ToolScore) -> tuple[float, ...]:
    return score.action_exact_match, score.argument_f1, score.hallucination_rate


def _cells(metric: Metric) -> list[str]:
    if metric.value is None:
        return ["-", "-", "0"]
    return [f"{metric.value:.4f}", f"{metric.low:.4f} to {metric.high:.4f}", str(metric.count)]


def _table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [header, *rows]
    widths = [max(len(line[column]) for line in lines) for column in range(len(header))]

    def draw(line: Sequence[str]) -> str:
        return "| " + " | ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)) + " |"

    rule = "|" + "|".join("-" * (width + 2) for width in widths) + "|"
    return "\n".join([draw(header), rule, *map(draw, rows)])
