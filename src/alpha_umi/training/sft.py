"""Supervised fine-tuning of one stage on transformers' Trainer: batches of steps in, a folder of weights out.

An optimizer step learns from whole trajectories, in as many passes as their tokens need; its loss is the weighted
mean over the completion tokens of the whole step, however it is split into passes and processes. The folder appears
at its place only when it is whole; a stage that was interrupted, anyhow and anywhere, goes on from its last
checkpoint, under any number of processes, and ends with the weights that it would have had.
"""

from __future__ import annotations

import importlib.util
import math
import shutil
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, cast

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel, PrinterCallback, TrainingArguments
from transformers.integrations.integration_utils import TensorBoardCallback

from alpha_umi.config import StageConfig, TrainConfig
from alpha_umi.errors import AlphaUMiError, ConfigError, StorageError
from alpha_umi.models.checkpoint import pick_device, quiet
from alpha_umi.store import read_json, write_json
from alpha_umi.training import distributed
from alpha_umi.training.callbacks import VALIDATION_LOSS, StageCallback, StageProgress, Watched, graceful_interrupt
from alpha_umi.training.data.batches import RankBatch, RankBatches, StepData
from alpha_umi.training.data.labels import Weights
from alpha_umi.training.data.packing import PackedTrees
from alpha_umi.training.losses import LossComputer
from alpha_umi.training.optimizer import make_optimizer
from alpha_umi.training.precision import choose_precision
from alpha_umi.types import Json

_BEST = "best"
_COUNTS = "counts"
_TENSORBOARD = "tensorboard"


@dataclass(frozen=True, slots=True, kw_only=True)
class Stage:
    """Stage of training: one model, or the adapters on it, tuned on one set of trajectories."""

    name: str
    model: PreTrainedModel
    """Changed in place; what of it learns says requires_grad."""
    data: StepData
    validation: Mapping[str, Sequence[PackedTrees]] = field(default_factory=dict[str, Sequence[PackedTrees]])
    """By role; every tree is one example."""
    settings: StageConfig
    run: TrainConfig
    """Source of dtype, device, seed, layout, and of the intervals of saving and logging."""
    out: Path
    """The folder to make; its checkpoints lie beside it until it is whole."""
    history: Path
    """JSONL, a line per log_every steps."""
    write: Callable[[Path, Mapping[str, Tensor]], None]
    """Writes the model into a folder, given its whole weights by name; called in the first process only."""
    on_progress: Callable[[StageProgress], object] | None = None
    """Called in the first process after every step, and after every line of the history."""

    @property
    def checkpoints(self) -> Path:
        return checkpoints_of(self.out)


@dataclass(slots=True, kw_only=True)
class Counts:
    """Counts of trained steps so far, over all processes: examples, tokens, passes."""

    examples: int = 0
    cut: int = 0
    """Number of them whose prompt was cut to fit."""
    left_out: int = 0
    """Examples over the length limit."""
    tokens: int = 0
    """That were computed."""
    alone: int = 0
    """That would have been, had each example been a row."""

    def add(self, sums: Sequence[float]) -> None:
        self.examples, self.cut, self.left_out, self.tokens, self.alone = (
            before + round(more) for before, more in zip(asdict(self).values(), sums, strict=True)
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class StageResult:
    """Result of a stage; also written to `done.json` in its folder."""

    steps: int
    examples: int
    cut: int
    left_out: int
    tokens: int
    alone: int
    """See Counts; every epoch counts."""
    loss: float | None
    """The last in the history."""
    validation: Mapping[str, float]
    """Metrics of the weights that are kept; see `validate`."""
    seconds: float
    """Of this process; less than the whole for a resumed stage."""
    unsupported_reason: str | None
    """Reason why the examples were computed as rows; None: as trees, what they share once."""


def train_stage(stage: Stage, marker: Mapping[str, Json] | None = None) -> StageResult:
    """Run or resume a stage until `stage.out` is whole; `marker` is kept in its `done.json`.

    Ctrl-C saves a checkpoint, or the whole stage after its last step, and raises KeyboardInterrupt with a message.
    Raises ConfigError when there is nothing to learn from or the loss is no number, StorageError when a file cannot
    be written.
    """
    if not len(stage.data):
        raise ConfigError(f"{stage.name}: no examples to train on; is there data for this role within max_length?")
    started = time.monotonic()
    trainer = _StageTrainer(stage)
    found = distributed.checkpoints(stage.checkpoints)
    trainer.first_step = int(found[-1].name.partition("-")[2]) if found else 0
    with graceful_interrupt(trainer.watch), _full_disks_explained(stage.checkpoints), quiet():
        trainer.train(resume_from_checkpoint=str(found[-1]) if found else None)
    if trainer.watch.interrupted:
        raise KeyboardInterrupt(
            f"{stage.name}: stopped and saved at step {trainer.state.global_step} of {trainer.state.max_steps}; "
            "run the same command with --resume to go on"
        )
    trainer.return_to_best()
    result = trainer.result(time.monotonic() - started)
    weights = distributed.full_weights(trainer.plain_model)
    size = sum({weight.data_ptr(): weight.nbytes for weight in weights.values()}.values())  # tied ones once
    with _full_disks_explained(stage.out), quiet(), distributed.whole_folder(stage.out, size) as part:
        if distributed.is_first():
            stage.write(part, weights)
            write_json(part / "done.json", {**(marker or {}), "result": cast("Json", asdict(result))})
    forget_checkpoints(stage.out)
    if distributed.anywhere(trainer.watch.stop_asked):
        raise KeyboardInterrupt(f"{stage.name}: done and saved; run the same command with --resume to go on")
    return result


def validate(
    passes: LossComputer, validation: Mapping[str, Sequence[PackedTrees]], weights: Weights
) -> dict[str, float]:
    """Compute the validation metrics. `validation_loss`: cross-entropy per completion token, in nats (weighted as in
    training). For every role, `validation_exact_match_ROLE`: the fraction of examples whose completion greedy decoding
    would write word for word."""
    total, weight, told = 0.0, 0.0, dict[str, float]()
    for role, trees in validation.items():
        hits: list[bool] = []
        for packed in trees:
            loss, right = passes.score(packed)
            total, weight = total + loss, weight + weights.divisor(packed.weights)
            hits += right
        told[f"validation_exact_match_{role}"] = sum(hits) / max(len(hits), 1)
    return {VALIDATION_LOSS: total / max(weight, 1e-12), **told}


def computes_in_low_precision(run: TrainConfig, model: PreTrainedModel) -> bool:
    """Test if passes are computed in bfloat16, whatever the dtype of the weights."""
    return choose_precision(run.dtype, model.config, on_cpu=pick_device(run.device) == "cpu").is_low


def finished(folder: Path) -> dict[str, Json] | None:
    """Contents of `done.json`, if the stage of this folder is whole."""
    path = folder / "done.json"
    return cast("dict[str, Json]", read_json(path)) if path.exists() else None


def forget_checkpoints(folder: Path) -> None:
    """Remove the checkpoints, which only an unfinished stage needs; a run killed at its end leaves them behind."""
    if distributed.is_first():
        shutil.rmtree(checkpoints_of(folder), ignore_errors=True)


def checkpoints_of(folder: Path) -> Path:
    """Folder of the checkpoints of the stage that makes `folder`."""
    return folder.with_name(f".{folder.name}.checkpoints")


# --- the Trainer ------------------------------------------------------------------------------------------


class _StageTrainer(distributed.SpreadTrainer):
    """Trainer of a stage; one batch is one process's part of one step."""

    def __init__(self, stage: Stage) -> None:
        run = stage.run
        self._stage = stage
        self._restored: Counts | None = None
        self._learned: tuple[Sequence[str], Tensor] = (), torch.zeros(())
        """Ids of the current step's trajectories here, and their part of the loss."""
        self._passes = LossComputer(
            stage.model,
            max_length=run.max_length,
            pad_to=run.max_length if run.layout == "padded" else None,
        )
        arguments = _arguments(stage)
        super().__init__(
            model=stage.model,
            args=arguments,
            spread=distributed.Spread(
                shard=run.spread.shard is not False,
                offload=run.spread.cpu_offload,
                reshard=run.spread.reshard_after_forward,
                dtype=torch.bfloat16 if arguments.bf16 else None,
            ),
        )
        self.first_step = 0
        self.watch = StageCallback(self._watched())
        self.add_callback(self.watch)
        if _TENSORBOARD in _trackers(run) and distributed.is_first():
            self.add_callback(_tensorboard(stage.history.parent / _TENSORBOARD / stage.name))
        self.remove_callback(PrinterCallback)

    def _watched(self) -> Watched:
        stage, settings = self._stage, self._stage.settings
        epochs = stage.data.steps.epochs
        return Watched(
            name=stage.name,
            history=stage.history,
            epochs=lambda step: float(epochs[step]),
            tokens=lambda: self._counts.tokens,
            validate=self.validate if stage.validation else None,
            validate_every=stage.run.validate_every,
            patience=settings.early_stop,
            keep_best=self._keep_best if settings.early_stop else None,
            on_progress=stage.on_progress,
        )

    @property
    def plain_model(self) -> nn.Module:
        return self._plain_model()

    def train(self, *args: Any, **kwargs: Any) -> Any:
        with self._passes.installed():
            return super().train(*args, **kwargs)

    def create_optimizer(self, model: nn.Module | None = None) -> torch.optim.Optimizer:
        if self.optimizer is None:
            self.optimizer = make_optimizer(self._stage.model, self._stage.settings)
        return self.optimizer

    def get_train_dataloader(self) -> Any:
        return _Loader(self._stage, self.first_step, self.args.process_index)

    def training_step(self, model: nn.Module, inputs: dict[str, Any], num_items_in_batch: Any = None) -> Tensor:
        model.train()
        share = cast("RankBatch", inputs["share"])
        distributed.reseed(self._stage.run.seed, self.state.global_step)
        weight = self._count(share)
        scale = distributed.processes() / weight if weight else 0.0  # gradients are averaged over processes
        total = torch.zeros((), device=self.args.device)
        for turn in range(max(distributed.equal_rounds(len(share.micro_batches)), 1)):
            here = turn < len(share.micro_batches)
            loss = self._passes.loss(share.micro_batches[turn]) if here else self._passes.idle()
            self.accelerator.backward(loss * scale)
            total += loss.detach() * scale
        distributed.average_gradients(self._stage.model)
        self._learned = share.ids, total
        return total  # the Trainer logs the mean over processes

    def _get_grad_norm(self, model: nn.Module, grad_norm: float | None = None) -> float:
        """Norm of the gradients; also the last check of a step before it changes weights."""
        norm = super()._get_grad_norm(model, grad_norm)
        ids, loss = self._learned
        bad_here = not bool(torch.isfinite(loss))
        bad_loss = distributed.anywhere(bad_here)
        if bad_loss or not math.isfinite(norm):
            raise ConfigError(self._complaint(norm, ids if bad_here or not bad_loss else []))
        return norm

    @property
    def _counts(self) -> Counts:
        """Counts of all steps; a resumed run goes on counting, from the state that the Trainer has loaded."""
        if self._restored is None:
            self._restored = Counts(**cast("dict[str, Any]", self.state.stateful_callbacks).get(_COUNTS, {}))
        return self._restored

    def _count(self, share: RankBatch) -> float:
        """Count a step and return the divisor of its loss, over all processes."""
        counts = share.examples, share.cut, share.left_out, share.tokens, share.alone
        weight, *sums = distributed.sums_over([share.weight, *counts])
        self._counts.add(sums)
        cast("dict[str, Any]", self.state.stateful_callbacks)[_COUNTS] = asdict(self._counts)
        return weight

    def _complaint(self, norm: float, ids: Sequence[str]) -> str:
        """Error message for a loss or a gradient that is no number; `ids`: those of the trajectories here, if it is
        theirs."""
        settings, name = self._stage.settings, self._stage.name
        loss = self._learned[1].item()
        what = f"the norm of the gradient is {norm}" if math.isfinite(loss) else f"the loss is {loss}"
        whose = f"on trajectories {', '.join(ids)}" if ids else "on the trajectories of another process"
        return (
            f"{name}: {what} at step {self.state.global_step + 1} {whose}; lower learning_rate (now "
            f"{settings.learning_rate:g}) or raise warmup_ratio in [stages.{name}], or look at these trajectories; "
            "weights are as they were before this step"
        )

    # --- validation ---

    def validate(self) -> dict[str, float]:
        """Validate the current weights."""
        model = self.plain_model
        model.eval()
        told = validate(self._passes, self._stage.validation, Weights(**self._stage.settings.weights.model_dump()))
        distributed.reshard(model)
        model.train()
        return told

    def _keep_best(self) -> None:
        size = sum(weight.nbytes for weight in self.plain_model.parameters() if weight.requires_grad)
        with distributed.whole_folder(self._stage.checkpoints / _BEST, size) as part:
            distributed.save_weights(part, self.plain_model)

    def return_to_best(self) -> None:
        """Load the weights with the lowest validation loss, where they were kept."""
        best = self._stage.checkpoints / _BEST
        if best.exists():
            distributed.load_weights(best, self.plain_model)

    def result(self, seconds: float) -> StageResult:
        """Result of the stage."""
        losses = [line["loss"] for line in self.state.log_history if "loss" in line]
        validation = dict[str, float]()
        if self._stage.validation:
            with self._passes.installed():
                validation = self.validate()
        return StageResult(
            steps=self.state.global_step,
            **asdict(self._counts),
            loss=losses[-1] if losses else None,
            validation=validation,
            seconds=round(seconds, 2),
            unsupported_reason=self._passes.unsupported_reason if self._stage.run.layout == "tree" else None,
        )


class _Loader:
    """Data loader over the batches of this process, from `first_step` on; its length is that of the whole stage."""

    def __init__(self, stage: Stage, first_step: int, process: int) -> None:
        self._length = len(stage.data.steps)
        self._shares = RankBatches(stage.data, process=process, first_step=first_step, workers=stage.run.workers)

    def __len__(self) -> int:
        return self._length

    def __iter__(self) -> Iterator[dict[str, RankBatch]]:
        return ({"share": share} for share in self._shares)


def _arguments(stage: Stage) -> TrainingArguments:
    settings, run = stage.settings, stage.run
    on_cpu = pick_device(run.device) == "cpu"
    stage.checkpoints.mkdir(parents=True, exist_ok=True)
    arguments = TrainingArguments(
        output_dir=str(stage.checkpoints),
        num_train_epochs=1,  # the steps of all epochs are one sequence
        per_device_train_batch_size=1,
        learning_rate=settings.learning_rate,
        lr_scheduler_type="constant_with_warmup" if settings.schedule == "constant" else settings.schedule,
        warmup_steps=settings.warmup_ratio,
        max_grad_norm=settings.max_grad_norm,
        bf16=computes_in_low_precision(run, stage.model),
        use_cpu=on_cpu,
        seed=run.seed,
        save_steps=run.save_every,
        save_total_limit=run.keep_checkpoints,
        logging_steps=run.log_every,
        logging_nan_inf_filter=False,
        disable_tqdm=True,
        report_to=[name for name in _trackers(run) if name != _TENSORBOARD],
        run_name=f"{Path(run.out).name}/{stage.name}",
        remove_unused_columns=False,
        dataloader_pin_memory=False,
        ignore_data_skip=True,  # the loader begins where the checkpoint ends
    )
    if arguments.n_gpu > 1:
        raise ConfigError(
            f"{arguments.n_gpu} GPUs are visible to one process; start one process per GPU with torchrun, "
            "or show this one a single GPU with CUDA_VISIBLE_DEVICES=0"
        )
    if run.gradient_checkpointing:
        stage.model.activation_checkpointing_enable()
    return arguments


def _trackers(run: TrainConfig) -> tuple[str, ...]:
    if run.report_to is not None:
        return run.report_to
    return (_TENSORBOARD,) if importlib.util.find_spec(_TENSORBOARD) else ()


def _tensorboard(folder: Path) -> TensorBoardCallback:
    """TensorBoard callback of the Trainer, writing into the run directory."""
    if not importlib.util.find_spec(_TENSORBOARD):
        raise ConfigError("report_to names tensorboard, which is not installed: pip install tensorboard")
    from torch.utils.tensorboard import SummaryWriter

    return TensorBoardCallback(SummaryWriter(str(folder)))


@contextmanager
def _full_disks_explained(folder: Path) -> Iterator[None]:
    try:
        yield
    except AlphaUMiError:
        raise
    except Exception as error:  # safetensors and torch wrap an OSError of the disk in errors of their own
        if not isinstance(error, OSError) and "No space left" not in str(error):
            raise
        raise StorageError(f"{folder}: cannot be written: {error}; the last whole checkpoint is kept") from error
