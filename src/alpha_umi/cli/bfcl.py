"""Verbs of the Berkeley Function Calling Leaderboard: its questions as tasks, and its own checker."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from alpha_umi.cli.output import AsJson, print_json
from alpha_umi.cli.streams import echo


def prepare_questions(
    files: Annotated[list[Path], typer.Argument(help="BFCL_v4_CATEGORY.json, but memory and web search.")],
    out: Annotated[Path, typer.Option("--out", help="The file to write.")],
    limit: Annotated[int | None, typer.Option(min=1, help="Use only the first N of each file.")] = None,
) -> None:
    """Write BFCL's questions as tasks; roll them out with --env bfcl."""
    from alpha_umi.jobs.bfcl import prepare_bfcl

    echo(f"{out}: {prepare_bfcl(files, out, limit=limit)} tasks")


def evaluate_calls(
    predictions: Annotated[Path, typer.Argument(help="A run of umi rollout, or trajectories (.jsonl).")],
    out: Annotated[
        Path,
        typer.Option("--out", help="Where the figures go (.json); the table (.md) and BFCL's result files beside."),
    ],
    python: Annotated[Path, typer.Option(help="The Python of an environment that has bfcl-eval.")],
    *,
    as_json: AsJson = False,
) -> None:
    """Check calls by bfcl-eval's own checker; accuracy by category with 95 % intervals."""
    from alpha_umi.jobs.bfcl import evaluate_bfcl

    report = evaluate_bfcl(predictions, out, python=python)
    if as_json:
        print_json(report.to_json())
    else:
        echo(report.to_markdown(), end="")
