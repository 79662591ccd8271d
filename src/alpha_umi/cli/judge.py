"""Verbs `umi judge`: raw answers to pass rates and win rates, by a judge model or by the sealed world's verifier."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from alpha_umi.cli.options_file import ConfigFile, OptionOverrides
from alpha_umi.cli.output import AsJson, print_json
from alpha_umi.cli.reference import JudgeCompat, read_reference
from alpha_umi.cli.shared_options import with_options_of
from alpha_umi.cli.streams import echo
from alpha_umi.types import Reference

if TYPE_CHECKING:
    from alpha_umi.jobs.judge import JudgingRun

judge_app = typer.Typer(help="Judge rollouts as ToolEval does: pass rate, SoPR, win rate, SoWR.", no_args_is_help=True)


Model = Annotated[str | None, typer.Option(help="The judge: a model at --base-url, else a folder with weights.")]
BaseUrl = Annotated[str | None, typer.Option(help="An OpenAI-compatible endpoint that serves --model.")]
KeyEnv = Annotated[str, typer.Option(help="The environment variable that holds the endpoint's key.")]
EvaluatorFolder = Annotated[
    Path | None, typer.Option("--evaluator", help="A ToolEval evaluator folder in place of our questions.")
]
Votes = Annotated[
    int, typer.Option(min=1, help="Most votes on a query; fewer once the rest cannot change the majority.")
]
Temperature = Annotated[
    float | None, typer.Option(min=0.0, help="Of the judge; by default the evaluator folder's, else 0.")
]
Concurrency = Annotated[int, typer.Option(min=1, help="Concurrent queries.")]
RunFolder = Annotated[Path, typer.Option("--out", help="The run's folder; the same command goes on in it.")]


def judge_options(
    model: Model = None,
    base_url: BaseUrl = None,
    key_env: KeyEnv = "OPENAI_API_KEY",
    evaluator: EvaluatorFolder = None,
    votes: Votes = 3,
    temperature: Temperature = None,
    concurrency: Concurrency = 8,
    compat: JudgeCompat = None,
    *,
    config: ConfigFile = None,
    options_set: OptionOverrides = None,
    as_json: AsJson = False,
) -> None:
    """Options of a judge; the names are those of the Python API."""


@judge_app.command("convert")
def convert(
    answers: Annotated[
        Path,
        typer.Argument(help="A run of 'umi rollout', a folder of raw answers ID_METHOD.json, trajectories (.jsonl)."),
    ],
    out: Annotated[Path, typer.Option("--out", help="The file to write; of a run the folder, a file per query set.")],
    method: Annotated[
        str | None, typer.Option(help="Only files with this in their name; recorded as the method.")
    ] = None,
    compat: JudgeCompat = None,
    *,
    strict: Annotated[
        bool, typer.Option("--strict", help="Stop at a broken file, in place of counting and naming it.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Convert raw answers to ToolEval's answer format."""
    from alpha_umi.jobs.judge import convert_answers

    converted = convert_answers(
        answers, out, method=method, compat=read_reference(compat, tuple(Reference)), strict=strict
    )
    if as_json:
        print_json(converted.to_json())
        return
    for path, count in converted.files.items():
        echo(f"{path}: {count} answers")
    _print_notes(converted.notes)


@judge_app.command("pass")
@with_options_of(judge_options)
def judge_pass(
    answers: Annotated[Path, typer.Argument(help="A converted file, or a folder of them, one per test set.")],
    out: RunFolder,
    ids: Annotated[
        Path | None, typer.Option(help="Query ids of the set; for a folder, a folder of such files.")
    ] = None,
    name: Annotated[str | None, typer.Option(help="What to call the system; by default the folder's name.")] = None,
    *,
    world: Annotated[bool, typer.Option("--world", help="Tasks of the sealed world: judge by its verifier.")] = False,
    solvable: Annotated[
        bool,
        typer.Option("--solvable", help="The queries are known to be solvable: do not ask; cast all votes (SoPR)."),
    ] = False,
    **options: Any,
) -> None:
    """Judge whether each answer passes. Without a judge the run's ledger is scored again, without any model request."""
    from alpha_umi.jobs.judge import judge_passes

    own = {"ids": ids, "name": name, "solvable": solvable, "world": world}
    _judge(partial(judge_passes, answers, out, **own), **options)


@judge_app.command("win")
@with_options_of(judge_options)
def judge_win(
    reference: Annotated[Path, typer.Argument(help="The reference's run of 'judge pass'.")],
    candidate: Annotated[Path, typer.Argument(help="The candidate's.")],
    out: RunFolder,
    *,
    world: Annotated[bool, typer.Option("--world", help="Compare by rule: passing, then fewer tool calls.")] = False,
    **options: Any,
) -> None:
    """Compare the answers of two systems. Each vote asks in both orders; disagreement is a tie."""
    from alpha_umi.jobs.judge import judge_wins

    _judge(partial(judge_wins, reference, candidate, out, world=world), **options)


def _judge(
    judge: Callable[..., JudgingRun],
    *,
    compat: str | None,
    as_json: bool,
    config: object,
    options_set: object,
    **options: Any,
) -> None:
    """Judge with a progress display, and print the rates."""
    del config, options_set  # they have set the defaults of the others
    with _progress() as on_progress:
        run = judge(**options, compat=read_reference(compat, tuple(Reference)), on_progress=on_progress)
    _print_run(run, as_json=as_json)


@judge_app.command("report")
def judge_report(
    folders: Annotated[list[Path], typer.Argument(metavar="RUN...", help="Runs of 'judge pass' and 'judge win'.")],
    out: Annotated[
        Path | None, typer.Option("--out", help="Also write the numbers here (.json), tables as .md.")
    ] = None,
    labels: Annotated[
        Path | None, typer.Option(help="Labels of people, or a published pass file, to measure agreement with.")
    ] = None,
    *,
    as_json: AsJson = False,
) -> None:
    """Report rates with 95 % intervals, McNemar's test for every two systems, agreement with labels. Calls no model."""
    from alpha_umi.jobs.judge import judge_report

    made = judge_report(folders, out, labels=labels)
    if as_json:
        print_json({**made.document})
    else:
        echo(made.text, end="")


@contextmanager
def _progress() -> Iterator[Callable[[int, int], None]]:
    from rich.console import Console

    from alpha_umi.display import progress

    with progress(Console(stderr=True), "queries") as display:
        yield partial(display.update, "judging")


# --- printing -------------------------------------------------------------------------------------------


def _print_run(run: JudgingRun, *, as_json: bool) -> None:
    if as_json:
        print_json(run.to_json())
        return
    for line in run.lines:
        echo(line)
    _print_notes(run.notes)
    echo(f"{run.out}" if run.published else f"{run.out}; next: umi judge report {run.out}")


def _print_notes(notes: Sequence[str]) -> None:
    for note in notes:
        echo(f"  {note}")
