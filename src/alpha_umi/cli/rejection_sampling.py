"""Verbs `umi prepare rollouts` (rejection sampling and preference pairs) and `umi prepare mask` (function masking)."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from alpha_umi.cli.streams import echo
from alpha_umi.errors import ConfigError


def write_rollouts(
    runs: Annotated[list[Path], typer.Argument(help="Runs of 'umi rollout', or their rollouts.jsonl.")],
    out: Annotated[Path, typer.Option("--out", help="The file of trajectories to write.")],
    pairs: Annotated[Path | None, typer.Option(help="Also write preference pairs here (.jsonl, TRL's names).")] = None,
    format_name: Annotated[str, typer.Option("--format", help="Of the pairs: as their models are trained.")] = "shared",
    roles: Annotated[
        list[str] | None, typer.Option("--role", help="Only pairs of this role; by default of all that the format has.")
    ] = None,
    judged: Annotated[
        Path | None, typer.Option(help="A run of 'judge pass' whose verdicts count where a rollout has none.")
    ] = None,
    *,
    everything: Annotated[
        bool,
        typer.Option("--all/--verified", help="All rollouts that answered or gave up, or only verified ones."),
    ] = False,
) -> None:
    """Convert rollouts to training trajectories (rejection sampling), and their search trees to preference pairs."""
    from alpha_umi.jobs.prepare import prepare_rollouts
    from alpha_umi.types import Role

    if unknown := set(roles or ()) - set(Role):
        raise ConfigError(f"unknown role {min(unknown)!r}; known: {', '.join(Role)}")
    done = prepare_rollouts(
        runs,
        out,
        pairs=pairs,
        format=format_name,
        roles=[Role(role) for role in roles or Role],
        judged=judged,
        everything=everything,
    )
    echo(f"{out}: {done.kept} trajectories of {done.read} rollouts")
    for reason, count in done.skipped.most_common():
        echo(f"  left out {count}: {reason}")
    if pairs is not None:
        told = ", ".join(f"{count} of the {role.value}" for role, count in done.pairs.items())
        echo(f"{pairs}: {done.pairs.total()} pairs{f': {told}' if told else ''}")


def write_masked(
    files: Annotated[list[Path], typer.Argument(help="Trajectories (.jsonl).")],
    out: Annotated[Path, typer.Option("--out", help="The file of trajectories to write.")],
    share: Annotated[float, typer.Option(min=0, max=1, help="How many of them are masked.")] = 0.5,
    seed: Annotated[int, typer.Option(help="Of the words and the choice.")] = 0,
) -> None:
    """Rename tools and arguments in some of the trajectories, so that a model must read the documents."""
    from alpha_umi.jobs.prepare import prepare_mask

    echo(f"{out}: {prepare_mask(files, out, share=share, seed=seed).kept} trajectories")
