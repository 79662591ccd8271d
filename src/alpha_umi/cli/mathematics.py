"""Verbs for mathematics: training data of GSM8K, and the judging of exact answers."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from alpha_umi.cli.output import AsJson, print_json
from alpha_umi.cli.streams import echo


def prepare_word_problems(
    files: Annotated[list[Path], typer.Argument(help="GSM8K's training files: rows of question and answer.")],
    out: Annotated[Path, typer.Option("--out", help="The file to write.")],
    tool: Annotated[str, typer.Option(help="calculator, or python (in the sandbox).")] = "calculator",
    new_numbers: Annotated[
        int, typer.Option(min=0, help="New problems per problem, at most: other numbers along its equations.")
    ] = 0,
    seed: Annotated[int, typer.Option(help="Of the new numbers.")] = 0,
    held_out: Annotated[
        list[Path] | None,
        typer.Option(help="A test half (repeatable): what shares 13 words in a row with a question of it is left out."),
    ] = None,
    limit: Annotated[int | None, typer.Option(min=1, help="Use only the first N.")] = None,
) -> None:
    """Convert GSM8K's solutions to trajectories whose annotated equations are tool calls."""
    from alpha_umi.jobs.prepare import prepare_word_problems as prepare

    chosen: Any = tool  # checked there
    report = prepare(files, out, tool=chosen, new_numbers=new_numbers, seed=seed, held_out=held_out or [], limit=limit)
    echo(f"{out}: {report.kept} trajectories of {report.read} problems, old and new")
    for name, count in (*report.deviations.items(), *(sorted(report.skipped.items(), key=lambda each: -each[1]))):
        echo(f"  {'' if name in report.deviations else 'left out, '}{name.replace('_', ' ')}: {count}")


def prepare_problems(
    file: Annotated[Path, typer.Argument(help="A test file of GSM8K, MATH, ASDiv, SVAMP or GSM-Hard.")],
    out: Annotated[Path, typer.Option("--out", help="The file to write.")],
    limit: Annotated[int | None, typer.Option(min=1, help="Use only the first N.")] = None,
) -> None:
    """Write mathematical problems as tasks with their gold answers, for umi rollout and umi evaluate."""
    from alpha_umi.jobs.exact_answers import write_math_tasks

    echo(f"{out}: {write_math_tasks(file, out, limit)} tasks")


Predictions = Annotated[Path, typer.Argument(help="A run of umi rollout, or trajectories (.jsonl).")]
Out = Annotated[Path, typer.Option("--out", help="Where the figures go (.json), and the table beside them (.md).")]
Gold = Annotated[
    Path | None,
    typer.Option(help="The test file, all of whose problems count; without it the tasks must hold their answers."),
]


def evaluate_gsm8k(predictions: Predictions, out: Out, gold: Gold = None, *, as_json: AsJson = False) -> None:
    """Score answers to GSM8K or other word problems: same number, math-verify, ToRA's rule; with 95 % intervals."""
    from alpha_umi.jobs.exact_answers import evaluate_gsm8k as evaluate

    _print_report(evaluate, predictions, out, gold, as_json=as_json)


def evaluate_math(predictions: Predictions, out: Out, gold: Gold = None, *, as_json: AsJson = False) -> None:
    """Score answers to MATH by math-verify and ToRA's rule, with 95 % intervals and the paper's rows."""
    from alpha_umi.jobs.exact_answers import evaluate_math as evaluate

    _print_report(evaluate, predictions, out, gold, as_json=as_json)


def _print_report(evaluate: Any, predictions: Path, out: Path, gold: Path | None, *, as_json: bool) -> None:
    from rich.console import Console

    from alpha_umi.display import progress

    with progress(Console(stderr=True), "answers") as display:
        report = evaluate(
            predictions, out, gold=gold, on_progress=lambda done, total: display.update("judging", done, total)
        )
    if as_json:
        print_json(report.to_json())
    else:
        echo(report.to_markdown(), end="")
