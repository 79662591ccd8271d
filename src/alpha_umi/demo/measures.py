"""What the demo measures: steps after the reference's own history, and whole tasks live, free and held to a grammar."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import cast

from alpha_umi.agent import MultiAgent, SingleAgent
from alpha_umi.build import THREE, LoadedAgent, open_agent, open_coded_agent
from alpha_umi.build.environments import open_environment
from alpha_umi.config import AgentConfig, EndpointConfig, EnvironmentConfig, LimitsConfig, RolloutConfig, WorldConfig
from alpha_umi.evaluation.call_faults import CallFaults, find_faults
from alpha_umi.evaluation.metrics import Metric, mean
from alpha_umi.evaluation.rollouts import Explorer, Rollout, read_rollouts
from alpha_umi.evaluation.runner import Predictions, scored_steps
from alpha_umi.evaluation.static import StaticScores, evaluate_rows
from alpha_umi.jobs.rollout import RollOut, RolloutOptions, roll_out
from alpha_umi.jobs.side_by_side import Tell
from alpha_umi.protocols import Agent
from alpha_umi.search import Limits, method_name, open_strategy
from alpha_umi.store import read_json, read_trajectories
from alpha_umi.types import Role

CONCURRENCY = 64
LIMITS = LimitsConfig(max_steps=8, max_completions=40)
"""Of every task: no gold trajectory needs as much."""
STEPS = "steps"
LIGHT_BYTES = 100_000_000
"""Most weights of a model that several processes load each: memory is left, and threads do not help."""


def hold(agent: Agent, held: bool = True) -> Agent:
    """The same agent, its calls held to the offered tools and their schemas and its plans to a decision; or free."""
    match agent:
        case MultiAgent(speakers=speakers):
            return replace(agent, speakers={role: replace(each, held=held) for role, each in speakers.items()})
        case SingleAgent(backbone=backbone):
            return replace(agent, backbone=replace(backbone, held=held))
        case _:
            return agent


def why_free(config: AgentConfig | None) -> str:
    """Why an agent cannot be held; empty where it can. None: it is code."""
    if config is None:
        return "the agent is code"
    named = [config.roles.get(role) for role in (THREE if config.roles.is_multi else (Role.BACKBONE,))]
    unheld = [each.base_url for each in named if isinstance(each, EndpointConfig) and each.grammar is None]
    return f"the endpoint {unheld[0]} takes no grammar that is known" if unheld else ""


def is_light(loaded: LoadedAgent) -> bool:
    """Whether every process may have the agent for itself: its models are here, on the CPU, and small."""
    bases = [getattr(model, "base", None) for model in loaded.models]
    return bool(bases) and all(base and base.place[0] == "cpu" and base.weights <= LIGHT_BYTES for base in bases)


# --- one measurement ----------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class Measurement:
    """What is measured, in a form that can be sent to another process."""

    what: str
    """`steps`, or the strategy by which whole tasks are done."""
    held: bool
    agent: str | AgentConfig
    """One that is code, by its name; or of models."""
    out: Path
    """The demo's folder, with the gold trajectories."""
    tasks: int
    """Done live, of each set."""

    @property
    def how(self) -> str:
        return "held" if self.held else "free"

    @property
    def name(self) -> str:
        return f"{self.what}, {self.how}"

    def static_scores(self) -> StaticScores:
        """Of its steps, once they are predicted."""
        return cast("StaticScores", evaluate_rows(read_json(self.predictions)))

    def rollouts(self) -> dict[str, Rollout]:
        """By set and id, once all tasks are done."""
        return {rollout.key: rollout for rollout in read_rollouts(self.played)}

    @property
    def gold(self) -> Path:
        return self.out / "gold"

    @property
    def predictions(self) -> Path:
        return self.out / "predictions" / f"{self.how}.json"

    @property
    def played(self) -> Path:
        return self.out / "rollouts" / f"{self.what}-{self.how}"


def open_and_measure(measurement: Measurement, tell: Tell) -> None:
    """`measure` where no agent is loaded yet."""
    agent = measurement.agent
    loaded = open_coded_agent(agent) if isinstance(agent, str) else open_agent(agent)
    with asyncio.Runner() as runner:
        try:
            measure(runner, loaded, measurement, tell)
        finally:
            runner.run(loaded.__aexit__())


def measure(runner: asyncio.Runner, loaded: LoadedAgent, measurement: Measurement, tell: Tell) -> None:
    """In the one event loop in which the agent's endpoints can be asked. Raises what `open_environment` and the
    agent's models do."""
    agent = hold(loaded.agent, measurement.held)
    if measurement.what == STEPS:
        _predict(runner, agent, measurement, tell)
    else:
        _play(runner, replace(loaded, agent=agent), measurement, tell)


def _predict(runner: asyncio.Runner, agent: Agent, measurement: Measurement, tell: Tell) -> None:
    """The steps of all gold trajectories."""
    files = sorted(measurement.gold.glob("*.jsonl"))
    steps = [step for path in files for step in scored_steps(read_trajectories(path))]
    predictions = Predictions(measurement.predictions, steps, "demo", held=measurement.held)

    async def run() -> None:
        async with aclosing(predictions.run(agent, CONCURRENCY)) as finished:
            done = 0
            async for _ in finished:
                done += 1
                tell("", done, len(steps))

    runner.run(run())
    predictions.write()


def _play(runner: asyncio.Runner, loaded: LoadedAgent, measurement: Measurement, tell: Tell) -> None:
    """Whole tasks."""

    @asynccontextmanager
    async def crew(config: RolloutConfig, _: int) -> AsyncIterator[RollOut]:
        strategy = open_strategy(config.strategy, loaded.ranker)
        async with open_environment(config.environment) as places:
            yield Explorer(
                agent=loaded.agent,
                places=places,
                strategy=strategy,
                limits=Limits(**config.limits.model_dump()),
                method=method_name(strategy),
            ).roll_out

    agent = measurement.agent
    config = RolloutConfig(
        agent=agent if isinstance(agent, str) else agent.model_copy(update={"held": measurement.held}),
        environment=EnvironmentConfig(world=WorldConfig()),
        strategy=measurement.what,
        limits=LIMITS,
    )
    options = RolloutOptions(
        config=config,
        queries=measurement.gold,
        out=measurement.played,
        concurrency=CONCURRENCY,
        limit=measurement.tasks,
    )
    roll_out(options, lambda progress: tell("", progress.all.tasks, progress.total), crew, runner.run)


# --- live ---------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class LiveScores:
    """How the tasks of one set went."""

    pass_rate: Metric
    faults: CallFaults


def score_live(rollouts: Mapping[str, Rollout]) -> dict[str, LiveScores]:
    """By set."""
    sets: dict[str, list[Rollout]] = {}
    for rollout in rollouts.values():
        sets.setdefault(rollout.set, []).append(rollout)
    return {
        name: LiveScores(
            pass_rate=mean([float(passed(rollout)) for rollout in each]),
            faults=sum((_faults(rollout) for rollout in each), CallFaults()),
        )
        for name, each in sets.items()
    }


def passed(rollout: Rollout) -> bool:
    """By the world's verifier; what ended with an error has not passed."""
    return bool(rollout.verdict and rollout.verdict.get("passed"))


def count_errors(rollouts: Sequence[Rollout]) -> str:
    """How many ended with an error, in words; empty where none did."""
    errors = [rollout.error for rollout in rollouts if rollout.error]
    if not errors:
        return ""
    first = errors[0].partition("\n")[0]
    return f"{len(errors)} of {len(rollouts)} whole tasks ended with an error and count as not passed; one: {first}"


def _faults(rollout: Rollout) -> CallFaults:
    offered = {tool.name for tool in rollout.trajectory.task.tools}
    return sum((find_faults(node.turns, offered) for node in rollout.nodes), CallFaults())
