"""Models that run here, on transformers: callers only await, the engine decides what shares a forward and a cache.

Roles that are adapters on one base share its weights and every forward, and activated ones its cache. Greedy
completions are those that a prompt gets alone. Architectures that the engine does not compute exactly are run
plainly, in padded batches, and named in the log.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from typing import cast

import torch
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from alpha_umi.errors import ModelError
from alpha_umi.formats.tokens import Tokenizer, decode, end_ids, prompt_ids
from alpha_umi.models.adapter_files import invocation, load_adapters, read_config
from alpha_umi.models.adapters import ADAPTERS, adapters_of
from alpha_umi.models.checkpoint import add_adapter, load_tokenizer, load_weights, pick_device, pick_dtype
from alpha_umi.models.decoding import PlainRunner
from alpha_umi.models.engine import engine
from alpha_umi.models.engine.engine import Engine, EngineLimits
from alpha_umi.models.engine.requests import Request
from alpha_umi.models.engine.worker import DeviceQueue, Worker
from alpha_umi.models.held import HeldTokenizer
from alpha_umi.models.writing import Grammar, Writer
from alpha_umi.types import Completion, FinishReason, Prompt, Role, Sampling, TokenLogprob, Usage

_LOG = logging.getLogger(__name__)
_DEVICE_QUEUES: dict[str, DeviceQueue] = {}
"""By device: models on one take turns."""
_TINY_BYTES = 16_000_000


class LocalModel:
    """protocols.Model over a causal language model in this process."""

    def __init__(
        self,
        model: PreTrainedModel,
        tokenizer: PreTrainedTokenizerBase,
        *,
        end: str,
        batch_tokens: int = 32_768,
        limits: EngineLimits | None = None,
        hold: Callable[[str], Grammar] | None = None,
        one_core: bool = False,
    ) -> None:
        """`end`: the format's end mark. `limits`: of the engine; `batch_tokens`: most tokens of prompts and
        completions in a batch where the model is run plainly. `hold`: what holds a completion to a grammar.
        `one_core`: a tiny model on the CPU is run on one core: several gain it little, and lose it much where others
        want them too."""
        self._model = model.eval()
        self._tokenizer = cast("Tokenizer", tokenizer)
        self._end = end
        self._ends = frozenset(end_ids(self._tokenizer, end)) | _own_ends(model)
        self._batch_tokens = batch_tokens
        self._limits = limits or EngineLimits()
        self._hold = hold
        self._one_core = one_core
        self._worker: Worker | None = None
        self._engine: Engine | None = None
        self._open: set[asyncio.Future[Completion]] = set()
        self._closed = False

    @classmethod
    def load(
        cls,
        name: str,
        *,
        end: str,
        adapter: str | None = None,
        device: str = "auto",
        dtype: str = "auto",
        cache_gb: float | None = None,
        one_core: bool = False,
    ) -> LocalModel:
        """A model and its tokenizer from a folder or a hub id, with a LoRA on it if named.

        `cache_gb`: for keys and values; None: a part of the memory that is free. Raises CheckpointError.
        """
        place = pick_device(device)
        model = load_weights(name, pick_dtype(dtype, place))
        if adapter is not None:
            model = add_adapter(model, adapter)
        torch.nn.Module.to(model, place)
        return cls(model, load_tokenizer(name), end=end, limits=_limits(cache_gb), one_core=one_core)

    @property
    def context(self) -> int | None:
        """Tokens that the model can read and write, where it says so."""
        return getattr(self._model.config, "max_position_embeddings", None)

    @property
    def base(self) -> LocalModel:
        """Itself: what roles with adapters have in common."""
        return self

    @property
    def engine(self) -> Engine | None:
        """What runs it, to be looked at while nothing is under way; None before the first request, or run plainly."""
        return self._engine

    @property
    def place(self) -> tuple[str, str]:
        """Its device and its dtype."""
        return str(self._model.device), str(self._model.dtype).removeprefix("torch.")

    @property
    def weights(self) -> int:
        """Bytes of its weights and of all adapters on it."""
        adapters = adapters_of(self._model)
        own = sum(weight.nbytes for weight in self._model.parameters())
        return own if adapters is None else own + adapters.copies

    @property
    def _is_tiny(self) -> bool:
        return self._model.device.type == "cpu" and self.weights <= _TINY_BYTES

    def unsupported_reason(self) -> str | None:
        """The reason why the engine does not run it; None: it does."""
        return engine.unsupported_reason(self._model, self.context)

    def count_tokens(self, prompt: Prompt) -> int:
        """How long a prompt is for this model."""
        return len(prompt_ids(self._tokenizer, prompt))

    async def complete(self, prompt: Prompt, sampling: Sampling, role: Role | None = None) -> Completion:
        """Continue `prompt`, by the adapter of `role` where one is named.

        Raises ModelError when it does not fit the context or the memory, or the model cannot run.
        """
        _, reply = self._ask(prompt, sampling, role, None)
        return await reply

    async def stream(
        self, prompt: Prompt, sampling: Sampling, role: Role | None = None
    ) -> AsyncGenerator[str | Completion]:
        """As `complete`, but its text piece by piece as it is written, and at last the Completion.

        Law: the pieces joined are the text of the completion.
        """
        more = asyncio.Event()
        writer, reply = self._ask(prompt, sampling, role, more.set)
        reply.add_done_callback(lambda _: more.set())  # also where the model is closed meanwhile
        told = 0
        try:
            while not reply.done():
                await more.wait()
                more.clear()
                sure = self._sure(writer)
                if len(sure) > told and not reply.done():
                    yield sure[told:]
                    told = len(sure)
            completion = await reply
            if completion.text[told:]:
                yield completion.text[told:]
            yield completion
        finally:
            reply.cancel()

    async def aclose(self) -> None:
        """Let go of the model; requests under way fail with ModelError."""
        self._closed = True
        for reply in self._open:
            if not reply.done():
                reply.set_exception(ModelError("the model was closed"))
        under_way = self._worker.close() if self._worker is not None else None
        if under_way is not None:
            await asyncio.wrap_future(under_way)

    # --- one request ----------------------------------------------------------------------------------

    def _ask(
        self, prompt: Prompt, sampling: Sampling, role: Role | None, on_token: Callable[[], object] | None
    ) -> tuple[Writer, asyncio.Future[Completion]]:
        """Submit a request to the worker. `on_token` is called in this event loop whenever tokens were added."""
        if self._closed:
            raise ModelError("this model is closed")
        loop = asyncio.get_running_loop()
        reply: asyncio.Future[Completion] = loop.create_future()

        def call(function: Callable[..., object], *arguments: object) -> None:
            try:
                loop.call_soon_threadsafe(function, *arguments)
            except RuntimeError:  # the loop is closed: nobody waits
                return

        def on_done(request: Request, error: Exception | None) -> None:
            call(self._settle, reply, request, error)

        request = self._request(prompt, sampling, role)
        request.on_done = on_done
        request.is_cancelled = lambda: reply.done() or loop.is_closed()
        if on_token is not None:
            request.on_token = lambda _: call(on_token)
        self._open.add(reply)
        reply.add_done_callback(self._open.discard)
        self._started().submit(request)
        return request.writer, reply

    def _request(self, prompt: Prompt, sampling: Sampling, role: Role | None) -> Request:
        ids = prompt_ids(self._tokenizer, prompt)
        budget = self._budget(len(ids), sampling.max_tokens)
        number, start = 0, None
        adapters = adapters_of(self._model)
        if adapters is not None and role is not None:
            start = adapters.active_from(role, ids)
            number = 0 if start is None else ADAPTERS[role]
        return Request(
            prompt=ids,
            writer=Writer(sampling, budget, self._ends, self._text, self._grammar(sampling)),
            adapter=number,
            adapter_from=start or 0,
            group=id(asyncio.current_task()),
        )

    def _grammar(self, sampling: Sampling) -> Grammar | None:
        if sampling.grammar is None:
            return None
        if self._hold is None:
            tokenizer = cast("PreTrainedTokenizerBase", self._tokenizer)
            vocabulary = cast("int", self._model.config.vocab_size)
            self._hold = HeldTokenizer(tokenizer, vocabulary=vocabulary, ends=self._ends).hold
        return self._hold(sampling.grammar)

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

    def _started(self) -> Worker:
        if self._worker is None:
            reason = self.unsupported_reason()
            if reason is None:
                runner = self._engine = Engine(self._model, self._limits)
            else:
                _LOG.warning("run plainly, without a shared cache: %s", reason)
                runner = PlainRunner(self._model, batch_tokens=self._batch_tokens)
            queue = _DEVICE_QUEUES.setdefault(str(self._model.device), DeviceQueue())
            self._worker = Worker(runner, queue, one_core=self._one_core and self._is_tiny)
        return self._worker

    # --- what was written -----------------------------------------------------------------------------

    def _text(self, ids: Sequence[int]) -> str:
        return decode(self._tokenizer, ids, self._end)

    def _sure(self, writer: Writer) -> str:
        """What the completion will begin with, whatever comes next: without half characters and half stop strings."""
        text = self._text(writer.written.copy())
        sure = text.rstrip("\ufffd")
        for stop in writer.sampling.stop:
            if (at := text.find(stop)) >= 0:
                return text[:at]
            held = next((width for width in range(len(stop) - 1, 0, -1) if text.endswith(stop[:width])), 0)
            sure = sure[: min(len(sure), len(text) - held)]
        return sure

    def _settle(self, reply: asyncio.Future[Completion], request: Request, error: Exception | None) -> None:
        if reply.done():
            return
        if error is not None:
            reply.set_exception(error if isinstance(error, ModelError) else ModelError(f"the model failed: {error}"))
        else:
            reply.set_result(self._completion(request))

    def _completion(self, request: Request) -> Completion:
        writer = request.writer
        text = self._text(writer.written)
        cuts = [at for stop in writer.sampling.stop if (at := text.find(stop)) >= 0]
        finish = writer.finish or FinishReason.LENGTH
        ended = finish is FinishReason.STOP and not cuts
        usage = Usage(prompt_tokens=len(request.prompt), completion_tokens=len(writer.written) + ended, completions=1)
        return Completion(
            text=text[: min(cuts)] if cuts else text, finish=finish, usage=usage, logprobs=self._logprobs(writer)
        )

    def _logprobs(self, writer: Writer) -> tuple[TokenLogprob, ...] | None:
        if not writer.sampling.logprobs:
            return None
        decoded = (
            self._tokenizer.decode([token], skip_special_tokens=False, clean_up_tokenization_spaces=False)
            for token, _ in writer.logprobs
        )
        return tuple(
            TokenLogprob(id=token, text=cast("str", text), logprob=logprob)
            for (token, logprob), text in zip(writer.logprobs, decoded, strict=True)
        )


class AdaptedModel:
    """protocols.Model: one role's adapter on a LocalModel that other roles use too."""

    def __init__(self, model: LocalModel, role: Role) -> None:
        self._model = model
        self._role = role

    @property
    def base(self) -> LocalModel:
        """The model that other roles use too."""
        return self._model

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

    def stream(self, prompt: Prompt, sampling: Sampling) -> AsyncGenerator[str | Completion]:
        """As `complete`, piece by piece; see LocalModel.stream."""
        return self._model.stream(prompt, sampling, self._role)

    async def aclose(self) -> None:
        """Let go of the base, for all roles that use it."""
        await self._model.aclose()


def load_roles(
    name: str,
    adapters: Mapping[Role, str | None],
    *,
    end: str,
    device: str = "auto",
    dtype: str = "auto",
    cache_gb: float | None = None,
    one_core: bool = False,
) -> dict[Role, LocalModel | AdaptedModel]:
    """Roles that are one base model, each with an adapter or none; the base is in memory once.

    Roles with the same adapter are one model. A plain LoRA that has its base for itself is merged into it.
    `cache_gb`: for keys and values of all roles; `one_core`: see LocalModel. Raises CheckpointError.
    """
    folders = list(dict.fromkeys(adapters.values()))
    if len(folders) == 1 and (folders[0] is None or not invocation(read_config(folders[0]))):
        alone = LocalModel.load(
            name, end=end, adapter=folders[0], device=device, dtype=dtype, cache_gb=cache_gb, one_core=one_core
        )
        return dict.fromkeys(adapters, alone)
    place = pick_device(device)
    model = load_weights(name, pick_dtype(dtype, place))
    torch.nn.Module.to(model, place)
    base = LocalModel(model, load_tokenizer(name), end=end, limits=_limits(cache_gb), one_core=one_core)
    owners = {folder: role for role, folder in adapters.items() if folder is not None}
    load_adapters(model, {role: folder for folder, role in owners.items()})
    speakers = {folder: AdaptedModel(base, role) for folder, role in owners.items()}
    return {role: base if folder is None else speakers[folder] for role, folder in adapters.items()}


def _limits(cache_gb: float | None) -> EngineLimits:
    return EngineLimits(cache_bytes=None if cache_gb is None else int(cache_gb * 1e9))


def _own_ends(model: PreTrainedModel) -> frozenset[int]:
    """The ids that end a completion by the model's own word; chat models often have several."""
    own = model.generation_config.eos_token_id if model.generation_config is not None else None
    return frozenset([own] if isinstance(own, int) else own or [])
