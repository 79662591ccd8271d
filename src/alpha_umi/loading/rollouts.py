"""Composition root of rollouts: from a run's configuration to the agent, environment and strategy for its queries."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from alpha_umi.agent import OnNoDecision
from alpha_umi.config import AgentConfig, RetrievalConfig, RolloutConfig
from alpha_umi.event_loops import LoopThread, outcome
from alpha_umi.loading.agents import AgentKind, LoadedAgent, open_agent, open_coded_agent
from alpha_umi.loading.bundled import check_world
from alpha_umi.loading.environments import LoadedEnvironment, open_environment
from alpha_umi.protocols import Agent
from alpha_umi.rollouts.runner import Explorer
from alpha_umi.search import Comparison, Limits, Ranker, method_name, open_published, open_strategy
from alpha_umi.search.names import Named
from alpha_umi.search.record import Recorder
from alpha_umi.types import Proposal, Reference, Task, Turn

if TYPE_CHECKING:
    from alpha_umi.retrieval.selection import ToolSelection

_CLOSE_S = 1.0
"""Time for an agent of foreign code to end what it has begun."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LoadedExplorer:
    """Agent and environment of a run; an async context manager that releases them."""

    explorer: Explorer
    agent: LoadedAgent
    ranker: LoadedAgent | None
    environment: LoadedEnvironment

    async def __aenter__(self) -> LoadedExplorer:
        return self

    async def __aexit__(self, *_: object) -> None:
        async with AsyncExitStack() as stack:
            if isinstance(self.explorer.agent, _AgentApart):
                stack.callback(self.explorer.agent.close)
            for each in (self.agent, self.ranker, self.environment):
                if each is not None:
                    stack.push_async_exit(each)


def open_explorer(config: RolloutConfig, environment: LoadedEnvironment | None = None) -> LoadedExplorer:
    """Load the agent and environment that `config` names; a given environment replaces the latter.

    Raises ConfigError, CheckpointError or DataError for what is missing, or was not made for this world.
    """
    check_agent(config)
    environment = environment or open_environment(config.environment, config.compat)
    ranker = None if config.ranker is None else open_agent(config.ranker)
    agent = _open_agent(config)
    limits = _limits(config)
    strategy = _open_strategy(config, (ranker or agent).ranker)
    explorer = Explorer(
        agent=agent.agent,
        environments=environment,
        strategy=strategy,
        limits=limits,
        method=method_name(strategy),
        selection=_open_selection(config.retrieval),
    )
    return LoadedExplorer(explorer=explorer, agent=agent, ranker=ranker, environment=environment)


def check_agent(config: RolloutConfig) -> None:
    """Check strategy and agent without loading a model or a slow import.

    Raises ConfigError for an unknown strategy, CheckpointError for an agent that was trained in another version of the
    world that it is to meet.
    """
    _open_strategy(config, _Unasked())
    provenance = config.agent.provenance if isinstance(config.agent, AgentConfig) else None
    if provenance is not None and config.environment.world is not None:
        check_world(provenance)


def open_recorder(config: RolloutConfig) -> Recorder:
    """Open the recorder of the run's answer files; needs no model. Raises ConfigError for an unknown strategy."""
    reference = config.compat or Reference.OPENBMB
    return Recorder(strategy=_open_strategy(config, _Unasked()), reference=reference)


def _open_agent(config: RolloutConfig) -> LoadedAgent:
    if isinstance(config.agent, str):
        loaded = open_coded_agent(config.agent)
        return loaded if config.agent == "oracle" else replace(loaded, agent=_AgentApart(loaded.agent))
    on_no_decision = OnNoDecision.PLANNER if config.compat is None else OnNoDecision.CALLER
    return open_agent(config.agent, AgentKind.SINGLE if config.single else None, on_no_decision)


def _open_strategy(config: RolloutConfig, ranker: Ranker | None) -> Named:
    if config.compat is None:
        return open_strategy(config.strategy, ranker)
    return open_published(config.strategy, _limits(config), ranker)


def _open_selection(config: RetrievalConfig | None) -> ToolSelection | None:
    if config is None or config.at is None:
        return None
    from alpha_umi.retrieval.selection import RetrieveAt, ToolSelection

    return ToolSelection(k=config.k, at=RetrieveAt(config.at), model=config.model)


def _limits(config: RolloutConfig) -> Limits:
    return Limits(**config.limits.model_dump())


class _Unasked:
    """Placeholder of a ranker where only the shape of a search matters."""

    async def compare(
        self, task: Task, before: Sequence[Turn], first: Sequence[Turn], second: Sequence[Turn]
    ) -> Comparison:
        raise AssertionError(f"no ranker is loaded to compare steps of {task.id} here: {before}, {first}, {second}")


class _AgentApart:
    """Agent of foreign code in the event loop of a thread, so that it cannot end or hold up the loop of a run."""

    def __init__(self, agent: Agent) -> None:
        self._agent = agent
        self._thread = LoopThread("alpha-umi-agent")

    async def propose(self, task: Task, turns: Sequence[Turn]) -> Proposal:
        return (await self._thread.wait_for(outcome(self._agent.propose(task, turns)))).get()

    def close(self) -> None:
        self._thread.close(_CLOSE_S)
