"""Pass rate, solvable pass rate and win rate as ToolEval's published scripts compute them from their result files."""

from __future__ import annotations

import statistics
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from alpha_umi.types import Reference

Labels = dict[str, dict[str, Any]]
"""By query id, under the published keys: what the published result files hold."""


def leader(counts: Mapping[str, Any], reference: str, candidate: str) -> str | None:
    """Return the system with more points; None for a tie."""
    if counts[reference] == counts[candidate]:
        return None
    return reference if counts[reference] > counts[candidate] else candidate


def published_pass_rate(labels: Mapping[str, Mapping[str, Any]]) -> float:
    """Fraction of queries with at least as many passes as failures: tied votes are a pass."""
    return sum(int(label["failed"]) <= int(label["passed"]) for label in labels.values()) / len(labels)


@dataclass(frozen=True, slots=True, kw_only=True)
class SolveRate:
    """Solvable pass rate over rounds, in percent, with the population's standard deviation."""

    rounds: tuple[float, ...]
    """Shares, not percent."""
    rate: float
    deviation: float


def published_solve_rate(labels: Mapping[str, Mapping[str, Any]], times: int) -> SolveRate:
    """StableToolBench's SoPR: solved 1, unsure 0.5, a missing round 0."""
    credit = {"AnswerStatus.Solved": 1.0, "AnswerStatus.Unsure": 0.5}
    by_query = [{int(time): status for time, status in label["is_solved"].items()} for label in labels.values()]
    rounds = [sum(credit.get(each.get(time, ""), 0.0) for each in by_query) / len(by_query) for time in range(times)]
    return SolveRate(
        rounds=tuple(rounds), rate=sum(rounds) / len(rounds) * 100, deviation=statistics.pstdev(rounds) * 100
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class WinRate:
    """Fractions of queries won, lost and tied."""

    win: float
    lose: float
    tie: float


def published_win_rate(prefer: Mapping[str, Mapping[str, Any]], reference: str, candidate: str) -> WinRate:
    """Win rate of the candidate over the reference, by points per query."""
    leaders = [leader(counts, reference, candidate) for counts in prefer.values()]
    return WinRate(
        win=leaders.count(candidate) / len(leaders),
        lose=leaders.count(reference) / len(leaders),
        tie=leaders.count(None) / len(leaders),
    )


def published_summary(version: Reference, test_set: str, model: str, labels: Labels, times: int) -> str:
    """Format the lines that the published pass script prints for one test set."""
    if version is not Reference.STABLE:
        return f"Test set: {test_set}. Model: {model}. Pass rate: {published_pass_rate(labels)}"
    solved = published_solve_rate(labels, times)
    rates = f"Solve rate: {solved.rate:.1f}% Std: {solved.deviation:.1f}%"
    return f"Test set: {test_set}. Model: {model}.\n{rates}"


def published_win_summary(test_set: str, names: tuple[str, str], prefer: Labels) -> str:
    """Format the lines that the published preference script prints for one test set."""
    rates = published_win_rate(prefer, *names)
    return (
        f"Test set: {test_set}. Reference model: {names[0]}, Candidate model: {names[1]}. "
        f"Win rate: {rates.win}, Tie rate: {rates.tie}"
    )
