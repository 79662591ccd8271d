"""The demo from start to page: an agent answers tasks of its world live, each verified, and is measured.

Tasks are chosen by rule (`demo.choices`). At most two are chosen by their outcome, and say so: tasks at which a chain
fails, searched again depth-first.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import islice
from pathlib import Path

from rich.console import Console

from alpha_umi.agent import with_streaming
from alpha_umi.config import AgentConfig
from alpha_umi.demo.choices import FIRST, choose, measured_splits
from alpha_umi.demo.measures import (
    LIMITS,
    STEPS,
    UNCONSTRAINED,
    Measurement,
    describe_errors,
    is_light,
    measure,
    open_and_measure,
    passed,
    score_live,
    unsupported_reason,
)
from alpha_umi.demo.own_tools import ask_with_own_tools
from alpha_umi.demo.page import Results, ShownTask, print_results, write_results
from alpha_umi.display import TurnPrinter, loading, print_heading, print_line, progress, verdict_words
from alpha_umi.environments.world import WorldEnvironment
from alpha_umi.errors import AlphaUMiError, ConfigError, InterruptedWorkError
from alpha_umi.jobs.timing import Timing
from alpha_umi.jobs.workers import Update, cores, run_items
from alpha_umi.loading.agents import (
    LoadedAgent,
    find_run,
    instruct_agent,
    is_coded,
    open_agent,
    open_coded_agent,
    read_agent,
)
from alpha_umi.loading.bundled import DEFAULT, check_world
from alpha_umi.loading.models import import_engine
from alpha_umi.output_lock import locked
from alpha_umi.preparation.world_files import Choice
from alpha_umi.rollouts.runner import Rollout
from alpha_umi.search import Limits, Strategy, Tree, method_name, open_strategy
from alpha_umi.search.solve import solve
from alpha_umi.store import claim_folder, write_text, write_trajectories
from alpha_umi.types import Task
from alpha_umi.world import World

TASKS = 100
"""Tasks of each of two test sets whose steps are measured."""
LIVE = 30
"""Of these, tasks that are rolled out: by two searches, unconstrained and constrained."""
_SEARCHED_AGAIN = 2
_UNTRAINED_PRESET = "small"
_REWRITTEN = ("gold", "predictions", "rollouts")
"""Folders that every demo replaces."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DemoOptions:
    """Options of the demo."""

    agent: str = DEFAULT
    """A run directory, an agent file, a bundled agent's name, or one that is code: `oracle`, `module:attribute`."""
    model: str | None = None
    """An instruct model in place of an agent, untrained in all three roles; with `base_url` behind an endpoint."""
    base_url: str | None = None
    preset: str | None = None
    """Of the world; None: the one that the agent was trained in, `small` for an instruct model."""
    tasks: int = TASKS
    out: Path = Path("runs/demo")
    workers: int | None = None
    """Concurrent measurements; None: as many as cores where the agent is small, else one."""


class MeasurementError(AlphaUMiError):
    """A measurement that failed."""


def run(options: DemoOptions, console: Console) -> Path:
    """Run the demo and return the path of its page.

    Raises CheckpointError where there is no such agent, or it is of another world; MeasurementError where one of the
    measurements fails, after all others are ended.
    """
    if options.model is not None:
        config = instruct_agent(options.model, options.base_url)
        options = replace(options, agent=Path(options.model).name, preset=options.preset or _UNTRAINED_PRESET)
    else:
        config = None if is_coded(options.agent) else read_agent(Path(options.agent))
    provenance = None if config is None else config.provenance
    preset = options.preset or (None if provenance is None else provenance.preset)
    if preset is None:
        raise ConfigError(f"{options.agent}: does not say in which world it was trained; name one by --world")
    if provenance is not None:
        check_world(provenance)
    try:
        with locked(options.out):
            return _Demo(options, config, preset, console).run()
    except KeyboardInterrupt:
        raise InterruptedWorkError("interrupted; the same command measures again from the start") from None


class _Demo:
    """State of a running demo."""

    def __init__(self, options: DemoOptions, config: AgentConfig | None, preset: str, console: Console) -> None:
        self._options, self._config, self._preset, self._console = options, config, preset, console
        self._world = World(preset)
        self._out = options.out
        self._timing = Timing()
        self._unsupported = unsupported_reason(config)
        self._runner = asyncio.Runner()
        for name in _REWRITTEN:
            claim_folder(self._out / name, emptied=True)

    def run(self) -> Path:
        with self._runner:
            return self._run()

    def _run(self) -> Path:
        console = self._console
        with self._timing.part("loading"):
            loaded = self._load()
        try:
            with self._timing.part("tasks live"):
                shown = [
                    self._ask(loaded, choice.title, choice.task, "chain")
                    for choice in choose(self._world, self._preset)
                ]
            with self._timing.part("tools of one's own"):
                own = ask_with_own_tools(console) if self._options.agent == DEFAULT else ()
            results = self._measure(loaded, shown, own)
        finally:
            self._runner.run(loaded.__aexit__())
        print_results(results, console)
        with write_text(self._out / "report.html") as text:
            text.write(write_results(results))
        page = self._out / "report.html"
        print_line(console, f"\nThe page with all of this: {page}")
        return page

    def _load(self) -> LoadedAgent:
        config, name = self._config, self._options.agent
        if config is None:
            return open_coded_agent(name)
        if config.roles.is_local:
            with loading(self._console, "torch"):
                import_engine()
        with loading(self._console, name):
            return open_agent(config)

    # --- one task, live -----------------------------------------------------------------------------------

    def _ask(self, loaded: LoadedAgent, title: str, task: Task, strategy: str) -> ShownTask:
        console = self._console
        print_heading(console, title, f"{task.id}, {strategy}")
        started = time.monotonic()
        chosen = open_strategy(strategy)
        tree = self._runner.run(self._explore(loaded, task, chosen))
        verdict = self._world.verify(task, tree.best)
        style = "bold green" if verdict.passed else "bold red"
        print_line(console, f"{'verifier':>10}  {verdict_words(verdict)}", style)
        rollout = Rollout(
            set=title,
            trajectory=tree.best,
            nodes=tuple(tree.nodes),
            method=method_name(chosen),
            verdict={"passed": verdict.passed, "reasons": list(verdict.reasons)},
            seconds=round(time.monotonic() - started, 3),
        )
        return ShownTask(title=title, rollout=rollout)

    async def _explore(self, loaded: LoadedAgent, task: Task, strategy: Strategy) -> Tree:
        tree, limits = Tree(task=task), Limits(**LIMITS.model_dump())
        environment = WorldEnvironment(self._world, task)
        with TurnPrinter(self._console) as printer:
            agent = with_streaming(loaded.agent, printer.on_token)
            await solve(tree, agent, environment, limits, strategy, on_node=printer.on_node)
        return tree

    # --- many tasks ---------------------------------------------------------------------------------------

    def _measure(self, loaded: LoadedAgent, shown: list[ShownTask], own: Sequence[ShownTask]) -> Results:
        self._write_gold()
        todo = self._measurements()
        self._console.print()
        with self._timing.part("measurements"):
            self._do(loaded, todo)
        live = {(one.kind, one.mode): one.rollouts() for one in todo if one.kind != STEPS}
        with self._timing.part("tasks live"):
            searched, words = self._search_again(loaded, live["chain", UNCONSTRAINED], live["dfsdt", UNCONSTRAINED])
        return Results(
            agent=self._options.agent,
            preset=self._preset,
            run=None if self._config is None or self._options.model else find_run(Path(self._options.agent)),
            tasks=self._options.tasks,
            live_tasks=min(self._options.tasks, LIVE),
            shown=shown,
            own=own,
            searched_again=searched,
            rescue=words,
            unsupported=self._unsupported,
            errors=describe_errors([rollout for each in live.values() for rollout in each.values()]),
            static={one.mode: one.static_scores() for one in todo if one.kind == STEPS},
            live={key: score_live(rollouts) for key, rollouts in sorted(live.items())},
            seconds=self._timing.seconds,
        )

    def _measurements(self) -> list[Measurement]:
        """The longest first, so that none runs alone at the end; constrained ones where the agent supports that."""
        agent = self._options.agent if self._config is None else self._config
        return [
            Measurement(kind=kind, constrained=constrained, agent=agent, out=self._out, tasks=LIVE)
            for kind in ("dfsdt", STEPS, "chain")
            for constrained in ((False,) if self._unsupported else (False, True))
        ]

    def _do(self, loaded: LoadedAgent, todo: list[Measurement]) -> None:
        """In parallel processes where the agent is small, since threads are of little use to it."""
        workers = self._options.workers or (cores() if is_light(loaded) else 1)
        with progress(self._console) as display:

            def show(update: Update) -> None:
                if update.error:
                    raise MeasurementError(f"{update.what}: {update.error}")
                if not update.ended:
                    display.update(update.what, update.done, update.total)

            work = open_and_measure if workers > 1 else partial(measure, self._runner, loaded)
            run_items({one.name: one for one in todo}, work, show, workers)

    def _write_gold(self) -> None:
        for split in measured_splits(self._preset):
            choice = Choice(split=split, count=self._options.tasks, preset=self._preset, first=FIRST)
            tasks = islice(choice.tasks(self._world), choice.count)
            write_trajectories(self._out / "gold" / f"{split}.jsonl", (self._world.gold(task) for task in tasks))

    def _search_again(
        self, loaded: LoadedAgent, chains: Mapping[str, Rollout], trees: Mapping[str, Rollout]
    ) -> tuple[list[ShownTask], str]:
        """Run DFSDT live on tasks at which the chain fails, first those that it passed when it was measured.

        Also returns how often it passes where the chain fails, as a sentence. Tasks that an error ended are left out.
        """
        failed = [key for key in self._in_order(chains) if not (passed(chains[key]) or chains[key].error)]
        rescued = [key for key in failed if passed(trees[key])]
        words = rescue_words(len(chains), len(failed), len(rescued))
        print_line(self._console, f"\n{words}")
        others = [key for key in failed if key not in rescued and not trees[key].error]
        return [
            self._ask(loaded, "a chain fails here", chains[key].trajectory.task, "dfsdt")
            for key in [*rescued, *others][:_SEARCHED_AGAIN]
        ], words

    def _in_order(self, rollouts: Mapping[str, Rollout]) -> list[str]:
        """Keys by set, then by index."""
        splits = measured_splits(self._preset)

        def order(key: str) -> tuple[int, int]:
            index = rollouts[key].trajectory.task.metadata["index"]
            return splits.index(rollouts[key].set), index if isinstance(index, int) else 0

        return sorted(rollouts, key=order)


def rescue_words(tasks: int, failed: int, rescued: int) -> str:
    """Describe in a sentence how often tree search passes tasks at which the chain fails."""
    if not failed:
        return f"The chain fails at none of {tasks} tasks, so there is nothing for tree search (DFSDT) to rescue."
    words = f"The chain fails at {failed} of {tasks} tasks"
    if not rescued:
        return f"{words}. Tree search (DFSDT) rescues none of them."
    return f"{words}. Tree search (DFSDT) passes {rescued} of these {failed}."
