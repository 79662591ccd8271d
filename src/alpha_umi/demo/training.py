"""The training demo: the main job once, from tasks to a trained agent's live answer; every stage is a verb.

A stage whose output is there is not repeated, so the demo goes on where it was interrupted.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import cast

from rich.console import Console

from alpha_umi import build, jobs
from alpha_umi.display import TurnPrinter, progress, table, verdict_words
from alpha_umi.environments.world import WorldEnvironment
from alpha_umi.evaluation.metrics import INTERVALS, METRICS, Metric
from alpha_umi.evaluation.static import StaticScores, evaluate_rows, report_document, report_text
from alpha_umi.jobs.clock import Clock
from alpha_umi.preparation.answers import prepare_answers
from alpha_umi.preparation.world_files import Choice, write_gold
from alpha_umi.store import read_json, write_json, write_text
from alpha_umi.types import Task
from alpha_umi.world import Split, World

RECIPE = "tiny"
"""What is trained; its world and sizes are those of the choices below."""
TRAIN = Choice(split=Split.TRAIN, count=3000, max_calls=2)
TEST = Choice(split=Split.TEST, count=100, first=10_000, max_calls=2)
"""Not the first ones: by those the recipe was chosen."""


# --- the stages -----------------------------------------------------------------------------------------


def run(out: Path, console: Console, *, fresh: bool = False) -> None:
    """All stages, each shown with what it made and how long it took."""
    if fresh:
        shutil.rmtree(out, ignore_errors=True)
    out.mkdir(parents=True, exist_ok=True)
    clock = Clock(out / "seconds.json")
    train, test = out / "train.jsonl", out / "world" / f"{Split.TEST}.jsonl"

    if not (train.exists() and test.exists()):
        _title(console, f"1. The world: {TRAIN.count} tasks to learn from, {TEST.count} held out")
        with clock.part("world"):
            written = write_gold(out / "world", TRAIN)
            write_gold(out / "world", TEST)
        _title(console, "2. Prepare: raw ToolBench answers to trajectories")
        with clock.part("prepare"):
            report = prepare_answers(written.answers, train)
            console.print(f"   {report.kept} trajectories in {train}")

    agent = out / "agent"
    _title(console, "3. Train: a backbone, then planner, caller and summarizer from it (GLPFT)")
    with clock.part("train"):
        config = jobs.read_train_config(RECIPE, [f"data.train='{train.absolute()}'", f"out='{agent.absolute()}'"])
        jobs.train(config, resume=(agent / "config.toml").exists())
    _print_training(console, agent)

    _title(console, "4. Predict the held-out steps, three roles and the backbone alone")
    with clock.part("predict"):
        reports = {players: _evaluate(out, agent, test, players, console) for players in build.Cast}
    _print_scores(console, reports)

    _title(console, "5. One held-out query, live")
    with clock.part("ask"):
        _ask(agent, console)

    _print_seconds(console, clock.seconds)
    console.print(f"Everything lies in {out}: the agent in {agent}, reports in {out / 'three.md'} and single.md")


def _title(console: Console, title: str) -> None:
    console.print(f"[bold]{title}[/bold]")


def _print_training(console: Console, agent: Path) -> None:
    rows = jobs.trained(agent)
    title = "Tokens computed; `saved`: against every example in a row of its own"
    console.print(table(title, list(rows[0]), [list(row.values()) for row in rows]))


def _evaluate(out: Path, agent: Path, test: Path, players: build.Cast, console: Console) -> StaticScores:
    predictions = out / f"{players.value}.predictions.json"
    options = jobs.PredictOptions(agent=build.read_agent(agent), data=test, out=predictions, players=players)
    with progress(console) as display:
        bar = display.add_task(f"   {players.value}")
        jobs.predict(options, lambda done, total: display.update(bar, completed=done, total=total))
    report = cast("StaticScores", evaluate_rows(read_json(predictions)))
    write_json(out / f"{players.value}.metrics.json", report_document(report))
    with write_text(out / f"{players.value}.md") as file:
        file.write(report_text(report))
    return report


def _print_scores(console: Console, reports: dict[build.Cast, StaticScores]) -> None:
    three, single = reports[build.Cast.THREE], reports[build.Cast.SINGLE]
    rows = [[name, _show(three.metrics[name]), _show(single.metrics[name])] for name in METRICS]
    title = f"{three.count} held-out steps, teacher-forced, greedy, with\n{INTERVALS}"
    console.print(table(title, ["metric", "three roles", "backbone alone"], rows))


def _show(metric: Metric) -> str:
    if metric.value is None or metric.low is None or metric.high is None:
        return "-"
    return f"{100 * metric.value:.1f} ({100 * metric.low:.1f}-{100 * metric.high:.1f})"


def _ask(agent: Path, console: Console) -> None:
    world = World()
    task = next(_unasked(world))
    loaded = build.open_agent(build.read_agent(agent))
    trajectory = jobs.roll_out(loaded, WorldEnvironment(world, task), task, TurnPrinter(console).show)
    verdict = world.verify(task, trajectory)
    console.print(f"   verifier: {verdict_words(verdict)}", markup=False)


def _unasked(world: World) -> Iterator[Task]:
    """Held-out tasks of one call that can be solved and are not in the test file."""
    tasks = islice(TEST.tasks(world), TEST.count, None)
    return (task for task in tasks if task.metadata["solvable"] and task.metadata["calls"] == 1)


def _print_seconds(console: Console, seconds: dict[str, float]) -> None:
    rows = [[stage, f"{took:.1f}"] for stage, took in seconds.items()]
    console.print(table("Seconds", ["stage", "took"], [*rows, ["all", f"{sum(seconds.values()):.1f}"]]))
