"""Adapters of a training run as an agent of their own, over a base model that is named and not taken along.

Role adapters lie on the base, or on a backbone: the base into which a LoRA of an earlier run is merged at loading. A
run of one LoRA for all roles is an agent too, without role adapters.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from alpha_umi.config import AgentConfig, LocalConfig, RolesConfig, SamplingsConfig, TrainConfig, load_config, resolved
from alpha_umi.errors import ConfigError, explain_missing_extra
from alpha_umi.jobs.train import train_inputs
from alpha_umi.loading.agents import AGENT_FILE, REPETITION_LIMIT, read_agent
from alpha_umi.loading.bundled import provenance_of, write_provenance
from alpha_umi.loading.formats import open_format
from alpha_umi.loading.saving import new_folder
from alpha_umi.output_lock import locked
from alpha_umi.store import read_json, write_json, write_text
from alpha_umi.training.recipe import Step, make_steps
from alpha_umi.types import Role

_FORMAT, _HISTORY = "format.json", "history"
MERGED = "backbone"
"""Folder of the LoRA that makes the base model the backbone of the roles."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AdapterOptions:
    """Options of an export: the run, the folder to write, and what the agent says of itself."""

    run: Path
    """A run directory whose roles are adapters on the base model, or that learned one LoRA; finished, or with a
    checkpoint."""
    out: Path
    base: str
    """The base model as the agent will name it: `smollm2-135m`, or a hub id."""
    preset: str | None = None
    """Of the world that it learned in; None: other data, and it says nothing of worlds."""
    dtype: Literal["float32", "float16", "bfloat16"] = "bfloat16"
    average: int = 1
    """Number of the last checkpoints of an unfinished run whose mean is taken."""
    constrained: bool = True
    card: Path | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ExportedAdapters:
    """Result of an export."""

    size: int
    """In bytes."""
    steps: list[int]
    """Optimizer steps after which the adapters were as they are; several of a mean."""


def export_adapters(options: AdapterOptions) -> ExportedAdapters:
    """Write the adapters of a run, as they are now, as an agent.

    Raises ConfigError where the run has none yet, or they lie on a model of its own; StorageError.
    """
    with explain_missing_extra("local", "export"):
        import torch

        from alpha_umi.training.glpft import Run
    if not (options.run / "config.toml").exists():
        raise ConfigError(f"{options.run}: no run directory of 'umi train' (a folder with config.toml)")
    config = load_config(TrainConfig, options.run / "config.toml")
    config = config.model_copy(update={"out": str(options.run)})
    step = _adapted_step(options.run, config)
    with locked(options.out), new_folder(options.out) as part:
        steps = Run(config, train_inputs(config)).write_adapters(
            step,
            part / (MERGED if step.merged else step.name),
            base=options.base,
            dtype=getattr(torch, options.dtype),
            average=options.average,
        )
        _describe(options, config, step, part)
    return ExportedAdapters(size=sum(path.stat().st_size for path in _files(options.out)), steps=steps)


def _adapted_step(run: Path, config: TrainConfig) -> Step:
    """The stage of the role adapters, or of the LoRA of all roles.

    Raises ConfigError where they do not lie on the base model itself.
    """
    step = make_steps(config)[-1]
    if step.adapter is None or step.starts_from != "base":
        raise ConfigError(
            f"{run}: its roles are no adapters on the base model alone; 'umi export agent' takes a model along"
        )
    return step


def _local(options: AdapterOptions, config: TrainConfig, step: Step, role: Role) -> LocalConfig:
    """A role of the agent: its adapter, and what is merged into the base under it."""
    if step.merged:
        return LocalConfig(model=options.base, merged_adapter=MERGED)
    merged = None if config.model.merged_adapter is None else MERGED
    return LocalConfig(model=options.base, merged_adapter=merged, adapter=f"{step.name}/{role.value}")


def _describe(options: AdapterOptions, config: TrainConfig, step: Step, part: Path) -> None:
    """Write all but the weights into the folder `part`."""
    agent = AgentConfig(
        format=_FORMAT,
        roles=RolesConfig.model_validate({role.value: _local(options, config, step, role) for role in step.folders}),
        sampling=SamplingsConfig(max_tokens=config.max_length - config.prompt_limit, repetition_limit=REPETITION_LIMIT),
        max_input_tokens=config.prompt_limit,
        constrained=options.constrained,
    )
    if config.model.merged_adapter is not None:
        shutil.copytree(config.model.merged_adapter, part / MERGED)
    write_json(part / _FORMAT, read_json(options.run / _FORMAT))
    with write_text(part / AGENT_FILE) as text:
        text.write(resolved(agent))
    shutil.copytree(options.run / _HISTORY, part / _HISTORY)
    if options.card is not None:
        shutil.copyfile(options.card, part / "README.md")
    if options.preset is not None:
        form = open_format(str(part / _FORMAT))
        provenance = provenance_of(options.run, agent, form, options.preset)
        write_provenance(part, provenance.model_copy(update={"agent": options.out.name}))
    read_agent(part)


def _files(folder: Path) -> Iterator[Path]:
    return (path for path in folder.rglob("*") if path.is_file())
