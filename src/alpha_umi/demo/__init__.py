"""The demo: the bundled agent at work in its world, live, verified and measured, with a page that shows it all.

Tasks are chosen by rule (demo.choices). Two are chosen by their outcome, and say so: those at which a chain fails
and a depth-first search does not.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping
from contextlib import aclosing
from dataclasses import dataclass
from functools import partial
from itertools import islice
from pathlib import Path

from rich.console import Console

from alpha_umi import build
from alpha_umi.agent import overheard
from alpha_umi.build.bundled import check_world
from alpha_umi.config import AgentConfig
from alpha_umi.demo.choices import FIRST, choose, measured_splits
from alpha_umi.demo.measures import (
    LIMITS,
    STEPS,
    Measurement,
    count_errors,
    is_light,
    measure,
    open_and_measure,
    passed,
    score_live,
    why_free,
)
from alpha_umi.demo.page import Results, Shown, show_results, write_results
from alpha_umi.display import TurnPrinter, loading, progress, verdict_words
from alpha_umi.environments.world import WorldEnvironment
from alpha_umi.errors import AlphaUMiError, ConfigError
from alpha_umi.evaluation.rollouts import Rollout
from alpha_umi.jobs import InterruptedWorkError
from alpha_umi.jobs.clock import Clock
from alpha_umi.jobs.side_by_side import Update, cores, work_on
from alpha_umi.preparation.world_files import Choice
from alpha_umi.search import Limits, Strategy, Tree, explore, method_name, open_strategy
from alpha_umi.store import claim_folder, write_text, write_trajectories
from alpha_umi.types import Task
from alpha_umi.world import World

TASKS = 100
"""Whose steps are measured, of each of two test sets."""
LIVE = 30
"""Of them, done live four times: by two searches, free and held."""
_RESCUED = 2
_MADE = ("gold", "predictions", "rollouts")
"""Folders that the demo makes anew."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DemoOptions:
    """What is shown and where it goes."""

    agent: str = build.DEFAULT
    """A run directory, an agent file, a bundled agent's name, or one that is code: `oracle`, `module:attribute`."""
    preset: str | None = None
    """None: the world that the agent was made in."""
    tasks: int = TASKS
    out: Path = Path("runs/demo")
    workers: int | None = None
    """Measurements under way at once; None: as many as cores where the agent is small, else one."""


class MeasurementError(AlphaUMiError):
    """Something could not be measured."""


def run(options: DemoOptions, console: Console) -> Path:
    """All of it; returns the page.

    Raises CheckpointError where there is no such agent, or it is of another world; MeasurementError where one of the
    measurements fails, after all others are ended.
    """
    coded = build.is_coded(options.agent)
    config = None if coded else build.read_agent(Path(options.agent))
    made = None if config is None else config.made
    preset = options.preset or (None if made is None else made.preset)
    if preset is None:
        raise ConfigError(f"{options.agent}: does not say in which world it was made; name one by --world")
    if made is not None:
        check_world(made)
    try:
        return _Demo(options, config, preset, console).run()
    except KeyboardInterrupt:
        raise InterruptedWorkError("interrupted; the same command measures anew") from None


class _Demo:
    """One run of it."""

    def __init__(self, options: DemoOptions, config: AgentConfig | None, preset: str, console: Console) -> None:
        self._options, self._config, self._preset, self._console = options, config, preset, console
        self._world = World(preset)
        self._out = options.out
        self._clock = Clock()
        self._why_free = why_free(config)
        self._runner = asyncio.Runner()
        for name in _MADE:
            claim_folder(self._out / name, anew=True)

    def run(self) -> Path:
        with self._runner:
            return self._run()

    def _run(self) -> Path:
        console = self._console
        with self._clock.part("loading"):
            loaded = self._load()
        try:
            with self._clock.part("tasks live"):
                shown = [
                    self._ask(loaded, choice.title, choice.task, "chain")
                    for choice in choose(self._world, self._preset)
                ]
            results = self._measure(loaded, shown)
        finally:
            self._runner.run(loaded.__aexit__())
        show_results(results, console)
        with write_text(self._out / "report.html") as text:
            text.write(write_results(results))
        console.print(f"The page of all this: {self._out / 'report.html'}", markup=False, highlight=False)
        return self._out / "report.html"

    def _load(self) -> build.LoadedAgent:
        config, name = self._config, self._options.agent
        if config is None:
            return build.open_coded_agent(name)
        if config.roles.is_local:
            with loading(self._console, "torch and transformers"):
                build.import_engine()
        with loading(self._console, name):
            return build.open_agent(config)

    # --- one task, live -----------------------------------------------------------------------------------

    def _ask(self, loaded: build.LoadedAgent, title: str, task: Task, strategy: str) -> Shown:
        console = self._console
        console.print()
        console.rule(f"[bold]{title}[/bold] [dim]{task.id}, {strategy}[/dim]", align="left", characters="·")
        started = time.monotonic()
        chosen = open_strategy(strategy)
        tree = self._runner.run(self._explore(loaded, task, chosen))
        verdict = self._world.verify(task, tree.best)
        style = "bold green" if verdict.passed else "bold red"
        console.print(
            f"{'verifier':>10}  {verdict_words(verdict)}", style=style, markup=False, highlight=False, soft_wrap=True
        )
        rollout = Rollout(
            set=title,
            trajectory=tree.best,
            nodes=tuple(tree.nodes),
            method=method_name(chosen),
            verdict={"passed": verdict.passed, "reasons": list(verdict.reasons)},
            seconds=round(time.monotonic() - started, 3),
        )
        return Shown(title=title, rollout=rollout)

    async def _explore(self, loaded: build.LoadedAgent, task: Task, strategy: Strategy) -> Tree:
        tree, place, limits = Tree(task=task), WorldEnvironment(self._world, task), Limits(**LIMITS.model_dump())
        with TurnPrinter(self._console) as printer:
            agent = overheard(loaded.agent, printer.on_token)
            async with aclosing(explore(agent, place, task, limits, strategy)) as nodes:
                async for node in nodes:
                    tree.add(node)
                    printer.on_node(node)
        return tree

    # --- many tasks ---------------------------------------------------------------------------------------

    def _measure(self, loaded: build.LoadedAgent, shown: list[Shown]) -> Results:
        self._write_gold()
        todo = self._measurements()
        self._console.print()
        with self._clock.part("measurements"):
            self._do(loaded, todo)
        played = {(one.what, one.how): one.rollouts() for one in todo if one.what != STEPS}
        with self._clock.part("tasks live"):
            rescued, words = self._rescue(loaded, played["chain", "free"], played["dfsdt", "free"])
        return Results(
            agent=self._options.agent,
            preset=self._preset,
            run=None if self._config is None else build.find_run(Path(self._options.agent)),
            tasks=self._options.tasks,
            live_tasks=min(self._options.tasks, LIVE),
            shown=shown,
            rescued=rescued,
            rescue=words,
            why_free=self._why_free,
            errors=count_errors([rollout for each in played.values() for rollout in each.values()]),
            static={one.how: one.static_scores() for one in todo if one.what == STEPS},
            live={key: score_live(played[key]) for key in sorted(played)},
            seconds=self._clock.seconds,
        )

    def _measurements(self) -> list[Measurement]:
        """Those that take longest first, so that none of them is waited for alone; held where the agent can be."""
        agent = self._options.agent if self._config is None else self._config
        hows = (False,) if self._why_free else (False, True)
        return [
            Measurement(what=what, held=held, agent=agent, out=self._out, tasks=LIVE)
            for what in ("dfsdt", STEPS, "chain")
            for held in hows
        ]

    def _do(self, loaded: build.LoadedAgent, todo: list[Measurement]) -> None:
        """Beside each other where the agent is small, since threads are of little use to it."""
        workers = self._options.workers or (cores() if is_light(loaded) else 1)
        with progress(self._console) as display:

            def show(update: Update) -> None:
                if update.error:
                    raise MeasurementError(f"{update.what}: {update.error}")
                if not update.ended:
                    display.update(update.what, update.done, update.total)

            work = open_and_measure if workers > 1 else partial(measure, self._runner, loaded)
            work_on({one.name: one for one in todo}, work, show, workers)

    def _write_gold(self) -> None:
        for split in measured_splits(self._preset):
            choice = Choice(split=split, count=self._options.tasks, preset=self._preset, first=FIRST)
            tasks = islice(choice.tasks(self._world), choice.count)
            write_trajectories(self._out / "gold" / f"{split}.jsonl", (self._world.gold(task) for task in tasks))

    def _rescue(
        self, loaded: build.LoadedAgent, chains: Mapping[str, Rollout], trees: Mapping[str, Rollout]
    ) -> tuple[list[Shown], str]:
        """Tasks at which the chain fails and DFSDT does not, again and live; where there are none, what there is. Not
        those that an error ended."""
        failed = [key for key in self._in_order(chains) if not (passed(chains[key]) or chains[key].error)]
        found = [key for key in failed if passed(trees[key])]
        count, title = len(chains), "DFSDT where the chain fails"
        if len(found) >= _RESCUED:
            words = f"Of {count} tasks the chain fails at {len(failed)}; DFSDT does {len(found)} of these."
        elif failed:
            words = f"Of {count} tasks the chain fails at {len(failed)}, and DFSDT does only {len(found)} of these."
        else:
            words = f"The chain fails at none of {count} tasks, so there is none that DFSDT could save."
        self._console.print(f"\n{words}", markup=False, highlight=False)
        rest = [key for key in failed if key not in found and not trees[key].error]
        picked = [*found, *rest][:_RESCUED]
        return [self._ask(loaded, title, chains[key].trajectory.task, "dfsdt") for key in picked], words

    def _in_order(self, rollouts: Mapping[str, Rollout]) -> list[str]:
        """By set, then by index."""
        splits = measured_splits(self._preset)

        def place(key: str) -> tuple[int, int]:
            index = rollouts[key].trajectory.task.metadata["index"]
            return splits.index(rollouts[key].set), index if isinstance(index, int) else 0

        return sorted(rollouts, key=place)
