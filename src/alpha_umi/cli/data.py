"""Verb `umi data check`: validation of training data."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from alpha_umi.cli.streams import echo

if TYPE_CHECKING:
    from alpha_umi.jobs.check import DataReport, RowFinding

_SHOWN = 20

data_app = typer.Typer(help="Look at data files.", no_args_is_help=True)


@data_app.command("check")
def check(
    file: Annotated[Path, typer.Argument(help="Trajectories (.jsonl, .jsonl.gz, .jsonl.zst) or dialogues (.json).")],
    *,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON document with all findings.")] = False,
) -> None:
    """Check training data: the faults of every row with its line, and counts of turns, calls, examples and lengths.

    Exit code 1 when a row is wrong. Doubtful rows can be trained on.
    """
    import json

    from rich.console import Console

    from alpha_umi.display import progress
    from alpha_umi.jobs.check import check_data
    from alpha_umi.preparation.checks import Severity

    with progress(Console(stderr=True), "lines") as display:
        report = check_data(file, lambda line, lines: display.update("checking", line, lines))
    if as_json:
        print(json.dumps(report.to_document(), indent=2, ensure_ascii=False))
    else:
        _print_report(report)
    if report.by_severity(Severity.WRONG):
        raise typer.Exit(1)


def _print_report(report: DataReport) -> None:
    from alpha_umi.preparation.checks import Severity

    for severity in Severity:
        found = report.by_severity(severity)
        for each in found[:_SHOWN]:
            echo(f"{report.path}:{each.line}: {severity.value}: {_sentence(each)}")
        if len(found) > _SHOWN:
            echo(f"{report.path}: {len(found) - _SHOWN:,} more are {severity.value}; --json lists all")
    holds: dict[str, Any] = report.contents.to_document()
    wrong, doubtful = (report.count_rows(severity) for severity in Severity)
    echo(f"{report.path}: {report.rows:,} rows, {wrong:,} of them wrong, {doubtful:,} doubtful")
    for name in ("stop", "turns", "decisions", "observations", "calls", "examples"):
        echo(f"  {name:<13} {_counts(holds[name])}")
    echo(f"  {'tools':<13} {holds['tools']:,} different ones")
    for name, lengths in holds["characters"].items():
        echo(f"  {name + ' length':<18} " + ", ".join(f"{key} {value:,}" for key, value in lengths.items()))


def _sentence(found: RowFinding) -> str:
    return " ".join(
        part for part in (found.task and f"[{found.task}]", found.finding.where, found.finding.message) if part
    )


def _counts(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{name} {count:,}" for name, count in counts.items()) or "none"
