"""Verb of ToolAlpaca: the calls of a run against its golden ones."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Annotated

import typer

from alpha_umi.cli.judge import BaseUrl, KeyEnv
from alpha_umi.cli.output import AsJson, print_json
from alpha_umi.cli.streams import echo


def evaluate_golden_calls(
    predictions: Annotated[Path, typer.Argument(help="A run of umi rollout, or trajectories (.jsonl).")],
    out: Annotated[Path, typer.Option("--out", help="Where the figures go (.json), and the table beside them (.md).")],
    gold: Annotated[list[Path], typer.Option(help="ToolAlpaca's evaluation file, repeatable; all its tasks count.")],
    model: Annotated[
        str | None,
        typer.Option(help="A judge of processes and responses: a model at --base-url, else one that runs here."),
    ] = None,
    base_url: BaseUrl = None,
    key_env: KeyEnv = "OPENAI_API_KEY",
    concurrency: Annotated[int, typer.Option(min=1, help="Concurrent questions to the endpoint.")] = 8,
    *,
    as_json: AsJson = False,
) -> None:
    """Check calls against ToolAlpaca's golden ones, with 95 % intervals; what golds leave open is counted.

    With --model a judge is asked ToolAlpaca's two questions, too: is the process right, and the final response.
    """
    from rich.console import Console

    from alpha_umi.display import progress
    from alpha_umi.jobs.toolalpaca import evaluate_toolalpaca

    with progress(Console(stderr=True), "tasks") as display:
        report = evaluate_toolalpaca(
            predictions,
            out,
            gold=gold,
            model=model,
            base_url=base_url,
            key_env=key_env,
            concurrency=concurrency,
            on_progress=partial(display.update, "judging"),
        )
    if as_json:
        print_json(report.to_json())
    else:
        echo(report.to_markdown(), end="")
