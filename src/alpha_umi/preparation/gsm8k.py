"""Training trajectories of GSM8K: its annotated equations become calls of a calculator or of Python.

Planner: the solution's words up to each result, then the call. Caller: the expression. Summarizer: the answer. New
problems along the same equations can be drawn beside.
"""

from __future__ import annotations

import json
import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from alpha_umi.datasets.gsm8k import WordProblem, read_gsm8k
from alpha_umi.environments.calculator import calculator, plain_expression
from alpha_umi.environments.sandbox.environment import PYTHON
from alpha_umi.environments.sandbox.pool import Ending, SandboxPool
from alpha_umi.errors import DataError
from alpha_umi.preparation.new_numbers import draw_new_numbers
from alpha_umi.preparation.report import BROKEN, PrepareReport, PrepareStats, Progress
from alpha_umi.preparation.solutions import Solution, UnusableSolutionError, read_solution
from alpha_umi.store import dump_line, encode_trajectory, write_text
from alpha_umi.types import Answer, Call, Decision, Observation, Plan, StopReason, Task, Trajectory, Turn, User
from alpha_umi.world.functions.ngrams import ngrams

_CHUNK = 200
_PROGRAM = """for each in {expressions!r}:
    try:
        print(eval(each))
    except Exception:
        print("!")
"""
NGRAM = 13
"""Words in a row that a problem may not share with a test half (as in GPT-3's test; fewer are set phrases)."""


class MathTool(StrEnum):
    """Tool that computes the equations."""

    CALCULATOR = "calculator"
    PYTHON = "python"


@dataclass(frozen=True, slots=True, kw_only=True)
class Gsm8kOptions:
    """Choices of a preparation."""

    tool: MathTool = MathTool.CALCULATOR
    new_numbers: int = 0
    """New problems per problem, at most."""
    seed: int = 0
    held_out: Sequence[Path] = ()
    """Test halves: a problem that shares NGRAM words in a row with one of them is left out."""
    limit: int | None = None
    """Of the problems read."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Row:
    problem: WordProblem
    solution: Solution


def prepare_gsm8k(
    files: Sequence[Path], out: Path, options: Gsm8kOptions, progress: Progress | None = None
) -> PrepareReport:
    """Write the trajectories of all problems, and of new ones, to `out`.

    Raises DataError for a file that is no JSON, or where nothing of one is a problem; ConfigError where Python programs
    cannot be confined here.
    """
    stats = PrepareStats()
    forbidden = {ngram for path in options.held_out for text in _texts(path) for ngram in ngrams(text, NGRAM)}
    rows = list(_read(files, options, forbidden, stats))
    if not rows:
        first = stats.skipped_first[0] if stats.skipped_first else "no rows"
        raise DataError(f"{', '.join(map(str, files))}: holds no usable problem; {first}")
    expressions = [step.expression for row in rows for step in row.solution.steps]
    results = [step.result for row in rows for step in row.solution.steps]
    if options.tool is MathTool.PYTHON:
        results = _run(expressions)
    left = iter(results)
    with write_text(out) as lines:
        for done, row in enumerate(rows, start=1):
            observed = [next(left) for _ in row.solution.steps]
            if "!" in observed:
                stats.skip(row.problem.id, "an equation that is no Python")
                continue
            drawn = "-" in row.problem.id.removeprefix("gsm8k-")
            lines.write(dump_line(encode_trajectory(_trajectory(row, observed, options.tool))))
            stats.keep({"new_problems" if drawn else "problems": 1})
            if progress is not None:
                progress(done, len(rows))
    return stats.report(compat=False)


def _read(files: Sequence[Path], options: Gsm8kOptions, forbidden: set[str], stats: PrepareStats) -> Iterator[_Row]:
    """Usable problems, each followed by the new ones along its equations."""
    for path in files:
        for place, problem in enumerate(read_gsm8k(path)):
            if place == options.limit:
                break
            if isinstance(problem, DataError):
                stats.skip(str(path), BROKEN, str(problem))
                continue
            try:
                row = _row(problem, forbidden)
            except UnusableSolutionError as error:
                stats.skip(f"{path}: {problem.id}", str(error))
                continue
            yield row
            yield from _draw(problem, options, forbidden, stats)


def _row(problem: WordProblem, forbidden: set[str]) -> _Row:
    if forbidden and any(ngram in forbidden for ngram in ngrams(problem.question, NGRAM)):
        raise UnusableSolutionError(f"shares {NGRAM} words in a row with a test half")
    return _Row(problem=problem, solution=read_solution(problem))


def _draw(problem: WordProblem, options: Gsm8kOptions, forbidden: set[str], stats: PrepareStats) -> Iterator[_Row]:
    rng = random.Random(f"{options.seed}:{problem.question}")  # noqa: S311
    seen = {problem.question}
    for number in range(1, options.new_numbers + 1):
        try:
            row = _row(draw_new_numbers(problem, rng, f"{problem.id}-{number}"), forbidden)
        except UnusableSolutionError as error:
            stats.skip(f"{problem.id}-{number}", f"new numbers: {error}")
            continue
        if row.problem.question in seen:
            stats.skip(row.problem.id, "new numbers: drawn before")
            continue
        seen.add(row.problem.question)
        yield row


def _texts(path: Path) -> Iterator[str]:
    for problem in read_gsm8k(path):
        if isinstance(problem, WordProblem):
            yield problem.question


def _trajectory(row: _Row, results: Sequence[str], tool: MathTool) -> Trajectory:
    problem = row.problem
    spec, argument = (PYTHON, "code") if tool is MathTool.PYTHON else (calculator.spec, "expression")
    turns: list[Turn] = [User(text=problem.question)]
    for step, result in zip(row.solution.steps, results, strict=True):
        text = plain_expression(step.expression) if tool is MathTool.PYTHON else step.expression
        turns.append(Plan(thought=step.thought, decision=Decision.CALL))
        turns.append(Call(name=spec.name, arguments=json.dumps({argument: text})))
        turns.append(Observation(content=result))
    answer = f"The answer is {problem.answer}."
    turns.append(Plan(thought=row.solution.ending or answer, decision=Decision.CONCLUDE))
    turns.append(Answer(text=answer))
    task = Task(
        id=problem.id, query=problem.question, tools=(spec,), metadata={"source": "gsm8k", "answer": problem.answer}
    )
    return Trajectory(task=task, turns=tuple(turns), stop=StopReason.ANSWERED)


def _run(expressions: Sequence[str]) -> list[str]:
    """Results of expressions as Python shows them; `!` for one that it cannot compute."""
    pool = SandboxPool()
    results: list[str] = []
    try:
        for start in range(0, len(expressions), _CHUNK):
            chunk = [plain_expression(each) for each in expressions[start : start + _CHUNK]]
            run = pool.run(_PROGRAM.format(expressions=chunk))
            lines = run.output.splitlines()
            results += lines if run.ending is Ending.OK and len(lines) == len(chunk) else ["!"] * len(chunk)
    finally:
        pool.close()
    return results
