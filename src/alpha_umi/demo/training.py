"""The training demo: tasks, trajectories and an agent trained on them, by the stages of the verbs; then its demo.

A stage whose output exists is not repeated, so an interrupted run continues where it stopped.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from pathlib import Path

from rich.console import Console

from alpha_umi.config import TrainConfig, load_config, make_config, merged, read_recipe
from alpha_umi.demo import session as demo
from alpha_umi.display import print_line, print_table, progress
from alpha_umi.errors import ConfigError
from alpha_umi.jobs.timing import Timing
from alpha_umi.jobs.train import train, trained
from alpha_umi.loading.agents import read_agent
from alpha_umi.loading.bundled import DEFAULT, find_base, provenance_of, write_provenance
from alpha_umi.loading.formats import open_format
from alpha_umi.output_lock import locked
from alpha_umi.preparation.answers import prepare_answers
from alpha_umi.preparation.world_files import Choice, write_gold
from alpha_umi.store import claim_folder
from alpha_umi.world.presets import find_preset

RECIPE = "demo-train"
PRESET = "small"
TRAJECTORIES = 9000
_SPLIT = "train"


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainingOptions:
    """Options of the training demo."""

    trajectories: int = TRAJECTORIES
    tasks: int = demo.TASKS
    """Tasks of each of two test sets whose steps are measured."""
    out: Path = Path("runs/demo-train")
    workers: int | None = None
    """As in DemoOptions."""
    fresh: bool = False
    """Replace what the folder holds."""


def run(options: TrainingOptions, console: Console) -> Path:
    """Prepare data, train an agent, run the demo with it; return the path of its page.

    Raises CheckpointError for a package without its bundled base model; ConfigError for a folder that holds something
    else, or an agent that learns from other trajectories.
    """
    with locked(options.out):
        return _run(options, console)


def _run(options: TrainingOptions, console: Console) -> Path:
    base, out = find_base(DEFAULT), options.out
    claim_folder(out, emptied=options.fresh)
    timing = Timing(out / "seconds.json")
    data, agent = out / f"{options.trajectories}-world-{find_preset(PRESET).version}.jsonl", out / "agent"
    _check_begun(agent, data)
    if not data.exists():
        _write_data(options, data, console, timing)
    _title(console, "3. Train: a backbone from the bundled base, then three roles as adapters on it (GLPFT)")
    with timing.part("train"):
        changes = {"data": {"train": str(data.absolute())}, "model": {"base": str(base)}, "out": str(agent.absolute())}
        config = make_config(TrainConfig, merged(read_recipe(RECIPE), changes), source=RECIPE)
        _train(config, agent, console)
    rows = trained(agent, config.max_length)
    title = "Tokens computed, and how many times as many single rows take, and rows padded as published"
    print_table(console, title, list(rows[0]), [list(row.values()) for row in rows])
    seconds = [[stage, f"{took:.1f}"] for stage, took in timing.seconds.items()]
    print_table(console, "Seconds", ["stage", "took"], [*seconds, ["all", f"{sum(timing.seconds.values()):.1f}"]])

    _title(console, f"4. The demo, with this agent: {agent}")
    return demo.run(
        demo.DemoOptions(agent=str(agent), tasks=options.tasks, out=out / "demo", workers=options.workers), console
    )


def _check_begun(agent: Path, data: Path) -> None:
    """Raises ConfigError where an agent was begun that learns from other trajectories."""
    begun = agent / "config.toml"
    learned = [Path(name).name for name in load_config(TrainConfig, begun).data.train] if begun.exists() else []
    if learned and learned != [data.name]:
        raise ConfigError(
            f"{agent}: was begun with {', '.join(learned)}, not with {data.name} (their number, and the version of the "
            "world); --fresh starts over, another --out keeps both"
        )


def _write_data(options: TrainingOptions, data: Path, console: Console, timing: Timing) -> None:
    choice = Choice(split=_SPLIT, count=options.trajectories, preset=PRESET)
    _title(console, f"1. The world: {choice.count} tasks to learn from, done by its oracle")
    claim_folder(options.out / "world", emptied=True)  # the answers of an interrupted run may be others
    with timing.part("world"):
        written = write_gold(options.out / "world", choice)
    _title(console, "2. Prepare: raw ToolBench answers to trajectories")
    with timing.part("prepare"), progress(console, "answers") as display:
        report = prepare_answers(written.answers, data, progress=partial(display.update, "   preparing"))
    print_line(console, f"   {report.kept} trajectories in {data}")


def _train(config: TrainConfig, agent: Path, console: Console) -> None:
    resume = (agent / "config.toml").exists()
    with progress(console, "steps") as display:
        train(
            config,
            resume=resume,
            on_progress=lambda at: display.update(f"   {at.stage}", at.step, at.steps, at.note),
        )
    made = read_agent(agent)
    write_provenance(agent, provenance_of(agent, made, open_format(made.format), PRESET))


def _title(console: Console, title: str) -> None:
    print_line(console, title, "bold")
