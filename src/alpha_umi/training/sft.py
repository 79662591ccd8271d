"""One supervised run: tokenised rows in, a model folder out, on transformers' Trainer.

The loss falls on completions alone and only their positions are projected to the vocabulary. It is the mean
over the completion tokens of a whole step, however the step is split into batches and devices. The folder
appears at its place only when it is whole; an interrupted run goes on from its last checkpoint and ends with
the weights that it would have had.
"""

from __future__ import annotations

import json
import shutil
import signal
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.nn import functional
from tqdm import tqdm
from transformers import (
    PreTrainedModel,
    PreTrainedTokenizerBase,
    PrinterCallback,
    Trainer,
    TrainerCallback,
    TrainerControl,
    TrainerState,
    TrainingArguments,
)

from alpha_umi.config import StageConfig, TrainConfig
from alpha_umi.errors import AlphaUMiError, ConfigError, StorageError
from alpha_umi.models.checkpoint import pick_device, quiet
from alpha_umi.store import dump_line, read_json, write_json, write_text
from alpha_umi.training.optimizer import make_optimizer
from alpha_umi.training.rows import NO_LOSS, Order, Rows, collate
from alpha_umi.types import Json


@dataclass(frozen=True, slots=True, kw_only=True)
class Stage:
    """One model to be tuned on one set of rows."""

    name: str
    model: PreTrainedModel
    """Changed in place."""
    tokenizer: PreTrainedTokenizerBase
    """Saved beside the weights."""
    rows: Rows
    validation: Rows | None = None
    settings: StageConfig
    run: TrainConfig
    """For dtype, device, seed, save_every and log_every."""
    out: Path
    """The folder to make; its checkpoints lie beside it until it is whole."""
    history: Path
    """JSONL, a line per log_every steps."""

    @property
    def checkpoints(self) -> Path:
        return self.out.with_name(f".{self.out.name}.checkpoints")


@dataclass(frozen=True, slots=True, kw_only=True)
class StageResult:
    """What a stage did; also written to `done.json` in its folder."""

    steps: int
    examples: int
    tokens_seen: int
    """Ids in rows, times epochs; padding is not counted."""
    loss: float | None
    """The last in the history."""
    validation_loss: float | None
    """Mean over the completion tokens of the validation rows."""
    seconds: float
    """Of this process; less than the whole for a resumed stage."""


def train_stage(stage: Stage, marker: Mapping[str, Json] | None = None) -> StageResult:
    """Run or go on with a stage until `stage.out` is whole; `marker` is kept in its `done.json`.

    Ctrl-C saves a checkpoint and raises KeyboardInterrupt with a message. Raises ConfigError when there is
    nothing to learn from or the loss is no number, StorageError when a file cannot be written.
    """
    if not len(stage.rows):
        raise ConfigError(f"{stage.name}: no examples to train on; is there data for this role within max_length?")
    started = time.monotonic()
    trainer = _trainer(stage)
    resume = _last_checkpoint(stage.checkpoints)
    with _stopping_gently(trainer.watch), _full_disks_explained(stage.checkpoints), quiet():
        trainer.train(resume_from_checkpoint=None if resume is None else str(resume))
    if trainer.watch.interrupted:
        raise KeyboardInterrupt(
            f"{stage.name}: stopped and saved at step {trainer.state.global_step} of {trainer.state.max_steps}; "
            "run the same command with --resume to go on"
        )
    result = _summary(stage, trainer, time.monotonic() - started)
    if trainer.is_world_process_zero():
        _keep(stage, trainer, result, marker or {})
    trainer.accelerator.wait_for_everyone()
    return result


def mean_loss(model: PreTrainedModel, rows: Rows, batch_size: int = 8) -> float:
    """Cross-entropy per completion token, in nats."""
    project = _LossPositions(model)
    total, count = 0.0, 0
    model.eval()
    with torch.no_grad(), project.installed():
        order = sorted(range(len(rows)), key=lambda index: len(rows[index].ids))
        for start in range(0, len(order), batch_size):
            batch = collate([rows[index] for index in order[start : start + batch_size]])
            loss, tokens = project.loss(model, {name: value.to(model.device) for name, value in batch.items()})
            total, count = total + loss.item(), count + tokens
    return total / max(count, 1)


# --- the loss ---------------------------------------------------------------------------------------------


class _LossPositions:
    """Lets only positions with a loss through to the vocabulary projection of a model."""

    def __init__(self, model: PreTrainedModel) -> None:
        self._projection = cast("nn.Module", model.get_output_embeddings())
        self._at: tuple[Tensor, ...] | None = None

    @contextmanager
    def installed(self) -> Iterator[None]:
        handle = self._projection.register_forward_pre_hook(self._select)
        try:
            yield
        finally:
            handle.remove()

    def _select(self, module: nn.Module, arguments: tuple[Tensor, ...]) -> tuple[Tensor, ...] | None:
        return None if self._at is None else (arguments[0][self._at], *arguments[1:])

    def loss(self, model: nn.Module, batch: Mapping[str, Tensor]) -> tuple[Tensor, int]:
        """The summed loss of a batch and the number of tokens that it falls on."""
        targets = batch["labels"][:, 1:]
        self._at = (targets != NO_LOSS).nonzero(as_tuple=True)
        try:
            logits = model(input_ids=batch["input_ids"], use_cache=False).logits
            chosen = targets[self._at]
        finally:
            self._at = None
        return functional.cross_entropy(logits.float(), chosen, reduction="sum"), len(chosen)


class _StageTrainer(Trainer):
    def __init__(self, stage: Stage, arguments: TrainingArguments) -> None:
        self.watch = _Watch(stage)
        self._stage = stage
        self._order = Order(stage.rows.lengths, stage.settings.batch_size, stage.run.seed)
        self._positions = _LossPositions(stage.model)
        super().__init__(
            model=stage.model,
            args=arguments,
            data_collator=collate,
            train_dataset=stage.rows,
            callbacks=[self.watch],
        )
        self.remove_callback(PrinterCallback)
        self.model_accepts_loss_kwargs = True  # the loss below divides by the tokens of the whole step
        self.watch.order = self._order

    def train(self, *args: Any, **kwargs: Any) -> Any:
        with self._positions.installed():
            return super().train(*args, **kwargs)

    def create_optimizer(self, model: nn.Module | None = None) -> torch.optim.Optimizer:
        if self.optimizer is None:
            self.optimizer = make_optimizer(self._stage.model, self._stage.settings)
        return self.optimizer

    def _get_train_sampler(self, train_dataset: Any = None) -> Order:
        return self._order

    def compute_loss(
        self,
        model: nn.Module,
        inputs: dict[str, Tensor | Any],
        return_outputs: bool = False,
        num_items_in_batch: Tensor | int | None = None,
    ) -> Any:
        loss, tokens = self._positions.loss(model, inputs)
        if not torch.isfinite(loss):
            raise ConfigError(
                f"{self._stage.name}: the loss is {loss.item()} at step {self.state.global_step + 1}; lower "
                f"learning_rate (now {self._stage.settings.learning_rate:g}) or raise warmup_ratio in "
                f"[stages.{self._stage.name}]; the last checkpoint is from before"
            )
        return loss * self.accelerator.num_processes / (num_items_in_batch or tokens)


def _trainer(stage: Stage) -> _StageTrainer:
    settings, run = stage.settings, stage.run
    on_cpu = pick_device(run.device) == "cpu"
    stage.checkpoints.mkdir(parents=True, exist_ok=True)
    arguments = TrainingArguments(
        output_dir=str(stage.checkpoints),
        num_train_epochs=settings.epochs,
        max_steps=settings.max_steps or -1,
        per_device_train_batch_size=settings.batch_size,
        gradient_accumulation_steps=1,
        learning_rate=settings.learning_rate,
        lr_scheduler_type="constant_with_warmup" if settings.schedule == "constant" else settings.schedule,
        warmup_steps=settings.warmup_ratio,
        max_grad_norm=settings.max_grad_norm,
        bf16=run.dtype == "bfloat16" or (run.dtype == "auto" and not on_cpu),
        use_cpu=on_cpu,
        seed=run.seed,
        save_steps=run.save_every,
        save_total_limit=2,
        logging_steps=run.log_every,
        logging_nan_inf_filter=False,
        disable_tqdm=True,
        report_to=[],
        remove_unused_columns=False,
        dataloader_pin_memory=not on_cpu,
    )
    if arguments.n_gpu > 1:
        raise ConfigError(
            f"{arguments.n_gpu} GPUs are visible to one process; start one process per GPU with torchrun, "
            "or show this one a single GPU with CUDA_VISIBLE_DEVICES=0"
        )
    if run.gradient_checkpointing:
        stage.model.gradient_checkpointing_enable()
    return _StageTrainer(stage, arguments)


# --- what is seen and kept --------------------------------------------------------------------------------


class _Watch(TrainerCallback):
    """The progress bar, the history file and the wish to stop."""

    order: Order

    def __init__(self, stage: Stage) -> None:
        self._stage = stage
        self._bar: tqdm[Any] | None = None
        self.stop_asked = False
        self.interrupted = False

    def on_train_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        if not state.is_world_process_zero:
            return
        with write_text(self._stage.history) as text:
            text.writelines(dump_line(_history_line(line)) for line in state.log_history if "loss" in line)
        self._bar = tqdm(
            desc=f"{self._stage.name:>10}", total=state.max_steps, initial=state.global_step, unit="step", disable=None
        )

    def on_epoch_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        self.order.start_epoch(int((state.epoch or 0) + 1e-6))

    def on_step_end(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any) -> None:
        if self._bar is not None:
            self._bar.update()
        if self.stop_asked and state.global_step < state.max_steps:
            self.interrupted = True
            control.should_save = control.should_training_stop = True

    def on_log(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        logs: dict[str, float] | None = None,
        **kwargs: Any,
    ) -> None:
        if logs is None or "loss" not in logs or not state.is_world_process_zero:
            return
        with self._stage.history.open("a", encoding="utf-8") as file:
            file.write(dump_line(_history_line({**logs, "step": state.global_step})))
        if self._bar is not None:
            self._bar.set_postfix_str(f"loss {logs['loss']:.4f}")

    def on_train_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        if self._bar is not None:
            self._bar.close()


def _history_line(log: Mapping[str, Any]) -> dict[str, Json]:
    return {name: log[name] for name in ("step", "epoch", "loss", "grad_norm", "learning_rate") if name in log}


@contextmanager
def _stopping_gently(watch: _Watch) -> Iterator[None]:
    """The first Ctrl-C ends the step under way and saves; a second one ends at once."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def ask(number: int, frame: FrameType | None) -> None:
        watch.stop_asked = True
        signal.signal(signal.SIGINT, signal.default_int_handler)

    before = signal.signal(signal.SIGINT, ask)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


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


def _last_checkpoint(folder: Path) -> Path | None:
    """The newest whole checkpoint; its state file is the last thing that a Trainer writes of one."""
    found = sorted(folder.glob("checkpoint-*"), key=lambda path: int(path.name.partition("-")[2]), reverse=True)
    for checkpoint in found:
        try:
            json.loads((checkpoint / "trainer_state.json").read_text(encoding="utf-8"))
        except (OSError, ValueError):
            continue
        return checkpoint
    return None


def _summary(stage: Stage, trainer: _StageTrainer, seconds: float) -> StageResult:
    losses = [line["loss"] for line in trainer.state.log_history if "loss" in line]
    validation = stage.validation
    return StageResult(
        steps=trainer.state.global_step,
        examples=stage.rows.examples,
        tokens_seen=round(stage.rows.tokens * (trainer.state.epoch or 0.0)),
        loss=losses[-1] if losses else None,
        validation_loss=mean_loss(stage.model, validation) if validation is not None and len(validation) else None,
        seconds=round(seconds, 2),
    )


def _keep(stage: Stage, trainer: _StageTrainer, result: StageResult, marker: Mapping[str, Json]) -> None:
    """Write the folder beside its place and rename it into it; then the checkpoints may go."""
    part = stage.out.with_name(f".{stage.out.name}.part")
    with _full_disks_explained(stage.out), quiet():
        shutil.rmtree(part, ignore_errors=True)
        trainer.accelerator.unwrap_model(trainer.model).save_pretrained(part)
        stage.tokenizer.save_pretrained(part)
        write_json(part / "done.json", {**marker, "result": done(result)})
        shutil.rmtree(stage.out, ignore_errors=True)
        part.rename(stage.out)
    shutil.rmtree(stage.checkpoints, ignore_errors=True)


def done(result: StageResult) -> dict[str, Json]:
    """The JSON form of a result."""
    return {
        "steps": result.steps,
        "examples": result.examples,
        "tokens_seen": result.tokens_seen,
        "loss": result.loss,
        "validation_loss": result.validation_loss,
        "seconds": result.seconds,
    }


def finished(out: Path) -> dict[str, Json] | None:
    """The `done.json` of a whole stage folder, or None."""
    path = out / "done.json"
    return read_json(path) if path.is_file() else None
