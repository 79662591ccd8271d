"""Observation of a stage while it runs: progress, the history file, validation, and interruption by the user.

It changes nothing of what is learned but when: a stage may end early, by Ctrl-C or because validation says so.
"""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import Any

from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from alpha_umi.errors import StorageError
from alpha_umi.store import dump_line, write_text
from alpha_umi.training import distributed
from alpha_umi.types import Json

VALIDATION_LOSS = "validation_loss"
_KEPT = ("step", "epoch", "loss", "grad_norm", "learning_rate", "tokens", "seconds")


@dataclass(frozen=True, slots=True, kw_only=True)
class StageProgress:
    """Progress of a stage after a step."""

    stage: str
    step: int
    steps: int
    """Number of steps of the whole stage."""
    loss: float | None
    """Nats per token, as last written to the history; None before that."""
    tokens_per_second: float
    """Computed since the stage was started or resumed, by all processes."""

    @property
    def note(self) -> str:
        """Loss and speed in words."""
        loss = "" if self.loss is None else f"loss {self.loss:.4f}, "
        return f"{loss}{self.tokens_per_second:,.0f} tokens/s"


@dataclass(frozen=True, slots=True, kw_only=True)
class Watched:
    """Observable parts of a stage."""

    name: str
    history: Path
    """JSONL: a line per log_every steps, and one per validation."""
    epochs: Callable[[int], float]
    """Steps done -> how often the data was seen."""
    tokens: Callable[[], int]
    """Computed so far by all processes."""
    validate: Callable[[], Mapping[str, float]] | None = None
    validate_every: int | None = None
    patience: int | None = None
    """Validations in a row without a lower loss, after which the stage ends."""
    keep_best: Callable[[], None] | None = None
    """Called when a validation has the lowest loss so far, if there is a patience."""
    on_progress: Callable[[StageProgress], object] | None = None
    """Called in the first process after every step, and after every line of the history."""


class StageCallback(TrainerCallback):
    """Trainer callback of a stage."""

    def __init__(self, watched: Watched) -> None:
        self._watched = watched
        self._loss: float | None = None
        self._tokens_before = 0
        self._started = time.monotonic()
        self.stop_asked = False
        self.interrupted = False

    def on_train_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        self._started, self._tokens_before = time.monotonic(), self._watched.tokens()
        if not state.is_world_process_zero:
            return
        with write_text(self._watched.history) as text:
            text.writelines(dump_line(self._line(line)) for line in state.log_history if _is_told(line))

    def on_step_end(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any) -> None:
        watched, step = self._watched, state.global_step
        if watched.validate is not None and watched.validate_every and step % watched.validate_every == 0:
            self._validate(watched.validate(), state, control)
        goes_on = step < state.max_steps and not control.should_training_stop
        if distributed.anywhere(self.stop_asked) and goes_on:
            self.interrupted = True
            control.should_save = control.should_training_stop = True
        self._report(state)

    def _validate(self, told: Mapping[str, float], state: TrainerState, control: TrainerControl) -> None:
        watched = self._watched
        before = [line[VALIDATION_LOSS] for line in state.log_history if VALIDATION_LOSS in line]
        line = {**told, "step": state.global_step}
        state.log_history.append(line)
        self._tell(state, line)
        if watched.patience is None:
            return
        losses = [*before, line[VALIDATION_LOSS]]
        best = losses.index(min(losses))
        if best == len(losses) - 1 and watched.keep_best is not None:
            watched.keep_best()
        if len(losses) - 1 - best >= watched.patience:
            control.should_training_stop = True

    def on_log(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        logs: dict[str, float] | None = None,
        **kwargs: Any,
    ) -> None:
        if logs is None or "loss" not in logs:
            return
        line = {
            **logs,
            "step": state.global_step,
            "tokens": self._watched.tokens(),
            "seconds": round(time.monotonic() - self._started, 2),
        }
        if state.log_history:
            state.log_history[-1].update(line)  # the Trainer has just put it there
        self._loss = logs["loss"]
        self._tell(state, line)

    def _report(self, state: TrainerState) -> None:
        watched = self._watched
        if watched.on_progress is None or not state.is_world_process_zero:
            return
        seconds, tokens = time.monotonic() - self._started, watched.tokens() - self._tokens_before
        progress = StageProgress(
            stage=watched.name,
            step=state.global_step,
            steps=state.max_steps,
            loss=self._loss,
            tokens_per_second=tokens / seconds if seconds else 0.0,
        )
        watched.on_progress(progress)

    def _tell(self, state: TrainerState, line: Mapping[str, Any]) -> None:
        if not state.is_world_process_zero:
            return
        path = self._watched.history
        try:
            with path.open("a", encoding="utf-8") as file:
                file.write(dump_line(self._line(line)))
        except OSError as error:
            raise StorageError(f"{path}: cannot be written: {error.strerror or error}") from error
        self._report(state)

    def _line(self, log: Mapping[str, Any]) -> dict[str, Json]:
        step = int(log["step"])
        told = {name: value for name, value in log.items() if name in _KEPT or name.startswith("validation_")}
        return {"step": step, "epoch": round(self._watched.epochs(step), 4)} | {
            name: value for name, value in told.items() if name not in ("step", "epoch")
        }


def _is_told(line: Mapping[str, Any]) -> bool:
    return "loss" in line or VALIDATION_LOSS in line


@contextmanager
def graceful_interrupt(watch: StageCallback) -> Iterator[None]:
    """Context manager for Ctrl-C: the first one ends the current step and saves, a second one ends at once."""
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
