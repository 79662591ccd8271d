"""alpha-UMi: tool agents made of three small language models."""

import importlib
from typing import TYPE_CHECKING, Any

from alpha_umi.deprecation import serve_old_modules

if TYPE_CHECKING:
    from alpha_umi.environments.signatures import tool
    from alpha_umi.errors import (
        AlphaUMiError,
        CheckpointError,
        ConfigError,
        DataError,
        FormatError,
        InterruptedWorkError,
        ModelError,
        StorageError,
    )
    from alpha_umi.jobs.agent import Agent, load
    from alpha_umi.jobs.ask import aask, ask, chat, explore
    from alpha_umi.jobs.chat import Chat
    from alpha_umi.jobs.evaluate import evaluate, retrieve
    from alpha_umi.jobs.judge import judge
    from alpha_umi.jobs.prepare import prepare
    from alpha_umi.jobs.verbs import predict, rollout, train
    from alpha_umi.protocols import Environment, Format, Model, StreamingModel
    from alpha_umi.search import Limits, Node, NodeStatus, Tree
    from alpha_umi.types import (
        Answer,
        Call,
        Completion,
        Decision,
        Observation,
        Plan,
        Proposal,
        Role,
        Sampling,
        StopReason,
        Task,
        ToolSpec,
        ToolStatus,
        Trajectory,
        Turn,
        Usage,
        User,
    )

__version__ = "0.1.0"
__all__ = [
    "Agent",
    "AlphaUMiError",
    "Answer",
    "Call",
    "Chat",
    "CheckpointError",
    "Completion",
    "ConfigError",
    "DataError",
    "Decision",
    "Environment",
    "Format",
    "FormatError",
    "InterruptedWorkError",
    "Limits",
    "Model",
    "ModelError",
    "Node",
    "NodeStatus",
    "Observation",
    "Plan",
    "Proposal",
    "Role",
    "Sampling",
    "StopReason",
    "StorageError",
    "StreamingModel",
    "Task",
    "ToolSpec",
    "ToolStatus",
    "Trajectory",
    "Tree",
    "Turn",
    "Usage",
    "User",
    "aask",
    "ask",
    "chat",
    "evaluate",
    "explore",
    "judge",
    "load",
    "predict",
    "prepare",
    "retrieve",
    "rollout",
    "tool",
    "train",
]
_HOMES = {
    "environments.signatures": ("tool",),
    "errors": tuple(name for name in __all__ if name.endswith("Error")),
    "jobs.agent": ("Agent", "load"),
    "jobs.ask": ("aask", "ask", "chat", "explore"),
    "jobs.chat": ("Chat",),
    "jobs.evaluate": ("evaluate", "retrieve"),
    "jobs.judge": ("judge",),
    "jobs.prepare": ("prepare",),
    "jobs.verbs": ("predict", "rollout", "train"),
    "protocols": ("Environment", "Format", "Model", "StreamingModel"),
    "search": ("Limits", "Node", "NodeStatus", "Tree"),
}
"""Module -> the public names that it holds; the others are of `types`."""

serve_old_modules()


def __getattr__(name: str) -> Any:
    """Import a public name when it is first used, so that importing the package costs nothing."""
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    home = next((module for module, names in _HOMES.items() if name in names), "types")
    value = getattr(importlib.import_module(f"{__name__}.{home}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
