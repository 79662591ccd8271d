"""Padded batches: generation for models that the engine does not run, left-padded, with one KV cache per batch.

The completion of a prompt does not depend on the prompts beside it, beyond float noise: positions count from its own
first token, padding is masked, and every sampled completion has a random generator of its own.
"""

from __future__ import annotations

import inspect
import logging
import time
from collections.abc import Iterator, Sequence
from contextlib import nullcontext
from typing import TYPE_CHECKING, Any, cast

import torch
from torch import Tensor

from alpha_umi.errors import ModelError
from alpha_umi.models.adapters import adapters_of
from alpha_umi.models.engine.requests import Request
from alpha_umi.models.generation import sample

if TYPE_CHECKING:
    from transformers import PreTrainedModel

_GATHER_S = 0.002
"""Seconds that a batch waits for requests made at about the same time."""
_LOG = logging.getLogger(__name__)


class PaddedRunner:
    """Runner (engine.worker) of one batch after the other, each to its end."""

    def __init__(self, model: PreTrainedModel, *, batch_tokens: int) -> None:
        """`batch_tokens`: most tokens of a batch: prompts and completions, padding included."""
        self._model = model
        self._batch_tokens = batch_tokens
        self._waiting: list[Request] = []
        self._alone: list[Request] = []
        """Requests of a batch that failed, to be run one by one."""
        self._batch: list[Request] = []
        self._steps: Iterator[None] | None = None
        self._gathered = False

    @property
    def idle(self) -> bool:
        """True where no request is left."""
        return not self._waiting and not self._alone and self._steps is None

    def submit(self, request: Request) -> None:
        """Queue a request; `on_done` gets a refusal as it gets any failure."""
        try:
            request.generation.start()
        except Exception as error:  # grammars are other people's code; the caller gets what they raise
            request.on_done(request, error)
        else:
            if request.generation.finish is None:
                self._waiting.append(request)
            else:
                request.on_done(request, None)

    def step(self) -> None:
        """Add a token to every row of the batch; where there is no batch, wait for requests and form one."""
        if self._steps is None:
            if not self._gathered:
                time.sleep(_GATHER_S)
                self._gathered = True
                return
            self._batch, self._gathered = self._next_batch(), False
            self._steps = generate_batch(self._model, self._batch)
        try:
            if self._batch:
                next(self._steps)
                return
        except StopIteration:
            pass
        except Exception as error:  # torch raises errors of many kinds, and the other requests must go on
            left = [request for request in self._batch if request.generation.finish is None]
            if len(left) > 1:
                _LOG.warning("a batch failed", exc_info=error, extra={"requests": len(left)})
                self._alone += left
            else:
                self.fail(ModelError(f"the model failed: {error}"))
        self._batch, self._steps = [], None

    def fail(self, error: Exception) -> None:
        """Fail the requests of the current batch; those that wait stay."""
        for request in self._batch:
            if request.generation.finish is None:
                request.on_done(request, error)
        self._batch, self._steps = [], None

    def _next_batch(self) -> list[Request]:
        """The oldest request, with those closest to it in length, within `batch_tokens`."""
        self._waiting, self._alone = (
            [request for request in queue if not request.is_cancelled()] for queue in (self._waiting, self._alone)
        )
        if self._alone:
            return [self._alone.pop(0)]
        if not self._waiting:
            return []
        first = self._waiting[0]
        batch, widest = [first], first.max_length
        for request in sorted(self._waiting[1:], key=lambda one: abs(len(one.prompt) - len(first.prompt))):
            widest = max(widest, request.max_length)
            if widest * (len(batch) + 1) > self._batch_tokens:
                break
            batch.append(request)
        self._waiting = [request for request in self._waiting if request not in batch]
        return batch


@torch.inference_mode()
def generate_batch(model: PreTrainedModel, requests: Sequence[Request]) -> Iterator[None]:
    """Complete all requests, one token per row and iteration. Rows with different adapters share every forward."""
    device, adapters = model.device, adapters_of(model)
    longest = max(request.length for request in requests)
    ids = torch.tensor([[0] * (longest - one.length) + one.ids for one in requests], device=device)
    lengths = torch.tensor([one.length for one in requests], device=device)
    mask = (torch.arange(longest, device=device) >= (longest - lengths)[:, None]).long()
    positions = (mask.cumsum(dim=1) - 1).clamp(min=0)
    chosen = _prompt_adapters(requests, longest)
    live, cache, cache_name = list(requests), None, _cache_name(model)
    for request in live:
        request.computed = request.length
    while True:
        with nullcontext() if adapters is None else adapters.select(chosen):
            inputs: dict[str, Any] = {
                "input_ids": ids,
                "attention_mask": mask,
                "position_ids": positions,
                cache_name: cache,
            }
            output = cast("Any", model)(**inputs, use_cache=True, logits_to_keep=1)
        cache = output[cache_name]
        _write(output.logits[:, -1], live)
        kept = [at for at, request in enumerate(live) if _continues(request)]
        yield
        if not kept:
            return
        if len(kept) < len(live):
            live = [live[at] for at in kept]
            rows = torch.tensor(kept, device=device)
            mask, positions = mask[rows], positions[rows]
            cache.batch_select_indices(rows)
        ids = torch.tensor([one.ids_between(one.computed, one.computed + 1) for one in live], device=device)
        for request in live:
            request.computed += 1
        chosen = torch.tensor([one.adapter for one in live], dtype=torch.int8)
        mask = torch.cat([mask, mask.new_ones(len(live), 1)], dim=1)
        positions = positions[:, -1:] + 1


def _continues(request: Request) -> bool:
    return request.pending > 0 and request.generation.finish is None and not request.is_cancelled()


def _cache_name(model: PreTrainedModel) -> str:
    """Return the name by which a model takes and returns its KV cache; newer transformers call it `cache`."""
    names = inspect.signature(model.forward).parameters
    return "past_key_values" if "past_key_values" in names else "cache"


def _write(logits: Tensor, requests: Sequence[Request]) -> None:
    """Append a token to every request all of whose tokens are computed; a failed one has nothing pending any more."""
    due = [at for at, request in enumerate(requests) if request.pending == 0]
    live = [requests[at] for at in due]
    tokens = sample(logits[due], [one.generation for one in live], [one.prompt for one in live])
    for request, token in zip(live, tokens, strict=True):
        if isinstance(token, ModelError):
            request.on_done(request, token)
            continue
        try:
            request.generation.append(token)
        except Exception as error:  # tokenizers and grammars are other people's code
            request.on_done(request, ModelError(f"the completion cannot go on: {error}"))
            request.computed = request.length
            continue
        if request.on_token is not None:
            request.on_token(request)
        if request.generation.finish is not None:
            request.on_done(request, None)


def _prompt_adapters(requests: Sequence[Request], longest: int) -> Tensor:
    """The number of the adapter per token of left-padded prompts, [requests, longest], on the CPU."""
    numbers = torch.zeros(len(requests), longest, dtype=torch.int8)
    for number, request in zip(numbers, requests, strict=True):
        number[longest - request.length + request.adapter_from :] = request.adapter
    return numbers
