"""Verbs `umi prepare`: raw answers, dialogues, public data sets and files of any shape to trajectories."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Annotated, Any

import typer

from alpha_umi.cli.bfcl import prepare_questions
from alpha_umi.cli.mathematics import prepare_problems, prepare_word_problems
from alpha_umi.cli.reference import Compat, read_reference
from alpha_umi.cli.rejection_sampling import write_masked, write_rollouts
from alpha_umi.cli.streams import echo
from alpha_umi.cli.tau2 import prepare_domains

prepare_app = typer.Typer(help="Read raw data into trajectories.", no_args_is_help=True)

Out = Annotated[Path, typer.Option("--out", help="The file to write.")]
Limit = Annotated[int | None, typer.Option(min=1, help="Use only the first N.")]
Strict = Annotated[bool, typer.Option("--strict", help="Stop at a broken file, in place of counting and naming it.")]
Rows = Annotated[list[Path], typer.Argument(help="A JSON list or JSON Lines, also .gz and .zst.", metavar="FILE...")]
StrictRows = Annotated[
    bool, typer.Option("--strict", help="Stop at a row that cannot be read, in place of counting and naming it.")
]

SHAPES = {
    "openai": "OpenAI's chat messages, with tools and tool_calls, also as TRL's prompt and completion.",
    "sharegpt": "ShareGPT chats with function_call and observation, as LLaMA-Factory trains on.",
    "swift": "ms-swift's agent messages with tool_call and tool_response.",
    "hermes": "Chats with the tags of Hermes and Qwen, <tool_call> and <tool_response>.",
    "toolllama": "ToolLLaMA's training steps, Action and Action Input in the text; the last step of a row is learned.",
    "toolace": "ToolACE's chats: calls as [Name(a=1)], tools in the system message.",
    "xlam": "xLAM's queries with the calls that they need, without results.",
    "toolalpaca": "ToolAlpaca's APIs: training instances, or instructions with golden calls.",
}
"""Shapes of `datasets.shapes` by verb, and what they are."""


@prepare_app.command("toolbench")
def prepare_answer_files(
    answers: Annotated[Path, typer.Option(help="Folder with G1_answer, G2_answer, G3_answer.")],
    out: Out,
    test_ids: Annotated[Path | None, typer.Option(help="Folder of held-out query ids (test_query_ids).")] = None,
    emit_stages: Annotated[Path | None, typer.Option(help="Also write raw_data_stage_1/2.json here.")] = None,
    compat: Compat = None,
    limit: Limit = None,
    workers: Annotated[int | None, typer.Option(min=1, help="Processes; one per core by default.")] = None,
    *,
    strict: Strict = False,
) -> None:
    """Convert raw ToolBench answers to trajectories."""
    from rich.console import Console

    from alpha_umi.display import progress
    from alpha_umi.jobs.prepare import prepare_toolbench

    with progress(Console(stderr=True), "answers") as display:
        report = prepare_toolbench(
            answers,
            out,
            test_ids=test_ids,
            emit_stages=emit_stages,
            compat=read_reference(compat),
            limit=limit,
            workers=workers,
            strict=strict,
            on_progress=partial(display.update, "preparing"),
        )
    _print_preparation(report, out)


@prepare_app.command("processed")
def prepare_processed_files(
    files: Annotated[list[Path], typer.Argument(help="Files of {tools, instruction, conversations}.")],
    out: Out,
    limit: Limit = None,
    *,
    strict: Strict = False,
) -> None:
    """Convert processed dialogues (stage-2 files, static test files) to trajectories."""
    _prepare_rows("processed", files, out, limit=limit, strict=strict)


@prepare_app.command("auto")
def prepare_any_files(
    files: Rows,
    out: Out,
    limit: Limit = None,
    *,
    strict: StrictRows = False,
) -> None:
    """Tell which public data set's shape each file has, by its first row, and convert it to trajectories."""
    from alpha_umi.preparation.shaped import identify_file

    for path in files:
        shape = identify_file(path)
        echo(f"{path}: {shape.title} (umi prepare {shape.name})")
    _prepare_rows("auto", files, out, limit=limit, strict=strict)


def _shape_command(name: str) -> Callable[..., None]:
    def prepare_shape(files: Rows, out: Out, limit: Limit = None, *, strict: StrictRows = False) -> None:
        _prepare_rows(name, files, out, limit=limit, strict=strict)

    prepare_shape.__doc__ = f"Convert to trajectories: {SHAPES[name]}"
    return prepare_shape


for _name in SHAPES:
    prepare_app.command(_name)(_shape_command(_name))


@prepare_app.command("custom")
def prepare_custom_files(
    files: Annotated[list[Path], typer.Argument(help="Files that the reader can read.")],
    reader: Annotated[
        str,
        typer.Option(metavar="MODULE:FUNCTION", help="A function of yours: takes a path, yields trajectories."),
    ],
    out: Out,
    limit: Limit = None,
) -> None:
    """Convert files of any other shape to trajectories, with your own reader function."""
    from alpha_umi.jobs.prepare import prepare_files

    _print_preparation(prepare_files(files, out, reader=reader, limit=limit), out)


prepare_app.command("rollouts")(write_rollouts)
prepare_app.command("mask")(write_masked)
prepare_app.command("gsm8k")(prepare_word_problems)
prepare_app.command("problems")(prepare_problems)
prepare_app.command("bfcl")(prepare_questions)
prepare_app.command("tau2")(prepare_domains)


def _prepare_rows(name: str, files: list[Path], out: Path, **options: Any) -> None:
    """Run a verb that reads rows, with the progress of its bytes."""
    from rich.console import Console

    from alpha_umi.display import progress
    from alpha_umi.jobs.prepare import prepare

    with progress(Console(stderr=True), "kB") as display:
        report = prepare(
            name,
            files,
            out,
            on_progress=lambda done, total: display.update("reading", done // 1000, total // 1000),
            **options,
        )
    _print_preparation(report, out)


def _print_preparation(report: Any, out: Path) -> None:
    echo(f"{out}: {report.kept} trajectories of {report.read} read", end="")
    echo(f", {report.held_out} held out" if report.held_out else "")
    for reason, count in report.skipped.items():
        echo(f"  skipped {count}: {reason}")
    for name in report.skipped_first:
        echo(f"    {name}")
    for deviation, count in sorted(report.deviations.items()):
        echo(f"  {deviation.replace('_', ' ')}: {count}")
