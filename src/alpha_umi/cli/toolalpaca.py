"""Verb of ToolAlpaca: the calls of a run against its golden ones."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from alpha_umi.cli.output import AsJson, print_json
from alpha_umi.cli.streams import echo


def evaluate_golden_calls(
    predictions: Annotated[Path, typer.Argument(help="A run of umi rollout, or trajectories (.jsonl).")],
    out: Annotated[Path, typer.Option("--out", help="Where the figures go (.json), and the table beside them (.md).")],
    gold: Annotated[list[Path], typer.Option(help="ToolAlpaca's evaluation file, repeatable; all its tasks count.")],
    *,
    as_json: AsJson = False,
) -> None:
    """Check calls against ToolAlpaca's golden ones, with 95 % intervals; what golds leave open is counted."""
    from alpha_umi.jobs.toolalpaca import evaluate_toolalpaca

    report = evaluate_toolalpaca(predictions, out, gold=gold)
    if as_json:
        print_json(report.to_json())
    else:
        echo(report.to_markdown(), end="")
