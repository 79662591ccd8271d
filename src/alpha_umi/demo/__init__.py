"""The demo: the bundled agent at work in its world, live, verified and measured, with a page that shows it all.

Tasks are chosen by rule (demo.choices). Two are chosen by their outcome, and say so: those at which a chain fails
and a depth-first search does not.
"""

from __future__ import annotations

import asyncio
import shutil
import time
from collections.abc import Mapping
from contextlib import aclosing
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

from rich.console import Console

from alpha_umi import build
from alpha_umi.build.bundled import check_world
from alpha_umi.config import AgentConfig, EnvironmentConfig, LimitsConfig, RolloutConfig, WorldConfig
from alpha_umi.demo.choices import FIRST, choose, measured_splits
from alpha_umi.demo.measures import CONCURRENCY, hold, passed, play, predict, score_live
from alpha_umi.demo.page import Results, Shown, show_results, write_results
from alpha_umi.display import TurnPrinter, loading, progress, verdict_words
from alpha_umi.environments.world import WorldEnvironment
from alpha_umi.errors import ConfigError
from alpha_umi.evaluation.rollouts import Rollout
from alpha_umi.evaluation.static import StaticScores
from alpha_umi.jobs import InterruptedWorkError
from alpha_umi.jobs.clock import Clock
from alpha_umi.jobs.rollout import RolloutOptions
from alpha_umi.preparation.world_files import Choice
from alpha_umi.search import Limits, Strategy, Tree, explore, method_name, open_strategy
from alpha_umi.store import write_text, write_trajectories
from alpha_umi.types import Task
from alpha_umi.world import World

TASKS = 100
"""Whose steps are measured, of each of two test sets."""
LIVE = 30
"""Of them, done live four times: by two searches, free and held."""
LIMITS = LimitsConfig(max_steps=8, max_completions=40)
"""Of every task: no gold trajectory needs as much."""
STRATEGIES = ("chain", "dfsdt")
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


def run(options: DemoOptions, console: Console) -> Path:
    """All of it; returns the page. Raises CheckpointError where there is no such agent, or it is of another world."""
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
        raise InterruptedWorkError("interrupted; 'umi demo' starts anew") from None


class _Demo:
    """One run of it."""

    def __init__(self, options: DemoOptions, config: AgentConfig | None, preset: str, console: Console) -> None:
        self._options, self._config, self._preset, self._console = options, config, preset, console
        self._world = World(preset)
        self._out = options.out
        self._clock = Clock()
        for name in _MADE:
            shutil.rmtree(self._out / name, ignore_errors=True)

    def run(self) -> Path:
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
            asyncio.run(loaded.__aexit__())
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
        tree = asyncio.run(self._explore(loaded, task, chosen))
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
        printer, tree = TurnPrinter(self._console), Tree(task=task)
        place = WorldEnvironment(self._world, task)
        async with aclosing(explore(loaded.agent, place, task, Limits(**LIMITS.model_dump()), strategy)) as nodes:
            async for node in nodes:
                tree.add(node)
                printer.show(node)
        return tree

    # --- many tasks ---------------------------------------------------------------------------------------

    def _measure(self, loaded: build.LoadedAgent, shown: list[Shown]) -> Results:
        gold = self._write_gold()
        agents = {"free": hold(loaded.agent, held=False)}
        if self._config is not None:
            agents["held"] = hold(loaded.agent)
        static: dict[str, StaticScores] = {}
        played: dict[tuple[str, str], Mapping[str, Rollout]] = {}
        self._console.print()
        with progress(self._console) as display:
            for how, agent in agents.items():
                bar = display.add_task(f"steps, {how}")
                with self._clock.part(f"steps, {how}"):
                    static[how] = predict(
                        agent,
                        gold,
                        self._out / "predictions" / f"{how}.json",
                        lambda done, total, bar=bar: display.update(bar, completed=done, total=total),
                        held=how == "held",
                    )
            for how, agent in agents.items():
                for strategy in STRATEGIES:
                    bar = display.add_task(f"{strategy}, {how}")
                    with self._clock.part(f"{strategy}, {how}"):
                        played[strategy, how] = play(
                            loaded,
                            agent,
                            self._rollouts(strategy, how),
                            lambda done, total, bar=bar: display.update(bar, completed=done, total=total),
                        )
        with self._clock.part("tasks live"):
            rescued, words = self._rescue(loaded, played["chain", "free"], played["dfsdt", "free"])
        return Results(
            agent=self._options.agent,
            preset=self._preset,
            run=None if self._config is None else build.find_run(Path(self._options.agent)),
            tasks=self._options.tasks,
            live_tasks=min(self._options.tasks, LIVE),
            shown=(*shown, *rescued),
            rescue=words,
            static=static,
            live={key: score_live(rollouts) for key, rollouts in played.items()},
            seconds=self._clock.seconds,
        )

    def _write_gold(self) -> list[Path]:
        files: list[Path] = []
        for split in measured_splits(self._preset):
            choice = Choice(split=split, count=self._options.tasks, preset=self._preset, first=FIRST)
            tasks = islice(choice.tasks(self._world), choice.count)
            files.append(self._out / "gold" / f"{split}.jsonl")
            write_trajectories(files[-1], (self._world.gold(task) for task in tasks))
        return files

    def _rollouts(self, strategy: str, how: str) -> RolloutOptions:
        agent = self._config
        config = RolloutConfig(
            agent=self._options.agent if agent is None else agent.model_copy(update={"held": how == "held"}),
            environment=EnvironmentConfig(world=WorldConfig()),
            strategy=strategy,
            limits=LIMITS,
        )
        return RolloutOptions(
            config=config,
            queries=self._out / "gold",
            out=self._out / "rollouts" / f"{strategy}-{how}",
            concurrency=CONCURRENCY,
            limit=LIVE,
        )

    def _rescue(
        self, loaded: build.LoadedAgent, chains: Mapping[str, Rollout], trees: Mapping[str, Rollout]
    ) -> tuple[list[Shown], str]:
        """Tasks at which the chain fails and DFSDT does not, again and live; where there are none, what there is."""
        failed = [key for key in self._in_order(chains) if not passed(chains[key])]
        found = [key for key in failed if passed(trees[key])]
        count, title = len(chains), "DFSDT where the chain fails"
        if len(found) >= _RESCUED:
            words = f"Of {count} tasks the chain fails at {len(failed)}; DFSDT does {len(found)} of these."
        elif failed:
            words = f"Of {count} tasks the chain fails at {len(failed)}, and DFSDT does only {len(found)} of these."
        else:
            words = f"The chain fails at none of {count} tasks, so there is none that DFSDT could save."
        self._console.print(f"\n{words}", markup=False, highlight=False)
        rest = [key for key in failed if key not in found]
        picked = [*found, *rest][:_RESCUED]
        return [self._ask(loaded, title, chains[key].trajectory.task, "dfsdt") for key in picked], words

    def _in_order(self, rollouts: Mapping[str, Rollout]) -> list[str]:
        """By set, then by index."""
        splits = measured_splits(self._preset)

        def place(key: str) -> tuple[int, int]:
            index = rollouts[key].trajectory.task.metadata["index"]
            return splits.index(rollouts[key].set), index if isinstance(index, int) else 0

        return sorted(rollouts, key=place)
