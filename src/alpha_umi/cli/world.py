"""Verbs `umi world write` and `umi world pages`: gold trajectories and texts of the sealed world."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from alpha_umi.cli.output import AsJson, print_json
from alpha_umi.cli.streams import echo
from alpha_umi.output_lock import locks_out


@locks_out
def write_world(
    out: Annotated[Path, typer.Option(help="The folder to write.")],
    *,
    split: Annotated[str | None, typer.Option(help="train, or a test set of the world.")] = None,
    test_sets: Annotated[
        list[str] | None, typer.Option("--set", help="A test set, such as G1_instruction; may be given again.")
    ] = None,
    all_sets: Annotated[bool, typer.Option("--sets", help="All test sets.")] = False,
    count: Annotated[int, typer.Option(min=1, help="How many tasks of each.")] = 1000,
    preset: Annotated[str, typer.Option(help="Which world: tiny, small, full or functions.")] = "tiny",
    seed: Annotated[int, typer.Option(help="Which of its histories.")] = 0,
    first: Annotated[int, typer.Option(min=0, help="The index of the task to start from.")] = 0,
    max_calls: Annotated[int | None, typer.Option(min=1, help="Use only tasks of at most N calls.")] = None,
    share_tools: Annotated[
        bool, typer.Option("--share-tools", help="functions: groups of requests to the same tools, for training.")
    ] = False,
) -> None:
    """Write the oracle's gold trajectories of the sealed world, as raw ToolBench answers and as trajectories.

    For the presets small and full also the tools' JSON files, query files and the ids of the test sets.
    """
    from alpha_umi.preparation.world_files import Choice, write_gold, write_shared, write_tools
    from alpha_umi.world import World

    world = World(preset, seed)
    named = [*([split] if split else []), *(test_sets or []), *(world.splits[1:] if all_sets else [])]
    splits = list(dict.fromkeys(named)) or ["train"]
    if share_tools:
        for name in splits:
            path, written = write_shared(out, Choice(split=name, count=count, preset=preset, seed=seed, first=first))
            echo(f"{path}: {written} trajectories of {count} tasks, in groups that share their tools")
        return
    for name in splits:
        world.task(name, first)  # An error in any task comes before the first file is written.
    for name in splits:
        choice = Choice(split=name, count=count, preset=preset, seed=seed, first=first, max_calls=max_calls)
        written = write_gold(out, choice)
        echo(f"{written.answers}: {count} raw answers\n{written.trajectories}: the same as trajectories")
        if written.queries is not None:
            echo(f"{written.queries}: their queries")
    tools = write_tools(out, preset)
    if tools:
        echo(f"{out / 'tools'}: {tools} tool JSON files")


@locks_out
def write_pages(
    out: Annotated[Path, typer.Option(help="The JSONL file to write.")],
    *,
    count: Annotated[int, typer.Option(min=1, help="How many pages.")] = 100_000,
    preset: Annotated[str, typer.Option(help="Which world: small or full.")] = "small",
    seed: Annotated[int, typer.Option(help="Which of its histories.")] = 0,
    first: Annotated[int, typer.Option(min=0, help="The index of the page to start from.")] = 0,
) -> None:
    """Write texts about the sealed world for `umi pretrain`: facts, manuals, records, tables. No trajectories."""
    from alpha_umi.store import dump_line, write_text
    from alpha_umi.world import World

    pages = World(preset, seed).pages
    with write_text(out) as file:
        file.writelines(dump_line({"text": pages[index]}) for index in range(first, first + count))
    echo(f"{out}: {count} pages")


def evaluate_rollouts(
    rollouts: Annotated[Path, typer.Argument(help="The folder of `umi rollout --env world`.")],
    out: Annotated[Path | None, typer.Option("--out", help="Also write the figures here (.json).")] = None,
    *,
    as_json: AsJson = False,
) -> None:
    """Score rollouts of a sealed world's tasks by kind: verdicts, right calls, right first tool, invented names."""
    from alpha_umi.jobs.world_scores import evaluate_world

    scores = evaluate_world(rollouts, out)
    if as_json:
        print_json(scores.to_json())
    else:
        echo(scores.to_markdown())
