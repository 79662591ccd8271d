"""Verb `umi demo`: the bundled agent on tasks of the sealed world."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from alpha_umi.cli import rollout as rollouts
from alpha_umi.errors import ConfigError

Workers = Annotated[
    int | None,
    typer.Option(min=1, help="Concurrent measurements, a process each; as many as cores for a small agent."),
]


def run_demo(
    out: Annotated[
        Path | None, typer.Option(help="The folder for what it makes; runs/demo, or runs/demo-train with --train.")
    ] = None,
    agent: Annotated[
        str | None, typer.Option(help="A run directory, an agent file, or 'oracle', in place of umi-tiny.")
    ] = None,
    model: rollouts.Model = None,
    base_url: rollouts.BaseUrl = None,
    world: Annotated[
        str | None, typer.Option(help="The sealed world (tiny, small or full); else the agent's own.")
    ] = None,
    tasks: Annotated[int, typer.Option(min=1, help="How many are measured of each of two test sets.")] = 100,
    workers: Workers = None,
    *,
    train: Annotated[bool, typer.Option("--train", help="First train an agent, from the bundled base model.")] = False,
    trajectories: Annotated[
        int | None, typer.Option(min=1, help="With --train: how many to learn from; 9,000 take 10 minutes on 4 cores.")
    ] = None,
    fresh: Annotated[
        bool, typer.Option("--fresh", help="With --train: start over, and delete what the folder holds.")
    ] = False,
) -> None:
    """Show the bundled agents at work: six tasks live, three with own tools, each checked; scores; a page with all."""
    from rich.console import Console

    if train:
        if any(named is not None for named in (agent, model, base_url, world)):
            raise ConfigError("--train makes an agent of its own; leave out --agent, --model and --world")
        _train(trajectories, tasks, out, workers, fresh=fresh)
        return
    if (agent is not None and model is not None) or (base_url is not None and model is None):
        raise ConfigError("name an agent by --agent, or an instruct model by --model, at an endpoint by --base-url")
    if fresh or trajectories is not None:
        raise ConfigError("--fresh and --trajectories go with --train")
    from alpha_umi.demo import session as demo
    from alpha_umi.loading.bundled import DEFAULT

    options = demo.DemoOptions(
        agent=agent or DEFAULT,
        model=model,
        base_url=base_url,
        preset=world,
        tasks=tasks,
        out=out or Path("runs/demo"),
        workers=workers,
    )
    demo.run(options, Console())


def _train(trajectories: int | None, tasks: int, out: Path | None, workers: int | None, *, fresh: bool) -> None:
    """Train an agent from the bundled base and show it."""
    from rich.console import Console

    from alpha_umi.demo import training

    wanted = training.TrainingOptions(
        trajectories=trajectories or training.TRAJECTORIES,
        tasks=tasks,
        out=out or Path("runs/demo-train"),
        workers=workers,
        fresh=fresh,
    )
    training.run(wanted, Console())
