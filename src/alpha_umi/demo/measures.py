"""What the demo measures: steps after the reference's own history, and whole tasks live, free and held to a grammar."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import cast

from alpha_umi.agent import MultiAgent, SingleAgent
from alpha_umi.build import LoadedAgent
from alpha_umi.build.environments import open_environment
from alpha_umi.config import RolloutConfig
from alpha_umi.evaluation.call_faults import CallFaults, find_faults
from alpha_umi.evaluation.metrics import Metric, mean
from alpha_umi.evaluation.rollouts import Explorer, Rollout, read_rollouts
from alpha_umi.evaluation.runner import Predictions, scored_steps
from alpha_umi.evaluation.static import StaticScores, evaluate_rows
from alpha_umi.jobs.rollout import Progress, RollOut, RolloutOptions, roll_out
from alpha_umi.protocols import Agent
from alpha_umi.search import Limits, method_name, open_strategy
from alpha_umi.store import read_json, read_trajectories

CONCURRENCY = 64
Told = Callable[[int, int], None]
"""(done, of how many)."""


def hold(agent: Agent, held: bool = True) -> Agent:
    """The same agent, its calls held to the offered tools and their schemas and its plans to a decision; or free."""
    match agent:
        case MultiAgent(speakers=speakers):
            return replace(agent, speakers={role: replace(each, held=held) for role, each in speakers.items()})
        case SingleAgent(backbone=backbone):
            return replace(agent, backbone=replace(backbone, held=held))
        case _:
            return agent


# --- static -------------------------------------------------------------------------------------------------


def predict(agent: Agent, gold: Sequence[Path], out: Path, told: Told, *, held: bool) -> StaticScores:
    """The scores of all steps of the gold trajectories in some files."""
    steps = [step for path in gold for step in scored_steps(read_trajectories(path))]
    predictions = Predictions(out, steps, "demo", held=held)

    async def run() -> None:
        async with aclosing(predictions.run(agent, CONCURRENCY)) as finished:
            done = 0
            async for _ in finished:
                done += 1
                told(done, len(steps))

    asyncio.run(run())
    predictions.write()
    return cast("StaticScores", evaluate_rows(read_json(out)))


# --- live ---------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class LiveScores:
    """How the tasks of one set went."""

    pass_rate: Metric
    faults: CallFaults


def play(loaded: LoadedAgent, agent: Agent, options: RolloutOptions, told: Told) -> dict[str, Rollout]:
    """Roll out all tasks with an agent that is loaded already; the rollouts by set and id."""

    @asynccontextmanager
    async def crew(config: RolloutConfig, _: int) -> AsyncIterator[RollOut]:
        strategy = open_strategy(config.strategy, loaded.ranker)
        async with open_environment(config.environment) as places:
            yield Explorer(
                agent=agent,
                places=places,
                strategy=strategy,
                limits=Limits(**config.limits.model_dump()),
                method=method_name(strategy),
            ).roll_out

    def show(progress: Progress) -> None:
        told(progress.all.tasks, progress.total)

    roll_out(options, show, crew)
    return {rollout.key: rollout for rollout in read_rollouts(options.out)}


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


def _faults(rollout: Rollout) -> CallFaults:
    offered = {tool.name for tool in rollout.trajectory.task.tools}
    return sum((find_faults(node.turns, offered) for node in rollout.nodes), CallFaults())
