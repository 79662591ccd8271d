"""Metrics of static evaluation: scores of predicted steps against reference steps, and their means with 95 % intervals.

A step is the turns that a model wrote at one point of a given history. Definitions follow the paper's static
evaluation as its scripts compute it; where those drop or guess something, the docstring here says what is done
instead. Pure functions. Law: a step scored against itself scores 1 in every metric that applies to it (except the
hallucination rates).
"""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from statistics import NormalDist
from typing import cast

import numpy as np

from alpha_umi.evaluation.rouge import rouge_l
from alpha_umi.types import Answer, Call, Decision, Json, Plan, Turn

PLAN_ACCURACY = "plan_accuracy"
ACTION_EXACT_MATCH = "action_exact_match"
ARGUMENT_F1 = "argument_f1"
HALLUCINATION_RATE = "hallucination_rate"
HALLUCINATION_RATE_CALLS = "hallucination_rate_calls"
ROUGE_L = "rouge_l"

METRICS: Mapping[str, str] = {
    PLAN_ACCURACY: "steps with the reference's decision (call, conclude, give up)",
    ACTION_EXACT_MATCH: "reference calls whose tool is called",
    ARGUMENT_F1: "mean F1 of the arguments of reference calls; another tool: 0",
    HALLUCINATION_RATE: "steps that call a tool not on offer; lower is better",
    HALLUCINATION_RATE_CALLS: "the same, of the steps that call any; lower is better",
    ROUGE_L: "mean ROUGE-L F of reference answers; no answer: 0",
}
"""Every metric, with what it is, in report order."""
LABELS: Mapping[str, str] = {
    PLAN_ACCURACY: "plan accuracy",
    ACTION_EXACT_MATCH: "action exact match",
    ARGUMENT_F1: "argument F1",
    HALLUCINATION_RATE: "steps with a hallucinated call",
    HALLUCINATION_RATE_CALLS: "hallucinated calls",
    ROUGE_L: "ROUGE-L of answers",
}
"""Every metric in words, for tables."""
INTERVALS = "95 % intervals (Wilson's; bootstrap where scores lie between 0 and 1)"
"""Description of the interval methods of `mean`, for reports."""

_RESAMPLES = 2000
_LEVEL = 0.95
_Z = NormalDist().inv_cdf((1 + _LEVEL) / 2)
_FEW = 100
"""Distinct values up to which drawing their counts is faster than drawing steps."""
_SAME = 1e-12
"""By which means that are the same may differ as they are computed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StepScore:
    """Scores of one step, with the counts that aggregation needs."""

    reference: Decision
    prediction: Decision
    tool: str | None
    """Tool that the reference calls."""
    scores: Mapping[str, float]
    """By metric, 0 to 1. A metric that does not apply to the step is absent."""

    @property
    def hallucinated(self) -> bool:
        """Tell whether the predicted call names a tool that is not offered."""
        return self.scores[HALLUCINATION_RATE] > 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Metric:
    """Mean over steps with its 95 % interval as computed by `mean`. All None where no step counts."""

    value: float | None
    count: int
    """Steps that the mean is over."""
    low: float | None
    high: float | None

    @property
    def percent(self) -> str:
        """Format the mean in percent with its interval; `-` where no step counts."""
        if self.value is None:
            return "-"
        if self.low is None or self.high is None:
            return f"{100 * self.value:.1f}"
        return f"{100 * self.value:.1f} ({100 * self.low:.1f}-{100 * self.high:.1f})"


def score_step(prediction: Sequence[Turn], reference: Sequence[Turn], tools: Collection[str]) -> StepScore:
    """Score one predicted step against its reference. `tools`: names of the offered tools.

    * plan_accuracy: over every step whose reference decides. A plan that names no role (Decision.NONE) is wrong; the
      published pipeline takes it for a call.
    * action_exact_match, argument_f1: over reference calls. A call without a name is no call: a miss in both.
    * hallucination_rate: over every step; hallucination_rate_calls: over steps that call some name.
    * rouge_l: over reference answers that hold a sentence. A missing answer scores 0; the published script compares
      the word `none`.
    """
    expected, predicted = _decision(reference), _decision(prediction)
    call, answer = _call(prediction), _answer(prediction)
    hallucination = float(call is not None and call.name not in tools)
    scores = {HALLUCINATION_RATE: hallucination}
    if call is not None:
        scores[HALLUCINATION_RATE_CALLS] = hallucination
    if expected is not Decision.NONE:
        scores[PLAN_ACCURACY] = float(predicted is expected)
    expected_call = _call(reference) if expected is Decision.CALL else None
    if expected_call is not None:
        same = call is not None and call.name == expected_call.name
        scores[ACTION_EXACT_MATCH] = float(same)
        scores[ARGUMENT_F1] = argument_f1(call.arguments, expected_call.arguments) if call and same else 0.0
    expected_answer = _answer(reference) if expected is Decision.CONCLUDE else None
    if expected_answer:
        scores[ROUGE_L] = rouge_l(answer or "", expected_answer).f
    return StepScore(
        reference=expected,
        prediction=predicted,
        tool=expected_call.name if expected_call else None,
        scores=scores,
    )


def _decision(turns: Sequence[Turn]) -> Decision:
    return next((turn.decision for turn in turns if isinstance(turn, Plan)), Decision.NONE)


def _call(turns: Sequence[Turn]) -> Call | None:
    return next((turn for turn in turns if isinstance(turn, Call) and turn.name), None)


def _answer(turns: Sequence[Turn]) -> str | None:
    """Return the answer, or None where it has nothing to compare: only white space and full stops."""
    text = next((turn.text for turn in turns if isinstance(turn, Answer)), "")
    return text if text.replace(".", "").strip() else None


def argument_f1(prediction: str, reference: str) -> float:
    """Compute the F1 of two argument texts, 0 to 1; symmetric.

    Both JSON objects: a shared key earns 1 with an equal value and 0.5 with another; precision is the sum over the
    predicted keys, recall over the reference's; two empty objects score 1. Values are compared as JSON: `true` is
    not 1, 1.0 is 1, NaN is NaN. Otherwise (a list, a number, broken JSON) only equal texts score 1, and the rest 0;
    the published script leaves out steps whose reference is broken.
    """
    predicted, expected = _decode_arguments(prediction), _decode_arguments(reference)
    if isinstance(predicted, str) or isinstance(expected, str):
        return float(predicted == expected)
    if not predicted and not expected:
        return 1.0
    shared = predicted.keys() & expected.keys()
    credit = sum(1.0 if predicted[key] == expected[key] else 0.5 for key in shared)
    return 2 * credit / (len(predicted) + len(expected))


def _decode_arguments(text: str) -> dict[str, str] | str:
    """Canonical JSON by argument; for anything but an object its canonical JSON, or the text itself."""
    try:
        value = cast("Json", json.loads(text, parse_float=_parse_float))
        if isinstance(value, dict):
            return {key: json.dumps(item, sort_keys=True) for key, item in value.items()}
        return json.dumps(value, sort_keys=True)
    except (ValueError, RecursionError):
        return text.strip()


def _parse_float(text: str) -> float | int:
    number = float(text)
    return int(number) if number.is_integer() else number


# --- over many steps --------------------------------------------------------------------------------------


def aggregate(steps: Sequence[StepScore], *, seed: int = 0) -> dict[str, Metric]:
    """Average every metric over the steps that it applies to, in the order of METRICS."""
    return {name: mean([step.scores[name] for step in steps if name in step.scores], seed=seed) for name in METRICS}


def mean(values: Sequence[float], *, seed: int = 0) -> Metric:
    """Mean of values from 0 to 1 with its 95 % interval; steps count as independent of each other.

    Where every value is 0 or 1, a fraction: the Wilson score interval (Wilson 1927), which does not shrink to a
    point where all steps agree. Otherwise the percentile bootstrap: 2,000 resamples of the steps, the same for a seed.
    Equal values in between leave nothing to resample and get Wilson's interval for their mean, too: no values from 0 to
    1 with that mean vary more than zeros and ones do.
    """
    if not values:
        return Metric(value=None, count=0, low=None, high=None)
    value = math.fsum(values) / len(values)
    every = np.asarray(values, dtype=np.float64)
    distinct, counts = np.unique(every, return_counts=True)
    if len(distinct) == 1 or set(distinct) == {0.0, 1.0}:
        low, high = _wilson(value, len(values))
        return Metric(value=value, count=len(values), low=low, high=high)
    rng = np.random.default_rng(seed)
    if len(distinct) <= _FEW:
        # How often each distinct value falls into a resample is multinomial: no need to draw step by step.
        means = rng.multinomial(len(values), counts / len(values), size=_RESAMPLES) @ distinct / len(values)
    else:
        means = np.array([every[rng.integers(len(every), size=len(every))].mean() for _ in range(_RESAMPLES)])
    low, high = np.quantile(means, [(1 - _LEVEL) / 2, (1 + _LEVEL) / 2])
    return Metric(value=value, count=len(values), low=float(low), high=float(high))


def mean_over_tasks(values: Mapping[str, float], task: Callable[[str], str], *, seed: int = 0) -> Metric:
    """Mean of values from 0 to 1 with a 95 % interval clustered by task. `task`: the task of each value.

    The percentile bootstrap over tasks, each with all its values, since those of one task vary together (Cameron and
    Miller 2015): 2,000 resamples, the same for a seed. Where every task has one value and that is 0 or 1, Wilson's.
    Tasks that all score the same leave nothing to resample: of n such, the fraction that would score otherwise is at
    most Wilson's for none of n, and may lie anywhere from 0 to 1.
    """
    scores: dict[str, list[float]] = {}
    for key, value in values.items():
        scores.setdefault(task(key), []).append(value)
    if not scores:
        return Metric(value=None, count=0, low=None, high=None)
    value = math.fsum(values.values()) / len(values)
    sums, counts = (np.array([each(one) for one in scores.values()], dtype=np.float64) for each in (math.fsum, len))
    if np.allclose(sums / counts, value, rtol=0, atol=_SAME):
        other = _wilson(0.0, len(scores))[1]
        low, high = value * (1 - other), value * (1 - other) + other
    elif len(scores) == len(values) and set(values.values()) == {0.0, 1.0}:
        low, high = _wilson(value, len(values))
    else:
        drawn = np.random.default_rng(seed).multinomial(len(scores), [1 / len(scores)] * len(scores), size=_RESAMPLES)
        low, high = np.quantile((drawn @ sums) / (drawn @ counts), [(1 - _LEVEL) / 2, (1 + _LEVEL) / 2])
    return Metric(value=value, count=len(values), low=float(low), high=float(high))


def _wilson(share: float, count: int) -> tuple[float, float]:
    """Wilson score interval: every fraction within z of its own standard errors of the observed one."""
    middle = share + _Z * _Z / (2 * count)
    half = _Z * math.sqrt(share * (1 - share) / count + (_Z / (2 * count)) ** 2)
    shrunk = 1 + _Z * _Z / count
    # Rounding may miss the ends 0 and 1, at which the exact bounds lie.
    return max(0.0, min(share, (middle - half) / shrunk)), min(1.0, max(share, (middle + half) / shrunk))


def confusion(steps: Iterable[StepScore]) -> dict[Decision, dict[Decision, int]]:
    """Confusion matrix of decisions: steps by (reference, predicted) pair; every pair has an entry."""
    counts = Counter((step.reference, step.prediction) for step in steps)
    return {expected: {predicted: counts[expected, predicted] for predicted in Decision} for expected in Decision}


@dataclass(frozen=True, slots=True, kw_only=True)
class ToolScore:
    """Scores of the steps whose reference calls one given tool."""

    count: int
    action_exact_match: float
    argument_f1: float
    hallucination_rate: float


def by_tool(steps: Iterable[StepScore]) -> dict[str, ToolScore]:
    """Average scores by the tool that the reference calls, the most frequent tool first."""
    groups: dict[str, list[StepScore]] = {}
    for step in steps:
        if step.tool is not None:
            groups.setdefault(step.tool, []).append(step)
    ordered = sorted(groups.items(), key=lambda item: (-len(item[1]), item[0]))
    return {tool: _tool_score(group) for tool, group in ordered}


def _tool_score(steps: Sequence[StepScore]) -> ToolScore:
    def average(metric: str) -> float:
        return math.fsum(step.scores[metric] for step in steps) / len(steps)

    return ToolScore(
        count=len(steps),
        action_exact_match=average(ACTION_EXACT_MATCH),
        argument_f1=average(ARGUMENT_F1),
        hallucination_rate=average(HALLUCINATION_RATE),
    )
