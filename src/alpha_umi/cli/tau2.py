"""Verbs of tau2-bench: its domains' tasks with a scripted user, and the end states of a run."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from alpha_umi.cli.output import AsJson, print_json
from alpha_umi.cli.streams import echo

Python = Annotated[Path, typer.Option(help="The Python of an environment that has tau2.")]


def prepare_domains(
    domains: Annotated[list[str], typer.Argument(help="airline, retail.")],
    out: Annotated[Path, typer.Option("--out", help="The file to write.")],
    python: Python,
    limit: Annotated[int | None, typer.Option(min=1, help="Use only the first N of each domain.")] = None,
) -> None:
    """Write tau2-bench's tasks with a scripted user; roll them out with --env tau2."""
    from alpha_umi.jobs.tau2 import prepare_tau2

    echo(f"{out}: {prepare_tau2(domains, out, python=python, limit=limit)} tasks")  # pyright: ignore[reportArgumentType]


def evaluate_end_states(
    predictions: Annotated[Path, typer.Argument(help="A run of umi rollout, or trajectories (.jsonl).")],
    out: Annotated[Path, typer.Option("--out", help="Where the figures go (.json), and the table beside them (.md).")],
    python: Python,
    *,
    as_json: AsJson = False,
) -> None:
    """Check the databases that calls lead to, with 95 % intervals, beside an agent that does nothing."""
    from alpha_umi.jobs.tau2 import evaluate_tau2

    report = evaluate_tau2(predictions, out, python=python)
    if as_json:
        print_json(report.to_json())
    else:
        echo(report.to_markdown(), end="")
