"""What the verbs of the command line do, as functions; the demo does the same by calling them."""

from __future__ import annotations

import asyncio
import hashlib
import json
import os
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import aclosing, contextmanager
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar, cast

from alpha_umi import __version__
from alpha_umi.agent import Undecided
from alpha_umi.build import DEFAULT, Cast, LoadedAgent, open_agent, open_format, read_agent
from alpha_umi.build.bundled import check_tasks
from alpha_umi.config import AgentConfig, EndpointConfig, PretrainConfig, TrainConfig, load_config, resolved
from alpha_umi.environments.python import PythonEnvironment, PythonTool
from alpha_umi.errors import AlphaUMiError, ConfigError, DataError
from alpha_umi.evaluation.runner import Predictions, Shard, scored_steps
from alpha_umi.formats.json_types import normalise
from alpha_umi.protocols import Environment
from alpha_umi.report.training import RunReport, StageSummary
from alpha_umi.search import Limits, Node, Tree, explore
from alpha_umi.store import read_json, read_trajectories
from alpha_umi.types import Role, Task, Trajectory

if TYPE_CHECKING:
    from alpha_umi.training import glpft
    from alpha_umi.training.plan import Plan

Recipe = TypeVar("Recipe", TrainConfig, PretrainConfig)
RECIPES = Path(__file__).parents[1] / "recipes"
_WAIT_S = 0.5
_CHECKED = 64
"""Trajectories that are looked at before a run starts, to see whether it fits its device."""
_WEIGHTS = (".safetensors", ".bin")


class InterruptedWorkError(AlphaUMiError):
    """Ctrl-C, with the word of what is kept."""

    exit_code = 130


# --- train --------------------------------------------------------------------------------------------


def read_train_config(name: str, overrides: Sequence[str] = ()) -> TrainConfig:
    """A training configuration from a file, or from the recipe of that name that comes with the package."""
    return _read_recipe(TrainConfig, name, overrides)


def _read_recipe(kind: type[Recipe], name: str, overrides: Sequence[str]) -> Recipe:
    path, folder = Path(name), RECIPES / "pretrain" if kind is PretrainConfig else RECIPES
    recipe = folder / f"{name}.toml"
    if not path.exists() and recipe.exists():
        # A recipe's paths are the user's: they are taken from where the command runs.
        return load_config(kind, recipe, overrides, folder=Path.cwd())
    if not path.exists() and not path.suffix:
        known = ", ".join(sorted(entry.stem for entry in folder.glob("*.toml")))
        raise ConfigError(f"{name}: no such file, and no recipe of that name; recipes: {known}")
    return load_config(kind, path, overrides)


def train(config: TrainConfig, *, resume: bool) -> Path:
    """GLPFT as configured; returns the run directory. Raises PlanError for a run that cannot fit its devices."""
    with _training_explained():
        from alpha_umi.training import glpft
    if config.model.base is not None:
        plan_training(config, Outlook(sample=_CHECKED)).check()
    report = RunReport(Path(config.out))
    run = glpft.run(config, _material(config, report.update), resume=resume)
    report.update(_stage_rows(run, config.max_length), force=True)
    return run


def read_pretrain_config(name: str, overrides: Sequence[str] = ()) -> PretrainConfig:
    """A pretraining configuration from a file, or from the recipe of that name that comes with the package."""
    return _read_recipe(PretrainConfig, name, overrides)


def pretrain(config: PretrainConfig, *, resume: bool) -> Path:
    """A base model from texts; returns its folder."""
    with _training_explained():
        from alpha_umi.training.pretrain import Ground, run
    form = cast("glpft.StoredFormat", open_format(config.format))
    report = RunReport(Path(config.out))
    ground = Ground(format=form, format_document=form.to_document(), draw=report.update)
    folder = run(config, ground, resume=resume)
    report.update(_stage_rows(folder.parent, config.max_length), force=True)
    return folder


@dataclass(frozen=True, slots=True, kw_only=True)
class Outlook:
    """What a plan assumes of the machines. None: as found on this one, or not known."""

    world_size: int | None = None
    memory_gib: float | None = None
    """Of one device."""
    tokens_per_second: float | None = None
    """Of one device, measured."""
    teraflops: float | None = None
    """Of one device, as its maker says."""
    utilisation: float = 0.4
    """Share of `teraflops` that is reached."""
    sample: int = 400
    """Trajectories that are tokenised to estimate all."""


def plan_training(config: TrainConfig, outlook: Outlook) -> Plan:
    """What a training run will need, without running it. Raises ConfigError, DataError or CheckpointError."""
    with _training_explained():
        from alpha_umi.training import plan
        from alpha_umi.training.survey import survey
    counts = survey(config, _material(config), outlook.sample)
    memory = _device_memory(config) if outlook.memory_gib is None else int(outlook.memory_gib * plan.GIB)
    machine = plan.Machine(
        world_size=outlook.world_size or int(os.environ.get("WORLD_SIZE", "1")),
        memory=memory,
        on_cpu=config.device == "cpu" and outlook.memory_gib is None,
        tokens_per_second=outlook.tokens_per_second,
        flops=None if outlook.teraflops is None else outlook.teraflops * 1e12,
        utilisation=outlook.utilisation,
    )
    return plan.make_plan(config, counts, machine)


def plan_words(config: TrainConfig, outlook: Outlook) -> str:
    """`plan_training` as text. Raises PlanError after it for a run that cannot fit."""
    plan = plan_training(config, outlook)
    from alpha_umi.training.plan_text import plan_text

    plan.check()
    return plan_text(plan)


@contextmanager
def _training_explained() -> Iterator[None]:
    try:
        yield
    except ModuleNotFoundError as error:
        raise ConfigError(f"training needs {error.name}; pip install 'alpha-umi[local]'") from None


def _material(config: TrainConfig, draw: Callable[[], object] | None = None) -> glpft.Material:
    from alpha_umi.preparation.processed import read_processed_file
    from alpha_umi.training.glpft import Material

    return Material(
        format=cast("glpft.StoredFormat", open_format(config.format)), read_dialogues=read_processed_file, draw=draw
    )


def _device_memory(config: TrainConfig) -> int | None:
    """Bytes of the device that a run would use."""
    import torch

    if config.device == "cpu" or not torch.cuda.is_available():
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return torch.cuda.get_device_properties(0).total_memory


def _stage_rows(run: Path, max_length: int) -> list[StageSummary]:
    return [
        StageSummary(
            name=name,
            examples=did["examples"],
            steps=did["steps"],
            tokens=did["tokens"],
            row_tokens=did["alone"],
            padded_tokens=did["examples"] * max_length,
            seconds=did["seconds"],
            validation_loss=did["validation"].get("validation_loss"),
        )
        for name, did in _results(run)
    ]


def trained(run: Path) -> list[dict[str, str]]:
    """What each stage of a finished run did, as words; `saved` is how many times fewer tokens were computed than
    with every example in a row of its own."""
    return [{"stage": name} | _did(did) for name, did in _results(run)]


def _results(run: Path) -> list[tuple[str, dict[str, Any]]]:
    metrics = cast("dict[str, dict[str, Any]]", read_json(run / "metrics.json"))
    return [(name, stage["result"]) for name, stage in metrics.items()]


def _did(result: Mapping[str, Any]) -> dict[str, str]:
    computed, alone, loss = result["tokens"], result["alone"], result["loss"]
    return {
        "steps": f"{result['steps']:,}",
        "examples": f"{result['examples']:,}",
        "tokens": f"{computed:,}",
        "saved": f"{alone / computed:.2f}x" if computed else "-",
        "loss": "-" if loss is None else f"{loss:.4f}",
        "seconds": f"{result['seconds']:.1f}",
    }


def read_any(path: Path) -> Iterable[Trajectory]:
    """Trajectories from a `.jsonl` file (`.gz`, `.zst` too), or from a `.json` file of processed dialogues."""
    if path.suffix == ".json":
        from alpha_umi.preparation.processed import read_processed_file

        return read_processed_file(path)
    return read_trajectories(path)


# --- predict ------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class PredictOptions:
    """What is predicted, by whom and where it goes."""

    agent: AgentConfig
    data: Path
    out: Path
    players: Cast | None = None
    undecided: Undecided = Undecided.PLANNER
    limit: int | None = None
    concurrency: int = 64
    shard: Shard = field(default_factory=Shard)


@dataclass(frozen=True, slots=True, kw_only=True)
class Predicted:
    """What became of a prediction."""

    steps: int
    kept: int
    """Of them, how many were there before."""
    notes: tuple[str, ...] = ()
    """Where the agent is held: what its tools declare and the grammar leaves out."""


def predict(options: PredictOptions, progress: Callable[[int, int], None]) -> Predicted:
    """Teacher-forced predictions of all scored steps. Goes on with what was interrupted; finished work is kept."""
    steps = list(scored_steps(islice(read_any(options.data), options.limit)))
    if not steps:
        raise DataError(f"{options.data}: holds no step to score (no plan that decides, with what it asked for)")
    if options.agent.made is not None:
        check_tasks(options.agent.made, (step.task for step in steps))
    predictions = Predictions(options.out, steps, _fingerprint(options), options.shard, held=options.agent.held)
    progress(0, predictions.remaining)
    if predictions.remaining:
        loaded = open_agent(options.agent, options.players, options.undecided)
        try:
            asyncio.run(_predict(predictions, loaded, options.concurrency, progress))
        except KeyboardInterrupt:
            raise InterruptedWorkError("interrupted; the same command goes on from what is predicted") from None
    while options.shard.rank == 0 and not predictions.write():
        time.sleep(_WAIT_S)  # the other processes are still at it; if one fails, its launcher ends this one too
    notes = unheld(step.task for step in steps) if options.agent.held else ()
    return Predicted(steps=len(steps), kept=predictions.kept, notes=notes)


def unheld(tasks: Iterable[Task]) -> tuple[str, ...]:
    """What the tools of tasks say of their arguments that no grammar holds, each once."""
    found: dict[str, None] = {}
    tools = {tool.name: tool for task in tasks for tool in task.tools}
    for tool in tools.values():
        found |= dict.fromkeys(f"{tool.name}: {note}" for note in normalise(tool).notes)
    return tuple(found)


async def _predict(
    predictions: Predictions, loaded: LoadedAgent, concurrency: int, progress: Callable[[int, int], None]
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
    told = [__version__, resolved(options.agent), prompts, state, options.players, options.undecided, options.limit]
    return hashlib.sha256(json.dumps(told).encode()).hexdigest()[:12]


def _weights(agent: AgentConfig) -> list[Path]:
    roles = [agent.roles.get(role) for role in Role]
    local = [role for role in roles if role is not None and not isinstance(role, EndpointConfig)]
    folders = {Path(name) for role in local for name in (role.model, role.adapter) if name is not None}
    return sorted(path for folder in folders if folder.is_dir() for path in folder.iterdir() if path.suffix in _WEIGHTS)


# --- ask ----------------------------------------------------------------------------------------------


def ask(query: str, *, tools: Sequence[PythonTool], agent: str | Path = DEFAULT) -> Trajectory:
    """One query answered live by a bundled agent, or that of a run directory or agent file, with Python functions.

    Raises ConfigError or CheckpointError when there is no such agent. Not to be called inside a running event loop:
    there, await `build.open_agent` and `search.explore`.
    """
    environment = PythonEnvironment(tools)
    task = Task(id="ask", query=query, tools=environment.tools)
    return roll_out(open_agent(read_agent(Path(agent))), environment, task, lambda _: None)


def roll_out(loaded: LoadedAgent, environment: Environment, task: Task, show: Callable[[Node], None]) -> Trajectory:
    """One task as a chain; `show` sees every node as it grows. The agent's models are closed afterwards."""
    try:
        return asyncio.run(_roll_out(loaded, environment, task, show))
    except KeyboardInterrupt:
        raise InterruptedWorkError("interrupted") from None


async def _roll_out(
    loaded: LoadedAgent, environment: Environment, task: Task, show: Callable[[Node], None]
) -> Trajectory:
    tree = Tree(task=task)
    async with loaded, aclosing(explore(loaded.agent, environment, task, Limits())) as nodes:
        async for node in nodes:
            tree.add(node)
            show(node)
    return tree.best
