"""Model behind an endpoint with OpenAI's API, completions or chat completions.

Retries, waits and the number of concurrent requests are decided here. A request keeps its slot while it waits to be
sent again, so a throttled endpoint gets no other one meanwhile. The key goes into one header: it is never logged, and
blanked where an endpoint quotes it.
"""

from __future__ import annotations

import asyncio
import json
import logging
import random
import time
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from email.utils import parsedate_to_datetime
from typing import Any, Literal, TypeAlias, cast

import httpx2

from alpha_umi.errors import ConfigError, ModelError
from alpha_umi.formats.dialects.calls import first_marked
from alpha_umi.http_replies import OversizedReplyError, send
from alpha_umi.models.chat_replies import is_too_long, leaves_out_tools, message_text
from alpha_umi.models.tool_calls import ToolWire
from alpha_umi.types import Completion, FinishReason, Json, Message, Prompt, Sampling, TokenLogprob, ToolPrompt, Usage

Api: TypeAlias = Literal["auto", "completions", "chat"]

_LOG = logging.getLogger(__name__)
GRAMMAR_FIELDS: Mapping[str, Callable[[str], dict[str, Json]]] = {
    "structured_outputs": lambda grammar: {"structured_outputs": {"grammar": grammar}},
    "guided_grammar": lambda grammar: {"guided_grammar": grammar},
    "llguidance": lambda grammar: {"grammar": f"%llguidance {{}}\n{grammar}"},
    "ebnf": lambda grammar: {"ebnf": f"%llguidance {{}}\n{grammar}"},
}
"""Request fields for a Lark grammar of llguidance: vLLM, vLLM before 0.12, llama.cpp built with it, SGLang."""
_CONTINUED: Mapping[str, dict[str, Json]] = {
    field: {"continue_final_message": True, "add_generation_prompt": False}
    for field in ("structured_outputs", "guided_grammar", "ebnf")
}
"""Request fields by which a server goes on with the last message; llama.cpp does so by itself."""
_FIRST_WAIT_S, _LONGEST_WAIT_S, _LONGEST_RETRY_AFTER_S = 0.5, 30.0, 120.0
_QUOTED = 200
_REPLY_BYTES = 67_108_864


@dataclass(frozen=True, slots=True)
class Prefill:
    """Request before each completion that leaves the prompt without its end in the cache of a slot of the server."""

    without: str
    """End of the prompt that is left out; other prompts get no such request."""
    extra: Mapping[str, Json] = field(default_factory=dict[str, Json])
    """Fields in place of the completion's."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Endpoint:
    """Address of a model server, and the options of requests to it."""

    base_url: str
    """Such as `https://host/v1`; `/v1` is added to an address without a path, and a query is kept."""
    model: str
    api: Api = "auto"
    """auto: text prompts go to completions, messages to chat. chat: a text prompt is one user message."""
    api_key: str | None = field(default=None, repr=False)
    api_key_variable: str = "OPENAI_API_KEY"
    """The environment variable that the key was read from; named in errors."""
    timeout_s: float = 120.0
    """Seconds for one request, from connecting to the last byte."""
    max_retries: int = 5
    """Most repetitions of a request that was throttled, timed out or broke."""
    max_concurrency: int = 8
    """Most requests in flight."""
    grammar: str | None = None
    """One of the keys of `GRAMMAR_FIELDS`; None: the server takes no grammar."""
    extra: Mapping[str, Json] = field(default_factory=dict[str, Json])
    """Fields added to every request, such as llama.cpp's `lora`; they override ours."""
    prefill: Prefill | None = None
    """Request before each completion; `max_concurrency` is then the number of the server's slots."""
    rename: Mapping[str, str] = field(default_factory=dict[str, str])
    """The server's names of our fields, "" to leave one out, as in {"max_tokens": "max_completion_tokens"}."""

    def __post_init__(self) -> None:
        """Raises ConfigError for an address, a key or a number that no request could use."""
        try:
            url = httpx2.URL(self.base_url)
        except httpx2.InvalidURL as error:
            raise ConfigError(f"base_url {self.base_url!r} is no address: {error}") from None
        if url.userinfo:
            raise ConfigError(f"base_url for {url.host} holds a password; give it as the key instead")
        if url.scheme not in ("http", "https") or not url.host:
            raise ConfigError(f"base_url {self.base_url!r} must be like 'http://localhost:8000/v1'")
        if self.api not in ("auto", "completions", "chat"):
            raise ConfigError(f"api is {self.api!r}; choose auto, completions or chat")
        if self.grammar is not None and self.grammar not in GRAMMAR_FIELDS:
            raise ConfigError(f"grammar is {self.grammar!r}; choose {', '.join(GRAMMAR_FIELDS)}")
        if self.timeout_s <= 0 or self.max_retries < 0 or self.max_concurrency < 1:
            raise ConfigError("timeout_s must be above 0, max_retries at least 0 and max_concurrency at least 1")
        if self.api_key and not (self.api_key.isascii() and self.api_key.isprintable() and " " not in self.api_key):
            raise ConfigError(f"the key in {self.api_key_variable} has a blank or a character that no key has")


class Slots:
    """Slots of a server, each for one request at a time; the models of one server share them."""

    def __init__(self, count: int) -> None:
        self._free = list(range(count))
        self._waiting = asyncio.Semaphore(count)

    @asynccontextmanager
    async def take(self) -> AsyncGenerator[int]:
        """Wait for a slot and hold it; yields its number."""
        async with self._waiting:
            number = self._free.pop()
            try:
                yield number
            finally:
                self._free.append(number)


class OpenAIModel:
    """Client of an Endpoint (protocols.Model). Close it, or use it as an async context manager; one event loop each."""

    def __init__(
        self,
        endpoint: Endpoint,
        *,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
        clock: Callable[[], float] = time.time,
        jitter: Callable[[], float] = random.random,
        slots: Slots | None = None,
    ) -> None:
        """`sleep` takes seconds, `clock` is seconds since 1970, `jitter` gives values in [0, 1).

        `slots`: shared with other models of the same server; None: its own.
        """
        self.endpoint = endpoint
        self._sleep, self._clock, self._jitter = sleep, clock, jitter
        self._warned = False
        self._slots = slots or Slots(endpoint.max_concurrency)
        key = {"Authorization": f"Bearer {endpoint.api_key}"} if endpoint.api_key else {}
        self._client = httpx2.AsyncClient(
            headers={"Content-Type": "application/json", **key},
            timeout=None,  # httpx2 limits each read; _post limits the whole request
            limits=httpx2.Limits(max_connections=None, max_keepalive_connections=endpoint.max_concurrency),
        )

    async def __aenter__(self) -> OpenAIModel:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        """Close all connections."""
        await self._client.aclose()

    async def complete(self, prompt: Prompt, sampling: Sampling) -> Completion:
        """Continue `prompt`. Raises ModelError for a refusal, a reply of another shape, or when all retries fail.

        An ending that did not come is asked for by a second request, which goes on from the text of the first.
        """
        said = await self._complete(prompt, sampling)
        ending = sampling.ending
        if ending is None or said.finish is not FinishReason.LENGTH or ending.is_in(said.text):
            return said
        last = replace(sampling, grammar=ending.grammar, ending=None, max_tokens=ending.reserve)
        rest = await self._complete(prompt, last, said.text)
        logprobs = None if said.logprobs is None or rest.logprobs is None else (*said.logprobs, *rest.logprobs)
        usage = said.usage + rest.usage
        return Completion(text=said.text + rest.text, finish=rest.finish, usage=usage, logprobs=logprobs)

    async def _complete(self, prompt: Prompt, sampling: Sampling, said: str = "") -> Completion:
        url, body = self._request(_with_text(prompt, said), sampling)
        if said and "messages" in body:
            body |= _CONTINUED.get(self.endpoint.grammar or "", {})
        async with self._slots.take() as slot:
            if (first := self._prefill(prompt, body, slot)) is not None:
                self._check(url, await self._send(url, json.dumps(first).encode()))
                body = {**body, "id_slot": slot}
            reply = await self._send(url, json.dumps(body).encode())
        return self._read(url, reply, prompt, sampling.stop)

    def _prefill(self, prompt: Prompt, body: Mapping[str, Json], slot: int) -> dict[str, Json] | None:
        """The request before a completion; None where there is none."""
        prefill = self.endpoint.prefill
        if prefill is None or not isinstance(prompt, str) or not prompt.endswith(prefill.without):
            return None
        start = prompt.removesuffix(prefill.without)
        return {**body, "prompt": start, "max_tokens": 0, "id_slot": slot, **prefill.extra}

    # --- the request ----------------------------------------------------------------------------------

    def _request(self, prompt: Prompt, sampling: Sampling) -> tuple[httpx2.URL, dict[str, Json]]:
        endpoint = self.endpoint
        fields: dict[str, Json] = {"model": endpoint.model}
        if isinstance(prompt, ToolPrompt) and endpoint.api != "completions":
            path, fields = "chat/completions", fields | ToolWire(prompt).request()
        elif isinstance(prompt, str) and endpoint.api != "chat":
            path, fields["prompt"] = "completions", prompt
        elif isinstance(prompt, str):
            path, fields["messages"] = "chat/completions", [_message("user", prompt)]
        elif isinstance(prompt, tuple) and endpoint.api != "completions":
            path, fields["messages"] = "chat/completions", [_message(each.role, each.content) for each in prompt]
        else:
            raise ModelError(
                f"{endpoint.base_url} is asked with api 'completions', which takes text, but the format makes chat "
                "messages; set api to 'chat' or 'auto', or choose another format"
            )
        fields |= {"max_tokens": sampling.max_tokens, "temperature": sampling.temperature, "top_p": sampling.top_p}
        if sampling.stop:
            fields["stop"] = list(sampling.stop)
        if sampling.seed is not None:
            fields["seed"] = sampling.seed
        fields |= _extended_fields(sampling) | self._grammar(sampling.grammar)
        if sampling.logprobs:
            fields["logprobs"] = True if "messages" in fields else sampling.top_logprobs
            if "messages" in fields and sampling.top_logprobs:
                fields["top_logprobs"] = sampling.top_logprobs
        named = {endpoint.rename.get(key, key): value for key, value in fields.items()}
        named.pop("", None)
        url = httpx2.URL(endpoint.base_url)
        root = url.path.rstrip("/") or "/v1"
        return url.copy_with(path=f"{root}/{path}"), {**named, **endpoint.extra}

    def _grammar(self, grammar: str | None) -> dict[str, Json]:
        if grammar is None:
            return {}
        if self.endpoint.grammar is None:
            raise ModelError(
                f"{self.endpoint.base_url} cannot be constrained by a grammar unless 'grammar' says how it takes one "
                f"({', '.join(GRAMMAR_FIELDS)})"
            )
        return GRAMMAR_FIELDS[self.endpoint.grammar](grammar)

    # --- sending and retries --------------------------------------------------------------------------

    async def _send(self, url: httpx2.URL, body: bytes) -> httpx2.Response:
        """Send until a reply needs no retry. Raises ModelError after `max_retries`."""
        endpoint, waited, failure = self.endpoint, 0.0, ""
        for retries in range(endpoint.max_retries + 1):
            reply = await self._post(url, body)
            if isinstance(reply, httpx2.Response):
                if reply.status_code not in (408, 429) and reply.status_code < 500:
                    return reply
                failure = f"status {reply.status_code}: {self._quote(reply)}"
            else:
                failure = reply
            if retries < endpoint.max_retries:
                wait = self._wait_s(retries, reply)
                _LOG.warning("sending again", extra={"url": str(url), "failure": failure, "wait_s": wait})
                await self._sleep(wait)
                waited += wait
        raise ModelError(
            f"{url} gave no completion in {endpoint.max_retries + 1} requests and {waited:.1f} s of waiting between "
            f"them; the last failure: {failure}"
        )

    async def _post(self, url: httpx2.URL, body: bytes) -> httpx2.Response | str:
        """Send once: the reply, or the reason why there is none."""
        try:
            async with asyncio.timeout(self.endpoint.timeout_s):
                return await send(self._client, "POST", url, _REPLY_BYTES, content=body)
        except TimeoutError:
            return f"no whole reply within {self.endpoint.timeout_s:g} s (timeout_s)"
        except OversizedReplyError:
            raise ModelError(f"{url} sent a reply longer than {_REPLY_BYTES:,} bytes") from None
        except httpx2.TransportError as error:
            return f"{type(error).__name__}: {error}"
        except httpx2.RequestError as error:
            raise ModelError(f"{url} sent what cannot be read: {type(error).__name__}: {error}") from None

    def _wait_s(self, retries: int, reply: httpx2.Response | str) -> float:
        """Seconds to wait: those of Retry-After, else exponential backoff with a jitter of up to half."""
        stated = self._retry_after_s(reply) if isinstance(reply, httpx2.Response) else None
        if stated is not None:
            return min(max(stated, 0.0), _LONGEST_RETRY_AFTER_S)
        return min(_FIRST_WAIT_S * 2**retries, _LONGEST_WAIT_S) * (1 - self._jitter() / 2)

    def _retry_after_s(self, reply: httpx2.Response) -> float | None:
        """RFC 9110, section 10.2.3: seconds or a date; None where there is neither."""
        header = reply.headers.get("Retry-After", "").strip()
        if header.isascii() and header.replace(".", "", 1).isdigit():
            return float(header)
        try:
            return parsedate_to_datetime(header).timestamp() - self._clock()
        except (ValueError, OverflowError):
            return None

    # --- the reply ------------------------------------------------------------------------------------

    def _read(self, url: httpx2.URL, reply: httpx2.Response, prompt: Prompt, stop: tuple[str, ...]) -> Completion:
        self._check(url, reply)
        try:
            document: Any = reply.json()
            choice = document["choices"][0]
            if isinstance(prompt, ToolPrompt):
                text = message_text(choice["message"].get("content"))
            else:
                text = message_text(choice["message"]["content"]) if "message" in choice else choice["text"]
            finish = FinishReason.LENGTH if choice.get("finish_reason") == "length" else FinishReason.STOP
        except (ValueError, RecursionError, LookupError, TypeError, AttributeError):
            raise ModelError(f"{url} sent no completion but: {self._quote(reply)}") from None
        if not isinstance(text, str | None):
            raise ModelError(f"{url} sent a completion that is no text: {self._quote(reply)}")
        text, usage = text or "", _usage(document.get("usage"))
        ends = [at for mark in stop if mark and (at := text.find(mark)) >= 0]
        if ends:
            text, finish = text[: min(ends)], FinishReason.STOP
        if isinstance(prompt, ToolPrompt):
            self._check_tools(url, prompt, usage, text, called=bool(choice["message"].get("tool_calls")))
            text = ToolWire(prompt).read(choice["message"], text)
        return Completion(text=text, finish=finish, usage=usage, logprobs=_logprobs(choice.get("logprobs")))

    def _check_tools(self, url: httpx2.URL, prompt: ToolPrompt, usage: Usage, text: str, *, called: bool) -> None:
        """Warn once about a server that leaves calls in the text, or cannot have shown the tools to its model."""
        if not (self._warned or called) and first_marked(text) is not None:
            self._warned = True
            _LOG.warning(
                "%s leaves the model's tool calls in the text of its replies, where they are read; turn on its tool "
                "call parser (vLLM: --enable-auto-tool-choice --tool-call-parser NAME; llama.cpp: --jinja)",
                url,
            )
        self._warned |= called
        if self._warned or not leaves_out_tools(prompt, ToolWire(prompt).request().get("tools"), usage.prompt_tokens):
            return
        self._warned = True
        _LOG.warning(
            "%s counts %d tokens for a prompt whose tools alone need more: its chat template seems to leave the tools "
            "out. Serve the model with a template that shows them, or take another format (without --native)",
            url,
            usage.prompt_tokens,
        )

    def _check(self, url: httpx2.URL, reply: httpx2.Response) -> None:
        if not reply.is_success:
            raise ModelError(self._refusal(url, reply))

    def _refusal(self, url: httpx2.URL, reply: httpx2.Response) -> str:
        endpoint, status, quote = self.endpoint, reply.status_code, self._quote(reply)
        if is_too_long(status, reply.text):
            return (
                f"{url} refused the prompt as too long for model {endpoint.model!r} (status {status}); show less of "
                "what tools answer (--max-observation-chars, or max_chars under [budget] of the environment), or serve "
                f"the model with a longer context. It said: {quote}"
            )
        match status:
            case 401 | 403:
                why = "refused the key" if endpoint.api_key else "wants a key and got none"
                return (
                    f"{url} {why} (status {status}); set {endpoint.api_key_variable} to a valid one. It said: {quote}"
                )
            case 404:
                return (
                    f"{url} was not found, or has no model {endpoint.model!r} (status 404); check base_url, model and "
                    f"api (an endpoint may serve chat alone). It said: {quote}"
                )
            case _:
                return f"{url} refused the request for model {endpoint.model!r} (status {status}). It said: {quote}"

    def _quote(self, reply: httpx2.Response) -> str:
        text, key = reply.text, self.endpoint.api_key
        return repr((text.replace(key, "[key]") if key else text)[:_QUOTED])


def _with_text(prompt: Prompt, said: str) -> Prompt:
    """The prompt with the beginning of its reply."""
    if not said or isinstance(prompt, ToolPrompt):
        return prompt
    return prompt + said if isinstance(prompt, str) else (*prompt, Message(role="assistant", content=said))


def _extended_fields(sampling: Sampling) -> dict[str, Json]:
    """Sampling fields beyond OpenAI's own, by vLLM's and llama.cpp's names."""
    if sampling.repetition_limit is not None:
        raise ModelError("an endpoint cannot keep repetition_limit; leave it out, or run the model here")
    fields: dict[str, Json] = {}
    if sampling.top_k is not None:
        fields["top_k"] = sampling.top_k
    if sampling.min_p is not None:
        fields["min_p"] = sampling.min_p
    if sampling.repetition_penalty != 1.0:
        fields["repetition_penalty"] = sampling.repetition_penalty
    return fields


def _logprobs(field: Any) -> tuple[TokenLogprob, ...] | None:
    """Log-probabilities in either API's shape; None where there are none, or in another shape."""
    try:
        if "content" in field:
            found = [
                (each["token"], each["logprob"], {top["token"]: top["logprob"] for top in each.get("top_logprobs", ())})
                for each in field["content"]
            ]
        else:
            beside = field.get("top_logprobs") or [{}] * len(field["tokens"])
            found = list(zip(field["tokens"], field["token_logprobs"], beside, strict=True))
        return tuple(
            TokenLogprob(
                text=str(text),
                logprob=float(logprob),
                likeliest=tuple((str(other), float(each)) for other, each in (likeliest or {}).items()),
            )
            for text, logprob, likeliest in found
        )
    except (LookupError, TypeError, ValueError):
        return None


def _message(role: str, content: str) -> Json:
    return {"role": role, "content": content}


def _usage(counts: Any) -> Usage:
    counts = cast("Mapping[str, Any]", counts) if isinstance(counts, Mapping) else {}

    def count(key: str) -> int:
        value = counts.get(key)
        return value if type(value) is int and 0 <= value <= Usage.most else 0

    return Usage(prompt_tokens=count("prompt_tokens"), completion_tokens=count("completion_tokens"), completions=1)
