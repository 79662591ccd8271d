"""Decision flow of a judge: the sequence of questions about one answer, or about a pair of answers.

    answer status -> (unsure) check against the steps -> (not solved) can the task be solved at all

An unreadable reply is asked for again, up to a limit, then counts as unsure; every reply goes to the record, and a
question with a recorded reply is not asked again.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol, cast

from alpha_umi.errors import DataError
from alpha_umi.formats.prompts.judging import Case, Evaluator, Question, Reply, final_text, read_reply, tool_steps
from alpha_umi.judging.verdicts import (
    AnswerStatus,
    Comparison,
    Outcome,
    PassVerdict,
    Preference,
    TaskStatus,
    Vote,
    decided,
)
from alpha_umi.protocols import Model
from alpha_umi.types import Json, Message, Sampling


class Record(Protocol):
    """Store of judge replies by key."""

    def find(self, key: str) -> Mapping[str, Json] | None: ...

    def keep(self, key: str, row: Mapping[str, Json]) -> None: ...


class Memory:
    """In-memory record of replies; ends with the process."""

    def __init__(self) -> None:
        self.rows: dict[str, Mapping[str, Json]] = {}

    def find(self, key: str) -> Mapping[str, Json] | None:
        return self.rows.get(key)

    def keep(self, key: str, row: Mapping[str, Json]) -> None:
        self.rows[key] = row


@dataclass(frozen=True, slots=True, kw_only=True)
class Ruling:
    """Verdict on one question, with its reason."""

    verdict: str | None
    """None: no reply held one."""
    reason: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Judge:
    """Judge model with its prompts, sampling and record of replies."""

    name: str
    """Key of this judge in the record: model and settings."""
    model: Callable[[Question], Model] | None
    """By question, as each may be constrained to its own schema. None: verdicts come from the record alone."""
    evaluator: Evaluator
    sampling: Sampling = field(default_factory=Sampling)
    attempts: int = 3
    """Unreadable replies to a question before it counts as Unsure."""
    record: Record = field(default_factory=Memory)
    slots: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(8))
    """Limit of concurrent questions."""

    async def ask(self, question: Question, cases: Sequence[Case], vote: int) -> Ruling:
        """Rule on a question for one vote, from the record if it has a reply. Raises ModelError for a failed model."""
        prompt = self.evaluator.ask(question, cases)
        digest = hashlib.sha256(prompt[-1].content.encode(errors="surrogatepass")).hexdigest()
        key = f"{self.name}/{self.evaluator.name}-{self.evaluator.fingerprint}/{question.value}/{digest}/{vote}"
        found = self.record.find(key)
        if found is not None:
            return _rule(question, cast("Sequence[str]", found["replies"]))
        if self.model is None:
            raise DataError(
                f"the ledger has no reply to {question.value} (prompt {digest[:12]}, vote {vote + 1}); "
                "run 'judge pass' or 'judge win' again with the judge to fill it"
            )
        async with self.slots:
            replies = await self._ask(self.model(question), question, prompt, vote)
        ruling = _rule(question, replies)
        row: dict[str, Json] = {
            "judge": self.name,
            "evaluator": f"{self.evaluator.name}-{self.evaluator.fingerprint}",
            "question": question.value,
            "prompt_sha256": digest,
            "vote": vote,
            "replies": list[Json](replies),
            "verdict": ruling.verdict,
        }
        self.record.keep(key, row)
        return ruling

    async def _ask(self, model: Model, question: Question, prompt: tuple[Message, ...], vote: int) -> list[str]:
        settings = self.sampling
        if settings.temperature > 0:
            seed = (settings.seed or 0) + vote
            settings = Sampling(
                temperature=settings.temperature, top_p=settings.top_p, max_tokens=settings.max_tokens, seed=seed
            )
        replies: list[str] = []
        asked = prompt
        for _ in range(self.attempts):
            replies.append((await model.complete(asked, settings)).text)
            if read_reply(question, replies[-1]) is not None:
                break
            asked = self.evaluator.ask_again(prompt, replies[-1])
        return replies


def _rule(question: Question, replies: Sequence[str]) -> Ruling:
    found: Reply | None = read_reply(question, replies[-1]) if replies else None
    if found is None:
        return Ruling(verdict=None, reason=f"no verdict in {len(replies)} replies")
    return Ruling(verdict=found.verdict, reason=found.reason)


# --- one answer -------------------------------------------------------------------------------------------


async def check_answer(judge: Judge, case: Case, vote: int) -> tuple[AnswerStatus, str, int]:
    """Judge the answer's status: (status, reason, number of questions without a readable reply)."""
    ruling = await judge.ask(Question.ANSWER, [case], vote)
    nonsense = ruling.verdict is None
    if ruling.verdict not in (None, AnswerStatus.UNSURE):
        return AnswerStatus(ruling.verdict), ruling.reason, 0
    ruling = await judge.ask(Question.STEPS, [case], vote)
    status = AnswerStatus(ruling.verdict or AnswerStatus.UNSURE)
    return status, ruling.reason, nonsense + (ruling.verdict is None)


async def check_task(judge: Judge, case: Case, vote: int) -> tuple[TaskStatus, str, int]:
    """Judge whether the task can be solved with its tools."""
    ruling = await judge.ask(Question.TASK, [case], vote)
    return TaskStatus(ruling.verdict or TaskStatus.UNSURE), ruling.reason, int(ruling.verdict is None)


async def vote_pass(judge: Judge, case: Case, vote: int, *, solvable: bool) -> Vote:
    """Cast one vote. An answer without text is unsolved without a question; one without an end fails, as published."""
    steps = tool_steps(case)
    if not final_text(case) and (not steps or steps[-1].get("name") != "Finish"):
        reason = "the agent neither answered nor gave up"
        return Vote(answer=AnswerStatus.UNSOLVED, task=TaskStatus.SOLVABLE, reason=reason)
    if final_text(case):
        status, reason, nonsense = await check_answer(judge, case, vote)
    else:
        status, reason, nonsense = AnswerStatus.UNSOLVED, "there is no answer", 0
    if solvable or status is AnswerStatus.SOLVED:
        return Vote(answer=status, task=TaskStatus.SOLVABLE, reason=reason, nonsense=nonsense)
    task, why, more = await check_task(judge, case, vote)
    return Vote(answer=status, task=task, reason=f"{reason} / {why}", nonsense=nonsense + more)


async def judge_pass(judge: Judge, case: Case, votes: int, *, solvable: bool = False) -> PassVerdict:
    """Collect votes on one answer until the remaining ones cannot change the majority.

    `solvable`: the task is known to be, so that question is skipped, and all votes are cast: SoPR is a mean over them.
    """
    cast_votes: list[Vote] = []
    while not (len(cast_votes) >= votes if solvable else _settled([vote.outcome for vote in cast_votes], votes)):
        cast_votes.append(await vote_pass(judge, case, len(cast_votes), solvable=solvable))
    return PassVerdict(votes=tuple(cast_votes))


def _settled(outcomes: Sequence[Outcome], limit: int) -> bool:
    """Tell whether no further vote can change the majority of passes or failures; unsure votes count for neither."""
    left = limit - len(outcomes)
    lead = abs(outcomes.count(Outcome.PASSED) - outcomes.count(Outcome.FAILED))
    return left <= 0 or lead > left


# --- two answers ------------------------------------------------------------------------------------------


async def judge_pair(judge: Judge, cases: tuple[Case, Case], votes: int) -> Comparison:
    """Compare reference and candidate: each vote asks in both orders, and disagreement is a tie."""
    reference, candidate = cases
    if _same(reference, candidate):
        return Comparison(votes=(Preference.TIE,), reason="the answers are the same")
    cast_votes: list[Preference] = []
    nonsense, reason = 0, ""
    while not decided(cast_votes, votes):
        vote = len(cast_votes)
        one = await judge.ask(Question.BETTER, [reference, candidate], vote)
        other = await judge.ask(Question.BETTER, [candidate, reference], vote)
        nonsense += (one.verdict is None) + (other.verdict is None)
        reason = one.reason
        match one.verdict, other.verdict:
            case "0", "1":
                cast_votes.append(Preference.REFERENCE)
            case "1", "0":
                cast_votes.append(Preference.CANDIDATE)
            case _:
                cast_votes.append(Preference.TIE)
    return Comparison(votes=tuple(cast_votes), reason=reason, nonsense=nonsense)


def settled_by_passes(reference: PassVerdict, candidate: PassVerdict) -> Preference | None:
    """Order two verdicts as ToolEval does before comparing: passed over failed, then solved, unsure, unsolved."""
    passes = (Outcome.FAILED, Outcome.UNSURE, Outcome.PASSED)
    statuses = (AnswerStatus.UNSOLVED, AnswerStatus.UNSURE, AnswerStatus.SOLVED)
    clear = Outcome.UNSURE not in (reference.outcome, candidate.outcome)
    ours = (passes.index(reference.outcome) if clear else 0, statuses.index(reference.answer))
    theirs = (passes.index(candidate.outcome) if clear else 0, statuses.index(candidate.answer))
    if ours == theirs:
        return None
    return Preference.REFERENCE if ours > theirs else Preference.CANDIDATE


def _same(one: Case, other: Case) -> bool:
    return json.dumps(_said(one), sort_keys=True) == json.dumps(_said(other), sort_keys=True)


def _said(case: Case) -> list[Json]:
    return [case.answer.get("final_answer"), case.answer.get("answer_details")]
