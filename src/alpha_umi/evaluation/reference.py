"""Reference implementation of the published static metrics, mistakes included, for comparison with published tables.

`evaluate-multi_agent.py` and `evaluate-backbone.py` differ in how they read a text and agree in all else: an argument
F1 that leaves out steps whose reference is broken, an added 1e-30, the word `none` for a missing answer. Where they
end in an exception, the step is scored by the correct reading, and a note says so. `metrics` has the correct scores.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import cast

from alpha_umi.evaluation.rouge import common_words, rouge_l, sentences
from alpha_umi.evaluation.rows import StepRow, missing_note
from alpha_umi.formats.steps import (
    PublishedCrash,
    PublishedStep,
    StepShape,
    parse_published,
    published_shape,
    read_step,
)
from alpha_umi.types import Answer, Call, Decision, Json, Plan

_TINY = 1e-30
_NO_CALL = "none"
_NOTHING = PublishedStep(decision=Decision.NONE, name=None, arguments=None, answer=None)
"""Step of a missing prediction."""
_RECURSION_LIMIT = 990
"""Steps of one walk back that the package `rouge` survives under Python's default limit of 1,000 frames."""


PUBLISHED: Mapping[str, str] = {
    "rouge": "mean ROUGE-L F of reference answers",
    "plan_em": "steps with the reference's decision",
    "action_em": "reference calls whose tool is called",
    "easy_f1": "argument F1 where the reference has no arguments; every wrong tool: 0",
    "hard_f1": "argument F1 where it has some; every wrong tool: 0",
    "f1": "argument F1 of all reference calls",
    "hallu_rate": "steps that call a tool not on offer; lower is better",
}
"""The published keys, with what they are, in the published order."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PublishedScores:
    """Numbers that the published scripts print, under the keys of PUBLISHED."""

    shape: StepShape
    count: int
    metrics: dict[str, float]
    hallucinated: tuple[int, ...]
    """Rows (from 0) whose prediction calls a tool that is not offered: the published `hallu_cases.json`."""
    notes: tuple[str, ...]
    """Exceptions of the published script, with the reading that was used instead."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ArgumentScores:
    """Argument scores as published. `easy`: calls whose reference has no arguments; `hard`: all others.

    Every call of a wrong tool is a 0 in both.
    """

    easy: list[float] = field(default_factory=list[float])
    hard: list[float] = field(default_factory=list[float])
    all: list[float] = field(default_factory=list[float])
    left_out: list[int] = field(default_factory=list[int])
    """Calls (from 0) whose reference arguments are no JSON."""


def score_published(rows: Sequence[StepRow], shape: StepShape | None = None) -> PublishedScores:
    """Score rows as the published scripts do. `shape` is taken from the references unless it is given."""
    shape = shape or published_shape(row.reference for row in rows)
    notes = [f"{note}; the published script ends there" for note in missing_note(rows)]
    steps = [
        (
            _read(row.reference, shape, f"row {number}: reference", notes),
            _NOTHING if row.missing else _read(row.prediction, shape, f"row {number}: prediction", notes),
        )
        for number, row in enumerate(rows)
    ]
    hallucinated = tuple(
        number
        for number, (row, (_, prediction)) in enumerate(zip(rows, steps, strict=True))
        if _hallucinated(prediction, row, number, notes)
    )
    metrics = {
        "rouge": _rouge(steps, notes),
        "plan_em": _equal([(expected.decision, predicted.decision) for expected, predicted in steps]),
        **_call_metrics(steps, notes),
        "hallu_rate": len(hallucinated) / len(rows),
    }
    return PublishedScores(shape=shape, count=len(rows), metrics=metrics, hallucinated=hallucinated, notes=tuple(notes))


def _read(text: str, shape: StepShape, where: str, notes: list[str]) -> PublishedStep:
    step = parse_published(text, shape)
    if isinstance(step, PublishedStep):
        return step
    meant = _meant(text)
    notes.append(f"{where}: {_ends(step)}; read as {meant.decision.value}")
    return meant


def _meant(text: str) -> PublishedStep:
    turns = read_step(text)
    decision = next((turn.decision for turn in turns if isinstance(turn, Plan)), Decision.NONE)
    call = next((turn for turn in turns if isinstance(turn, Call)), None)
    answer = next((turn.text for turn in turns if isinstance(turn, Answer)), None)
    return PublishedStep(
        decision=decision,
        name=(call.name or _NO_CALL) if call else None,
        arguments=call.arguments if call else None,
        answer=answer,
    )


def _ends(crash: PublishedCrash) -> str:
    return f"the published script ends here ({crash.error})"


def _hallucinated(step: PublishedStep, row: StepRow, number: int, notes: list[str]) -> bool:
    if step.name is None or step.name == _NO_CALL:
        return False
    if None in row.tools:
        crash = PublishedCrash(error="KeyError: 'Name'")
        notes.append(f"row {number}: tools: {_ends(crash)}; a tool without a name is not offered")
    return step.name not in row.tools


def _equal(pairs: Sequence[tuple[object, object]]) -> float:
    return sum(expected == predicted for expected, predicted in pairs) / len(pairs) if pairs else 0.0


def _call_metrics(steps: Sequence[tuple[PublishedStep, PublishedStep]], notes: list[str]) -> dict[str, float]:
    numbers = [number for number, (expected, _) in enumerate(steps) if expected.decision is Decision.CALL]
    references = [_call(steps[number][0]) for number in numbers]
    predictions = [_call(steps[number][1]) for number in numbers]
    scores = published_arguments(predictions, references)
    notes += [
        f"row {numbers[index]}: the reference arguments are not JSON; the published F1 leaves the row out"
        for index in scores.left_out
    ]
    return {
        "action_em": _equal([(a[0], b[0]) for a, b in zip(references, predictions, strict=True)]),
        "easy_f1": _average("easy_f1", scores.easy, notes),
        "hard_f1": _average("hard_f1", scores.hard, notes),
        "f1": _average("f1", scores.all, notes),
    }


def _call(step: PublishedStep) -> tuple[str, str]:
    return (
        _NO_CALL if step.name is None else step.name,
        "{}" if step.arguments is None else step.arguments,
    )


def _average(name: str, scores: Sequence[float], notes: list[str]) -> float:
    if scores:
        return sum(scores) / len(scores) + _TINY
    crash = PublishedCrash(error="ZeroDivisionError: division by zero")
    notes.append(f"{name}: no row counts, and {_ends(crash)}; reported as 0")
    return 0.0


def published_arguments(
    predictions: Sequence[tuple[str, str]], references: Sequence[tuple[str, str]]
) -> ArgumentScores:
    """Compute the published argument F1 of (tool, arguments) pairs, as lists to be averaged."""
    scores = ArgumentScores()
    for number, (prediction, reference) in enumerate(zip(predictions, references, strict=True)):
        if prediction[0] != reference[0]:
            scores.easy.append(0.0)
            scores.hard.append(0.0)
            scores.all.append(0.0)
            continue
        try:
            expected = cast("Json", json.loads(reference[1]))
        except (ValueError, RecursionError):
            scores.left_out.append(number)
            continue
        f1 = _published_f1(prediction[1], expected)
        (scores.easy if expected == {} else scores.hard).append(f1)
        scores.all.append(f1)
    return scores


def _published_f1(prediction: str, expected: Json) -> float:
    """Argument F1 with values compared as Python compares them: True is 1 and NaN is not NaN."""
    try:
        predicted = cast("Json", json.loads(prediction))
        if not isinstance(predicted, dict) or not isinstance(expected, dict):
            return 0.0
        if not expected:
            return float(not predicted)
        shared = predicted.keys() & expected.keys()
        full = sum(predicted[key] == expected[key] for key in shared)
    except (ValueError, RecursionError):
        return 0.0
    credit = 0.5 * (len(shared) - full) + full
    recall, precision = credit / (len(expected) + _TINY), credit / (len(predicted) + _TINY)
    return 2 * recall * precision / (recall + precision) if credit else 0.0


def _rouge(steps: Sequence[tuple[PublishedStep, PublishedStep]], notes: list[str]) -> float:
    total, count = 0.0, 0
    for number, (expected, predicted) in enumerate(steps):
        if expected.decision is not Decision.CONCLUDE:
            continue
        reference = expected.answer or ""
        prediction = "none" if predicted.answer is None else predicted.answer
        crash = _rouge_crash(prediction, reference)
        if crash is not None:
            notes.append(f"row {number}: ROUGE: {_ends(crash)}; scored in full, and 0 where a text is empty")
        total += rouge_l(prediction, reference).f
        count += 1
    return total / count if count else 0.0


def _rouge_crash(prediction: str, reference: str) -> PublishedCrash | None:
    predicted, expected = sentences(prediction), sentences(reference)
    if not predicted:
        return PublishedCrash(error="ValueError: Hypothesis is empty.")
    if not expected:
        return PublishedCrash(error="ValueError: Reference is empty.")
    longest = max(map(len, predicted)) + max(map(len, expected))
    if longest > _RECURSION_LIMIT and any(
        common_words(words, candidate)[1] > _RECURSION_LIMIT for words in expected for candidate in predicted
    ):
        return PublishedCrash(error="RecursionError: maximum recursion depth exceeded")
    return None
