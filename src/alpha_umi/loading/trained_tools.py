"""Tools that an agent was trained with, by its own record, and the notice that others are offered to it.

Two records tell: the world of its provenance, where that has a fixed catalogue of tools, and the names of the tools of
its training data (`AgentConfig.trained_tools`). An agent without either is expected to read any tool's description.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Set

from alpha_umi.config import AgentConfig, ProvenanceConfig
from alpha_umi.errors import AlphaUMiWarning
from alpha_umi.loading.bundled import bundled_provenances
from alpha_umi.loading.pretrained import NAMED
from alpha_umi.types import Task

_SHOWN = 3


class UntrainedToolsWarning(AlphaUMiWarning):
    """Tools are offered to an agent that it was not trained for."""


def warn_of_untrained_tools(agent: AgentConfig | None, tasks: Iterable[Task]) -> None:
    """Warn, in one line, where tasks offer tools that lie outside what the agent's record says it was trained for."""
    if agent is None or (agent.provenance is None and agent.trained_tools is None):
        return
    names = untrained_tools(agent, tasks)
    if names:
        more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
        warnings.warn(
            f"{_learned(agent)}, and not for {', '.join(names[:_SHOWN])}{more}: do not rely on what it says of them. "
            f"{_instead()}, or train an agent on such tools (docs/own-tools.md)",
            UntrainedToolsWarning,
            stacklevel=2,
        )


def untrained_tools(agent: AgentConfig, tasks: Iterable[Task]) -> list[str]:
    """Names of tools in tasks for which the agent was not trained, each once; none where its record does not tell."""
    catalogue = None if agent.provenance is None else _catalogue(agent.provenance)
    found: dict[str, None] = {}
    for task in tasks:
        if agent.trained_tools is not None:
            known: Set[str] = {*agent.trained_tools}
        elif catalogue is None or agent.provenance is None or task.metadata.get("preset") == agent.provenance.preset:
            continue
        else:
            known = catalogue
        found |= {tool.name: None for tool in task.tools if tool.name not in known}
    return list(found)


def _catalogue(provenance: ProvenanceConfig) -> Set[str] | None:
    """Names of the tools of a world; None where it invents those of each task, or is not known here."""
    from alpha_umi.world import PRESETS

    preset = PRESETS.get(provenance.preset)
    return None if preset is None else {*preset.open().tools} or None


def _learned(agent: AgentConfig) -> str:
    if agent.trained_tools is not None:
        names = agent.trained_tools
        more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
        return f"this agent was trained for the tools {', '.join(names[:_SHOWN])}{more}"
    provenance = agent.provenance
    assert provenance is not None  # noqa: S101
    return f"{provenance.agent} was trained for the tools of its sealed world {provenance.preset!r}"


def _instead() -> str:
    """Words that name a model for any tools: a bundled agent whose world invents the tools of each task, or an
    instruct model."""
    for provenance in bundled_provenances():
        if _catalogue(provenance) is None:
            return f"Take --agent {provenance.agent} (in Python agent={provenance.agent!r})"
    model = next(iter(NAMED))
    return f"Take an instruct model, such as --model {model} (in Python model={model!r})"
