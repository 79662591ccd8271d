"""Measurements of the demo: teacher-forced steps and whole tasks, with and without constrained decoding."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import cast

from alpha_umi.agent import MultiAgent, SingleAgent
from alpha_umi.config import AgentConfig, EndpointConfig, EnvironmentConfig, LimitsConfig, RolloutConfig, WorldConfig
from alpha_umi.evaluation.call_faults import CallFaults, find_faults
from alpha_umi.evaluation.metrics import Metric, mean
from alpha_umi.evaluation.runner import Predictions, scored_steps
from alpha_umi.evaluation.static import StaticScores, evaluate_rows
from alpha_umi.jobs.rollout import RollOut, RolloutOptions, roll_out
from alpha_umi.jobs.workers import OnProgress
from alpha_umi.loading.agents import LoadedAgent, open_agent, open_coded_agent
from alpha_umi.loading.environments import open_environment
from alpha_umi.protocols import Agent
from alpha_umi.roles import AGENT_ROLES
from alpha_umi.rollouts.runner import Explorer, Rollout, read_rollouts
from alpha_umi.search import Limits, method_name, open_strategy
from alpha_umi.store import read_json, read_trajectories
from alpha_umi.types import Role

CONCURRENCY = 64
LIMITS = LimitsConfig(max_steps=8, max_completions=40)
"""Of a task; no reference trajectory needs as much."""
STEPS = "steps"
LIGHT_BYTES = 100_000_000
"""Weights up to which every process loads a model of its own: memory suffices, and threads do not help."""
UNCONSTRAINED, CONSTRAINED = "unconstrained", "constrained"
"""Modes of decoding: any text, or calls by a grammar of the offered tools and plans that decide."""


def constrain(agent: Agent, constrained: bool = True) -> Agent:
    """Return the agent with or without constrained decoding: calls by the offered tools' schemas, plans that decide."""
    match agent:
        case MultiAgent(role_models=role_models):
            return replace(
                agent, role_models={role: replace(each, constrained=constrained) for role, each in role_models.items()}
            )
        case SingleAgent(backbone=backbone):
            return replace(agent, backbone=replace(backbone, constrained=constrained))
        case _:
            return agent


def unsupported_reason(config: AgentConfig | None) -> str:
    """Return the reason for which an agent cannot be constrained, else nothing. None: an agent that is code."""
    if config is None:
        return "the agent is code"
    named = [config.roles.get(role) for role in (AGENT_ROLES if config.roles.is_multi else (Role.BACKBONE,))]
    unable = [each.base_url for each in named if isinstance(each, EndpointConfig) and each.grammar is None]
    return f"the endpoint {unable[0]} takes no grammar that is known" if unable else ""


def is_light(loaded: LoadedAgent) -> bool:
    """Tell whether every process may load the agent for itself: its models run here, on the CPU, and are small."""
    bases = [getattr(model, "base", None) for model in loaded.models]
    return bool(bases) and all(base and base.device == "cpu" and base.weights <= LIGHT_BYTES for base in bases)


# --- one measurement ----------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class Measurement:
    """A measurement, in a form that can be sent to another process."""

    kind: str
    """`steps`, or the search strategy of whole tasks."""
    constrained: bool
    agent: str | AgentConfig
    """The name of one that is code, or its configuration."""
    out: Path
    """The demo's folder, with the reference trajectories."""
    tasks: int
    """Rolled out, of each set."""

    @property
    def mode(self) -> str:
        """Of decoding."""
        return CONSTRAINED if self.constrained else UNCONSTRAINED

    @property
    def name(self) -> str:
        """For progress and errors."""
        return f"{self.kind}, {self.mode}"

    def static_scores(self) -> StaticScores:
        """Score its steps, once they are predicted."""
        return cast("StaticScores", evaluate_rows(read_json(self.predictions)))

    def rollouts(self) -> dict[str, Rollout]:
        """Read its rollouts by set and id, once all tasks are done."""
        return {rollout.key: rollout for rollout in read_rollouts(self.rollouts_folder)}

    @property
    def gold(self) -> Path:
        """The folder of reference trajectories."""
        return self.out / "gold"

    @property
    def predictions(self) -> Path:
        """The file of predicted steps."""
        return self.out / "predictions" / f"{self.mode}.json"

    @property
    def rollouts_folder(self) -> Path:
        """The folder of whole tasks."""
        return self.out / "rollouts" / f"{self.kind}-{self.mode}"


def open_and_measure(measurement: Measurement, on_progress: OnProgress) -> None:
    """Load the agent of a measurement, then measure."""
    agent = measurement.agent
    loaded = open_coded_agent(agent) if isinstance(agent, str) else open_agent(agent)
    with asyncio.Runner() as runner:
        try:
            measure(runner, loaded, measurement, on_progress)
        finally:
            runner.run(loaded.__aexit__())


def measure(runner: asyncio.Runner, loaded: LoadedAgent, measurement: Measurement, on_progress: OnProgress) -> None:
    """Measure in one event loop, since an agent's endpoints stay in the loop of their first request.

    Raises what `open_environment` and the agent's models do.
    """
    agent = constrain(loaded.agent, measurement.constrained)
    if measurement.kind == STEPS:
        _predict(runner, agent, measurement, on_progress)
    else:
        _roll_out(runner, replace(loaded, agent=agent), measurement, on_progress)


def _predict(runner: asyncio.Runner, agent: Agent, measurement: Measurement, on_progress: OnProgress) -> None:
    """Predict the steps of all reference trajectories."""
    files = sorted(measurement.gold.glob("*.jsonl"))
    steps = [step for path in files for step in scored_steps(read_trajectories(path))]
    predictions = Predictions(measurement.predictions, steps, "demo", constrained=measurement.constrained)

    async def run() -> None:
        async with aclosing(predictions.run(agent, CONCURRENCY)) as finished:
            done = 0
            async for _ in finished:
                done += 1
                on_progress("", done, len(steps))

    runner.run(run())
    predictions.write()


def _roll_out(runner: asyncio.Runner, loaded: LoadedAgent, measurement: Measurement, on_progress: OnProgress) -> None:
    """Roll out whole tasks."""

    @asynccontextmanager
    async def crew(config: RolloutConfig, _: int) -> AsyncIterator[RollOut]:
        strategy = open_strategy(config.strategy, loaded.ranker)
        async with open_environment(config.environment) as environments:
            yield Explorer(
                agent=loaded.agent,
                environments=environments,
                strategy=strategy,
                limits=Limits(**config.limits.model_dump()),
                method=method_name(strategy),
            ).roll_out

    agent = measurement.agent
    config = RolloutConfig(
        agent=agent if isinstance(agent, str) else agent.model_copy(update={"constrained": measurement.constrained}),
        environment=EnvironmentConfig(world=WorldConfig()),
        strategy=measurement.kind,
        limits=LIMITS,
    )
    options = RolloutOptions(
        config=config,
        queries=measurement.gold,
        out=measurement.rollouts_folder,
        concurrency=CONCURRENCY,
        limit=measurement.tasks,
    )
    roll_out(options, lambda progress: on_progress("", progress.all.tasks, progress.total), crew, runner.run)


# --- live ---------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class LiveScores:
    """Scores of the whole tasks of one set."""

    pass_rate: Metric
    faults: CallFaults


def score_live(rollouts: Mapping[str, Rollout]) -> dict[str, LiveScores]:
    """Score whole tasks by set, sets in the order of their names."""
    sets: dict[str, list[Rollout]] = {}
    for rollout in rollouts.values():
        sets.setdefault(rollout.set, []).append(rollout)
    return {
        name: LiveScores(
            pass_rate=mean([float(passed(rollout)) for rollout in each]),
            faults=sum((_faults(rollout) for rollout in each), CallFaults()),
        )
        for name, each in sorted(sets.items())
    }


def passed(rollout: Rollout) -> bool:
    """Tell whether the world's verifier passed a rollout; one that an error ended has not passed."""
    return bool(rollout.verdict and rollout.verdict.get("passed"))


def describe_errors(rollouts: Sequence[Rollout]) -> str:
    """Describe in a sentence the rollouts that ended with an error; empty where none did."""
    errors = [rollout.error for rollout in rollouts if rollout.error]
    if not errors:
        return ""
    first = errors[0].partition("\n")[0]
    return f"{len(errors)} of {len(rollouts)} whole tasks ended with an error and count as not passed; one: {first}"


def _faults(rollout: Rollout) -> CallFaults:
    offered = {tool.name for tool in rollout.trajectory.task.tools}
    return sum((find_faults(node.turns, offered) for node in rollout.nodes), CallFaults())
