"""The engine: step after step, one ragged forward each, for requests that join and leave at any step.

What a request writes does not depend on what shares its steps, beyond float noise. A step that fails, or computes what
is no number, is taken back and its requests are run alone, so that only those fail that fail alone, and what is no
number never enters the shared cache.
"""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from typing import Any, cast

import numpy as np
import torch
from torch import Tensor
from transformers import PreTrainedModel

from alpha_umi.errors import ModelError
from alpha_umi.models import architectures
from alpha_umi.models.adapters import adapters_of
from alpha_umi.models.engine.attention import Step, install
from alpha_umi.models.engine.kv_cache import KVCache, KVShape, spare_memory
from alpha_umi.models.engine.requests import Request
from alpha_umi.models.engine.scheduler import Counts, Plan, Scheduler
from alpha_umi.models.writing import NotFiniteError, choose, likeliest_of

_LOG = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class EngineLimits:
    """Limits on the memory and the batches of an engine."""

    cache_bytes: int | None = None
    """For keys and values; None: a part of what is free."""
    step_tokens: int | None = None
    """Most tokens of a forward; None: 512 on a CPU, 4,096 elsewhere."""
    requests: int = 64
    """Most requests that run at once."""


def unsupported_reason(model: PreTrainedModel, context: int | None) -> str | None:
    """The reason why the engine cannot run this model; None: it can. `context`: tokens, None: no limit known."""
    config = model.config
    if (reason := architectures.unsupported_reason(config, context or 1 << 62)) is not None:
        return reason
    if config.model_type not in architectures.PROVEN:
        return f"nobody has compared {config.model_type} in the engine with the plain computation"
    return None


class Engine:
    """Requests on one model. Not for several threads; whoever waits is called back."""

    def __init__(self, model: PreTrainedModel, limits: EngineLimits | None = None) -> None:
        limits = limits or EngineLimits()
        shape = KVShape.of(model)
        tokens = (limits.cache_bytes or spare_memory(shape.device)) // shape.bytes
        if tokens < 2:
            raise ModelError(
                f"no memory: {limits.cache_bytes} bytes hold no token of {shape.bytes} bytes; raise cache_gb"
            )
        on_cpu = shape.device.type == "cpu"
        kv_cache = KVCache(shape, tokens, max_requests=limits.requests)
        self.scheduler = Scheduler(kv_cache, step_tokens=limits.step_tokens or (512 if on_cpu else 4096))
        self._model = model
        self._adapters = adapters_of(model)
        install(model.eval())

    @property
    def counts(self) -> Counts:
        return self.scheduler.counts

    @property
    def cache(self) -> tuple[int, int]:
        """Bytes of keys and values: those that may be taken, and those of the prefix cache that ever were."""
        kv_cache = self.scheduler.kv_cache
        tokens = kv_cache.slots + kv_cache.request_tokens, self.scheduler.prefix_tree.peak_slots
        return tokens[0] * kv_cache.shape.bytes, tokens[1] * kv_cache.shape.bytes

    def recount(self) -> None:
        """Count from nothing again; what is in memory stays there."""
        self.scheduler.counts = Counts()

    @property
    def idle(self) -> bool:
        return not (self.scheduler.waiting or self.scheduler.running)

    def submit(self, request: Request) -> None:
        """Take a request; it hears of a refusal as of any failure."""
        try:
            request.writer.start()
            if request.writer.finish is not None:
                request.done(request, None)
            else:
                self.scheduler.submit(request)
        except Exception as error:  # grammars are other people's code; whoever waits must hear what they raise
            request.done(request, error)

    def fail(self, error: Exception) -> None:
        """Tell all requests that this happened, and forget them."""
        for request in [*self.scheduler.running, *self.scheduler.waiting]:
            self._fail(request, error)

    @torch.inference_mode()
    def step(self) -> None:
        """One forward, and what follows from it."""
        counts, started = self.counts, time.perf_counter()
        prefilled, written = counts.prefilled, counts.written
        self._step()
        took = time.perf_counter() - started
        counts.seconds += took
        if counts.prefilled > prefilled:
            counts.reading_seconds += took
        else:
            counts.written_alone += counts.written - written

    def _step(self) -> None:
        self.scheduler.drop_abandoned()
        plan = self.scheduler.plan()
        if not plan.parts:
            return
        self.counts.steps += 1
        try:
            step = Step(plan.parts, self.scheduler.kv_cache)
            asked = [(request, row) for request, row in _last_rows(step, plan) if request.pending == 0]
            logits = self._forward(step, [row for _, row in asked])
            likeliest = likeliest_of(logits)
            if not all(map(math.isfinite, likeliest[0])) or not self._is_sound(plan):
                raise NotFiniteError
        except Exception as error:  # whatever torch raises, the others must go on
            self._take_back(plan, error)
            return
        self.scheduler.prefix_tree.commit()
        requests = [request for request, _ in asked]
        prompts, writers = [one.prompt for one in requests], [one.writer for one in requests]
        self._write(requests, choose(logits, writers, prompts, likeliest))

    def _forward(self, step: Step, rows: Sequence[int]) -> Tensor:
        """The logits of some rows, [rows, vocabulary]."""
        numbers = step.adapters()
        selected = nullcontext() if self._adapters is None or numbers is None else self._adapters.select(numbers)
        device, wanted = self.scheduler.kv_cache.shape.device, 0  # all
        if len(rows) < step.starts[-1]:
            wanted = torch.tensor(rows, dtype=torch.int64, device=device)
        started = time.perf_counter()
        with selected:
            logits = cast("Any", self._model)(**step.inputs(), logits_to_keep=wanted).logits[0]
        self.counts.forward_seconds += time.perf_counter() - started
        return logits

    def _is_sound(self, plan: Plan) -> bool:
        """Whether what the step put into the prefix cache is finite: one NaN spoils what stands before it, too."""
        kept = [part.kept for part in plan.parts if len(part.kept)]
        return not kept or self.scheduler.kv_cache.is_finite(np.concatenate(kept))

    def _write(self, requests: Sequence[Request], tokens: Sequence[int | ModelError]) -> None:
        for request, token in zip(requests, tokens, strict=True):
            if isinstance(token, ModelError):
                self._fail(request, token)
                continue
            request.sound = request.computed
            with self._blamed_on(request):
                request.writer.take(token)
                self._go_on(request)

    def _go_on(self, request: Request) -> None:
        self.counts.written += 1
        if request.first_seconds is None:
            request.first_seconds = time.perf_counter() - request.asked
            self.counts.first_token_seconds.append(request.first_seconds)
        if request in self.scheduler.suspects:
            self.scheduler.suspects.remove(request)
        if request.wrote is not None:
            request.wrote(request)
        if request.writer.finish is not None:
            self.scheduler.finish(request)
            request.done(request, None)

    @contextmanager
    def _blamed_on(self, request: Request) -> Iterator[None]:
        try:
            yield
        except Exception as error:  # tokenizers and grammars are other people's code
            self._fail(request, ModelError(f"the completion cannot go on: {error}"))

    def _fail(self, request: Request, error: Exception) -> None:
        self.scheduler.release(request)
        request.done(request, error)

    def _take_back(self, plan: Plan, error: Exception) -> None:
        """The step did not happen; whoever took part in it alone fails, several are run alone."""
        requests = list(plan.requests.values())
        _LOG.warning("a step failed", exc_info=error, extra={"requests": len(requests), "tokens": plan.tokens})
        for request in requests:
            self.scheduler.preempt(request)
        self.scheduler.prefix_tree.rollback()
        if len(requests) == 1:
            own = error if isinstance(error, NotFiniteError) else ModelError(f"the model failed: {error}")
            self._fail(requests[0], own)
        else:
            suspects = self.scheduler.suspects
            suspects.extend(request for request in requests if request not in suspects)


def _last_rows(step: Step, plan: Plan) -> Iterator[tuple[Request, int]]:
    """Who takes part, with the row of its last token."""
    for part, start in zip(step.parts, step.starts, strict=False):
        yield plan.requests[part.cache_index], start + len(part.ids) - 1
