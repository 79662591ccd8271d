"""Estimate of a run's tokens, steps, memory per device, disk and time before it starts, and the check that it fits.

Counts of parameters are exact, the memory of a pass comes from `training.footprint`, all else is arithmetic. Where
only a sample of the trajectories was counted, the plan says how many and how sure that is.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from itertools import islice
from typing import Any

import torch
from transformers import PreTrainedConfig

from alpha_umi.config import SpreadConfig, TrainConfig
from alpha_umi.errors import ConfigError
from alpha_umi.training.planning.counts import Estimate
from alpha_umi.training.planning.footprint import (
    Pass,
    Shape,
    adapter_parameters,
    pass_bytes,
    read_architecture,
    read_shape,
)
from alpha_umi.training.precision import Precision, choose_precision
from alpha_umi.training.recipe import Step, make_steps

GIB = 2**30
_WIDE = 4
"""Bytes of a float32, in which learned weights, gradients and optimizer states are kept."""
_USABLE = 0.92
"""Of a device's memory; its driver, its communication and the gaps between allocations take the rest."""
_CHECKPOINTS = 2
"""Kept at once while a stage runs."""
_ROUND = 256
"""Passes are planned in such steps, so that stages that are about alike need one measurement."""
_CURES = 3
"""Named at most."""
_MOST_DEVICES = 64
"""Largest number of devices advised to a run that does not fit."""


class PlanError(ConfigError):
    """Error of a run that cannot fit its devices."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Machine:
    """Machine of a run: equal devices, one process each."""

    world_size: int = 1
    memory: int | None = None
    """Bytes of one device. None: not known, and nothing is refused."""
    on_cpu: bool = False
    tokens_per_second: float | None = None
    """Measured, of one device."""
    flops: float | None = None
    """Floating-point operations per second of one device in the dtype of the run, as its maker says."""
    utilisation: float = 0.4
    """Share of `flops` that the run reaches."""

    def seconds(self, tokens: float, work: float) -> float | None:
        """Time for a number of tokens or floating-point operations over all devices, in seconds; None: no rate is
        known."""
        if self.tokens_per_second is not None:
            return tokens / (self.tokens_per_second * self.world_size)
        if self.flops is not None:
            return work / (self.flops * self.utilisation * self.world_size)
        return None


@dataclass(frozen=True, slots=True, kw_only=True)
class Memory:
    """Peak memory of a stage on one device, in bytes."""

    weights: int
    gradients: int
    optimizer: int
    gathered: int
    """Copies of sharded weights and gradients in use."""
    activations: int
    """The peak of a pass, logits included; or of an optimizer step, where that is more."""
    offloaded: int = 0
    """Bytes of the first three that lie in the memory of the CPU instead."""

    @property
    def total(self) -> int:
        return self.weights + self.gradients + self.optimizer + self.gathered + self.activations - self.offloaded


@dataclass(frozen=True, slots=True, kw_only=True)
class StagePlan:
    """Estimate for one step of the recipe."""

    step: Step
    counts: Estimate
    """Counts of one epoch over its part of the data."""
    epochs: float
    """As configured, or what max_steps comes to."""
    optimizer_steps: int
    tokens: int
    """Computed over all epochs and devices, in the layout of the run."""
    parameters: int
    learned: int
    """Parameters that change."""
    pass_tokens: int
    """Of the largest pass of one device."""
    memory: Memory
    checkpoint: int
    """Bytes on disk of one checkpoint: learned weights and optimizer."""
    folder: int
    """Bytes on disk of what the stage leaves."""
    seconds: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """Estimate of a whole run."""

    config: TrainConfig
    machine: Machine
    stages: tuple[StagePlan, ...]
    model: Model
    """Model that is trained."""

    @property
    def precision(self) -> Precision:
        """Precision of the passes."""
        return choose_precision(self.config.dtype, self.model.architecture, on_cpu=self.machine.on_cpu)

    @property
    def disk(self) -> int:
        """Peak disk use in bytes: all folders and the checkpoints of the largest stage."""
        largest = max(stage.checkpoint for stage in self.stages)
        return sum(stage.folder for stage in self.stages) + _CHECKPOINTS * largest

    @property
    def seconds(self) -> float | None:
        times = [stage.seconds for stage in self.stages if stage.seconds is not None]
        return sum(times) if len(times) == len(self.stages) else None

    @property
    def usable(self) -> int | None:
        """Memory of a device that the run may take, in bytes."""
        return None if self.machine.memory is None else int(self.machine.memory * _USABLE)

    def memory_otherwise(self, stage: StagePlan) -> Memory:
        """Peak memory with gradient checkpointing where the run has none, and without where it has."""
        changed = self.config.model_copy(update={"gradient_checkpointing": not self.config.gradient_checkpointing})
        return _memory(self.model, changed, stage.step, self.machine, stage.counts)

    def check(self) -> None:
        """Raise PlanError with numbers and what to change, where a stage does not fit its device."""
        worst = max(self.stages, key=lambda stage: stage.memory.total)
        usable, need = self.usable, worst.memory.total
        if usable is None or need <= usable:
            return
        parts = {name: size for name, size in _parts(worst.memory) if size}
        cures = [f"{change} ({total / GIB:.1f} GiB)" for change, total in islice(self._cures(worst, usable), _CURES)]
        raise PlanError(
            f"stage {worst.step.name} needs {need / GIB:.1f} GiB on each of {self.machine.world_size} device(s), of "
            f"whose {(self.machine.memory or 0) / GIB:.1f} GiB {usable / GIB:.1f} can be used: "
            f"{', '.join(f'{name} {size / GIB:.1f}' for name, size in parts.items())}; "
            + (f"what would fit: {'; '.join(cures)}" if cures else "no single setting would make it fit")
        )

    def _cures(self, stage: StagePlan, usable: int) -> Iterator[tuple[str, int]]:
        """Configuration changes after which every stage would fit, and the most memory that one would need then."""
        for change, config, machine in _changes(self.config, self.machine):
            needs = [
                _memory(self.model, config, step, machine, _counts_of(step, self.stages, stage)).total
                for step in make_steps(config)
            ]
            if max(needs) <= usable:
                yield change, max(needs)


@dataclass(frozen=True, slots=True)
class Model:
    """Properties of the model, its measured passes included."""

    architecture: PreTrainedConfig
    shape: Shape
    _passes: dict[Pass, int] = field(default_factory=dict[Pass, int])
    _adapters: dict[tuple[int, tuple[str, ...]], int] = field(default_factory=dict[tuple[int, tuple[str, ...]], int])

    @classmethod
    def read(cls, config: TrainConfig) -> Model:
        """Read the model's properties. Raises CheckpointError where there is no architecture to read."""
        architecture = read_architecture(config.model)
        return cls(architecture, read_shape(architecture))

    def pass_bytes(self, work: Pass) -> int:
        if work not in self._passes:
            self._passes[work] = pass_bytes(self.architecture, work, self.shape.layers)
        return self._passes[work]

    def learned(self, step: Step) -> int:
        """Number of parameters that a step changes."""
        if step.adapter is None:
            return self.shape.parameters
        key = (step.adapter.rank, step.adapter.targets)
        if key not in self._adapters:
            self._adapters[key] = adapter_parameters(self.architecture, step.adapter)
        return self._adapters[key] * _adapters_at_once(step)

    def optimizer_bytes(self, step: Step) -> int:
        """Size of the optimizer state in bytes: AdamW keeps two per learned weight, Muon one for the matrices inside
        the layers."""
        learned, matrices = self.learned(step), 0
        if step.settings.optimizer == "muon":
            matrices = self.shape.layer_matrices if step.adapter is None else learned
        return (2 * learned - matrices) * _WIDE


def make_plan(config: TrainConfig, counts: Mapping[str, Estimate], machine: Machine) -> Plan:
    """Estimate a run from the counts of its steps by name (see training.recipe)."""
    model = Model.read(config)
    stages = tuple(_stage(model, config, step, machine, counts[step.name]) for step in make_steps(config))
    return Plan(config=config, machine=machine, stages=stages, model=model)


def _stage(model: Model, config: TrainConfig, step: Step, machine: Machine, counts: Estimate) -> StagePlan:
    settings, learned = step.settings, model.learned(step)
    per_epoch = max(1.0, counts.steps(settings.batch_size))
    steps = settings.max_steps or math.ceil(per_epoch * settings.epochs - 1e-9)
    epochs = steps / per_epoch if settings.max_steps else settings.epochs
    tokens = round(counts.tokens(config) * epochs)
    leaves_adapters = step.adapter is not None and not step.merged
    return StagePlan(
        step=step,
        counts=counts,
        epochs=epochs,
        optimizer_steps=steps,
        tokens=tokens,
        parameters=model.shape.parameters,
        learned=learned,
        pass_tokens=_pass_tokens(config, step, machine, counts),
        memory=_memory(model, config, step, machine, counts),
        checkpoint=learned * _WIDE + model.optimizer_bytes(step),
        folder=(learned if leaves_adapters else model.shape.parameters) * _WIDE,
        seconds=machine.seconds(tokens, _work(model, config, step, counts) * epochs),
    )


# --- memory ---------------------------------------------------------------------------------------------


def _memory(model: Model, config: TrainConfig, step: Step, machine: Machine, counts: Estimate) -> Memory:
    """Peak memory of a stage on one device."""
    learned = model.learned(step)
    dtype = choose_precision(config.dtype, model.architecture, on_cpu=machine.on_cpu).dtype
    sharded = machine.world_size > 1 and config.spread.shard is not False
    shares = machine.world_size if sharded else 1
    weights = learned * _WIDE
    if step.adapter is not None:  # what is frozen lies there as it is computed
        weights += model.shape.parameters * dtype.itemsize
    fixed = [size // shares for size in (weights, learned * _WIDE, model.optimizer_bytes(step))]
    tokens = _pass_tokens(config, step, machine, counts)
    work = Pass(
        tokens=tokens,
        losses=min(tokens, _ROUND * math.ceil(max(1, counts.losses(config, tokens)) / _ROUND)),
        dtype=dtype,
        weights=dtype if sharded or step.adapter is not None else torch.float32,
        checkpointed=config.gradient_checkpointing,
        rank=0 if step.adapter is None else step.adapter.rank * _adapters_at_once(step),
        targets=() if step.adapter is None else step.adapter.targets,
    )
    offloaded = sum(fixed) if sharded and config.spread.cpu_offload else 0
    # On an accelerator AdamW steps all weights at once, with a buffer of their size.
    in_step = 0 if machine.on_cpu or offloaded else learned * _WIDE // shares
    return Memory(
        weights=fixed[0],
        gradients=fixed[1],
        optimizer=fixed[2],
        gathered=_gathered(model.shape, config.spread, step, dtype.itemsize) if sharded else 0,
        activations=max(model.pass_bytes(work), in_step),
        offloaded=offloaded,
    )


def _gathered(shape: Shape, spread: SpreadConfig, step: Step, width: int) -> int:
    """Gathered weights under FSDP2: those outside the layers stay gathered; of the layers one is in use and one on its
    way. Their gradients are whole until they are reduced, in float32."""
    layers = 2 if spread.reshard_after_forward else shape.layers
    weights = (shape.outer_parameters + layers * shape.layer_parameters) * width
    if step.adapter is not None:
        return weights
    gradients = (shape.outer_parameters + shape.layer_parameters) * width
    return weights + gradients + max(shape.outer_parameters, shape.layer_parameters) * _WIDE


def _pass_tokens(config: TrainConfig, step: Step, machine: Machine, counts: Estimate) -> int:
    """Tokens of the largest micro-batch: a full one, or all that a device has of a step, and at most one row more."""
    per_example = counts.tokens(config) / max(1, counts.total.examples)
    longest = config.max_length if config.layout == "padded" else counts.total.longest
    share = math.ceil(step.settings.batch_size * per_example / machine.world_size) + longest
    return min(config.tokens_per_microbatch, _ROUND * math.ceil(share / _ROUND))


def _adapters_at_once(step: Step) -> int:
    """Number of adapters in memory at once: joint adapters are all there, whichever acts on a token."""
    return 1 if step.merged else len(step.learns)


# --- work -----------------------------------------------------------------------------------------------


def _work(model: Model, config: TrainConfig, step: Step, counts: Estimate) -> float:
    """Floating-point operations of one epoch: two per parameter and token forward, twice that backward (once where
    weights are frozen), the layers once more with gradient checkpointing; the projection only where there is loss."""
    shape, tokens = model.shape, counts.tokens(config)
    again = 1 if config.gradient_checkpointing else 0
    backward = 2 if step.adapter is None else 1
    layers = 2 * shape.layer_matrices * (1 + backward + again) * tokens
    head = 2 * shape.head * (1 + backward) * counts.total.completion_tokens
    adapters = 2 * (3 + again) * model.learned(step) * tokens if step.adapter is not None else 0
    mean_length = counts.total.row_tokens / max(1, counts.total.examples)
    pairs = tokens * (config.max_length if config.layout == "padded" else mean_length) / 2
    attention = 4 * shape.attention_width * shape.layers * (3 + again) * pairs
    return layers + head + adapters + attention


# --- what to change ---------------------------------------------------------------------------------------


def _changes(config: TrainConfig, machine: Machine) -> Iterator[tuple[str, TrainConfig, Machine]]:
    """Configuration changes that save memory, the cheapest first, and the first two together."""
    cheap: dict[str, Any] = {}
    if not config.gradient_checkpointing:
        cheap["gradient_checkpointing"] = True
        yield "gradient_checkpointing = true", config.model_copy(update=cheap), machine
    if config.tokens_per_microbatch > config.max_length:
        fewer = {"tokens_per_microbatch": config.max_length}
        yield f"tokens_per_microbatch = {config.max_length}", config.model_copy(update=fewer), machine
        if cheap:
            both = config.model_copy(update=cheap | fewer)
            yield f"gradient_checkpointing = true and tokens_per_microbatch = {config.max_length}", both, machine
        cheap |= fewer
    lean = config.model_copy(update=cheap)
    above = "".join(f" and {key} = {str(value).lower()}" for key, value in cheap.items())
    if config.adapter.kind == "none" or config.adapter.backbone == "full":
        kind = "lora" if config.adapter.kind == "none" else config.adapter.kind
        adapter = config.adapter.model_copy(update={"kind": kind, "backbone": "lora"})
        said = f'adapter.kind = "{kind}" with adapter.backbone = "lora"{above}'
        yield said, lean.model_copy(update={"adapter": adapter}), machine
    if not machine.on_cpu:
        more = machine.world_size * 2
        while more <= _MOST_DEVICES:
            yield f"{more} devices{above}", lean, replace(machine, world_size=more)
            more *= 2
    if machine.world_size > 1 and not config.spread.cpu_offload:
        spread = config.spread.model_copy(update={"cpu_offload": True, "shard": None})
        yield f"spread.cpu_offload = true{above}", lean.model_copy(update={"spread": spread}), machine


def _counts_of(step: Step, stages: tuple[StagePlan, ...], worst: StagePlan) -> Estimate:
    """Counts of a step that a change may have renamed."""
    return next((stage.counts for stage in stages if stage.step.name == step.name), worst.counts)


def _parts(memory: Memory) -> Iterator[tuple[str, int]]:
    yield "weights", memory.weights
    yield "gradients", memory.gradients
    yield "optimizer", memory.optimizer
    yield "gathered layers", memory.gathered
    yield "a pass", memory.activations
    yield "kept on the CPU", -memory.offloaded
