"""Configuration of a run of rollouts, kept in its `rollout.toml`: a resumed run must have the same."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import Field, NonNegativeInt, PositiveInt

from alpha_umi.config.agents import AgentConfig
from alpha_umi.config.environments import EnvironmentConfig
from alpha_umi.config.tables import Table
from alpha_umi.types import Reference

ClientReference = Literal[Reference.ALPHA_UMI, Reference.OPENBMB]
"""References that have a client and searches."""


class LimitsConfig(Table):
    """Limits of the search for one task; see search.Limits. None: no limit."""

    max_steps: PositiveInt = 12
    max_completions: PositiveInt | None = None
    max_tokens: PositiveInt | None = None
    max_seconds: float | None = Field(default=None, gt=0)
    max_calls: NonNegativeInt | None = None
    max_repeats: PositiveInt | None = None


class RetrievalConfig(Table):
    """Retrieval of tools for queries that name none, or of those that an agent reads out of many."""

    tools: str | None = None
    """Declarations of the tools: tool JSON files, query files, or a corpus.tsv; None: each query names its own."""
    k: PositiveInt = 5
    """Number of tools that are offered."""
    at: Literal["query", "step"] | None = None
    """Before a run, by the query, or at each step, by its thought and the query, out of the tools that a query names or
    the corpus has; None: before the run, for queries that name none."""
    model: str | None = None
    """A SentenceTransformer (folder or hub id) in place of BM25."""


class RolloutConfig(Table):
    """Settings that, with its query, determine a rollout."""

    agent: AgentConfig | str
    """A configuration, or the name of an agent that is code: `oracle`, or `module:attribute`."""
    single: bool = False
    """The backbone alone."""
    ranker: AgentConfig | None = None
    """Model that compares children where the strategy ranks them; None: the agent, if it reads chat messages."""
    environment: EnvironmentConfig
    retrieval: RetrievalConfig | None = None
    """None: a query without tools is offered none."""
    strategy: str = "chain"
    limits: LimitsConfig = LimitsConfig()
    compat: ClientReference | None = None

    def rebased(self, folder: Path) -> RolloutConfig:
        return self
