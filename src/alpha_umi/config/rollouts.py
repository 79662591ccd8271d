"""One run of rollouts, as its `rollout.toml` keeps it: whoever goes on with the run must want the same."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import Field, NonNegativeInt, PositiveInt

from alpha_umi.config.agents import AgentConfig
from alpha_umi.config.environments import EnvironmentConfig
from alpha_umi.config.tables import Table

CompatName = Literal["alpha-umi", "openbmb"]


class LimitsConfig(Table):
    """Every budget of one task; see search.Limits. None: no limit."""

    max_steps: PositiveInt = 12
    max_completions: PositiveInt | None = None
    max_tokens: PositiveInt | None = None
    max_seconds: float | None = Field(default=None, gt=0)
    max_calls: NonNegativeInt | None = None


class RolloutConfig(Table):
    """What decides what a rollout is, beside its query."""

    agent: AgentConfig | str
    """A configuration, or the name of an agent that is code: `oracle`, or `module:attribute`."""
    single: bool = False
    """The backbone alone."""
    ranker: AgentConfig | None = None
    """Who compares children where the strategy ranks them; None: the agent, where it talks chat."""
    environment: EnvironmentConfig
    strategy: str = "chain"
    limits: LimitsConfig = LimitsConfig()
    compat: CompatName | None = None

    def rebased(self, folder: Path) -> RolloutConfig:
        return self
