"""The words of a verdict, and what follows from them (ToolEval's tables)."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import TypeVar

_Value = TypeVar("_Value", bound=StrEnum)


class AnswerStatus(StrEnum):
    SOLVED = "Solved"
    UNSOLVED = "Unsolved"
    UNSURE = "Unsure"


class TaskStatus(StrEnum):
    SOLVABLE = "Solvable"
    UNSOLVABLE = "Unsolvable"
    UNSURE = "Unsure"


class Outcome(StrEnum):
    """Whether an answer passes. UNSURE: the judge cannot say; the published code then tosses a coin."""

    PASSED = "passed"
    FAILED = "failed"
    UNSURE = "unsure"


class Preference(StrEnum):
    REFERENCE = "reference"
    CANDIDATE = "candidate"
    TIE = "tie"


def outcome(answer: AnswerStatus, task: TaskStatus) -> Outcome:
    """A task that cannot be solved is passed by any answer; else a solution passes and a failure fails."""
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
        return outcome(self.answer, self.task)


@dataclass(frozen=True, slots=True, kw_only=True)
class PassVerdict:
    """All votes on one answer."""

    votes: tuple[Vote, ...]

    @property
    def outcome(self) -> Outcome:
        """What most votes say; UNSURE where passes and failures balance."""
        count = Counter(vote.outcome for vote in self.votes)
        passed, failed = count[Outcome.PASSED], count[Outcome.FAILED]
        return Outcome.UNSURE if passed == failed else Outcome.PASSED if passed > failed else Outcome.FAILED

    @property
    def answer(self) -> AnswerStatus:
        """The most frequent answer status; UNSURE between equals."""
        return _most([vote.answer for vote in self.votes]) or AnswerStatus.UNSURE

    @property
    def task(self) -> TaskStatus:
        return _most([vote.task for vote in self.votes]) or TaskStatus.UNSURE


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """All votes on one pair of answers."""

    votes: tuple[Preference, ...]
    reason: str = ""
    nonsense: int = 0

    @property
    def preference(self) -> Preference:
        """The one with more votes than any other; else a tie."""
        return _most(self.votes) or Preference.TIE


def _most(values: Sequence[_Value]) -> _Value | None:
    """The most frequent value; None between equals."""
    ranked = Counter(values).most_common(2)
    return None if len(ranked) == 2 and ranked[0][1] == ranked[1][1] else ranked[0][0]


def decided(votes: Sequence[StrEnum], limit: int) -> bool:
    """Whether no further vote, of `limit` in all, can change which value most votes have."""
    ranked = [count for _, count in Counter(votes).most_common()]
    first, second = [*ranked, 0, 0][:2]
    return len(votes) >= limit or first > second + limit - len(votes)
