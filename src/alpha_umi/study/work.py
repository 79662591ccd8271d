"""Work of one cell up to its `cell.json`: train, predict the steps of the test sets, roll out, count the costs.

Every part resumes where it was interrupted; a cell with a `cell.json` is not done again.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

from alpha_umi.config import (
    AgentConfig,
    EnvironmentConfig,
    LimitsConfig,
    LocalConfig,
    RolloutConfig,
    StudyConfig,
    TrainConfig,
    WorldConfig,
)
from alpha_umi.evaluation.static import score_rows
from alpha_umi.jobs.predict import PredictOptions, predict
from alpha_umi.jobs.rollout import RollOut, RolloutOptions, roll_out
from alpha_umi.jobs.timing import Timing
from alpha_umi.jobs.train import PlanAssumptions, find_weights_of, plan_training, train
from alpha_umi.jobs.workers import OnProgress
from alpha_umi.loading.agents import read_agent
from alpha_umi.loading.rollouts import open_explorer
from alpha_umi.roles import AGENT_ROLES
from alpha_umi.rollouts.query_sets import read_sets
from alpha_umi.rollouts.runner import Job, Rollout, list_jobs, read_rollouts
from alpha_umi.store import read_json, write_json
from alpha_umi.study import budget
from alpha_umi.study.cells import DONE, Cell, train_config
from alpha_umi.study.data import Data
from alpha_umi.study.provenance import begin, is_done, provenance
from alpha_umi.training.recipe import make_steps
from alpha_umi.types import Call, Json, Role

_ALL = 10**9
"""Trajectories that are counted for a budget: all of them."""
_CONCURRENCY = 64
_SECONDS = "seconds.json"


def run_cell(config: StudyConfig, cell: Cell, out: Path, on_progress: OnProgress) -> None:
    """Do the work of a cell that is not done yet. After KeyboardInterrupt the next call resumes it.

    Raises ConfigError where it was begun with other settings.
    """
    if is_done(config, cell, out):
        return
    folder, data = cell.folder(out), Data(out, config)
    begin(config, cell, out)
    timing = Timing(folder / _SECONDS)
    plain = find_weights_of(train_config(config, cell, data, out))
    with timing.part("plan"):
        on_progress("planning", 0, 1)
        run, memory = _with_budget(config, cell, plain)
    with timing.part("train"):
        on_progress("training", 0, 1)
        resume = (Path(run.out) / "config.toml").exists()
        train(run, resume=resume, on_progress=lambda at: on_progress(at.stage, at.step, at.steps))
    trained = _trained(Path(run.out))
    spent = sum(cast("int", stage["row_tokens"]) for stage in trained.values())
    budget.check(spent, config.budget.tokens, config.budget.tolerance, cell.key)
    agent = read_agent(Path(run.out))
    with timing.part("static"):
        static = {name: _predict(agent, data.test(name), folder, name, on_progress) for name in config.static.sets}
    live: dict[str, Json] = {}
    if config.live.sets:
        for strategy in config.live.strategies:
            with timing.part(f"live {strategy}"):
                live[strategy] = _roll_out(config, agent, data, folder, strategy, on_progress)
    document: dict[str, Json] = {
        **provenance(config, cell, out),
        "base": cell.base,
        "variant": cell.variant,
        "seed": cell.seed,
        "stages": cast("Json", trained),
        "memory": memory,
        "storage": _storage(agent),
        "static": cast("Json", static),
        "live": live,
        "seconds": cast("Json", dict(timing.seconds)),
    }
    write_json(folder / DONE, document)


# --- training ---------------------------------------------------------------------------------------------


def _with_budget(config: StudyConfig, cell: Cell, plain: TrainConfig) -> tuple[TrainConfig, int]:
    """The training configuration with its epochs, and the bytes that its largest stage needs by the plan."""
    plan = plan_training(plain, PlanAssumptions(sample=_ALL))
    rows = {stage.step.name: stage.counts.total.row_tokens for stage in plan.stages}
    first = config.variants[cell.variant].first or config.budget.first
    steps = make_steps(plain)
    epochs = budget.split(config.budget.tokens, first, steps, rows)
    return budget.spend(plain, steps, epochs), max(stage.memory.total for stage in plan.stages)


def _trained(run: Path) -> dict[str, dict[str, Json]]:
    metrics = cast("dict[str, dict[str, Any]]", read_json(run / "metrics.json"))
    return {name: _stage(stage) for name, stage in metrics.items()}


def _stage(stage: Mapping[str, Any]) -> dict[str, Json]:
    did = stage["result"]
    return {
        "parameters": stage["parameters"],
        "learned": stage["learned"],
        "steps": did["steps"],
        "examples": did["examples"],
        "left_out": did["left_out"],
        "row_tokens": did["alone"],
        "computed_tokens": did["tokens"],
        "seconds": did["seconds"],
        "loss": did["loss"],
        "validation": dict(did["validation"]),
    }


def _storage(agent: AgentConfig) -> int:
    """Bytes of all weights of the agent on disk; files that roles share count once."""
    roles = AGENT_ROLES if agent.roles.is_multi else (Role.BACKBONE,)
    folders: set[str] = set()
    for role in roles:
        match agent.roles.get(role):
            case LocalConfig(model=model, adapter=adapter):
                folders |= {model} if adapter is None else {model, adapter}
            case _:
                pass
    return sum(path.stat().st_size for folder in folders for path in Path(folder).glob("*.safetensors"))


# --- static -----------------------------------------------------------------------------------------------


def _predict(agent: AgentConfig, data: Path, folder: Path, name: str, on_progress: OnProgress) -> dict[str, Json]:
    """The scores of every step of a set, by metric; None where one does not apply."""
    out = folder / "static" / f"{name}.json"
    options = PredictOptions(agent=agent, data=data, out=out, concurrency=_CONCURRENCY, warns=False)
    predict(options, lambda done, total: on_progress(name, done, total))
    scores: dict[str, Json] = {}
    for row, step in zip(read_json(out), score_rows(read_json(out)), strict=True):
        scores[row["key"]] = dict(step.scores)
    return scores


# --- live -------------------------------------------------------------------------------------------------


def _roll_out(
    config: StudyConfig, agent: AgentConfig, data: Data, folder: Path, strategy: str, on_progress: OnProgress
) -> dict[str, Json]:
    """Verdict and usage of every task, by set."""
    live = config.live
    wanted = RolloutConfig(
        agent=agent,
        environment=EnvironmentConfig(world=WorldConfig()),
        strategy=strategy,
        limits=LimitsConfig(max_steps=live.max_steps, max_completions=live.max_completions),
    )
    out = folder / "live" / strategy
    options = RolloutOptions(
        config=wanted, queries=data.live, out=out, concurrency=_CONCURRENCY, resume=True, retry=True
    )
    engine = _Engine(path=out / "engine.json")
    roll_out(options, lambda done: on_progress(strategy, done.all.tasks, done.total), engine.pool)
    asked = {job.key for job in list_jobs(read_sets(data.live)) if job.set in live.sets}
    found: dict[str, dict[str, Json]] = {name: {} for name in live.sets}
    for rollout in sorted(read_rollouts(out), key=lambda each: each.key):
        if rollout.key in asked:
            found[rollout.set][rollout.trajectory.task.id] = _describe(rollout)
    return {"sets": cast("Json", found), "engine": cast("Json", engine.per_task(len(asked)))}


@dataclass(frozen=True, slots=True, kw_only=True)
class _Engine:
    """Counts of the engines during rollouts, kept in a file so that a resumed run adds to them.

    Counts of an interrupted part are left out with its tasks: its tokens cannot be assigned to tasks.
    """

    path: Path

    @asynccontextmanager
    async def pool(self, config: RolloutConfig, _: int) -> AsyncIterator[RollOut]:
        """Roll out in this process, as `jobs.rollout.local_pool` does, and count."""
        done = 0
        async with open_explorer(config) as loaded:

            async def one(job: Job) -> Rollout:
                nonlocal done
                rollout = await loaded.explorer.roll_out(job)
                done += 1
                return rollout

            yield one
            self._add({"tasks": done, **_counted(loaded.agent.models)})

    def per_task(self, tasks: int) -> dict[str, float]:
        """Return tokens of prompts per task: those that were computed, and those found in the cache.

        Empty where no engine ran, and where fewer than `tasks` were counted.
        """
        sums = self._read()
        if "prefilled" not in sums or sums["tasks"] < tasks:
            return {}
        return {what: sums[what] / sums["tasks"] for what in _COUNTED}

    def _read(self) -> dict[str, float]:
        return cast("dict[str, float]", read_json(self.path)) if self.path.exists() else {}

    def _add(self, more: Mapping[str, float]) -> None:
        before = self._read()
        write_json(self.path, {what: before.get(what, 0) + more.get(what, 0) for what in before.keys() | more.keys()})


_COUNTED = {"prefilled": "prefill_tokens", "shared": "cached_tokens"}
"""Key of a cell's document -> field of the engine's statistics."""


def _counted(models: Iterable[object]) -> dict[str, float]:
    """Sums over all engines, each once."""
    bases = (getattr(model, "base", None) for model in models)
    engines = {id(engine): engine for base in bases if (engine := getattr(base, "engine", None)) is not None}
    if not engines:
        return {}
    return {what: sum(getattr(each.stats, field) for each in engines.values()) for what, field in _COUNTED.items()}


def _describe(rollout: Rollout) -> dict[str, Json]:
    usage, turns = rollout.trajectory.usage, rollout.trajectory.turns
    return {
        "passed": bool(rollout.verdict and rollout.verdict.get("passed")),
        "calls": sum(isinstance(turn, Call) for turn in turns),
        "read": usage.prompt_tokens,
        "written": usage.completion_tokens,
        "completions": usage.completions,
        "error": rollout.error,
    }
