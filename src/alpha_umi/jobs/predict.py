"""Teacher-forced predictions of an agent over a data file, resumable and sharded over processes."""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Callable, Iterable
from contextlib import aclosing
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path

from alpha_umi import __version__
from alpha_umi.agent import OnNoDecision
from alpha_umi.config import AgentConfig, EndpointConfig, resolved
from alpha_umi.deprecation import called_as
from alpha_umi.errors import DataError, InterruptedWorkError
from alpha_umi.evaluation.runner import Predictions, Shard, scored_steps
from alpha_umi.event_loops import run_blocking
from alpha_umi.formats.json_types import normalise
from alpha_umi.loading.agents import AgentKind, LoadedAgent, open_agent
from alpha_umi.loading.bundled import check_tasks
from alpha_umi.loading.formats import open_format
from alpha_umi.loading.trained_tools import warn_of_untrained_tools
from alpha_umi.output_lock import locked
from alpha_umi.preparation.reading import read_any
from alpha_umi.types import Json, Role, Task

_WAIT_S = 0.5
_WEIGHTS = (".safetensors", ".bin")


@dataclass(frozen=True, slots=True, kw_only=True)
class PredictOptions:
    """Options of a prediction: agent, data and output file."""

    agent: AgentConfig
    data: Path
    out: Path
    kind: AgentKind | None = None
    on_no_decision: OnNoDecision = OnNoDecision.PLANNER
    limit: int | None = None
    concurrency: int = 64
    warns: bool = True
    """Warn of tools for which the agent was not trained, unless that is what is measured."""
    shard: Shard = field(default_factory=Shard)


@dataclass(frozen=True, slots=True, kw_only=True)
class Predicted:
    """Result of a prediction."""

    out: Path
    steps: int
    kept: int
    """Of them, how many were there before."""
    notes: tuple[str, ...] = ()
    """For a constrained agent: argument rules that its tools declare and the grammar leaves out."""

    def to_json(self) -> dict[str, Json]:
        """JSON object of the results."""
        return {"out": str(self.out), "steps": self.steps, "kept": self.kept, "notes": list(self.notes)}


def predict(options: PredictOptions, progress: Callable[[int, int], object]) -> Predicted:
    """Teacher-forced predictions of all scored steps. Goes on with what was interrupted; finished work is kept.

    Warns of tools for which the agent was not trained.
    """
    with locked(options.out):
        return _predict_steps(options, progress)


def _predict_steps(options: PredictOptions, progress: Callable[[int, int], object]) -> Predicted:
    steps = list(scored_steps(islice(read_any(options.data), options.limit)))
    if not steps:
        raise DataError(f"{options.data}: holds no step to score (no plan that decides, with what it asked for)")
    if options.agent.provenance is not None:
        check_tasks(options.agent.provenance, (step.task for step in steps))
    if options.warns:
        warn_of_untrained_tools(options.agent, (step.task for step in steps))
    predictions = Predictions(
        options.out, steps, _fingerprint(options), options.shard, constrained=options.agent.constrained
    )
    progress(0, predictions.remaining)
    if predictions.remaining:
        config = options.agent.model_copy(
            update={"grounded": False, "threshold": None}
        )  # the steps are predicted role by role
        loaded = open_agent(config, options.kind, options.on_no_decision)
        try:
            run_blocking(_predict(predictions, loaded, options.concurrency, progress))
        except KeyboardInterrupt:
            raise InterruptedWorkError("interrupted; the same command goes on from what is predicted") from None
    while options.shard.rank == 0 and not predictions.write():
        time.sleep(_WAIT_S)  # the other processes are still at it; if one fails, its launcher ends this one too
    notes = unconstrained_arguments(step.task for step in steps) if options.agent.constrained else ()
    return Predicted(out=options.out, steps=len(steps), kept=predictions.kept, notes=notes)


def unconstrained_arguments(tasks: Iterable[Task]) -> tuple[str, ...]:
    """Rules for arguments that the tools of tasks declare and no grammar enforces, each once."""
    found: dict[str, None] = {}
    tools = {tool.name: tool for task in tasks for tool in task.tools}
    for tool in tools.values():
        found |= dict.fromkeys(f"{tool.name}: {note}" for note in normalise(tool).notes)
    return tuple(found)


async def _predict(
    predictions: Predictions, loaded: LoadedAgent, concurrency: int, progress: Callable[[int, int], object]
) -> None:
    total = predictions.remaining
    async with loaded, aclosing(predictions.run(loaded.agent, concurrency)) as finished:
        done = 0
        async for _ in finished:
            done += 1
            progress(done, total)


def _fingerprint(options: PredictOptions) -> str:
    """Names everything that a prediction depends on: data, weights, settings, the words of the prompts, our version."""
    files = [options.data, *_weights(options.agent)]
    state = [(str(path), path.stat().st_mtime_ns, path.stat().st_size) for path in files if path.exists()]
    prompts = str(open_format(options.agent.format))
    told = [__version__, resolved(options.agent), prompts, state, options.kind, options.on_no_decision, options.limit]
    return hashlib.sha256(json.dumps(told).encode()).hexdigest()[:12]


def _weights(agent: AgentConfig) -> list[Path]:
    roles = [agent.roles.get(role) for role in Role]
    local = [role for role in roles if role is not None and not isinstance(role, EndpointConfig)]
    folders = {Path(name) for role in local for name in role.folders}
    return sorted(path for folder in folders if folder.is_dir() for path in folder.iterdir() if path.suffix in _WEIGHTS)


called_as(__name__, "predict")
