"""Inference engine: one ragged forward per step for requests that join and leave at any step.

The completion of a request does not depend on the requests that share its steps, beyond float noise. A step that
fails, or computes NaN or infinity, is rolled back and its requests are run alone, so that only those fail that fail
alone, and no such value enters the prefix cache.
"""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from itertools import accumulate
from typing import TYPE_CHECKING, Any, cast

import numpy as np
import torch
from torch import Tensor

from alpha_umi.errors import ModelError
from alpha_umi.models import architectures
from alpha_umi.models.adapters import adapters_of
from alpha_umi.models.engine.attention import ForwardBatch
from alpha_umi.models.engine.decoder import Decoder
from alpha_umi.models.engine.drafts import Drafts
from alpha_umi.models.engine.kv_cache import KVCache, KVShape, spare_memory
from alpha_umi.models.engine.layers import UnsupportedLayersError, convolving, kv_shape
from alpha_umi.models.engine.requests import Request
from alpha_umi.models.engine.scheduler import EngineStats, ScheduledBatch, Scheduler
from alpha_umi.models.generation import Argmax, NotFiniteError, argmax_of, sample
from alpha_umi.models.mixers import mixers_of

if TYPE_CHECKING:
    from transformers import PreTrainedModel

_LOG = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class EngineLimits:
    """Limits on the memory and the batches of an engine."""

    cache_bytes: int | None = None
    """Bytes for keys and values; None: a part of the free memory."""
    step_tokens: int | None = None
    """Most tokens of a step; None: 512 on a CPU, 4,096 elsewhere."""
    requests: int = 64
    """Most running requests."""
    draft_rows: int = 8
    """Tokens of a step up to which drafts are computed beside those of the requests; 0: no drafts."""


def unsupported_reason(model: PreTrainedModel, context: int | None) -> str | None:
    """The reason why the engine cannot run this model; None: it can. `context`: tokens, None: no limit known."""
    return architectures.unsupported_reason(model.config, context or 1 << 62, keeps_states=False)


class Engine:
    """Continuous batching of requests on one model; not thread-safe, results come by callback (see Worker)."""

    def __init__(self, model: PreTrainedModel, limits: EngineLimits | None = None) -> None:
        """Take over a model and allocate its KV cache.

        Raises ModelError where not even two tokens fit, UnsupportedLayersError for a model with layers of other kinds,
        which is then as it was.
        """
        limits = limits or EngineLimits()
        shape = _prepared(model.eval())
        tokens = (limits.cache_bytes or spare_memory(shape.device)) // shape.bytes
        if tokens < 2:
            raise ModelError(
                f"no memory: {limits.cache_bytes} bytes hold no token of {shape.bytes} bytes; raise cache_gb"
            )
        on_cpu = shape.device.type == "cpu"
        kv_cache = KVCache(shape, tokens, max_requests=limits.requests)
        step_tokens = limits.step_tokens or (512 if on_cpu else 4096)
        self.scheduler = Scheduler(kv_cache, step_tokens=step_tokens, drafts=Drafts(limits.draft_rows))
        self._model = model
        self._adapters = adapters_of(model)
        self._mixers = mixers_of(model)

    @property
    def stats(self) -> EngineStats:
        """Counters since the start or the last reset."""
        return self.scheduler.stats

    @property
    def cache_bytes(self) -> int:
        """Bytes of all keys and values at most."""
        kv_cache = self.scheduler.kv_cache
        return (kv_cache.slots + kv_cache.request_tokens) * kv_cache.shape.bytes

    @property
    def peak_prefix_bytes(self) -> int:
        """Most bytes of the prefix cache that were ever in use."""
        return self.scheduler.prefix_tree.peak_slots * self.scheduler.kv_cache.shape.bytes

    def reset_stats(self) -> None:
        """Set the counters to zero; the caches stay as they are."""
        self.scheduler.stats = EngineStats()

    @property
    def idle(self) -> bool:
        """True where no request is left."""
        return not (self.scheduler.waiting or self.scheduler.running)

    def submit(self, request: Request) -> None:
        """Queue a request; `on_done` gets a refusal as it gets any failure."""
        try:
            request.generation.start()
            if request.generation.finish is not None:
                request.on_done(request, None)
            else:
                self.scheduler.submit(request)
        except Exception as error:  # grammars are other people's code; the caller gets what they raise
            request.on_done(request, error)

    def fail(self, error: Exception) -> None:
        """Fail all requests with `error`, and forget them."""
        for request in [*self.scheduler.running, *self.scheduler.waiting]:
            self._fail(request, error)

    @torch.inference_mode()
    def step(self) -> None:
        """Run one forward and add a token to every request that is due."""
        stats, started = self.stats, time.perf_counter()
        prefilled, generated = stats.prefill_tokens, stats.generated_tokens
        self._step()
        seconds = time.perf_counter() - started
        stats.step_seconds += seconds
        if stats.prefill_tokens > prefilled:
            stats.prefill_seconds += seconds
        else:
            stats.decode_only_tokens += stats.generated_tokens - generated

    def _step(self) -> None:
        self.scheduler.drop_cancelled()
        batch = self.scheduler.schedule()
        if not batch.chunks:
            return
        self.stats.steps += 1
        try:
            forward = ForwardBatch(batch.chunks, self.scheduler.kv_cache)
            due = [(request, rows) for request, rows in _last_rows(forward, batch) if request.pending == 0]
            logits = self._forward(forward, [row for _, rows in due for row in rows])
            argmax = argmax_of(logits)
            if not all(map(math.isfinite, argmax[0])) or not self._is_finite(batch):
                raise NotFiniteError
        except Exception as error:  # torch raises errors of many kinds, and the other requests must go on
            self._roll_back(batch, error)
            return
        self.scheduler.prefix_tree.commit()
        starts = accumulate((len(rows) for _, rows in due), initial=0)
        self._write([(request, start) for (request, _), start in zip(due, starts, strict=False)], logits, argmax)

    def _forward(self, forward: ForwardBatch, rows: Sequence[int]) -> Tensor:
        """The logits of the given rows, [rows, vocabulary]."""
        numbers = forward.adapters()
        selected = nullcontext() if self._adapters is None or numbers is None else self._adapters.select(numbers)
        # Always a tensor: told a number, Gemma 4 drops rows before its last layers.
        kept = torch.tensor(rows, dtype=torch.int64, device=self.scheduler.kv_cache.shape.device)
        started = time.perf_counter()
        with selected, convolving(self._mixers, forward):
            logits = cast("Any", self._model)(**forward.inputs(), logits_to_keep=kept).logits[0]
        self.stats.forward_seconds += time.perf_counter() - started
        return logits

    def _is_finite(self, batch: ScheduledBatch) -> bool:
        """True where all that the step stored in the prefix cache is finite; a NaN spoils the tokens before it, too."""
        store_slots = [chunk.store_slots for chunk in batch.chunks if len(chunk.store_slots)]
        return not store_slots or self.scheduler.kv_cache.is_finite(np.concatenate(store_slots))

    def _write(self, due: Sequence[tuple[Request, int]], logits: Tensor, argmax: Argmax) -> None:
        """Sample the next token of each request, and more as long as these are the ones of its draft.

        `due`: requests and the row of their next token in `logits`, [rows, vocabulary]; those of a draft follow.
        """
        while due:
            rows, generations = [row for _, row in due], [request.generation for request, _ in due]
            best = [argmax[0][row] for row in rows], [argmax[1][row] for row in rows]
            picked = logits if len(rows) == len(logits) else logits[rows]
            tokens = sample(picked, generations, [request.prompt for request, _ in due], best)
            more: list[tuple[Request, int]] = []
            for (request, row), token in zip(due, tokens, strict=True):
                if isinstance(token, ModelError):
                    self._fail(request, token)
                    continue
                with self._blamed_on(request):
                    request.verified = request.computed
                    request.generation.append(token)
                    confirmed = request.confirm_draft()
                    self._advance(request, confirmed)
                    if request.pending == 0 and request.generation.finish is None:
                        more.append((request, row + confirmed))
            due = more

    def _advance(self, request: Request, confirmed: int) -> None:
        self.stats.generated_tokens += 1
        self.stats.confirmed_tokens += confirmed
        if request.first_token_seconds is None:
            request.first_token_seconds = time.perf_counter() - request.arrival
            self.stats.first_token_seconds.append(request.first_token_seconds)
        if request in self.scheduler.suspects:
            self.scheduler.suspects.remove(request)
        if request.on_token is not None:
            request.on_token(request)
        if request.generation.finish is not None:
            self.scheduler.finish(request)
            request.on_done(request, None)

    @contextmanager
    def _blamed_on(self, request: Request) -> Iterator[None]:
        try:
            yield
        except Exception as error:  # tokenizers and grammars are other people's code
            self._fail(request, ModelError(f"the completion cannot go on: {error}"))

    def _fail(self, request: Request, error: Exception) -> None:
        self.scheduler.release(request)
        request.on_done(request, error)

    def _roll_back(self, batch: ScheduledBatch, error: Exception) -> None:
        """Undo a failed step: a request that was alone in it fails, several, and drafts, are run again one by one."""
        requests = list(batch.requests.values())
        is_drafted = any(request.draft for request in requests)
        _LOG.warning("a step failed", exc_info=error, extra={"requests": len(requests), "tokens": batch.tokens})
        for request in requests:
            self.scheduler.preempt(request)
        self.scheduler.prefix_tree.rollback()
        if len(requests) == 1 and not is_drafted:
            own = error if isinstance(error, NotFiniteError) else ModelError(f"the model failed: {error}")
            self._fail(requests[0], own)
        else:
            suspects = self.scheduler.suspects
            suspects.extend(request for request in requests if request not in suspects)


def _prepared(model: PreTrainedModel) -> KVShape:
    """Let a model attend by the engine, and give the shape of what its layers keep. Raises UnsupportedLayersError."""
    if isinstance(model, Decoder):
        return kv_shape(cast("PreTrainedModel", model))
    from alpha_umi.models.engine.transformers_attention import install

    before = cast("str", model.config._attn_implementation)  # noqa: SLF001
    install(model)
    try:
        return kv_shape(model)
    except UnsupportedLayersError:
        model.set_attn_implementation(before)
        raise


def _last_rows(forward: ForwardBatch, batch: ScheduledBatch) -> Iterator[tuple[Request, range]]:
    """The requests of a batch, each with the row of its last token and those of its draft."""
    for chunk, stop in zip(forward.chunks, forward.row_starts[1:], strict=True):
        request = batch.requests[chunk.cache_index]
        yield request, range(stop - len(request.draft) - 1, stop)
