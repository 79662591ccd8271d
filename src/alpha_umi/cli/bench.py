"""Verb `umi bench`: speed of the engine on this machine."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Annotated, Any

import typer

from alpha_umi.output_lock import locks_out

bench_app = typer.Typer(help="Measure how fast things run here.", no_args_is_help=True)


@bench_app.command("engine")
@locks_out
def bench_engine(
    agent: Annotated[Path, typer.Argument(help="A run directory or an agent file whose models run here.")] = Path(
        "umi-tiny"
    ),
    *,
    data: Annotated[
        Path | None,
        typer.Option(help="Trajectories (.jsonl) or processed dialogues (.json), in place of the world's tasks."),
    ] = None,
    preset: Annotated[str, typer.Option(help="Which world the tasks are from: tiny, small or full.")] = "small",
    tasks: Annotated[int, typer.Option(min=1, help="How many tasks.")] = 32,
    concurrency: Annotated[int, typer.Option(min=1, help="Concurrent tasks.")] = 16,
    out: Annotated[Path | None, typer.Option("--out", help="Also write the measures here (JSON).")] = None,
) -> None:
    """Measure the speed of the engine with an agent on this machine: tokens per second, latency, cache savings, memory.

    Every turn of recorded tasks is proposed after the recorded turns before it, so all agents get the same prompts.
    """
    from rich.console import Console

    from alpha_umi.display import print_table, progress
    from alpha_umi.jobs import bench
    from alpha_umi.loading.agents import read_agent
    from alpha_umi.store import write_json

    options = bench.BenchOptions(
        agent=read_agent(agent), data=data, preset=preset, tasks=tasks, concurrency=concurrency
    )
    with progress(Console(stderr=True), "turns") as display:
        measures = bench.bench_engine(options, partial(display.update, "measuring"))
    if out is not None:
        write_json(out, {"agent": str(agent), **measures.document()})
    machine = measures.machine
    title = f"{agent} on {machine.device}, {machine.dtype}, {machine.threads} of {machine.cores} cores"
    print_table(Console(), title, ["measured", "", ""], _rows(measures))


def _rows(found: Any) -> list[list[str]]:
    """Rows of the table: quantity, value, explanation."""
    rows = [
        ["tasks", f"{found.tasks:,}", f"{found.concurrency} at once"],
        ["completions", f"{found.completions:,}", _of(found.failed, "more failed").removeprefix(", ")],
        ["wall time", f"{found.wall_seconds:.1f} s", f"{found.engine_seconds / found.wall_seconds:.0%} in the engine"],
        ["engine steps", f"{found.engine_steps:,}", f"{found.forward_share:.0%} of their time in the model"],
        ["prompt tokens asked for", f"{found.prompt_tokens:,}", ""],
        ["  computed", f"{found.prefill_tokens:,}", f"{found.saved:.1%} saved"],
        ["  found in memory", f"{found.shared_tokens:,}", _of(found.evicted_tokens, "evicted").removeprefix(", ")],
        ["requests that found some", f"{found.hits:,}", f"of {found.requests:,}" + _of(found.preempted, "preempted")],
        ["tokens written", f"{found.written_tokens:,}", f"{found.written_per_second:,.0f} per second of wall time"],
        ["prefill", _per_second(found.prefill_per_second), "computed, in steps that read"],
        ["decode", _per_second(found.decode_per_second), "in steps that only write"],
        ["first token", _milliseconds(found.first_token_median), "median"],
        ["", _milliseconds(found.first_token_p95), "95 % wait no longer"],
        ["weights", _megabytes(found.weights_bytes), "of all roles"],
        [
            "prefix cache",
            _megabytes(found.prefix_cache_bytes),
            f"of {_megabytes(found.cache_bytes)} for keys and values",
        ],
        ["peak memory", _megabytes(found.peak_bytes), "of the process"],
    ]
    if found.device_peak_bytes is not None:
        rows.append(["", _megabytes(found.device_peak_bytes), "on the device"])
    return rows


def _of(count: int, what: str) -> str:
    return f", {count:,} {what}" if count else ""


def _per_second(rate: float | None) -> str:
    return "-" if rate is None else f"{rate:,.0f} tokens/s"


def _milliseconds(seconds: float | None) -> str:
    return "-" if seconds is None else f"{1000 * seconds:,.0f} ms"


def _megabytes(count: int | None) -> str:
    return "-" if count is None else f"{count / 1e6:,.1f} MB"
