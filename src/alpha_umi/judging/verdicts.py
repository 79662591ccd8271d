"""Verdict types (answer status, task status, outcome, preference) and ToolEval's rules that combine votes."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import TypeVar

_Value = TypeVar("_Value", bound=StrEnum)


class AnswerStatus(StrEnum):
    """Status of an answer: solved, unsolved or unsure."""

    SOLVED = "Solved"
    UNSOLVED = "Unsolved"
    UNSURE = "Unsure"


class TaskStatus(StrEnum):
    """Status of a task: solvable, unsolvable or unsure."""

    SOLVABLE = "Solvable"
    UNSOLVABLE = "Unsolvable"
    UNSURE = "Unsure"


class Outcome(StrEnum):
    """Outcome of an answer: passed, failed or unsure (undecided; the published code then draws at random)."""

    PASSED = "passed"
    FAILED = "failed"
    UNSURE = "unsure"


class Preference(StrEnum):
    """Preferred answer of a pair: reference, candidate or neither."""

    REFERENCE = "reference"
    CANDIDATE = "candidate"
    TIE = "tie"


def outcome(answer: AnswerStatus, task: TaskStatus) -> Outcome:
    """Outcome of two statuses: any answer passes a task that cannot be solved; else solved passes, unsolved fails."""
    if answer is AnswerStatus.SOLVED or task is TaskStatus.UNSOLVABLE:
        return Outcome.PASSED
    if answer is AnswerStatus.UNSOLVED and task is TaskStatus.SOLVABLE:
        return Outcome.FAILED
    return Outcome.UNSURE


@dataclass(frozen=True, slots=True, kw_only=True)
class Vote:
    """One run of the decision flow over one answer."""

    answer: AnswerStatus
    task: TaskStatus
    reason: str = ""
    nonsense: int = 0
    """Questions to which no reply held a verdict; each counts as Unsure."""

    @property
    def outcome(self) -> Outcome:
        """Outcome of this vote."""
        return outcome(self.answer, self.task)


@dataclass(frozen=True, slots=True, kw_only=True)
class PassVerdict:
    """All votes on one answer."""

    votes: tuple[Vote, ...]

    @property
    def outcome(self) -> Outcome:
        """Majority outcome; UNSURE where passes and failures balance."""
        count = Counter(vote.outcome for vote in self.votes)
        passed, failed = count[Outcome.PASSED], count[Outcome.FAILED]
        return Outcome.UNSURE if passed == failed else Outcome.PASSED if passed > failed else Outcome.FAILED

    @property
    def answer(self) -> AnswerStatus:
        """Most frequent answer status; UNSURE between equals."""
        return _most([vote.answer for vote in self.votes]) or AnswerStatus.UNSURE

    @property
    def task(self) -> TaskStatus:
        """Most frequent task status; UNSURE between equals."""
        return _most([vote.task for vote in self.votes]) or TaskStatus.UNSURE


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """All votes on one pair of answers."""

    votes: tuple[Preference, ...]
    reason: str = ""
    nonsense: int = 0

    @property
    def preference(self) -> Preference:
        """Answer with more votes than any other; else a tie."""
        return _most(self.votes) or Preference.TIE


def _most(values: Sequence[_Value]) -> _Value | None:
    """Most frequent value; None between equals."""
    ranked = Counter(values).most_common(2)
    return None if len(ranked) == 2 and ranked[0][1] == ranked[1][1] else ranked[0][0]


def decided(votes: Sequence[StrEnum], limit: int) -> bool:
    """Tell whether the most frequent value is settled, i.e. no further vote, of `limit` in all, can change it."""
    ranked = [count for _, count in Counter(votes).most_common()]
    first, second = [*ranked, 0, 0][:2]
    return len(votes) >= limit or first > second + limit - len(votes)
