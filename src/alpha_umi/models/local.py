"""Models that run here, on transformers: concurrent requests become left-padded batches.

Callers only await. Which prompts share a batch, and when it runs, is decided here and nowhere else; batches
run one after the other in one worker thread. Roles that are adapters on one base share its weights and every
forward. Greedy completions are those that a prompt gets alone.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import cast

import torch
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from alpha_umi.errors import ModelError
from alpha_umi.formats.tokens import Tokenizer, decode, end_ids, prompt_ids
from alpha_umi.models.adapter_files import invocation, load_adapters, read_config
from alpha_umi.models.adapters import ADAPTERS, adapters_of
from alpha_umi.models.checkpoint import add_adapter, load_tokenizer, load_weights, pick_device, pick_dtype
from alpha_umi.models.decoding import Row, decode_batch
from alpha_umi.types import Completion, FinishReason, Prompt, Role, Sampling, Usage

_GATHER_S = 0.002
"""How long a batch waits for requests that are made at about the same time."""
_LOG = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Request:
    ids: Sequence[int]
    sampling: Sampling
    budget: int
    role: Role | None
    reply: asyncio.Future[Completion]


class LocalModel:
    """protocols.Model over a causal language model in this process."""

    def __init__(
        self, model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, *, end: str, batch_tokens: int = 32_768
    ) -> None:
        """`end`: the format's end mark. `batch_tokens`: most tokens of prompts and completions in a batch."""
        self._model = model.eval()
        self._tokenizer = cast("Tokenizer", tokenizer)
        self._end = end
        self._ends = frozenset(end_ids(self._tokenizer, end)) | _own_ends(model)
        self._batch_tokens = batch_tokens
        self._worker = ThreadPoolExecutor(max_workers=1, thread_name_prefix="alpha-umi-model")
        self._waiting: list[_Request] = []
        self._pump: asyncio.Task[None] | None = None
        self._closed = False

    @classmethod
    def load(
        cls, name: str, *, end: str, adapter: str | None = None, device: str = "auto", dtype: str = "auto"
    ) -> LocalModel:
        """A model and its tokenizer from a folder or a hub id, with a LoRA on it if named. Raises CheckpointError."""
        place = pick_device(device)
        model = load_weights(name, pick_dtype(dtype, place))
        if adapter is not None:
            model = add_adapter(model, adapter)
        torch.nn.Module.to(model, place)
        return cls(model, load_tokenizer(name), end=end)

    @property
    def context(self) -> int | None:
        """Tokens that the model can read and write, where it says so."""
        return getattr(self._model.config, "max_position_embeddings", None)

    def count_tokens(self, prompt: Prompt) -> int:
        """How long a prompt is for this model."""
        return len(prompt_ids(self._tokenizer, prompt))

    async def complete(self, prompt: Prompt, sampling: Sampling, role: Role | None = None) -> Completion:
        """Continue `prompt`, by the adapter of `role` where one is named.

        Raises ModelError when it does not fit the context, or the model cannot run.
        """
        if self._closed:
            raise ModelError("this model is closed")
        ids = prompt_ids(self._tokenizer, prompt)
        budget = self._budget(len(ids), sampling.max_tokens)
        loop = asyncio.get_running_loop()
        if self._pump is None or self._pump.done() or self._pump.get_loop() is not loop:
            self._waiting.clear()  # whoever waited in a loop that is gone cannot be answered
            self._pump = loop.create_task(self._run())
        reply: asyncio.Future[Completion] = loop.create_future()
        self._waiting.append(_Request(ids=ids, sampling=sampling, budget=budget, role=role, reply=reply))
        return await reply

    async def aclose(self) -> None:
        """Let go of the model; requests under way fail with ModelError."""
        self._closed = True
        if self._pump is not None and not self._pump.done():
            self._pump.cancel()
        for request in self._waiting:
            _fail(request, "the model was closed")
        self._waiting.clear()
        self._worker.shutdown(wait=False, cancel_futures=True)

    def _budget(self, length: int, wanted: int) -> int:
        """How much may be written after a prompt of `length` ids."""
        if length == 0:
            raise ModelError("the prompt is empty: nothing to continue")
        if self.context is None:
            return wanted
        if length >= self.context:
            raise ModelError(
                f"the prompt has {length} tokens, the model reads {self.context} with its completion; "
                "set max_input_tokens of the agent below that"
            )
        return min(wanted, self.context - length)

    async def _run(self) -> None:
        """Batch after batch while requests come in."""
        while True:
            await asyncio.sleep(_GATHER_S)
            gathered, self._waiting = self._waiting, []
            if not gathered:
                return
            for batch in self._batches([request for request in gathered if not request.reply.done()]):
                await self._answer(batch)

    def _batches(self, requests: Sequence[_Request]) -> list[list[_Request]]:
        """Requests of about the same length together, within `batch_tokens` when padded."""
        batches: list[list[_Request]] = []
        for request in sorted(requests, key=lambda request: len(request.ids)):
            batch = [*batches[-1], request] if batches else [request]
            widest = len(request.ids) + max(member.budget for member in batch)
            if batches and widest * len(batch) <= self._batch_tokens:
                batches[-1] = batch
            else:
                batches.append([request])
        return batches

    async def _answer(self, batch: Sequence[_Request]) -> None:
        loop = asyncio.get_running_loop()
        try:
            await loop.run_in_executor(self._worker, self._decode, batch, loop)
        except asyncio.CancelledError:
            for request in batch:
                _fail(request, "the model was closed")
            raise
        except Exception as error:  # the pump must go on, and whoever waits must hear whatever torch raised
            _LOG.exception("a batch failed", extra={"requests": len(batch)})
            for request in batch:
                _fail(request, f"the model failed: {error}")

    def _decode(self, batch: Sequence[_Request], loop: asyncio.AbstractEventLoop) -> None:
        """In the worker thread: decode a batch and hand out each completion when it is finished."""
        rows = [self._row(request) for request in batch]
        for index, row, finish in decode_batch(self._model, rows, self._ends):
            if not loop.is_closed():
                loop.call_soon_threadsafe(_resolve, batch[index], self._completion(row, finish))

    def _row(self, request: _Request) -> Row:
        number, start = 0, None
        adapters = adapters_of(self._model)
        if adapters is not None and request.role is not None:
            start = adapters.active_from(request.role, request.ids)
            number = 0 if start is None else ADAPTERS[request.role]
        return Row(
            prompt=request.ids,
            sampling=request.sampling,
            budget=request.budget,
            abandoned=request.reply.done,
            text=self._text,
            adapter=number,
            adapter_from=start or 0,
        )

    def _text(self, ids: Sequence[int]) -> str:
        return decode(self._tokenizer, ids, self._end)

    def _completion(self, row: Row, finish: FinishReason) -> Completion:
        text = self._text(row.written)
        cuts = [at for stop in row.sampling.stop if (at := text.find(stop)) >= 0]
        ended = finish is FinishReason.STOP and not cuts
        usage = Usage(prompt_tokens=len(row.prompt), completion_tokens=len(row.written) + ended, completions=1)
        return Completion(text=text[: min(cuts)] if cuts else text, finish=finish, usage=usage)


class AdaptedModel:
    """protocols.Model: one role's adapter on a LocalModel that other roles use too."""

    def __init__(self, model: LocalModel, role: Role) -> None:
        self._model = model
        self._role = role

    @property
    def context(self) -> int | None:
        """As of the base."""
        return self._model.context

    def count_tokens(self, prompt: Prompt) -> int:
        """How long a prompt is for this model."""
        return self._model.count_tokens(prompt)

    async def complete(self, prompt: Prompt, sampling: Sampling) -> Completion:
        """Continue `prompt`. Raises ModelError when it does not fit the context, or the model cannot run."""
        return await self._model.complete(prompt, sampling, self._role)

    async def aclose(self) -> None:
        """Let go of the base, for all roles that use it."""
        await self._model.aclose()


def load_roles(
    name: str, adapters: Mapping[Role, str | None], *, end: str, device: str = "auto", dtype: str = "auto"
) -> dict[Role, LocalModel | AdaptedModel]:
    """Roles that are one base model, each with an adapter or none; the base is in memory once.

    Roles with the same adapter are one model. A plain LoRA that has its base for itself is merged into it.
    Raises CheckpointError.
    """
    folders = list(dict.fromkeys(adapters.values()))
    if len(folders) == 1 and (folders[0] is None or not invocation(read_config(folders[0]))):
        alone = LocalModel.load(name, end=end, adapter=folders[0], device=device, dtype=dtype)
        return dict.fromkeys(adapters, alone)
    place = pick_device(device)
    model = load_weights(name, pick_dtype(dtype, place))
    torch.nn.Module.to(model, place)
    base = LocalModel(model, load_tokenizer(name), end=end)
    owners = {folder: role for role, folder in adapters.items() if folder is not None}
    load_adapters(model, {role: folder for folder, role in owners.items()})
    speakers = {folder: AdaptedModel(base, role) for folder, role in owners.items()}
    return {role: base if folder is None else speakers[folder] for role, folder in adapters.items()}


def _own_ends(model: PreTrainedModel) -> frozenset[int]:
    """The ids that end a completion by the model's own word; chat models often have several."""
    own = model.generation_config.eos_token_id if model.generation_config is not None else None
    return frozenset([own] if isinstance(own, int) else own or [])


def _resolve(request: _Request, completion: Completion) -> None:
    if not request.reply.done():
        request.reply.set_result(completion)


def _fail(request: _Request, reason: str) -> None:
    if not request.reply.done():
        request.reply.set_exception(ModelError(reason))
