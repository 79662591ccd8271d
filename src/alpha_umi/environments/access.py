"""HTTP client for tools: timeouts, retries, rate limits and a bound on concurrent requests, per host.

Whatever goes wrong on the way is an Observation with a status; nothing is raised. Keys never show in one.
"""

from __future__ import annotations

import asyncio
import random
import ssl
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cache
from typing import Any

import httpx2

from alpha_umi.http_replies import OversizedReplyError, send
from alpha_umi.types import Observation, ToolStatus

_AGAIN = frozenset({429, 502, 503, 504})
_QUOTED = 300


@dataclass(frozen=True, slots=True, kw_only=True)
class AccessLimits:
    """Limits on the requests to one host."""

    timeout_s: float = 30.0
    """Of one try."""
    retries: int = 2
    """After the first try, for what may pass: no connection, 429, 502, 503, 504."""
    first_wait_s: float = 0.5
    """Doubles with every retry, up to half of it left to chance; a Retry-After in seconds counts instead."""
    longest_wait_s: float = 20.0
    concurrency: int = 16
    """Concurrent requests to one host."""
    per_second: float | None = None
    """Requests started per second to one host, on the average; None: as they come."""
    burst: int = 1
    """Requests that may start at once after a pause."""
    max_reply_bytes: int = 4_194_304
    """Of one reply, before and after decompression."""


class TokenBucket:
    """Token bucket: `rate` requests per second, and up to `burst` at once after a pause."""

    def __init__(self, rate: float, burst: int, clock: Callable[[], float] = time.monotonic) -> None:
        self._rate, self._burst, self._clock = rate, max(burst, 1), clock
        self._tokens, self._at = float(self._burst), clock()

    async def take(self) -> None:
        """Wait for a token, in the order of the calls."""
        now = self._clock()
        self._tokens = min(self._tokens + (now - self._at) * self._rate, self._burst) - 1
        self._at = now
        if self._tokens < 0:
            await asyncio.sleep(-self._tokens / self._rate)


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """One HTTP request."""

    method: str
    url: str
    params: Mapping[str, str] = field(default_factory=dict[str, str])
    headers: Mapping[str, str] = field(default_factory=dict[str, str])
    body: Any = None
    """Sent as JSON; None: no body."""
    content: bytes | None = None
    """Sent as it is, in place of `body`."""


class Access:
    """HTTP client with limits, shared by all forks of an environment, in one event loop.

    Async context manager; else close it with aclose.
    """

    def __init__(self, limits: AccessLimits | None = None, secrets: tuple[str, ...] = ()) -> None:
        """`secrets` are replaced by `[key]` in everything that comes back."""
        self.limits = limits or AccessLimits()
        self._secrets = tuple(secret for secret in secrets if secret)
        self._clients: list[httpx2.AsyncClient] = []
        self._idle: list[httpx2.AsyncClient] = []
        self._slots: dict[str, asyncio.Semaphore] = {}
        self._buckets: dict[str, TokenBucket] = {}

    async def __aenter__(self) -> Access:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        """Close all connections; a later request opens new ones."""
        clients, self._clients, self._idle = self._clients, [], []
        self._slots.clear()
        self._buckets.clear()
        for client in clients:
            await client.aclose()

    async def send(
        self, request: Request, repeatable: bool = True, *, once: bool = False
    ) -> httpx2.Response | Observation:
        """Return the response, whatever its status, or an Observation where none came.

        Not `repeatable` requests are tried again only where none can have arrived; `once`: never.
        """
        reply: httpx2.Response | Observation = _unreachable("no try was made")
        for tries in range(1 if once else self.limits.retries + 1):
            if tries:
                await asyncio.sleep(self._wait_s(tries - 1, reply))
            try:
                reply, arrived = await self._try(request)
            except OversizedReplyError:
                size = f"{self.limits.max_reply_bytes:,} bytes (max_reply_bytes)"
                return Observation(content=f"the tool's reply is longer than {size}", status=ToolStatus.ERROR)
            again = isinstance(reply, Observation) or reply.status_code in _AGAIN
            if not again or (arrived and not repeatable):
                break
        return reply

    def redact(self, text: str) -> str:
        """Replace every secret in a text by `[key]`."""
        for secret in self._secrets:
            text = text.replace(secret, "[key]")
        return text

    async def _try(self, request: Request) -> tuple[httpx2.Response | Observation, bool]:
        """The reply, and True where the request can have arrived."""
        timeout_s = self.limits.timeout_s
        host = httpx2.URL(request.url).host
        slots = self._slots.setdefault(host, asyncio.Semaphore(self.limits.concurrency))
        try:
            async with slots:
                await self._pace(host)
                async with asyncio.timeout(timeout_s):
                    return await self._ask(request), True
        except (TimeoutError, httpx2.TimeoutException):
            content = f"the tool did not answer within {timeout_s:g} s"
            return Observation(content=content, status=ToolStatus.TIMEOUT), True
        except httpx2.ConnectError as error:
            return _unreachable(self.redact(str(error))), False
        except (httpx2.HTTPError, httpx2.InvalidURL, ValueError) as error:
            return _unreachable(self.redact(f"{type(error).__name__}: {error}")), True

    async def _ask(self, request: Request) -> httpx2.Response:
        # One request at a time per client: httpx2 looks at all connections of a client for each of its requests.
        client = self._idle.pop() if self._idle else self._connect()
        try:
            return await send(
                client,
                request.method,
                request.url,
                self.limits.max_reply_bytes,
                params=dict(request.params) or None,
                headers=dict(request.headers),
                json=request.body,
                content=request.content,
            )
        finally:
            self._idle.append(client)

    def _connect(self) -> httpx2.AsyncClient:
        client = httpx2.AsyncClient(timeout=None, follow_redirects=False, verify=_tls())  # _try limits each request
        self._clients.append(client)
        return client

    async def _pace(self, host: str) -> None:
        if self.limits.per_second is not None:
            bucket = self._buckets.setdefault(host, TokenBucket(self.limits.per_second, self.limits.burst))
            await bucket.take()

    def _wait_s(self, tries: int, reply: httpx2.Response | Observation) -> float:
        header = "" if isinstance(reply, Observation) else reply.headers.get("Retry-After", "")
        if header.isascii() and header.isdigit():
            return min(float(header), self.limits.longest_wait_s)
        chance = 1 - random.random() / 2  # noqa: S311
        return min(self.limits.first_wait_s * 2**tries, self.limits.longest_wait_s) * chance


@cache
def _tls() -> ssl.SSLContext:
    """The certificates, which are slow to read."""
    return httpx2.create_ssl_context()


def refusal(response: httpx2.Response, access: Access) -> Observation:
    """Return a response that is no success as an observation."""
    quoted = access.redact(response.text[:_QUOTED])
    code = response.status_code
    status = {429: ToolStatus.RATE_LIMITED, 408: ToolStatus.TIMEOUT, 504: ToolStatus.TIMEOUT}.get(
        code, ToolStatus.ERROR
    )
    why = {401: " (the key is refused)", 403: " (access is refused)"}.get(code, "")
    return Observation(content=f"the tool answered with status {code}{why}: {quoted}", status=status)


def _unreachable(why: str) -> Observation:
    return Observation(content=f"the tool cannot be reached: {why}", status=ToolStatus.ERROR)
