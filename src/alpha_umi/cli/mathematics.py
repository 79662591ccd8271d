"""Verbs for mathematics: training data of GSM8K, and the judging of exact answers."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

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
