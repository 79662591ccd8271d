"""Reference implementation of ToolEval's published runs, mistakes included, for comparison with published tables.

Verdicts come from our judge; random choices are drawn as one published thread draws them (seed 42,
`--max_eval_threads 1`): with more threads the published results depend on their timing. Where the published code ends
in an exception the run goes on, and a note says so. `flow` and `scores` have the correct evaluation.
"""

from __future__ import annotations

import asyncio
import json
import random
import re
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar, cast

from alpha_umi.formats.prompts.judging import Case, Question
from alpha_umi.judging.flow import Judge, check_answer, check_task
from alpha_umi.judging.reference_convert import SEED
from alpha_umi.judging.reference_rates import Labels, leader
from alpha_umi.judging.verdicts import AnswerStatus, Outcome, TaskStatus, outcome
from alpha_umi.types import Json, Reference

TEST_SETS = ("G1_instruction", "G1_category", "G1_tool", "G2_instruction", "G2_category", "G3_instruction")
"""Test sets in the order of the published scripts, which draw from one random stream for all."""

_SHOWN = 1000
"""Characters of a final answer that the published comparison keeps."""
_NAME = re.compile(r"'name':\s*'(.*?)'", re.DOTALL)
_STABLE_COLUMNS = (
    "query",
    "available_tools",
    "model_intermediate_steps",
    "model_final_step",
    "model",
    "query_id",
    "is_solved",
)
_PASS_COLUMNS = (
    "query",
    "solvable",
    *_STABLE_COLUMNS[1:],
    "pass_rate_label",
    "reason",
    "not_hallucinate",
)
_WIN_COLUMNS = (
    "query",
    "available_tools",
    "ref_model_intermediate_steps",
    "ref_model_final_step",
    "output_model_intermediate_steps",
    "output_model_final_step",
    "preference_label",
    "query_id",
    "ref_model",
    "output_model",
)
Rows = list[list[str]]
_In = TypeVar("_In")
_Out = TypeVar("_Out")


async def each(items: Iterable[_In], work: Callable[[_In], Awaitable[_Out]], workers: int) -> list[_Out]:
    """Run `work` on all items and return the results in their order; one worker goes strictly one by one. The first
    error ends it.
    """
    waiting = list(enumerate(items))
    results: dict[int, _Out] = {}
    queue = iter(waiting)

    async def take() -> None:
        for number, item in queue:
            results[number] = await work(item)

    try:
        async with asyncio.TaskGroup() as group:
            for _ in range(min(workers, len(waiting))):
                group.create_task(take())
    except BaseExceptionGroup as errors:
        raise errors.exceptions[0] from None
    return [results[number] for number, _ in waiting]


@dataclass(slots=True, kw_only=True)
class PublishedRun:
    """One start of a published script; its sets share one random stream."""

    version: Reference
    judge: Judge
    workers: int = 1
    notes: list[str] = field(default_factory=list[str])
    _rng: random.Random = field(init=False)

    def __post_init__(self) -> None:
        self._rng = random.Random(SEED)  # noqa: S311
        for _ in range(2):  # drawn while the script starts
            self._draw_evaluator()

    def _draw_evaluator(self) -> None:
        self._rng.choice((0,))

    # --- pass rate ------------------------------------------------------------------------------------

    async def passes(self, cases: Mapping[str, Case], times: int) -> Labels:
        """Judge one test set; the result is its published JSON."""
        stable = self.version is Reference.STABLE
        checked = {key: (case, True) if stable else _check_names(case) for key, case in cases.items()}
        runs = [(key, time) for key in cases for time in range(times)]

        async def run(item: tuple[str, int]) -> _Run:
            return await self._run_once(checked[item[0]][0], item[1])

        results = await each(runs, run, self.workers)
        labels: Labels = {}
        for (key, time), result in zip(runs, results, strict=True):
            self._draw_evaluator()
            case, known = checked[key]
            if result.nonsense:
                self.notes.append(f"{key}: the published script ends here (no verdict in the reply); counted as Unsure")
            if stable:
                _add_solved(labels, key, case, time, result)
            else:
                self._add_label(labels, key, case, result, known=known)
        return labels

    async def _run_once(self, case: Case, time: int) -> _Run:
        final_step = get_steps(case)[1]
        if "'name': 'Finish'" not in final_step:
            return _Run(answer=AnswerStatus.UNSOLVED, task=TaskStatus.SOLVABLE, reason="No answer", finished=False)
        final = case.answer.get("final_answer", "")
        if final == "" or "give_up_and_restart" in str(final):
            status, why, nonsense = AnswerStatus.UNSOLVED, "Empty final answer!", 0
        else:
            status, why, nonsense = await check_answer(self.judge, case, time)
        if self.version is Reference.STABLE:
            return _Run(answer=status, task=TaskStatus.SOLVABLE, reason=why, nonsense=nonsense)
        if status is AnswerStatus.SOLVED:
            task, also, more = TaskStatus.SOLVABLE, "Task has been solved before.", 0
        else:
            task, also, more = await check_task(self.judge, case, time)
        reason = f"Is solved: {why}\nTask solvable: {also}"
        return _Run(answer=status, task=task, reason=reason, nonsense=nonsense + more)

    def _add_label(self, labels: Labels, key: str, case: Case, run: _Run, *, known: bool) -> None:
        result = outcome(run.answer, run.task)
        if not run.finished:
            result = Outcome.FAILED
        elif result is Outcome.UNSURE:
            result = Outcome.PASSED if self._rng.random() < 0.5 else Outcome.FAILED
        label = labels.setdefault(key, {"passed": 0, "failed": 0})
        label[result.value] += 1
        steps, final_step = get_steps(case)
        label |= {
            "query": case.query,
            "task_solvable": f"TaskStatus.{run.task.value}",
            "tool_names": _tool_names(case),
            "answer_steps": steps,
            "final_step": final_step,
            "is_solved": f"AnswerStatus.{run.answer.value}",
            "reason": run.reason,
            "not_hallucinate": known,
        }
        labels[key] = label

    def pass_rows(self, labels: Labels, model: str) -> Rows:
        """Build the published pass table of one test set; ties between votes are broken at random."""
        if self.version is Reference.STABLE:
            return [list(_STABLE_COLUMNS), *(_stable_row(key, label, model) for key, label in labels.items())]
        rows: Rows = [list(_PASS_COLUMNS)]
        for key, label in labels.items():
            passed, failed = label["passed"], label["failed"]
            won = passed > failed if passed != failed else self._rng.random() < 0.5
            rows.append(
                [
                    label["query"],
                    label["task_solvable"],
                    str(label["tool_names"]),
                    label["answer_steps"],
                    label["final_step"],
                    model,
                    key,
                    str(label["is_solved"]),
                    "passed" if won else "failed",
                    label["reason"],
                    str(label["not_hallucinate"]),
                ]
            )
        return rows

    # --- preference -----------------------------------------------------------------------------------

    async def prefers(self, ids: Sequence[str], pair: Pair, times: int) -> Labels:
        """Compare two systems on one test set; the result is its published JSON, with pass results taken over
        (`--use_pass_rate true`).
        """
        prefer: Labels = {}
        if times > 1 and self.version is not Reference.STABLE:
            self.notes.append(
                "the published script ends at its second round (KeyError: 'round_1'); went on as in the first"
            )
        for time in range(times):
            for key in ids:
                counts = prefer.setdefault(key, {pair.reference_name: 0, pair.candidate_name: 0})
                counts.setdefault(f"round_{time}", "incomplete")
            for key in ids:
                await self._prefer_once(prefer[key], key, pair, time)
        return prefer

    async def _prefer_once(self, counts: dict[str, Any], key: str, pair: Pair, time: int) -> None:
        winner = self._by_label(key, pair)
        if winner is not None:
            counts[winner] += 1
            return
        reference, candidate = pair.reference.get(key), pair.candidate.get(key)
        if reference is None or candidate is None:
            counts[pair.candidate_name if reference is None else pair.reference_name] += 1
            return
        self._draw_evaluator()
        order = [0, 1]
        self._rng.shuffle(order)
        shown = [_shown(each, tools=reference.tools) for each in (reference, candidate)]
        chosen = await self._choose(key, [shown[at] for at in order], pair, time)
        counts[f"round_{time}"] = "complete"
        if chosen is not None:
            counts[pair.reference_name if order.index(chosen) == 0 else pair.candidate_name] += 1

    def _by_label(self, key: str, pair: Pair) -> str | None:
        first, second = pair.reference_passes.get(key), pair.candidate_passes.get(key)
        if first is None or second is None or self.version is Reference.STABLE:
            return None  # the later version looks for a status and finds the text of a dict
        labels = first.get("pass_rate_label"), second.get("pass_rate_label")
        if labels == ("passed", "failed"):
            return pair.reference_name
        return pair.candidate_name if labels == ("failed", "passed") else None

    async def _choose(self, key: str, shown: Sequence[Case], pair: Pair, time: int) -> int | None:
        """Index of the better of the two as shown; None where the judge names none."""
        statuses, task = self._recorded(key, pair)
        if statuses is None:
            statuses = [await self._status(case, 2 * time + at) for at, case in enumerate(shown)]
        for status in (AnswerStatus.SOLVED, AnswerStatus.UNSURE):
            having = [at for at, each in enumerate(statuses) if each is status]
            if len(having) == 1:
                return having[0]
            if having:
                break
        if task is None and AnswerStatus.SOLVED not in statuses:
            await check_task(self.judge, shown[0], time)  # asked, and its answer never used
        return await self._select(key, shown, time)

    def _recorded(self, key: str, pair: Pair) -> tuple[list[AnswerStatus] | None, str | None]:
        """Statuses in the order reference, candidate, independent of the order in which the answers are shown."""
        first, second = pair.reference_passes.get(key), pair.candidate_passes.get(key)
        if first is None or second is None:
            return None, None
        found = [row.get("is_solved", "").removeprefix("AnswerStatus.") for row in (first, second)]
        task = first.get("solvable", "").removeprefix("TaskStatus.")
        if any(each not in list(AnswerStatus) for each in found) or task not in list(TaskStatus):
            return None, None
        return [AnswerStatus(each) for each in found], task

    async def _status(self, case: Case, vote: int) -> AnswerStatus:
        final = str(case.answer["final_answer"])
        if final == "" or "give_up_and_restart" in final:
            return AnswerStatus.UNSOLVED
        return (await check_answer(self.judge, case, vote))[0]

    async def _select(self, key: str, shown: Sequence[Case], time: int) -> int | None:
        first, second = (case.answer for case in shown)
        same_words = first["final_answer"] == second["final_answer"]
        if same_words and str(first["answer_details"]) == str(second["answer_details"]):
            return self._rng.choice([0, 1])
        ruling = await self.judge.ask(Question.BETTER, shown, time)
        if ruling.verdict is None:
            self.notes.append(f"{key}: the published script ends here (no index in the reply); no system gets a point")
            return None
        return int(ruling.verdict)

    def prefer_rows(self, prefer: Labels, pair: Pair) -> Rows:
        """Build the published preference table of one test set."""
        rows: Rows = [list(_WIN_COLUMNS)]
        for key, counts in prefer.items():
            reference, candidate = pair.reference.get(key), pair.candidate.get(key)
            if reference is None or candidate is None:
                self.notes.append(
                    f"{key}: the published script ends here (KeyError: '{key}', no answer); left out of the table"
                )
                continue
            names = pair.reference_name, pair.candidate_name
            label = {names[0]: "1", names[1]: "2", None: "3"}[leader(counts, *names)]
            said = [*get_steps(reference), *get_steps(candidate)]
            rows.append([reference.query, str(_tool_names(reference)), *said, label, key, *names])
        return rows


@dataclass(frozen=True, slots=True, kw_only=True)
class Pair:
    """Two systems on one test set, with the rows of their pass tables by query id."""

    reference_name: str
    candidate_name: str
    reference: Mapping[str, Case]
    candidate: Mapping[str, Case]
    reference_passes: Mapping[str, Mapping[str, str]]
    candidate_passes: Mapping[str, Mapping[str, str]]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Run:
    answer: AnswerStatus
    task: TaskStatus
    reason: str
    finished: bool = True
    nonsense: int = 0


def _add_solved(labels: Labels, key: str, case: Case, time: int, run: _Run) -> None:
    steps, final_step = get_steps(case)
    label = labels.setdefault(key, {})
    label |= {
        "query": case.query,
        "tool_names": _tool_names(case),
        "answer_steps": steps,
        "final_step": final_step,
        "is_solved": {**label.get("is_solved", {}), time: f"AnswerStatus.{run.answer.value}"},
    }


def _stable_row(key: str, label: Mapping[str, Any], model: str) -> list[str]:
    told = [str(label[name]) for name in ("query", "tool_names", "answer_steps", "final_step")]
    return [*told, model, key, str(label["is_solved"])]


# --- what the published code shows ------------------------------------------------------------------------


def get_steps(case: Case) -> tuple[str, str]:
    """Format the tool calls as numbered lines, and the last one again."""
    lines: list[str] = []
    final = ""
    details = case.answer.get("answer_details")
    while isinstance(details, list) and details and isinstance(details[0], dict):
        node = details[0]
        if node.get("message") and node.get("role") == "tool":
            lines.append(f"Step {len(lines) + 1}: {node['message']}")
            final = f"Final step: {node['message']}"
        details = node.get("next")
    return "\n".join(lines), final


def _tool_names(case: Case) -> list[str]:
    names: list[str] = []
    for tool in case.tools:
        inner = tool.get("function", tool) if isinstance(tool, dict) else None
        names.append(str(inner.get("name", "")) if isinstance(inner, dict) else "")
    return names


def _check_names(case: Case) -> tuple[Case, bool]:
    """Check that every call names an offered tool. Leaves messages as text, up to the first call that does not."""
    details: Any = json.loads(json.dumps(case.answer.get("answer_details")))
    try:
        offered = {tool["name"] for tool in cast("Sequence[Any]", case.tools)}
        known = _check_nodes(details, offered)
    except (KeyError, IndexError, TypeError, ValueError):
        known = True
    return Case(query=case.query, tools=case.tools, answer={**case.answer, "answer_details": details}), known


def _check_nodes(nodes: Any, offered: set[str]) -> bool:
    for node in nodes:
        if node["role"] == "tool":
            if isinstance(node["message"], dict):
                node["message"] = str(node["message"])
            if _NAME.findall(node["message"])[0] not in offered:
                return False
        if not _check_nodes(node["next"], offered):
            return False
    return True


def _shown(case: Case, tools: Sequence[Json]) -> Case:
    """An answer as the published comparison shows it: without the method, text cut, tools reduced to names."""
    answer = {key: value for key, value in case.answer.items() if key != "method"}
    answer["final_answer"] = str(answer.get("final_answer", ""))[:_SHOWN]
    named: list[Json] = [
        {key: value for key, value in tool.items() if key not in ("description", "parameters")}
        for tool in tools
        if isinstance(tool, dict)
    ]
    return Case(query=case.query, tools=named, answer=answer)
