"""Report of static evaluation from rows of reference and prediction texts. Pure: reads and writes no files.

`evaluate_rows` scores by the definitions in `metrics`, `evaluate_rows(..., published=True)` by the published scripts',
`evaluate_beside` the same steps twice: predicted unconstrained, and constrained to a grammar. A constrained score
alone says little about a model, so a report on constrained rows asks for the unconstrained ones.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import TypeAlias, cast

from alpha_umi.errors import DataError
from alpha_umi.evaluation.metrics import (
    INTERVALS,
    METRICS,
    ROUGE_L,
    Metric,
    StepScore,
    ToolScore,
    aggregate,
    by_tool,
    confusion,
    score_step,
)
from alpha_umi.evaluation.reference import PUBLISHED, PublishedScores, score_published
from alpha_umi.evaluation.rows import StepRow, missing_note, read_rows
from alpha_umi.formats.steps import StepShape, read_step
from alpha_umi.report.tables import markdown_table
from alpha_umi.types import Decision, Json

_TOOLS_SHOWN = 10
_NAME_SHOWN = 48
_NOTES_SHOWN = 20
_ROWS_SHOWN = 10


@dataclass(frozen=True, slots=True, kw_only=True)
class StaticScores:
    """All scores that are reported about one predictions file."""

    count: int
    """Rows."""
    metrics: dict[str, Metric]
    by_tool: dict[str, ToolScore]
    by_decision: dict[Decision, dict[Decision, int]]
    """Reference decision, predicted decision, how many."""
    hallucinated: tuple[int, ...]
    """Rows (from 0) whose prediction calls a tool that is not offered."""
    missing: int
    """Rows without a prediction, which count as wrong."""
    notes: tuple[str, ...]
    """Rows that could not be scored, with the reason."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BesideScores:
    """Scores of the same steps predicted unconstrained and constrained to a grammar."""

    unconstrained: StaticScores
    constrained: StaticScores


StaticReport: TypeAlias = StaticScores | PublishedScores | BesideScores


def evaluate_rows(
    rows: Json, *, published: bool = False, shape: StepShape | None = None, seed: int = 0
) -> StaticReport:
    """Score the loaded rows of a predictions file.

    `published`: reproduce the published scripts' numbers instead; `shape` then chooses the script (else the
    references do). `seed`: of the intervals. Raises DataError when the rows have another shape.
    """
    steps = read_rows(rows)
    return score_published(steps, shape) if published else _evaluate(steps, _constrained_notes(rows), seed)


def evaluate_beside(unconstrained: Json, constrained: Json, *, seed: int = 0) -> BesideScores:
    """Score two files of predictions of the same steps. Raises DataError, too, where the steps are not the same."""
    steps, others = read_rows(unconstrained), read_rows(constrained)
    if len(steps) != len(others):
        raise DataError(f"has {len(others)} rows, the first file has {len(steps)}; predict the same steps")
    for number, (row, other) in enumerate(zip(steps, others, strict=True)):
        if (row.reference, row.tools) != (other.reference, other.tools):
            raise DataError(f"row {number} is another step than in the first file; predict the same steps")
    if not _constrained_notes(constrained) or _constrained_notes(unconstrained):
        raise DataError(
            "the first file must hold unconstrained predictions, the other those of 'umi predict --constrained'"
        )
    return BesideScores(unconstrained=_evaluate(steps, (), seed), constrained=_evaluate(others, (), seed))


def _constrained_notes(rows: Json) -> tuple[str, ...]:
    number = (
        sum(isinstance(row, dict) and (row.get("constrained") is True or row.get("held") is True) for row in rows)
        if isinstance(rows, list)
        else 0
    )
    if not number:
        return ()
    return (f"{number} predictions were constrained to a grammar; --constrained shows them beside unconstrained ones",)


def _evaluate(steps: Sequence[StepRow], known: Sequence[str], seed: int) -> StaticScores:
    scores: list[StepScore] = []
    notes = [*missing_note(steps), *known]
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
        missing=sum(row.missing for row in steps),
        notes=tuple(notes),
    )


def score_rows(rows: Json) -> list[StepScore]:
    """Score every row of a predictions file by our definitions. Raises DataError for rows of another shape."""
    return [_score(row) for row in read_rows(rows)]


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
    elif score.reference is Decision.CONCLUDE and ROUGE_L not in score.scores:
        yield "the reference has no answer; no answer is scored"


# --- as JSON ----------------------------------------------------------------------------------------------


def report_document(report: StaticReport) -> dict[str, Json]:
    """JSON document of a report: `metrics`, `by_tool`, `by_decision`, `hallucinated`, `missing`, `notes`, number of
    rows.

    A metric is `{value, count, low, high}`, fractions of 1; `intervals` names the methods of low and high. Published
    metrics are plain numbers under the published keys. `constrained`: the same document of the constrained predictions,
    where there are such.
    """
    if isinstance(report, BesideScores):
        return {**report_document(report.unconstrained), "constrained": report_document(report.constrained)}
    shared: dict[str, Json] = {
        "rows": report.count,
        "hallucinated": list(report.hallucinated),
        "notes": list(report.notes),
    }
    if isinstance(report, PublishedScores):
        return {"metrics": dict(report.metrics), "shape": report.shape.value, **shared}
    return {
        "metrics": {name: cast("Json", asdict(metric)) for name, metric in report.metrics.items()},
        "intervals": INTERVALS,
        "missing": report.missing,
        "by_tool": {tool: cast("Json", asdict(score)) for tool, score in report.by_tool.items()},
        "by_decision": {
            expected.value: {predicted.value: count for predicted, count in row.items()}
            for expected, row in report.by_decision.items()
        },
        **shared,
    }


# --- as text ----------------------------------------------------------------------------------------------


def report_text(report: StaticReport) -> str:
    """Format the report as Markdown that also reads well as plain text. Percent; the JSON has every digit."""
    match report:
        case PublishedScores():
            parts, notes = _published_parts(report), report.notes
        case StaticScores():
            parts, notes = _parts(report), report.notes
        case BesideScores(unconstrained=unconstrained, constrained=constrained):
            parts, notes = (
                _beside_parts(unconstrained, constrained),
                tuple(dict.fromkeys((*unconstrained.notes, *constrained.notes))),
            )
    return "\n\n".join([*parts, *_notes_part(notes)]) + "\n"


def _published_parts(report: PublishedScores) -> Iterable[str]:
    yield f"# Static evaluation: {report.count} steps, as the published {report.shape.value} script scores them"
    rows = [[name, f"{value:.4f}", PUBLISHED[name]] for name, value in report.metrics.items()]
    yield markdown_table(["metric", "value", "what it is"], rows, left=(0, 2))


def _parts(report: StaticScores) -> Iterable[str]:
    yield f"# Static evaluation: {report.count} steps"
    yield f"Each step follows the reference's own history. Percent, with {INTERVALS}."
    rows = [[name, *_cells(metric), METRICS[name]] for name, metric in report.metrics.items()]
    yield markdown_table(["metric", "%", "95 % interval", "steps", "what it is"], rows, left=(0, 4))
    yield "## Decisions"
    yield "One row per decision of the reference; the columns count what was predicted in its place."
    yield _decision_table(report.by_decision)
    if report.by_tool:
        shown = list(report.by_tool.items())[:_TOOLS_SHOWN]
        yield "## Tools"
        yield _which_tools(len(shown), len(report.by_tool))
        values = [
            [_short(tool), str(score.count), *(_percent(value) for value in _values(score))] for tool, score in shown
        ]
        yield markdown_table(["tool of the reference", "steps", "called %", "argument F1 %", "hallucinated %"], values)


def _beside_parts(unconstrained: StaticScores, constrained: StaticScores) -> Iterable[str]:
    yield f"# Static evaluation: {unconstrained.count} steps, unconstrained and constrained to a grammar"
    yield f"Each step follows the reference's own history. Percent, with {INTERVALS}."
    rows = [
        [name, *_cells(metric)[:2], *_cells(constrained.metrics[name]), METRICS[name]]
        for name, metric in unconstrained.metrics.items()
    ]
    header = ["metric", "unconstrained %", "95 % interval", "constrained %", "95 % interval", "steps", "what it is"]
    yield markdown_table(header, rows, left=(0, 6))
    for name, report in (("unconstrained", unconstrained), ("constrained", constrained)):
        yield f"## Decisions, {name}"
        yield _decision_table(report.by_decision)


def _which_tools(shown: int, known: int) -> str:
    if shown == known:
        return "What was predicted where the reference calls a tool."
    return f"What was predicted where the reference calls its {shown} most frequent tools; the JSON has all {known}."


def _decision_table(counts: Mapping[Decision, Mapping[Decision, int]]) -> str:
    said = [
        decision
        for decision in Decision
        if any(counts[other][decision] or counts[decision][other] for other in Decision)
    ]
    rows = [
        [
            _words(expected),
            str(sum(counts[expected].values())),
            _percent(counts[expected][expected] / sum(counts[expected].values()))
            if expected is not Decision.NONE
            else "-",
            *(str(counts[expected][predicted]) for predicted in said),
        ]
        for expected in said
        if any(counts[expected].values())
    ]
    return markdown_table(["reference", "steps", "right %", *map(_words, said)], rows)


def _words(decision: Decision) -> str:
    return "no decision" if decision is Decision.NONE else decision.value.replace("_", " ")


def _values(score: ToolScore) -> tuple[float, ...]:
    return score.action_exact_match, score.argument_f1, score.hallucination_rate


def _cells(metric: Metric) -> list[str]:
    if metric.value is None or metric.low is None or metric.high is None:
        return ["-", "-", "0"]
    return [_percent(metric.value), f"{_percent(metric.low)} to {_percent(metric.high)}", str(metric.count)]


def _percent(share: float) -> str:
    return f"{100 * share:.1f}"


def _short(name: str) -> str:
    """Shorten a tool's name to one line of a table cell."""
    name = "".join(letter if letter.isprintable() and letter != "|" else "�" for letter in name)
    return name if len(name) <= _NAME_SHOWN else f"{name[: _NAME_SHOWN - 1]}…"


def _notes_part(notes: Sequence[str]) -> Iterable[str]:
    """Part on notes; rows with the same note share a line."""
    rows: dict[str, list[str]] = {}
    for note in notes:
        where, _, why = note.partition(": ")
        numbered = where.removeprefix("row ")
        rows.setdefault(why if numbered != where else note, []).extend([numbered] if numbered != where else [])
    lines: list[str] = []
    for why, numbers in rows.items():
        more = f" and {len(numbers) - _ROWS_SHOWN} more" if len(numbers) > _ROWS_SHOWN else ""
        which = f"row{'s' if len(numbers) > 1 else ''} {', '.join(numbers[:_ROWS_SHOWN])}{more}: " if numbers else ""
        lines.append(f"- {which}{why}")
    if len(lines) > _NOTES_SHOWN:
        lines[_NOTES_SHOWN:] = [f"- and {len(lines) - _NOTES_SHOWN} more, in the JSON"]
    return ["## Notes", "\n".join(lines)] if lines else []
