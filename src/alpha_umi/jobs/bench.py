"""Benchmark of an agent's local models on this machine: the job of `umi bench engine`.

Recorded tasks are gone through as a live agent would, turn by turn, several at once: every turn is proposed after the
recorded ones before it, so that all machines are asked for the same prompts however good the agent is.
"""

from __future__ import annotations

import asyncio
import math
import os
import sys
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING

from alpha_umi import __version__
from alpha_umi.agent import SingleAgent
from alpha_umi.config import AgentConfig
from alpha_umi.errors import ConfigError, DataError, InterruptedWorkError, ModelError
from alpha_umi.evaluation.runner import ScoredStep, scored_steps
from alpha_umi.loading.agents import LoadedAgent, open_agent
from alpha_umi.preparation.reading import read_any
from alpha_umi.types import Json, Trajectory, Turn, Usage
from alpha_umi.world import World

if TYPE_CHECKING:
    from alpha_umi.models.engine.engine import Engine
    from alpha_umi.models.engine.scheduler import EngineStats
    from alpha_umi.models.local import LocalModel


@dataclass(frozen=True, slots=True, kw_only=True)
class BenchOptions:
    """Options of a benchmark: the agent and the data that it is measured on."""

    agent: AgentConfig
    data: Path | None = None
    """Trajectories, or processed dialogues; None: tasks of the sealed world."""
    preset: str = "small"
    """Which world."""
    tasks: int = 32
    concurrency: int = 16
    """Concurrent tasks."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Machine:
    """Machine of a measurement."""

    device: str
    dtype: str
    threads: int
    torch: str
    cores: int
    version: str = __version__


@dataclass(frozen=True, slots=True, kw_only=True)
class Measures:
    """Measurements: tokens, seconds, and memory in bytes."""

    machine: Machine
    tasks: int
    completions: int
    failed: int
    """Turns whose model could not complete; beside the completions."""
    concurrency: int
    wall_seconds: float
    engine_seconds: float
    """Of these, in the engine's steps."""
    forward_share: float
    """Of the engine's seconds, those in the model; on a GPU those until its work was handed out."""
    engine_steps: int
    prompt_tokens: int
    """Asked for."""
    prefill_tokens: int
    """Of these, computed."""
    shared_tokens: int
    """Of these, found in memory."""
    requests: int
    hits: int
    """Of the requests, those that found something in memory."""
    evicted_tokens: int
    preempted: int
    written_tokens: int
    """Completions, what a grammar forces among them."""
    prefill_per_second: float | None
    """Computed, in steps that read prompts (and may write beside)."""
    decode_per_second: float | None
    """In steps that only write."""
    written_per_second: float
    """Over the wall time."""
    first_token_median: float | None
    """Seconds from a request to the first token of its completion, waiting for its turn included."""
    first_token_p95: float | None
    weights_bytes: int
    """Of all models, adapters included."""
    cache_bytes: int
    """Limit of keys and values."""
    prefix_cache_bytes: int
    """Most bytes of the prefix cache in use."""
    peak_bytes: int | None
    """Most memory of the whole process; None where the system does not say."""
    device_peak_bytes: int | None
    """Most memory on the accelerator; None on a CPU."""

    @property
    def saved(self) -> float:
        """The share of the prompt tokens that was not computed."""
        return 1 - self.prefill_tokens / self.prompt_tokens if self.prompt_tokens else 0.0

    def document(self) -> dict[str, Json]:
        """As JSON."""
        names = [name for name in self.__dataclass_fields__ if name != "machine"]
        machine: dict[str, Json] = {name: getattr(self.machine, name) for name in Machine.__dataclass_fields__}
        return {"machine": machine, **{name: getattr(self, name) for name in names}, "saved": self.saved}


@dataclass(slots=True)
class _Done:
    """Usage of the turns so far."""

    usage: Usage
    turns: int = 0
    failed: int = 0


def bench_engine(options: BenchOptions, progress: Callable[[int, int], None]) -> Measures:
    """Run the tasks and measure; one task that is not counted goes before, where there is one more.

    Raises ConfigError for an agent with a model that the engine does not run, DataError for data without a step.
    """
    tasks = _read_tasks(options)
    loaded = open_agent(options.agent)
    try:
        return asyncio.run(_bench(options, loaded, tasks, progress))
    except KeyboardInterrupt:
        raise InterruptedWorkError("interrupted; nothing was measured") from None


def _read_tasks(options: BenchOptions) -> list[list[ScoredStep]]:
    """The steps of each task; one task more than is measured, if there is one."""
    if options.data is None:
        world = World(options.preset)
        source: Iterable[Trajectory] = (
            world.gold(world.task(world.splits[0], index)) for index in range(options.tasks + 1)
        )
    else:
        source = read_any(options.data)
    found = (list(scored_steps([trajectory])) for trajectory in source)
    tasks = list(islice((steps for steps in found if steps), options.tasks + 1))
    if not tasks:
        raise DataError(f"{options.data}: holds no step (no plan that decides, with what it asked for)")
    return tasks


async def _bench(
    options: BenchOptions,
    loaded: LoadedAgent,
    tasks: Sequence[Sequence[ScoredStep]],
    progress: Callable[[int, int], None],
) -> Measures:
    async with loaded:
        models = _models_here(loaded)
        measured = tasks[: options.tasks]
        for warming in tasks[options.tasks :]:
            await _go_through(loaded, warming, _Done(Usage()))
        for engine in _engines(models):
            engine.reset_stats()
        done, turns = _Done(Usage()), asyncio.Semaphore(options.concurrency)
        total = sum(len(_histories(loaded, step)) for steps in measured for step in steps)
        progress(0, total)

        async def in_turn(steps: Sequence[ScoredStep]) -> None:
            async with turns:
                await _go_through(loaded, steps, done, lambda: progress(done.turns, total))

        started = time.perf_counter()
        async with asyncio.TaskGroup() as group:
            for steps in measured:
                group.create_task(in_turn(steps))
        wall = time.perf_counter() - started
    return _measures(options, models, done, len(measured), wall)


async def _go_through(
    loaded: LoadedAgent, steps: Sequence[ScoredStep], done: _Done, progress: Callable[[], None] = lambda: None
) -> None:
    for task, turns in ((step.task, turns) for step in steps for turns in _histories(loaded, step)):
        try:
            proposal = await loaded.agent.propose(task, turns)
            done.usage += proposal.usage
        except ModelError:
            done.failed += 1
        done.turns += 1
        progress()


def _histories(loaded: LoadedAgent, step: ScoredStep) -> list[tuple[Turn, ...]]:
    """The recorded turns before each turn of a step; a single model says a step in one completion."""
    said = 1 if isinstance(loaded.agent, SingleAgent) else len(step.reference)
    return [(*step.history, *step.reference[:number]) for number in range(said)]


def _models_here(loaded: LoadedAgent) -> list[LocalModel]:
    """Every model once, however many roles it plays. Raises ConfigError where there is nothing to measure."""
    from alpha_umi.models.local import AdaptedModel, LocalModel

    models: dict[LocalModel, None] = {}
    for model in loaded.models:
        if not isinstance(model, LocalModel | AdaptedModel):
            raise ConfigError("the agent has a model behind an endpoint; only models that run here can be measured")
        if (reason := model.base.unsupported_reason()) is not None:
            raise ConfigError(f"the engine does not run this agent, so there is nothing to measure: {reason}")
        models[model.base] = None
    return list(models)


def _engines(models: Iterable[LocalModel]) -> list[Engine]:
    return [model.engine for model in models if model.engine is not None]


def _measures(options: BenchOptions, models: Sequence[LocalModel], done: _Done, tasks: int, wall: float) -> Measures:
    engines = _engines(models)
    stats = _sum([engine.stats for engine in engines])
    waits = sorted(stats.first_token_seconds)
    alone = stats.step_seconds - stats.prefill_seconds
    return Measures(
        machine=_machine(models[0]),
        tasks=tasks,
        completions=done.usage.completions,
        failed=done.failed,
        concurrency=options.concurrency,
        wall_seconds=wall,
        engine_seconds=stats.step_seconds,
        forward_share=stats.forward_seconds / stats.step_seconds if stats.step_seconds else 0.0,
        engine_steps=stats.steps,
        prompt_tokens=done.usage.prompt_tokens,
        prefill_tokens=stats.prefill_tokens,
        shared_tokens=stats.cached_tokens,
        requests=stats.requests,
        hits=stats.hits,
        evicted_tokens=stats.evicted_tokens,
        preempted=stats.preemptions,
        written_tokens=done.usage.completion_tokens,
        prefill_per_second=stats.prefill_tokens / stats.prefill_seconds if stats.prefill_seconds else None,
        decode_per_second=stats.decode_only_tokens / alone if stats.decode_only_tokens else None,
        written_per_second=done.usage.completion_tokens / wall,
        first_token_median=_share_of(waits, 0.5),
        first_token_p95=_share_of(waits, 0.95),
        weights_bytes=sum(model.weights for model in models),
        cache_bytes=sum(engine.cache_bytes for engine in engines),
        prefix_cache_bytes=sum(engine.peak_prefix_bytes for engine in engines),
        peak_bytes=_peak(),
        device_peak_bytes=_device_peak(models[0]),
    )


def _sum(stats: Sequence[EngineStats]) -> EngineStats:
    whole = stats[0]
    for more in stats[1:]:
        whole += more
    return whole


def _share_of(ordered: Sequence[float], share: float) -> float | None:
    """The smallest value that `share` of all do not exceed."""
    return ordered[math.ceil(share * len(ordered)) - 1] if ordered else None


def _machine(model: LocalModel) -> Machine:
    import torch

    device, dtype = model.device, model.dtype
    if device.startswith("cuda"):
        device = f"{device} ({torch.cuda.get_device_name(device)})"
    return Machine(
        device=device, dtype=dtype, threads=torch.get_num_threads(), torch=torch.__version__, cores=os.cpu_count() or 1
    )


def _peak() -> int | None:
    try:
        import resource
    except ModuleNotFoundError:
        return None  # not on this system
    # Linux counts kilobytes, macOS bytes.
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)


def _device_peak(model: LocalModel) -> int | None:
    import torch

    return torch.cuda.max_memory_allocated(model.device) if model.device.startswith("cuda") else None
