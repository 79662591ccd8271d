"""Verb `umi study`: variants of training at equal budgets, trained, evaluated and compared."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from alpha_umi.cli.options_file import one_of
from alpha_umi.cli.streams import echo
from alpha_umi.output_lock import locked


def study(
    name: Annotated[str | None, typer.Argument(help="quick, two-sizes, full, or a study of your own (TOML).")] = None,
    out: Annotated[Path | None, typer.Option(help="The study's folder; by default runs/study-NAME.")] = None,
    overrides: Annotated[
        list[str] | None, typer.Option("--set", metavar="A.B=C", help="Override a key: budget.tokens=100000")
    ] = None,
    workers: Annotated[int, typer.Option(min=1, help="Concurrent cells, a process each.")] = 1,
    *,
    config: Annotated[str | None, typer.Option("--config", help="The same, as an option.")] = None,
    report: Annotated[bool, typer.Option("--report", help="Only write the report on what is done.")] = False,
) -> None:
    """Train and evaluate every variant from every base with every seed. The same command resumes."""
    from rich.console import Console

    from alpha_umi.display import print_line, progress
    from alpha_umi.jobs.workers import Update
    from alpha_umi.study.cells import cells, read_study
    from alpha_umi.study.report import write_report
    from alpha_umi.study.run import run_study

    wanted = read_study(one_of(name, config, "a study"), tuple(overrides or ()))
    place = out or Path("runs") / f"study-{wanted.name}"
    if report:
        with locked(place):
            echo(write_report(wanted, place) / "study.md")
        return
    console = Console(stderr=True)
    with progress(console) as display:
        every, ended = len(list(cells(wanted))), 0
        display.update(f"study {wanted.name}", 0, every)

        def show(update: Update) -> None:
            nonlocal ended
            if not update.ended:
                display.update(f"  {update.what}", update.done, update.total, update.at)
                return
            display.remove(f"  {update.what}")
            if update.what != "data":
                ended += 1
                print_line(console, f"{update.what}: {update.error or update.at or 'done'}")
                display.update(f"study {wanted.name}", ended, every)

        folder = run_study(wanted, place, show, workers=workers)
    echo(folder / "study.md")
