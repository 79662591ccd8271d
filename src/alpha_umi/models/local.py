"""Local models on transformers: callers await completions, the engine decides what shares a forward and a cache.

Roles that are adapters on one base share its weights and every forward, and activated ones its cache. Greedy
completions are those that a prompt gets alone. Architectures that the engine does not compute exactly run in padded
batches, and the log says why.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from typing import TYPE_CHECKING, cast

import torch

from alpha_umi.errors import ModelError
from alpha_umi.event_loops import LoopCalls, off_loop
from alpha_umi.formats.chat_templates import ChatUse
from alpha_umi.formats.tokens import Tokenizer, end_ids, prompt_ids
from alpha_umi.models.adapter_files import invocation, load_adapters, merge_folder, read_config
from alpha_umi.models.adapters import ADAPTERS, adapters_of
from alpha_umi.models.checkpoint import (
    load_to_run,
    load_tokenizer,
    load_weights,
    merge_adapter,
    pick_device,
    pick_dtype,
)
from alpha_umi.models.constrained import GrammarCompiler
from alpha_umi.models.engine import engine
from alpha_umi.models.engine.engine import Engine, EngineLimits
from alpha_umi.models.engine.layers import UnsupportedLayersError
from alpha_umi.models.engine.requests import Request
from alpha_umi.models.engine.worker import DeviceQueue, Worker
from alpha_umi.models.format_tokens import hold_tokens
from alpha_umi.models.generation import Generation, Grammar
from alpha_umi.models.padded import PaddedRunner
from alpha_umi.models.stream_pace import StreamPace
from alpha_umi.types import Completion, FinishReason, Prompt, Role, Sampling, TokenLogprob, Usage

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

_LOG = logging.getLogger(__name__)
_DEVICE_QUEUES: dict[str, DeviceQueue] = {}
"""By device; models on one device take turns."""
_TINY_BYTES = 16_000_000


class LocalModel:
    """Causal language model in this process (protocols.Model)."""

    def __init__(
        self,
        model: PreTrainedModel,
        tokenizer: PreTrainedTokenizerBase,
        *,
        end: str,
        batch_tokens: int = 32_768,
        limits: EngineLimits | None = None,
        compile_grammar: Callable[[str], Grammar] | None = None,
        one_core: bool = False,
        chat: ChatUse | None = None,
    ) -> None:
        """Take over a model and its tokenizer.

        `end`: the format's end mark. `chat`: how the chat template is used. `limits`: of the engine; `batch_tokens`:
        most tokens of prompts and completions in a padded batch. `compile_grammar`: compiler of grammars, a
        GrammarCompiler's where none is given. `one_core`: run a tiny model on the CPU on one core, as several gain it
        little and other work loses much.
        """
        self._model = model.eval()
        self._tokenizer = cast("Tokenizer", tokenizer)
        self._ends = frozenset(end_ids(self._tokenizer, end)) | _own_ends(model)
        self._batch_tokens = batch_tokens
        self._limits = limits or EngineLimits()
        self._compile_grammar = compile_grammar
        self._one_core = one_core
        self._chat = chat or ChatUse()
        self._worker: Worker | None = None
        self._engine: Engine | None = None
        self._replies: set[asyncio.Future[Completion]] = set()
        self._calls: LoopCalls | None = None
        """Of the event loop that asked last."""
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
        chat: ChatUse | None = None,
        trust_remote_code: bool = False,
    ) -> LocalModel:
        """Load a model and its tokenizer from a folder, a hub id or a GGUF file, with a LoRA merged into it if named.

        `cache_gb`: gigabytes for keys and values; None: a part of the free memory. `trust_remote_code`: run Python
        code that the checkpoint brings. Raises CheckpointError.
        """
        on = pick_device(device)
        if adapter is None:
            model, tokenizer = load_to_run(name, chat, pick_dtype(dtype, on), on, trust_remote_code=trust_remote_code)
        else:
            tokenizer = load_tokenizer(name, chat, trust_remote_code=trust_remote_code)
            model = load_weights(name, pick_dtype(dtype, on), trust_remote_code=trust_remote_code)
            model = merge_adapter(model, adapter)
        torch.nn.Module.to(model, on)
        return cls(model, tokenizer, end=end, limits=_limits(cache_gb), one_core=one_core, chat=chat)

    @property
    def context(self) -> int | None:
        """Most tokens of a prompt with its completion; None where the model names no limit."""
        return getattr(self._model.config, "max_position_embeddings", None)

    @property
    def base(self) -> LocalModel:
        """The model itself; an AdaptedModel's is the one under its adapter."""
        return self

    @property
    def engine(self) -> Engine | None:
        """The engine, to be inspected while no request runs; None before the first request, or in padded batches."""
        return self._engine

    @property
    def device(self) -> str:
        """The name of its device, as torch has it."""
        return str(self._model.device)

    @property
    def dtype(self) -> str:
        """The name of its dtype, such as `bfloat16`."""
        return str(self._model.dtype).removeprefix("torch.")

    @property
    def weights(self) -> int:
        """Bytes of its weights and of all adapters on it, the copies for running included."""
        adapters = adapters_of(self._model)
        own = sum(weight.nbytes for weight in self._model.parameters())
        return own if adapters is None else own + adapters.copy_bytes

    @property
    def _is_tiny(self) -> bool:
        return self._model.device.type == "cpu" and self.weights <= _TINY_BYTES

    def unsupported_reason(self) -> str | None:
        """The reason why the engine does not run it; None: it does."""
        return engine.unsupported_reason(self._model, self.context)

    def count_tokens(self, prompt: Prompt) -> int:
        """Count the tokens of a prompt."""
        return len(prompt_ids(self._tokenizer, prompt, self._chat.settings))

    async def complete(self, prompt: Prompt, sampling: Sampling, role: Role | None = None) -> Completion:
        """Continue `prompt`, by the adapter of `role` where one is named.

        Raises ModelError when it does not fit the context or the memory, or the model cannot run.
        """
        _, reply = await self._submit(prompt, sampling, role)
        return await reply

    async def stream(
        self, prompt: Prompt, sampling: Sampling, role: Role | None = None
    ) -> AsyncGenerator[str | Completion]:
        """Continue `prompt`, yielding the text in pieces as it is generated, and the Completion last.

        Law: the pieces joined are the text of the completion. Beside many others a piece is several tokens. Raises
        ModelError as `complete` does.
        """
        more, pace = asyncio.Event(), StreamPace()
        generation, reply = await self._submit(prompt, sampling, role, more.set, pace)
        reply.add_done_callback(lambda _: more.set())  # also where the model is closed meanwhile
        sent = 0
        try:
            while not reply.done():
                await more.wait()
                more.clear()
                pace.expect(len(self._replies))
                final = self._final_text(generation)
                if len(final) > sent and not reply.done():
                    yield final[sent:]
                    sent = len(final)
            completion = await reply
            if completion.text[sent:]:
                yield completion.text[sent:]
            yield completion
        finally:
            reply.cancel()

    async def aclose(self) -> None:
        """Stop the model; requests in progress fail with ModelError."""
        self._closed = True
        for reply in self._replies:
            if not reply.done():
                reply.set_exception(ModelError("the model was closed"))
        running = self._worker.close() if self._worker is not None else None
        if running is not None:
            await asyncio.wrap_future(running)

    # --- one request ----------------------------------------------------------------------------------

    async def _submit(
        self,
        prompt: Prompt,
        sampling: Sampling,
        role: Role | None,
        on_token: Callable[[], object] | None = None,
        pace: StreamPace | None = None,
    ) -> tuple[Generation, asyncio.Future[Completion]]:
        """Submit a request to the worker. `on_token` is called in this event loop for tokens that are due by `pace`."""
        request = await off_loop(self._request, prompt, sampling, role, id(asyncio.current_task()))
        if self._closed:
            raise ModelError("this model is closed")
        loop = asyncio.get_running_loop()
        reply: asyncio.Future[Completion] = loop.create_future()

        if self._calls is None or self._calls.loop is not loop:
            self._calls = LoopCalls(loop)
        call = self._calls.soon

        def on_done(request: Request, error: Exception | None) -> None:
            call(self._settle, reply, request, error)

        request.on_done = on_done
        request.is_cancelled = lambda: reply.done() or loop.is_closed()
        if on_token is not None and pace is not None:
            request.on_token = lambda _: call(on_token) if pace.is_due() else None
        self._replies.add(reply)
        reply.add_done_callback(self._replies.discard)
        self._started().submit(request)
        return request.generation, reply

    def _request(self, prompt: Prompt, sampling: Sampling, role: Role | None, group: int) -> Request:
        ids = prompt_ids(self._tokenizer, prompt, self._chat.settings)
        budget = self._budget(len(ids), sampling.max_tokens)
        number, start = 0, None
        adapters = adapters_of(self._model)
        if adapters is not None and role is not None:
            start = adapters.active_from(role, ids)
            number = 0 if start is None else ADAPTERS[role]
        return Request(
            prompt=ids,
            generation=Generation(
                sampling,
                budget,
                self._ends,
                self._text,
                self._grammar(sampling.grammar),
                self._grammar(sampling.ending and sampling.ending.grammar),
            ),
            adapter=number,
            adapter_from=start or 0,
            group=group,
        )

    def _grammar(self, grammar: str | None) -> Grammar | None:
        if grammar is None:
            return None
        if self._compile_grammar is None:
            tokenizer = cast("PreTrainedTokenizerBase", self._tokenizer)
            vocabulary = cast("int", self._model.config.vocab_size)
            self._compile_grammar = GrammarCompiler(tokenizer, vocabulary=vocabulary, ends=self._ends).compile
        return self._compile_grammar(grammar)

    def _budget(self, length: int, wanted: int) -> int:
        """Most tokens of a completion after a prompt of `length` ids."""
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
            runner = self._engine = self._make_engine()
            if runner is None:
                runner = PaddedRunner(self._model, batch_tokens=self._batch_tokens)
            queue = _DEVICE_QUEUES.setdefault(str(self._model.device), DeviceQueue())
            self._worker = Worker(runner, queue, one_core=self._one_core and self._is_tiny)
        return self._worker

    def _make_engine(self) -> Engine | None:
        """The engine; None, and the log says why, for a model that it does not run."""
        reason = self.unsupported_reason()
        if reason is None:
            try:
                return Engine(self._model, self._limits)
            except UnsupportedLayersError as error:
                reason = f"{self._model.config.model_type}: {error}"
        _LOG.warning("run in padded batches, without a shared cache: %s", reason)
        return None

    # --- the completion -------------------------------------------------------------------------------

    def _text(self, ids: Sequence[int]) -> str:
        """Text of ids without the one that ended them, which a generation leaves out."""
        text = self._tokenizer.decode(list(ids), skip_special_tokens=False, clean_up_tokenization_spaces=False)
        return cast("str", text)

    def _final_text(self, generation: Generation) -> str:
        """The part of the text that no later token changes: without partial characters and partial stop strings."""
        text = self._text(generation.output_ids.copy())
        final = text.rstrip("\ufffd")
        for stop in generation.sampling.stop:
            if (at := text.find(stop)) >= 0:
                return text[:at]
            partial = next((width for width in range(len(stop) - 1, 0, -1) if text.endswith(stop[:width])), 0)
            final = final[: min(len(final), len(text) - partial)]
        return final

    def _settle(self, reply: asyncio.Future[Completion], request: Request, error: Exception | None) -> None:
        if reply.done():
            return
        if error is not None:
            reply.set_exception(error if isinstance(error, ModelError) else ModelError(f"the model failed: {error}"))
        else:
            reply.set_result(self._completion(request))

    def _completion(self, request: Request) -> Completion:
        generation = request.generation
        text = self._text(generation.output_ids)
        cuts = [at for stop in generation.sampling.stop if (at := text.find(stop)) >= 0]
        finish = generation.finish or FinishReason.LENGTH
        ended = finish is FinishReason.STOP and not cuts
        usage = Usage(
            prompt_tokens=len(request.prompt), completion_tokens=len(generation.output_ids) + ended, completions=1
        )
        return Completion(
            text=text[: min(cuts)] if cuts else text,
            finish=finish,
            usage=usage,
            logprobs=self._logprobs(generation),
            cached_tokens=request.found_tokens,
        )

    def _logprobs(self, generation: Generation) -> tuple[TokenLogprob, ...] | None:
        if not generation.records:
            return None
        likeliest = generation.likeliest or [[]] * len(generation.logprobs)
        return tuple(
            TokenLogprob(
                id=token,
                text=self._text([token]),
                logprob=logprob,
                likeliest=tuple((self._text([other]), each) for other, each in others),
            )
            for (token, logprob), others in zip(generation.logprobs, likeliest, strict=True)
        )


class AdaptedModel:
    """One role's adapter on a LocalModel that other roles share (protocols.Model)."""

    def __init__(self, model: LocalModel, role: Role) -> None:
        self._model = model
        self._role = role

    @property
    def base(self) -> LocalModel:
        """The model that the roles share."""
        return self._model

    @property
    def context(self) -> int | None:
        """Most tokens of a prompt with its completion, as of the base."""
        return self._model.context

    def count_tokens(self, prompt: Prompt) -> int:
        """Count the tokens of a prompt."""
        return self._model.count_tokens(prompt)

    async def complete(self, prompt: Prompt, sampling: Sampling) -> Completion:
        """Continue `prompt`. Raises ModelError when it does not fit the context, or the model cannot run."""
        return await self._model.complete(prompt, sampling, self._role)

    def stream(self, prompt: Prompt, sampling: Sampling) -> AsyncGenerator[str | Completion]:
        """Continue `prompt`, in pieces; see LocalModel.stream."""
        return self._model.stream(prompt, sampling, self._role)

    async def aclose(self) -> None:
        """Stop the base, for all roles that share it."""
        await self._model.aclose()


def load_roles(
    name: str,
    adapters: Mapping[Role, str | None],
    *,
    end: str,
    merged_adapter: str | None = None,
    special_tokens: Sequence[str] = (),
    device: str = "auto",
    dtype: str = "auto",
    cache_gb: float | None = None,
    one_core: bool = False,
    chat: ChatUse | None = None,
    trust_remote_code: bool = False,
) -> dict[Role, LocalModel | AdaptedModel]:
    """Load one base model for several roles, each with an adapter or none; the base is in memory once.

    Roles with the same adapter are one model. A plain LoRA that has its base for itself is merged into it.
    `merged_adapter`: a folder with a plain LoRA that is merged into the base before the roles' adapters lie on it.
    `special_tokens`: of the format; a base under activated adapters that lacks them is given them as in training.
    `cache_gb`: for keys and values of all roles; `one_core`, `chat`, `trust_remote_code`: see LocalModel. Raises
    CheckpointError.
    """
    folders = list(dict.fromkeys(adapters.values()))
    is_plain = len(folders) == 1 and (folders[0] is None or not invocation(read_config(folders[0])))
    if is_plain and merged_adapter is None:
        alone = LocalModel.load(
            name,
            end=end,
            adapter=folders[0],
            device=device,
            dtype=dtype,
            cache_gb=cache_gb,
            one_core=one_core,
            chat=chat,
            trust_remote_code=trust_remote_code,
        )
        return dict.fromkeys(adapters, alone)
    on = pick_device(device)
    model, tokenizer = load_to_run(name, chat, pick_dtype(dtype, on), on, trust_remote_code=trust_remote_code)
    hold_tokens(model, tokenizer, special_tokens, end)
    if merged_adapter is not None:
        merge_folder(model, merged_adapter)
    torch.nn.Module.to(model, on)
    base = LocalModel(model, tokenizer, end=end, limits=_limits(cache_gb), one_core=one_core, chat=chat)
    return _put_on(model, base, adapters)


def _put_on(
    model: PreTrainedModel, base: LocalModel, adapters: Mapping[Role, str | None]
) -> dict[Role, LocalModel | AdaptedModel]:
    """Put the adapters of roles on a loaded model; a role without one is the base itself."""
    owners = {folder: role for role, folder in adapters.items() if folder is not None}
    if owners:
        load_adapters(model, {role: folder for folder, role in owners.items()})
    adapted = {folder: AdaptedModel(base, role) for folder, role in owners.items()}
    return {role: base if folder is None else adapted[folder] for role, folder in adapters.items()}


def _limits(cache_gb: float | None) -> EngineLimits:
    return EngineLimits(cache_bytes=None if cache_gb is None else int(cache_gb * 1e9))


def _own_ends(model: PreTrainedModel) -> frozenset[int]:
    """The end-of-sequence ids of the model's generation config; chat models often have several."""
    own = model.generation_config.eos_token_id if model.generation_config is not None else None
    return frozenset([own] if isinstance(own, int) else own or [])
