"""Connection to one MCP server: opened when it is needed, held by a task of its own, opened again after it ended.

Every request has a time limit. A server that dies, that cannot be reached or that breaks the protocol is an `McpError`
with words for it, never an exception of the SDK.
"""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TextIO, TypeVar

import httpx2
from mcp import Client, MCPError, StdioServerParameters
from mcp.client.sse import sse_client
from mcp.client.stdio import stdio_client
from mcp.client.streamable_http import streamable_http_client
from mcp.types import (
    CONNECTION_CLOSED,
    REQUEST_TIMEOUT,
    CallToolResult,
    Implementation,
    Tool,
    ToolListChangedNotification,
)

from alpha_umi.errors import describe

if TYPE_CHECKING:
    from mcp.client.session import IncomingMessage

_Reply = TypeVar("_Reply")
_MOST_PAGES, _MOST_TOOLS = 100, 10_000
_CLOSING_S = 8.0
"""Time for a server to end after its input is closed, before and after it is killed."""
_LAST_WORDS = 400
"""Characters of a server's error output that are shown when it cannot be used."""


class McpError(Exception):
    """Failed connection or request, with a reason in words."""

    def __init__(self, reason: str, *, timed_out: bool = False) -> None:
        super().__init__(reason)
        self.timed_out = timed_out


@dataclass(frozen=True, slots=True, kw_only=True)
class McpServer:
    """MCP server as it is reached: by a command, by an address, or as an object of the SDK in this process."""

    name: str
    """As its tools are told apart from others', and as messages call it."""
    command: tuple[str, ...] = ()
    env: Mapping[str, str] = field(default_factory=dict[str, str], repr=False)
    """Variables beside the few that the SDK passes on (HOME, PATH and others)."""
    cwd: str | None = None
    url: str = ""
    headers: Mapping[str, str] = field(default_factory=dict[str, str], repr=False)
    is_sse: bool = False
    """True: the address speaks the HTTP transport of 2024, with server-sent events."""
    local: Any = None
    timeout_s: float = 60.0
    """Of a request."""
    connect_timeout_s: float = 60.0
    """Until the server's first reply."""


class McpConnection:
    """Connection to a server, shared by all that runs in its event loop."""

    def __init__(self, server: McpServer, on_change: Callable[[], object] = lambda: None) -> None:
        """`on_change` is called when the server's tools may be others than those listed."""
        self.server = server
        self._on_change = on_change
        self._lock = asyncio.Lock()
        self._client: Client | None = None
        self._ended = asyncio.Event()
        self._holder: asyncio.Task[None] | None = None
        self._connections = 0
        self._is_forgotten = False
        """True: the server knows our session no more."""

    async def list_tools(self) -> list[Tool]:
        """List the server's tools, all pages. Raises McpError."""

        async def list_pages(client: Client) -> list[Tool]:
            found: list[Tool] = []
            cursor: str | None = None
            for _ in range(_MOST_PAGES):
                page = await client.list_tools(cursor=cursor, cache_mode="refresh")
                found += page.tools
                cursor = page.next_cursor
                if cursor is None or len(found) >= _MOST_TOOLS:
                    break
            return found[:_MOST_TOOLS]

        return await self._request(list_pages, "it ended before it listed its tools")

    async def call(self, name: str, arguments: dict[str, Any]) -> CallToolResult:
        """Call a tool; never sent again where it may have run. Raises McpError."""
        return await self._request(
            lambda client: client.call_tool(name, arguments, read_timeout_seconds=self.server.timeout_s),
            "its server ended the connection, so that it may or may not have run",
        )

    async def _request(self, send: Callable[[Client], Awaitable[_Reply]], when_ended: str) -> _Reply:
        """Send a request; a second time, in a new session, where the server has forgotten ours and refused it so."""
        for may_repeat in (True, False):
            client = await self._connected()
            try:
                with _Explained(self, when_ended):
                    async with asyncio.timeout(self.server.timeout_s):
                        return await send(client)
            except McpError:
                if not (may_repeat and self._is_forgotten):
                    raise
        raise AssertionError("the second attempt returns or raises")

    async def aclose(self) -> None:
        """Close the connection; a server that this process started is ended."""
        holder = self._holder
        self._ended.set()
        if holder is not None:
            await asyncio.wait([holder], timeout=_CLOSING_S)
            holder.cancel()
            await asyncio.wait([holder], timeout=1.0)

    # --- the connection -------------------------------------------------------------------------------

    async def _connected(self) -> Client:
        async with self._lock:
            if self._client is not None and not self._ended.is_set():
                return self._client
            if self._holder is not None:
                await self.aclose()
            self._client, self._ended, self._is_forgotten = None, asyncio.Event(), False
            opened: asyncio.Future[Client] = asyncio.get_running_loop().create_future()
            self._holder = asyncio.ensure_future(self._hold(opened, self._ended))
            try:
                async with asyncio.timeout(self.server.connect_timeout_s):
                    self._client = await opened
            except TimeoutError:
                await self._give_up()
                raise McpError(f"no reply within {self.server.connect_timeout_s:g} s", timed_out=True) from None
            except BaseException:
                await self._give_up()
                raise
            self._connections += 1
            if self._connections > 1:
                self._on_change()
            return self._client

    async def _give_up(self) -> None:
        if self._holder is not None:
            self._holder.cancel()
            await asyncio.wait([self._holder], timeout=_CLOSING_S)
            self._holder = None

    async def _hold(self, opened: asyncio.Future[Client], ended: asyncio.Event) -> None:
        """Open the connection and hold it until it ends: the SDK's must be closed by the task that opened it."""
        with tempfile.TemporaryFile("w+", encoding="utf-8", errors="replace") as log:
            # A server is foreign, and the SDK raises groups of what its tasks raise: all of it is a reason.
            try:
                async with AsyncExitStack() as stack:
                    client = await stack.enter_async_context(self._client_of(log, ended, stack))
                    if not opened.done():
                        opened.set_result(client)
                    listener = asyncio.ensure_future(self._listen(client))
                    try:
                        await ended.wait()
                    finally:
                        listener.cancel()
                        await asyncio.wait([listener])
            except asyncio.CancelledError:
                raise
            except BaseException as error:
                if not opened.done():
                    opened.set_exception(McpError(_words(error) + _last_words(log)))
            finally:
                ended.set()

    def _client_of(self, log: TextIO, ended: asyncio.Event, stack: AsyncExitStack) -> Client:
        server, target = self.server, self.server.local
        if server.command:
            command, *arguments = server.command
            parameters = StdioServerParameters(command=command, args=arguments, env=dict(server.env), cwd=server.cwd)
            target = _watched(stdio_client(parameters, errlog=log), ended)
        elif server.is_sse:
            target = _watched(
                sse_client(server.url, dict(server.headers), server.connect_timeout_s, server.timeout_s), ended
            )
        elif server.url:
            limits = httpx2.Timeout(server.connect_timeout_s, read=server.timeout_s)
            http = httpx2.AsyncClient(headers=dict(server.headers), timeout=limits)
            http.event_hooks = {"response": [self._look_for_session]}
            stack.push_async_callback(http.aclose)
            target = _watched(streamable_http_client(server.url, http_client=http), ended)
        return Client(
            target,
            read_timeout_seconds=server.timeout_s,
            message_handler=self._on_message,
            client_info=Implementation(name="alpha-umi", version=""),
            cache=None,
        )

    async def _look_for_session(self, response: httpx2.Response) -> None:
        refused = response.request.method == "POST" and response.status_code == httpx2.codes.NOT_FOUND
        if refused and "mcp-session-id" in response.request.headers:
            self._is_forgotten = True
            self._ended.set()

    async def _on_message(self, message: IncomingMessage) -> None:
        if isinstance(message, ToolListChangedNotification):  # of a server before 2026
            self._on_change()

    async def _listen(self, client: Client) -> None:
        """Watch for changes of the listing, where the server tells of them."""
        tools = client.server_capabilities.tools
        if tools is None or not tools.list_changed:
            return
        with suppress(Exception):  # an older server, or one that ends the stream: its listing stays as it is
            async with client.listen(tools_list_changed=True) as events:
                async for _ in events:
                    self._on_change()

    def note(self, error: BaseException) -> None:
        """Mark a connection that an error shows to be over."""
        if isinstance(error, MCPError) and error.code == CONNECTION_CLOSED:
            self._ended.set()


@dataclass(frozen=True, slots=True)
class _Explained:
    """Context manager that turns what a request raises into an McpError."""

    connection: McpConnection
    when_ended: str

    def __enter__(self) -> None:
        return None

    def __exit__(self, _: object, error: BaseException | None, __: object) -> None:
        if error is None or isinstance(error, asyncio.CancelledError):
            return
        self.connection.note(error)
        if isinstance(error, TimeoutError) or (isinstance(error, MCPError) and error.code == REQUEST_TIMEOUT):
            limit = f"it did not answer within {self.connection.server.timeout_s:g} s"
            raise McpError(limit, timed_out=True) from None
        if isinstance(error, MCPError) and error.code == CONNECTION_CLOSED:
            raise McpError(self.when_ended) from None
        raise McpError(_words(error)) from None


def _words(error: BaseException) -> str:
    """Message of an exception, of the first one in a group."""
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    if isinstance(error, MCPError):
        return "it ended before it replied" if error.code == CONNECTION_CLOSED else str(error.message)
    if isinstance(error, FileNotFoundError | PermissionError):
        return f"{error.filename or 'the command'}: {error.strerror}"
    return describe(error)


def _last_words(log: TextIO) -> str:
    """Last words of a server on its error output before it ended."""
    with suppress(OSError, ValueError):
        log.seek(0)
        text = log.read().strip()
        if text:
            return f"; it wrote: {text[-_LAST_WORDS:]}"
    return ""


# --- the end of a connection ------------------------------------------------------------------------------


@asynccontextmanager
async def _watched(transport: Any, ended: asyncio.Event) -> AsyncGenerator[Any]:
    """A transport that sets `ended` when the server's side of it closes."""
    async with transport as (read, write):
        yield _WatchedStream(read, ended), write


class _WatchedStream:
    """Stream of messages that tells when it is over."""

    def __init__(self, stream: Any, ended: asyncio.Event) -> None:
        self._stream, self._ended = stream, ended

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)

    def __aiter__(self) -> _WatchedStream:
        return self

    async def __anext__(self) -> Any:
        try:
            return await self._stream.__anext__()
        except StopAsyncIteration:
            self._ended.set()
            raise

    async def __aenter__(self) -> _WatchedStream:
        await self._stream.__aenter__()
        return self

    async def __aexit__(self, *error: Any) -> bool | None:
        return await self._stream.__aexit__(*error)
