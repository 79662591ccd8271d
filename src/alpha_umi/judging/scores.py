"""Scores from verdicts: pass rate, SoPR, win rate, SoWR, with intervals and paired significance tests. Pure.

A rate's interval is the 95 % bootstrap over queries. SoPR and SoWR are StableToolBench's: the fraction of queries
judged solved (unsure counts half), and the fraction of queries on which the candidate beats the reference.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

from alpha_umi.evaluation.metrics import Metric, mean
from alpha_umi.judging.verdicts import AnswerStatus, Comparison, Outcome, PassVerdict, Preference

_OUTCOME = {Outcome.PASSED: 1.0, Outcome.UNSURE: 0.5, Outcome.FAILED: 0.0}
_STATUS = {AnswerStatus.SOLVED: 1.0, AnswerStatus.UNSURE: 0.5, AnswerStatus.UNSOLVED: 0.0}


@dataclass(frozen=True, slots=True, kw_only=True)
class PassScores:
    """Pass rates of one system over one set of queries. A query without an answer fails."""

    pass_rate: Metric
    """Queries that pass by most votes; where votes balance, half."""
    sopr: Metric
    """Mean answer status over votes, then over queries. Meant for sets of solvable queries, with all votes cast."""
    unsure: int
    """Queries whose votes balance."""
    missing: int
    nonsense: int
    """Questions that the judge never answered with a verdict."""
    votes: int


def score_passes(verdicts: Mapping[str, PassVerdict], missing: Collection[str] = ()) -> PassScores:
    """Aggregate verdicts by query id; `missing`: queries without an answer."""
    outcomes = [verdict.outcome for verdict in verdicts.values()]
    statuses = [
        math.fsum(_STATUS[vote.answer] for vote in verdict.votes) / len(verdict.votes) for verdict in verdicts.values()
    ]
    votes = [vote for verdict in verdicts.values() for vote in verdict.votes]
    none = [0.0] * len(missing)
    return PassScores(
        pass_rate=mean([_OUTCOME[each] for each in outcomes] + none),
        sopr=mean(statuses + none),
        unsure=outcomes.count(Outcome.UNSURE),
        missing=len(missing),
        nonsense=sum(vote.nonsense for vote in votes),
        votes=len(votes),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class WinScores:
    """Win rates of a candidate against a reference over one set of queries."""

    win: Metric
    """SoWR, on sets of solvable queries."""
    tie: Metric
    lose: Metric
    preference: Metric
    """Wins and half the ties: 0.5 says that neither is better."""
    p_value: float | None
    """Exact sign test over the queries that are no tie; None where all are."""
    nonsense: int


def score_wins(comparisons: Mapping[str, Comparison]) -> WinScores:
    """Aggregate comparisons by query id."""
    preferences = [comparison.preference for comparison in comparisons.values()]

    def share(credit: Mapping[Preference, float]) -> Metric:
        return mean([credit.get(preference, 0.0) for preference in preferences])

    count = Counter(preferences)
    return WinScores(
        win=share({Preference.CANDIDATE: 1.0}),
        tie=share({Preference.TIE: 1.0}),
        lose=share({Preference.REFERENCE: 1.0}),
        preference=share({Preference.CANDIDATE: 1.0, Preference.TIE: 0.5}),
        p_value=sign_test(count[Preference.CANDIDATE], count[Preference.REFERENCE]),
        nonsense=sum(comparison.nonsense for comparison in comparisons.values()),
    )


# --- two systems on the same queries ----------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class McNemar:
    """McNemar's test on paired passes and failures of two systems; queries with an unsure outcome are left out."""

    both: int
    first_only: int
    second_only: int
    neither: int
    p_value: float | None
    """Exact, two-sided; None where the two never differ."""


def mcnemar(first: Mapping[str, Outcome], second: Mapping[str, Outcome]) -> McNemar:
    """Compute McNemar's test of two systems' outcomes by query id."""
    clear = (Outcome.PASSED, Outcome.FAILED)
    pairs = Counter(
        (first[key], second[key]) for key in first if key in second and first[key] in clear and second[key] in clear
    )
    first_only, second_only = pairs[Outcome.PASSED, Outcome.FAILED], pairs[Outcome.FAILED, Outcome.PASSED]
    return McNemar(
        both=pairs[Outcome.PASSED, Outcome.PASSED],
        first_only=first_only,
        second_only=second_only,
        neither=pairs[Outcome.FAILED, Outcome.FAILED],
        p_value=sign_test(first_only, second_only),
    )


def sign_test(wins: int, losses: int) -> float | None:
    """Two-sided probability of a split at least as uneven, were both sides equally likely."""
    count = wins + losses
    if count == 0:
        return None
    tail = sum(math.comb(count, k) for k in range(min(wins, losses) + 1))
    return min(1.0, 2 * tail / 2**count)


# --- a judge and people -----------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class Agreement:
    """Agreement of verdicts with labels, on the queries that have both."""

    agreement: Metric
    kappa: float | None
    """Cohen's: 1 is agreement in all, 0 what chance gives; None where both use one label only."""


def agree(verdicts: Mapping[str, str], labels: Mapping[str, str]) -> Agreement:
    """Compute the agreement of verdicts with labels."""
    pairs = [(verdicts[key], labels[key]) for key in verdicts if key in labels]
    return Agreement(agreement=mean([float(a == b) for a, b in pairs]), kappa=_kappa(pairs))


def _kappa(pairs: Sequence[tuple[str, str]]) -> float | None:
    if not pairs:
        return None
    count = len(pairs)
    ours, theirs = Counter(a for a, _ in pairs), Counter(b for _, b in pairs)
    seen = sum(a == b for a, b in pairs) / count
    chance = sum(ours[label] * theirs[label] for label in ours) / count**2
    return None if chance == 1.0 else (seen - chance) / (1 - chance)
