"""Verbs `umi export`: supervised examples for other trainers, agents without training files, GGUF files."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from alpha_umi.cli.reference import Compat, read_reference
from alpha_umi.cli.streams import echo
from alpha_umi.errors import ConfigError
from alpha_umi.output_lock import locks_out

if TYPE_CHECKING:
    from alpha_umi.preparation.export import ExportReport

export_app = typer.Typer(
    help="Supervised examples of one role in the published shape, or chats for other trainers.",
    invoke_without_command=True,
)


@export_app.callback()
@locks_out
def export_examples(
    context: typer.Context,
    trajectories: Annotated[Path | None, typer.Option(help="Trajectories (.jsonl).")] = None,
    role: Annotated[str | None, typer.Option(help="planner, caller, summarizer or backbone.")] = None,
    format_name: Annotated[
        str | None, typer.Option("--format", help="shared, chat, or a format file [@training].")
    ] = None,
    out: Annotated[Path | None, typer.Option("--out", help="The file to write.")] = None,
    to: Annotated[
        str | None,
        typer.Option(
            help="Whole chats for another trainer, in place of examples of a role: openai, swift, sharegpt or trl. "
            "JSON Lines, or a list where the file is .json."
        ),
    ] = None,
    compat: Compat = None,
) -> None:
    """Write supervised examples of one role in the published shape {tools, history, input, target}, or chats (--to)."""
    if context.invoked_subcommand is not None:
        return
    if to is not None:
        _export_chats(to, trajectories, out, (role, format_name, compat))
        return
    if trajectories is None or role is None or format_name is None or out is None:
        raise ConfigError(
            "examples need --trajectories, --role, --format and --out, chats --trajectories, --to and --out; other "
            "exports: umi export agent, umi export gguf"
        )
    from alpha_umi.loading.formats import open_format
    from alpha_umi.preparation import export
    from alpha_umi.store import read_trajectories
    from alpha_umi.types import Role

    if role not in list(Role):
        raise ConfigError(f"unknown role {role!r}; known: {', '.join(Role)}")
    write = export.export_examples if read_reference(compat) is None else export.export_published
    report = write(read_trajectories(trajectories), Role(role), open_format(format_name), out)
    echo(f"{out}: {report.rows} examples")
    _print_left_out(report)


def _export_chats(to: str, trajectories: Path | None, out: Path | None, others: tuple[object, ...]) -> None:
    if trajectories is None or out is None or any(other is not None for other in others):
        raise ConfigError("--to needs --trajectories and --out, and no --role, --format or --compat: chats are whole")
    from alpha_umi.preparation.export_chats import export_chats
    from alpha_umi.store import read_trajectories

    report = export_chats(read_trajectories(trajectories), to, out)
    echo(f"{out}: {report.rows} chats for {to}")
    _print_left_out(report)


def _print_left_out(report: ExportReport) -> None:
    for reason, places in report.places.items():
        more = f", and {len(places) - 10} more" if len(places) > 10 else ""
        echo(f"  skipped {len(places)}: {reason} ({', '.join(places[:10])}{more})")


@export_app.command("gguf")
def export_gguf(
    run: Annotated[Path, typer.Argument(help="A run directory, or a TOML file that names checkpoints and a format.")],
    out: Annotated[Path, typer.Option("--out", help="The folder to write.")],
    dtype: Annotated[str, typer.Option(help="Of matrices: auto (as stored), float32, float16, bfloat16.")] = "auto",
    *,
    adapters_only: Annotated[
        bool, typer.Option("--adapters-only", help="The base models are there already, from llama.cpp's converter.")
    ] = False,
) -> None:
    """Write models and adapters as GGUF for llama.cpp, with the agent file for its server."""
    from alpha_umi.jobs.gguf import export_run
    from alpha_umi.loading.agents import read_agent

    known = ("auto", "float32", "float16", "bfloat16")
    if dtype not in known:
        raise ConfigError(f"--dtype {dtype!r} is not known; known: {', '.join(known)}")
    done = export_run(read_agent(run), out, dtype=dtype, adapters_only=adapters_only)
    for path in done.files:
        echo(f"{path}: {path.stat().st_size / 2**20:.1f} MiB")
    echo("serve:")
    for command in done.commands:
        echo(f"  {command}")
    echo(f'then: umi ask "..." --tools TOOLS.py --agent {done.agent}')


@export_app.command("agent")
def export_agent(
    run: Annotated[Path, typer.Argument(help="A finished run directory.")],
    out: Annotated[Path, typer.Option("--out", help="The folder to write.")],
    world: Annotated[
        str, typer.Option(help="The preset of the world that it learned in: tiny, small, full or functions.")
    ],
    base: Annotated[
        Path | None, typer.Option(help="The run of 'umi pretrain' that it started from, taken along.")
    ] = None,
    card: Annotated[Path | None, typer.Option(help="Its model card, taken along as README.md.")] = None,
) -> None:
    """Copy a run without its training files: weights, tokenizers, format, histories, and its provenance."""
    from alpha_umi.jobs.bundle import BundleOptions, bundle

    size = bundle(BundleOptions(run=run, out=out, preset=world, base=base, card=card))
    echo(f"{out}: {size / 2**20:.1f} MiB")


@export_app.command("adapters")
def export_adapters(
    run: Annotated[Path, typer.Argument(help="A run directory, finished or with a checkpoint.")],
    out: Annotated[Path, typer.Option("--out", help="The folder to write.")],
    base: Annotated[str, typer.Option(help="The base model as the agent names it: smollm2-135m, or a hub id.")],
    world: Annotated[
        str | None, typer.Option(help="The preset of the world that it learned in; without it that was other data.")
    ] = None,
    dtype: Annotated[str, typer.Option(help="Of the weights: float32, float16, bfloat16.")] = "bfloat16",
    average: Annotated[
        int, typer.Option(min=1, help="Of an unfinished run: the mean of so many of its last checkpoints.")
    ] = 1,
    card: Annotated[Path | None, typer.Option(help="Its model card, taken along as README.md.")] = None,
    *,
    constrained: Annotated[
        bool, typer.Option("--constrained/--unconstrained", help="Constrain its calls to the offered tools.")
    ] = True,
) -> None:
    """Write the role adapters of a run, as they are now, as an agent over a base model that is not taken along."""
    from alpha_umi.jobs.adapters import AdapterOptions, export_adapters

    if dtype not in ("float32", "float16", "bfloat16"):
        raise ConfigError(f"--dtype {dtype!r} is not known; known: float32, float16, bfloat16")
    done = export_adapters(
        AdapterOptions(
            run=run, out=out, base=base, preset=world, dtype=dtype, average=average, constrained=constrained, card=card
        )
    )
    echo(f"{out}: {done.size / 2**20:.1f} MiB, after {', '.join(map(str, done.steps))} steps")
