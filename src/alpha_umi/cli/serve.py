"""Verbs of the virtual ToolBench: its server, and import and export of its reply cache."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Annotated, Any

import typer

from alpha_umi.cli.reference import read_reference
from alpha_umi.cli.streams import echo
from alpha_umi.errors import ConfigError, explain_missing_extra
from alpha_umi.output_lock import locks_out
from alpha_umi.types import Reference

cache_app = typer.Typer(help="The replay cache of a virtual ToolBench.", no_args_is_help=True)

Faults = Annotated[
    str, typer.Option(help="Faults on purpose: latency, 429, 5xx, broken, hang or all =SHARE[:SECONDS], by commas.")
]
CacheFile = Annotated[Path, typer.Option("--cache", help="The replay cache (.sqlite).")]


def serve_world(
    host: Annotated[str, typer.Option(help="The address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="0: any free one, which is printed.")] = 8080,
    cache: Annotated[
        Path | None, typer.Option(help="The replay cache (.sqlite), which keeps what is simulated; made if missing.")
    ] = None,
    replay: Annotated[
        list[Path] | None, typer.Option(help="An environment's recording (.jsonl), or StableToolBench's cache folder.")
    ] = None,
    tools: Annotated[Path | None, typer.Option(help="Tool JSON files: a folder of CATEGORY/TOOL.json, or one.")] = None,
    simulator: Annotated[
        str, typer.Option(help="Who replies to what is not recorded: world, none, or an OpenAI-compatible address.")
    ] = "world",
    model: Annotated[str | None, typer.Option(help="The model at that address.")] = None,
    model_key_env: Annotated[
        str, typer.Option(help="The environment variable that holds that address's key.")
    ] = "OPENAI_API_KEY",
    concurrency: Annotated[int, typer.Option(min=1, help="Concurrent requests to that address.")] = 8,
    preset: Annotated[str, typer.Option(help="Which world is seen by requests that name no task.")] = "tiny",
    faults: Faults = "",
    seed: Annotated[
        int, typer.Option(help="Of the faults, of a model's replies, and of the world without a task.")
    ] = 0,
    key_env: Annotated[
        str | None, typer.Option(help="The environment variable with the toolbench_key to ask for; none is asked for.")
    ] = None,
    compat: Annotated[
        str | None,
        typer.Option("--compat", help=f"'{Reference.OPENBMB}': reads arguments as ToolBench's server, NaN included."),
    ] = None,
) -> None:
    """Serve a virtual ToolBench: POST /virtual and /rapidapi, from the cache, recordings, else the simulator."""
    start = _serving()
    options = start.ServerOptions(
        host=host,
        port=port,
        cache=cache,
        replay=replay or (),
        tools=tools,
        simulation=start.Simulation(
            who=simulator, model=model, key_env=model_key_env, concurrency=concurrency, preset=preset, seed=seed
        ),
        faults=faults,
        key_env=key_env,
        compat=read_reference(compat, (Reference.OPENBMB,)),
    )
    counts = start.run(options, lambda url: print(f"{url}/virtual", flush=True))
    replied = ", ".join(f"{count} {source}" for source, count in counts.items()) or "none"
    echo(f"stopped; replies: {replied}")


@cache_app.command("import")
def import_cache(
    folder: Annotated[Path, typer.Argument(help="StableToolBench's cache: CATEGORY/TOOL/API.json.")],
    cache: CacheFile,
    *,
    strict: Annotated[
        bool, typer.Option("--strict", help="Stop at a broken file, in place of counting and naming it.")
    ] = False,
) -> None:
    """Add the replies of StableToolBench's cache folder; existing replies stay."""
    _serving()
    from alpha_umi.display import progress
    from alpha_umi.serving.virtual_tools.cache import ReplyCache
    from alpha_umi.serving.virtual_tools.folders import import_folder

    opened = ReplyCache(cache)
    with progress(_console(), "files") as display:
        moved = import_folder(folder, opened, partial(display.update, "importing"), strict=strict)
    opened.close()
    echo(f"{cache}: {moved.replies} new replies from {moved.files} files, {moved.known} were known")
    _print_skipped(moved)


@cache_app.command("export")
@locks_out
def export_cache(
    out: Annotated[Path, typer.Option("--out", help="The folder to write.")],
    cache: CacheFile,
) -> None:
    """Write the replies as StableToolBench's cache folder."""
    _serving()
    from alpha_umi.serving.virtual_tools.cache import ReplyCache
    from alpha_umi.serving.virtual_tools.folders import export_folder

    if not cache.exists():
        raise ConfigError(f"{cache}: no such replay cache")
    opened = ReplyCache(cache)
    moved = export_folder(opened, out)
    opened.close()
    echo(f"{out}: {moved.replies} replies in {moved.files} files")
    _print_skipped(moved)


def _serving() -> Any:
    with explain_missing_extra("serve", "a virtual ToolBench"):
        from alpha_umi.serving.virtual_tools import start
    return start


def _print_skipped(moved: Any) -> None:
    for reason, count in moved.skipped.items():
        echo(f"  left out {count}: {reason}")
    if moved.broken:
        echo(f"  left out {len(moved.broken)} files that cannot be read (--strict stops at the first):")
    for error in moved.broken:
        echo(f"    {error}")


def _console() -> Any:
    from rich.console import Console

    return Console(stderr=True)
