"""Training runs from configuration: GLPFT, pretraining, and the estimate of what a run needs."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias, TypeVar, cast

from alpha_umi.config import PretrainConfig, TrainConfig, load_config
from alpha_umi.deprecation import called_as
from alpha_umi.errors import ConfigError, explain_missing_extra
from alpha_umi.formats.optional_roles import with_optional_roles
from alpha_umi.loading.bundled import find_adapters, find_weights
from alpha_umi.loading.formats import open_stored_format
from alpha_umi.loading.pretrained import NAMED, find_model
from alpha_umi.output_lock import locked
from alpha_umi.preparation.reading import check_not_empty
from alpha_umi.store import read_json

if TYPE_CHECKING:
    from alpha_umi.training import glpft
    from alpha_umi.training.callbacks import StageProgress
    from alpha_umi.training.planning.estimate import Plan

OnProgress: TypeAlias = "Callable[[StageProgress], object]"
Recipe = TypeVar("Recipe", TrainConfig, PretrainConfig)
RECIPES = Path(__file__).parents[1] / "recipes"
_CHECKED = 64
"""Trajectories that are looked at before a run starts, to see whether it fits its device."""


def read_train_config(name: str, overrides: Sequence[str] = ()) -> TrainConfig:
    """A training configuration from a file, or from the recipe of that name that comes with the package.

    `model.base` may name the weights of a bundled agent (`umi-tiny/backbone`, `umi-tiny/base`) or a model of
    `loading.pretrained`; `model.merged_adapter` and `adapter.start` a bundled adapter (`umi-smol/backbone`).
    """
    return find_weights_of(_read_recipe(TrainConfig, name, overrides))


def find_weights_of(config: TrainConfig) -> TrainConfig:
    """The configuration with the folders of the weights that it names, as `read_train_config` takes names."""
    if config.adapter.start is not None:
        adapter = config.adapter.model_copy(update={"start": find_adapters(config.adapter.start)})
        config = config.model_copy(update={"adapter": adapter})
    if config.model.base is None:
        return config
    base = find_model(config.model.base) if config.model.base in NAMED else find_weights(config.model.base)
    merged = config.model.merged_adapter
    merged = None if merged is None else find_adapters(merged)
    model = config.model.model_copy(update={"base": base, "merged_adapter": merged})
    return config.model_copy(update={"model": model})


def _read_recipe(kind: type[Recipe], name: str, overrides: Sequence[str]) -> Recipe:
    path, folder = Path(name), RECIPES / "pretrain" if kind is PretrainConfig else RECIPES
    recipe = folder / f"{name}.toml"
    if not path.is_file() and recipe.exists():
        # A recipe's paths are the user's: they are taken from where the command runs.
        return load_config(kind, recipe, overrides, folder=Path.cwd())
    if not path.exists() and not path.suffix:
        known = ", ".join(sorted(entry.stem for entry in folder.glob("*.toml")))
        raise ConfigError(f"{name}: no such file, and no recipe of that name; recipes: {known}")
    return load_config(kind, path, overrides)


def train(config: TrainConfig, *, resume: bool, on_progress: OnProgress | None = None) -> Path:
    """Train an agent by GLPFT and return its run directory.

    `on_progress` is called in the first process after every step. Raises DataError for data that is missing or empty,
    PlanError for a run that cannot fit its devices.
    """
    with locked(Path(config.out)):
        return _train(config, resume=resume, on_progress=on_progress)


def _train(config: TrainConfig, *, resume: bool, on_progress: OnProgress | None) -> Path:
    check_not_empty(config.data.train)
    check_not_empty(config.data.validation)
    with explain_missing_extra("local", "training"):
        from alpha_umi.training import glpft
    if config.model.base is not None:
        plan_training(config, PlanAssumptions(sample=_CHECKED)).check()
    report = _RunReporter(Path(config.out), on_progress)
    run = glpft.run(config, train_inputs(config, report), resume=resume)
    report.finish(trained(run, config.max_length))
    return run


class _RunReporter:
    """Observer of a run that keeps its report up to date and passes its progress on."""

    def __init__(self, out: Path, on_progress: OnProgress | None) -> None:
        from alpha_umi.report.training import RunReport

        self._report, self._on_progress = RunReport(out), on_progress

    def __call__(self, progress: StageProgress) -> None:
        if progress.loss is not None:
            self._report.update()
        if self._on_progress is not None:
            self._on_progress(progress)

    def finish(self, stages: Sequence[Mapping[str, str]]) -> None:
        self._report.update(stages, force=True)


def read_pretrain_config(name: str, overrides: Sequence[str] = ()) -> PretrainConfig:
    """A pretraining configuration from a file, or from the recipe of that name that comes with the package."""
    return _read_recipe(PretrainConfig, name, overrides)


def pretrain(config: PretrainConfig, *, resume: bool, on_progress: OnProgress | None = None) -> Path:
    """Train a base model on texts and return its folder. `on_progress` as in `train`. Raises DataError."""
    with locked(Path(config.out)):
        return _pretrain(config, resume=resume, on_progress=on_progress)


def _pretrain(config: PretrainConfig, *, resume: bool, on_progress: OnProgress | None) -> Path:
    check_not_empty(config.texts, "texts")
    with explain_missing_extra("local", "training"):
        from alpha_umi.training.pretrain import PretrainInputs, run
    form = open_stored_format(config.format)
    report = _RunReporter(Path(config.out), on_progress)
    inputs = PretrainInputs(format=form, format_document=form.to_document(), on_progress=report)
    folder = run(config, inputs, resume=resume)
    report.finish(trained(folder.parent, config.max_length))
    return folder


@dataclass(frozen=True, slots=True, kw_only=True)
class PlanAssumptions:
    """Assumptions of a plan about the machines. None: as found on this one, or not known."""

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


def plan_training(config: TrainConfig, assumptions: PlanAssumptions) -> Plan:
    """Estimate the needs of a training run without running it. Raises ConfigError, DataError or CheckpointError."""
    check_not_empty(config.data.train)
    with explain_missing_extra("local", "training"):
        from alpha_umi.models.checkpoint import pick_device
        from alpha_umi.training.planning import estimate as plan
        from alpha_umi.training.planning.survey import survey
    counts = survey(config, train_inputs(config), assumptions.sample)
    memory = _device_memory(config) if assumptions.memory_gib is None else int(assumptions.memory_gib * plan.GIB)
    machine = plan.Machine(
        world_size=assumptions.world_size or int(os.environ.get("WORLD_SIZE", "1")),
        memory=memory,
        on_cpu=pick_device(config.device) == "cpu" and assumptions.memory_gib is None and assumptions.teraflops is None,
        tokens_per_second=assumptions.tokens_per_second,
        flops=None if assumptions.teraflops is None else assumptions.teraflops * 1e12,
        utilisation=assumptions.utilisation,
    )
    return plan.make_plan(config, counts, machine)


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainPlan:
    """Plan of a run that fits its devices; printed, it is the text of `umi train --plan`."""

    estimate: Plan
    """Its numbers: `stages` with their tokens and memory, `disk` in bytes, `seconds` where a speed is known."""

    def __str__(self) -> str:
        from alpha_umi.training.planning.text import plan_text

        return plan_text(self.estimate)


def train_inputs(config: TrainConfig, on_progress: OnProgress | None = None) -> glpft.TrainInputs:
    """Inputs of a run: its format, and the reader of its data."""
    from alpha_umi.preparation.reading import read_any
    from alpha_umi.training.glpft import TrainInputs

    form = open_stored_format(config.format)
    return TrainInputs(
        format=with_optional_roles(form, config.optional_roles or ()),
        read_dialogues=read_any,
        on_progress=on_progress,
    )


def _device_memory(config: TrainConfig) -> int | None:
    """Bytes of the device that a run would use."""
    import torch

    if config.device == "cpu" or not torch.cuda.is_available():
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return torch.cuda.get_device_properties(0).total_memory


def trained(run: Path, max_length: int) -> list[dict[str, str]]:
    """Describe the finished stages of a run, a row of words each.

    `tokens` were computed; `as rows` and `as published` are how many times as many it takes with every example in a row
    of its own, and with such rows padded to `max_length`. `left out`: examples longer than that, if any.
    """
    rows = [{"stage": name} | _did(did, max_length) for name, did in _results(run)]
    if all(row["left out"] == "0" for row in rows):
        rows = [{key: value for key, value in row.items() if key != "left out"} for row in rows]
    return rows


def _results(run: Path) -> list[tuple[str, dict[str, Any]]]:
    metrics = cast("dict[str, dict[str, Any]]", read_json(run / "metrics.json"))
    return [(name, stage["result"]) for name, stage in metrics.items()]


def _did(result: Mapping[str, Any], max_length: int) -> dict[str, str]:
    computed, loss, held_out = result["tokens"], result["loss"], result["validation"].get("validation_loss")
    padded = result["examples"] * max_length
    return {
        "examples": f"{result['examples']:,}",
        "left out": f"{result['left_out']:,}",
        "steps": f"{result['steps']:,}",
        "tokens": f"{computed:,}",
        "as rows": f"{result['alone'] / computed:.2f}x" if computed else "-",
        "as published": f"{padded / computed:.2f}x" if computed else "-",
        "loss": "-" if loss is None else f"{loss:.4f}",
        "held out": "-" if held_out is None else f"{held_out:.4f}",
        "seconds": f"{result['seconds']:,.1f}",
    }


called_as(__name__, "train")
