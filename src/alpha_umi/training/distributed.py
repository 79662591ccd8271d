"""Distributed training: FSDP2 (torch's `fully_shard`), collectives, and checkpoints for any number of processes.

A process holds 1/N of every weight, gradient and optimizer state, and gathers the weights of one decoder layer at
a time; or, where that is asked for, holds them whole and only gradients are averaged. Nothing here asks whether the
devices are CPUs (gloo) or GPUs (NCCL), or whether there is one process: then the weights are plain tensors and every
function does the obvious thing.

All processes must make the same calls in the same order. So a pass over a model is made by calling the model itself
(its layers gather weights in hooks), equally often everywhere (`equal_rounds`), and every trained weight takes part
in every pass (`shard` sees to it).
"""

from __future__ import annotations

import re
import shutil
import warnings
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, cast

import torch
from torch import Tensor, distributed, nn
from torch.distributed.checkpoint.api import CheckpointException
from torch.distributed.checkpoint.filesystem import FileSystemReader, FileSystemWriter
from torch.distributed.checkpoint.state_dict import (
    StateDictOptions,
    get_model_state_dict,
    get_optimizer_state_dict,
    set_optimizer_state_dict,
)
from torch.distributed.checkpoint.state_dict_loader import load
from torch.distributed.checkpoint.state_dict_saver import save
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import CPUOffloadPolicy, FSDPModule, MixedPrecisionPolicy, OffloadPolicy, fully_shard
from torch.distributed.tensor import DTensor
from transformers import PreTrainedModel, Trainer, TrainingArguments

from alpha_umi.errors import ConfigError, StorageError

STATE, _SCHEDULER, _TRAINER_STATE = "state", "scheduler.pt", "trainer_state.json"


@dataclass(frozen=True, slots=True, kw_only=True)
class Spread:
    """Options of sharding: placement, gathering and dtype of the weights in use."""

    shard: bool = True
    """Share them out among the processes; False: every process holds them whole, see `average_gradients`."""
    offload: bool = False
    """Keep shards in the memory of the CPU; a layer visits the device while it is in use."""
    reshard: bool = True
    """Free a layer's gathered weights after its forward pass and gather them again for its backward pass
    (what DeepSpeed calls ZeRO 3); False keeps them in between (ZeRO 2): faster, and the whole model on each device."""
    dtype: torch.dtype | None = None
    """Of gathered weights; None: as they are stored. Gradients are summed as stored weights are."""


# --- among processes --------------------------------------------------------------------------------------


def processes() -> int:
    """Number of processes that train together."""
    return distributed.get_world_size() if distributed.is_initialized() else 1


def is_first() -> bool:
    """Test if this process is the first, which writes what is written once."""
    return not distributed.is_initialized() or distributed.get_rank() == 0


def sum_over(value: float) -> float:
    """Sum of the processes' values, equal on all of them."""
    return _reduced(value, distributed.ReduceOp.SUM)


def sums_over(values: Sequence[float]) -> list[float]:
    """Elementwise sums of the processes' values."""
    if processes() == 1:
        return list(values)
    numbers = torch.tensor(values, dtype=torch.float64, device=_wire())
    distributed.all_reduce(numbers, distributed.ReduceOp.SUM)
    return cast("list[float]", numbers.tolist())


def equal_rounds(count: int) -> int:
    """Largest of the processes' counts: the number of passes each must make, the missing ones on dummies."""
    return int(_reduced(count, distributed.ReduceOp.MAX))


def anywhere(flag: bool) -> bool:
    """Test if the flag is set on any process, so that all stop or fail together."""
    return _reduced(float(flag), distributed.ReduceOp.MAX) > 0


def _reduced(value: float, how: Any) -> float:
    if processes() == 1:
        return value
    number = torch.tensor(float(value), dtype=torch.float64, device=_wire())
    distributed.all_reduce(number, how)
    return number.item()


def _wire() -> torch.device:
    """Device of tensors in collective operations."""
    device = None if distributed.get_backend() == "gloo" else torch.accelerator.current_accelerator()
    return torch.device("cpu") if device is None else device


def reseed(seed: int, step: int) -> None:
    """Make dropout of a step a function of seed, step and process, so that no generator state need be kept."""
    rank = distributed.get_rank() if distributed.is_initialized() else 0
    drawn = hash((seed, step, rank)) % 2**63
    torch.default_generator.manual_seed(drawn)
    if torch.accelerator.is_available():  # where there is none, torch.manual_seed would keep note of every call
        torch.manual_seed(drawn)


# --- the model --------------------------------------------------------------------------------------------


def shard(model: PreTrainedModel, device: torch.device, spread: Spread | None = None) -> None:
    """Shard a model over the processes, in place: units are the decoder layers and the rest (embeddings, tied or
    not, final norm and head together). To be called once, when adapters are installed and weights frozen, before
    an optimizer is made; every process holds the same weights then. Raises ConfigError when they differ, and for
    shards that are to lie on the CPU when there is no other process to share with.
    """
    spread = spread or Spread()
    layers = _decoder_layers(model)
    _join_idle_weights(model, layers)
    offload = spread.offload and device.type != "cpu"
    if processes() > 1:
        _check_same_start(model)
    elif offload:
        raise ConfigError("spread.cpu_offload = true works on shards; start two processes or more with torchrun")
    if processes() == 1 or not spread.shard:
        model.to(device)  # pyright: ignore[reportArgumentType]
        return
    mesh = init_device_mesh(device.type, (processes(),))
    share_out = partial(
        fully_shard,
        mesh=mesh,
        mp_policy=MixedPrecisionPolicy(
            param_dtype=spread.dtype, reduce_dtype=None if spread.dtype is None else torch.float32
        ),
        offload_policy=CPUOffloadPolicy() if offload else OffloadPolicy(),
    )
    for layer in layers:
        share_out(layer, reshard_after_forward=spread.reshard)
    share_out(model, reshard_after_forward=False)


def reshard(model: nn.Module) -> None:
    """Free weights that a forward pass gathered and no backward pass will: until then they replace the shards."""
    for module in model.modules():
        if isinstance(module, FSDPModule):
            module.reshard()


def _decoder_layers(model: PreTrainedModel) -> list[nn.Module]:
    layers = getattr(model.get_decoder(), "layers", ())
    return [layer for layer in layers if isinstance(layer, nn.Module)]


def _join_idle_weights(model: PreTrainedModel, layers: list[nn.Module]) -> None:
    """Give trained weights that a pass may not use (an adapter whose role is not in it) a gradient of zero.

    Processes reduce the gradients of a layer together, so all must have the same ones; and an optimizer treats a
    zero otherwise than no gradient, which must not depend on how a step is split.
    """
    if all(weight.requires_grad for weight in model.parameters()):
        return
    inside = {id(module) for layer in layers for module in layer.modules()}
    for unit in layers:
        _join(unit, _trained(unit.modules()))
    table = cast("nn.Module", model.get_input_embeddings())
    _join(table, _trained(module for module in model.modules() if id(module) not in inside))


_Place = tuple[nn.Module, str]
"""Where a weight is to be found: FSDP puts another object there while it is gathered."""


def _trained(modules: Iterable[nn.Module]) -> list[_Place]:
    return [
        (module, name)
        for module in modules
        for name, weight in module.named_parameters(recurse=False)
        if weight.requires_grad
    ]


def _join(unit: nn.Module, places: list[_Place]) -> None:
    def add_nothing(module: nn.Module, arguments: Any, output: Any) -> Any:
        if not torch.is_grad_enabled():
            return None
        first, *others = output if isinstance(output, tuple) else (output,)
        nothing = first.new_zeros(())
        for owner, name in places:
            nothing = nothing + getattr(owner, name).flatten()[:0].sum().to(first.dtype)
        first = first + nothing
        return (first, *others) if isinstance(output, tuple) else first

    if places:
        unit.register_forward_hook(add_nothing)


def _check_same_start(model: nn.Module) -> None:
    sums = [weight.detach().abs().sum(dtype=torch.float64) for weight in model.parameters() if weight.requires_grad]
    mine = torch.stack([value.cpu() for value in sums]).sum().item() if sums else 0.0
    least, most = _reduced(mine, distributed.ReduceOp.MIN), _reduced(mine, distributed.ReduceOp.MAX)
    if least != most:
        raise ConfigError(
            "the processes start from different weights; seed every process alike before new weights are drawn"
        )


def average_gradients(model: nn.Module) -> None:
    """Average over all processes the gradients of weights that each holds whole; shards average their own.

    To be called once per step, after its last pass.
    """
    if processes() == 1:
        return
    whole = [weight.grad for weight in model.parameters() if weight.grad is not None]
    whole = [gradient for gradient in whole if not isinstance(gradient, DTensor)]
    for sent in [distributed.all_reduce(gradient, async_op=True) for gradient in whole]:
        cast("distributed.Work", sent).wait()
    for gradient in whole:
        gradient.div_(processes())


def clip(weights: Iterable[nn.Parameter], max_norm: float) -> float:
    """Scale the gradients so that their norm over all weights and processes is at most `max_norm`; returns the norm
    before. `inf` only measures."""
    gradients = [weight.grad for weight in weights if weight.grad is not None]
    shards = [gradient.to_local() for gradient in gradients if isinstance(gradient, DTensor)]
    whole = [gradient for gradient in gradients if not isinstance(gradient, DTensor)]
    norm = (sum_over(_square(shards)) + _square(whole)) ** 0.5 if shards else _square(whole) ** 0.5
    if norm > max_norm:
        for gradient in (*shards, *whole):
            gradient.mul_(max_norm / (norm + 1e-6))
    return norm


def _square(gradients: Sequence[Tensor]) -> float:
    """Squared norm of all of them together."""
    if not gradients:
        return 0.0
    norms = [torch.linalg.vector_norm(gradient, dtype=torch.float32) for gradient in gradients]
    return torch.stack(norms).cpu().double().square().sum().item()


def local(tensor: Tensor) -> Tensor:
    """Local shard of a tensor, sharing its memory."""
    return tensor.to_local() if isinstance(tensor, DTensor) else tensor


def full_weights(model: nn.Module) -> dict[str, Tensor]:
    """Unsharded weights on the CPU of the first process, for `save_pretrained(state_dict=...)`; empty on others."""
    if processes() == 1:
        return model.state_dict()
    return cast(
        "dict[str, Tensor]",
        get_model_state_dict(model, options=StateDictOptions(full_state_dict=True, cpu_offload=True)),
    )


# --- checkpoints ------------------------------------------------------------------------------------------


@contextmanager
def whole_folder(folder: Path, size: int = 0) -> Iterator[Path]:
    """Context manager of a folder beside `folder`, on a disk that all processes see; it replaces it when all have left.

    Killed at any moment, the place never holds a part of it. When one process fails all do; raises StorageError,
    which tells `size` (bytes needed), when the disk is the reason. What stood at the place is removed at the end.
    """
    part = folder.with_name(f".{folder.name}.part")
    if is_first():
        shutil.rmtree(part, ignore_errors=True)
    failure: BaseException | None = None
    anywhere(False)  # no process writes before the leftovers are gone
    try:
        part.mkdir(parents=True, exist_ok=True)
        yield part
    except (Exception, CheckpointException) as error:
        failure = error
    failed_elsewhere = anywhere(failure is not None)
    if failure is None and not failed_elsewhere and is_first():
        try:
            shutil.rmtree(folder, ignore_errors=True)
            part.rename(folder)
        except OSError as error:
            failure = error
    if not anywhere(failure is not None):
        return
    if is_first():
        shutil.rmtree(part, ignore_errors=True)
    raise _explained(folder, size, failure) from failure


def _explained(folder: Path, size: int, failure: BaseException | None) -> BaseException:
    kept = f"about {size / 1e6:.1f} MB are needed; whole checkpoints stay" if size else "what was there stays"
    if failure is None:
        return StorageError(f"{folder}: not written, because another process failed; {kept}")
    causes: list[BaseException] = [failure]
    if isinstance(failure, CheckpointException):
        causes += [cause for cause, _ in failure.failures.values()]
    for cause in causes:
        if reason := _disk_says(cause):
            return StorageError(f"{folder}: cannot be written: {reason}; {kept}")
    return failure


def _disk_says(error: BaseException | None) -> str | None:
    """Error of the disk, also where safetensors or torch has wrapped it."""
    if error is None:
        return None
    if isinstance(error, OSError):
        return error.strerror or str(error)
    if wrapped := re.search(r"I/O error: (.+?) \(os error", str(error)):
        return wrapped[1]
    # torch goes on to close a file that took only a part; across processes the OSError before is lost
    cut_short = "not all of a file was taken; is the disk full?" if "inline_container" in str(error) else None
    return _disk_says(error.__context__) or cut_short


def save_state(folder: Path, model: nn.Module, optimizer: torch.optim.Optimizer) -> None:
    """Write trained weights and optimizer state into a folder; every process writes its own part. Frozen weights
    are not written: a run that resumes loads them from where it started."""
    with _alone_is_fine():
        save(_state(model, optimizer), storage_writer=FileSystemWriter(folder), no_dist=processes() == 1)


def load_state(folder: Path, model: nn.Module, optimizer: torch.optim.Optimizer) -> None:
    """Read what `save_state` wrote under any number of processes. The optimizer must be fresh."""
    state = _state(model, optimizer)
    with _alone_is_fine():
        load(state, storage_reader=FileSystemReader(folder), no_dist=processes() == 1)
    set_optimizer_state_dict(model, optimizer, optim_state_dict=state["optimizer"])


@contextmanager
def _alone_is_fine() -> Iterator[None]:
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".*assuming the intent is to (save|load) in a single process.*")
        yield


def save_weights(folder: Path, model: nn.Module) -> None:
    """Write trained weights alone into a folder; every process writes its own part."""
    with _alone_is_fine():
        save(_weights(model), storage_writer=FileSystemWriter(folder), no_dist=processes() == 1)


def load_weights(folder: Path, model: nn.Module) -> None:
    """Read what `save_weights` wrote under any number of processes."""
    with _alone_is_fine():
        load(_weights(model), storage_reader=FileSystemReader(folder), no_dist=processes() == 1)


@torch.no_grad()
def load_mean(folders: Sequence[Path], model: nn.Module) -> None:
    """Read the mean of the weights in several folders, each written by `save_weights` or `save_state`."""
    weights = [weight for weight in model.parameters() if weight.requires_grad]
    sums = [torch.zeros_like(weight) for weight in weights]
    for folder in folders:
        load_weights(folder, model)
        for total, weight in zip(sums, weights, strict=True):
            total += weight
    for total, weight in zip(sums, weights, strict=True):
        weight.copy_(total / len(folders))


def state_bytes(model: nn.Module, optimizer: torch.optim.Optimizer) -> int:
    """Size of a checkpoint on disk, all processes together."""
    state = _state(model, optimizer)
    tensors = [*state["model"].values()]
    tensors += [value for values in state["optimizer"]["state"].values() for value in values.values()]
    return sum(tensor.numel() * tensor.element_size() for tensor in tensors if isinstance(tensor, Tensor))


def _state(model: nn.Module, optimizer: torch.optim.Optimizer) -> dict[str, Any]:
    return {**_weights(model), "optimizer": get_optimizer_state_dict(model, optimizer)}


def _weights(model: nn.Module) -> dict[str, Any]:
    # named_parameters yields tied weights once, which state_dict does not
    return {"model": {name: weight.detach() for name, weight in model.named_parameters() if weight.requires_grad}}


# --- the Trainer ------------------------------------------------------------------------------------------


class SpreadTrainer(Trainer):
    """Trainer with a model sharded by this module; accelerate's own FSDP is not used, since it does nothing on
    CPUs (1.15 falls back to DDP without a word). Its checkpoints hold everything under `whole_folder`."""

    def __init__(
        self, *, model: PreTrainedModel, args: TrainingArguments, spread: Spread | None = None, **rest: Any
    ) -> None:
        shard(model, args.device, spread)
        super().__init__(model=model, args=args, **rest)
        self._trained = [weight for weight in model.parameters() if weight.requires_grad]
        # evaluation_mode: mixed precision as usual, but no DDP around what is already spread
        self.accelerator.prepare_model = partial(self.accelerator.prepare_model, evaluation_mode=True)

    def floating_point_ops(self, inputs: Any) -> int:
        return 0

    def _clip_grad_norm(self, model: nn.Module) -> float:
        return clip(self._trained, self.args.max_grad_norm)

    def _get_grad_norm(self, model: nn.Module, grad_norm: float | None = None) -> float:
        return clip(self._trained, float("inf")) if grad_norm is None else grad_norm

    def _save_checkpoint(self, model: nn.Module, trial: Any) -> None:
        out = Path(cast("str", self.args.output_dir))
        model, optimizer = self._plain_model(), self._plain_optimizer()
        with whole_folder(out / f"checkpoint-{self.state.global_step}", state_bytes(model, optimizer)) as part:
            save_state(part / STATE, model, optimizer)
            if is_first():
                with (part / _SCHEDULER).open("wb") as file:  # torch's own writer hides what the disk says
                    torch.save(cast("Any", self.lr_scheduler).state_dict(), file)
                self.state.save_to_json(str(part / _TRAINER_STATE))
        if is_first():
            for old in (*checkpoints(out)[: -(self.args.save_total_limit or 1)], *out.glob(".checkpoint-*.part")):
                shutil.rmtree(old, ignore_errors=True)

    def _load_from_checkpoint(self, resume_from_checkpoint: str, model: nn.Module | None = None) -> None:
        """Do nothing: weights are read with the optimizer's state, when there is an optimizer."""

    def _load_optimizer_and_scheduler(self, checkpoint: str | None) -> None:
        if checkpoint is not None:
            load_state(Path(checkpoint) / STATE, self._plain_model(), self._plain_optimizer())
            cast("Any", self.lr_scheduler).load_state_dict(torch.load(Path(checkpoint) / _SCHEDULER, weights_only=True))

    def _load_rng_state(self, checkpoint: str | None) -> None:
        """Do nothing: `reseed` makes a step's draws a function of the step."""

    def _plain_model(self) -> nn.Module:
        return self.accelerator.unwrap_model(cast("nn.Module", self.model))

    def _plain_optimizer(self) -> torch.optim.Optimizer:
        return cast("torch.optim.Optimizer", getattr(self.optimizer, "optimizer", self.optimizer))


def checkpoints(folder: Path) -> list[Path]:
    """Whole checkpoints in a folder, oldest first."""
    return sorted(folder.glob("checkpoint-*"), key=lambda path: int(path.name.partition("-")[2]))
