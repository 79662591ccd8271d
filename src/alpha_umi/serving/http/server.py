"""HTTP server of the application: runs on a port until it is interrupted."""

from __future__ import annotations

import asyncio
import errno
import socket
from collections.abc import Callable

import uvicorn
from starlette.applications import Starlette
from uvicorn.protocols.http.h11_impl import H11Protocol

from alpha_umi.errors import ConfigError

_GRACE_S, _BACKLOG = 3, 2048
HEAD_S = 15.0
"""Longest time in which the head of a request arrives, in seconds."""
MOST_CONNECTIONS = 800
_BUSY = b"HTTP/1.1 503 Service Unavailable\r\nConnection: close\r\nRetry-After: 1\r\nContent-Length: 0\r\n\r\n"
_WHY = {
    errno.EADDRINUSE: "another program listens there; choose another --port, or 0 for any free one",
    errno.EACCES: "this user may not; choose a --port above 1023",
    errno.EADDRNOTAVAIL: "this machine has no such address; choose another --host, such as 127.0.0.1 or 0.0.0.0",
}


def listen(host: str, port: int) -> socket.socket:
    """Open a listening socket; port 0 takes a free one. Raises ConfigError naming the obstacle."""
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)[0]
    except OSError as error:
        raise _refuse(host, port, error) from None
    # asyncio turns Nagle's algorithm off, which would hold replies back for 40 ms, only where the protocol is named.
    listening = socket.socket(found[0], socket.SOCK_STREAM, socket.IPPROTO_TCP)
    try:
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.bind(found[4])
        listening.listen(_BACKLOG)
    except OSError as error:
        listening.close()
        raise _refuse(host, port, error) from None
    return listening


def _refuse(host: str, port: int, error: OSError) -> ConfigError:
    why = _WHY.get(error.errno or 0, error.strerror or str(error))
    return ConfigError(f"cannot listen on port {port} of {host}: {why}")


def address(listening: socket.socket) -> str:
    """Address of the socket, as reached from this machine."""
    host, port = listening.getsockname()[:2]
    shown = {"0.0.0.0": "127.0.0.1", "::": "[::1]"}.get(host, f"[{host}]" if ":" in host else host)  # noqa: S104
    return f"http://{shown}:{port}"


def serve(app: Starlette, listening: socket.socket, ready: Callable[[], None]) -> None:
    """Serve requests until SIGINT or SIGTERM; open requests then get a few seconds to finish."""
    try:
        Server(app, ready).run(sockets=[listening])
    except KeyboardInterrupt:
        pass  # uvicorn raises the signal again once all is closed
    finally:
        listening.close()


class BoundedProtocol(H11Protocol):
    """Connection whose request must begin and end its head in time; beyond the limit of connections it is refused."""

    _late: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # pyright: ignore[reportIncompatibleMethodOverride]
        super().connection_made(transport)
        if len(self.connections) > MOST_CONNECTIONS:
            transport.write(_BUSY)
            transport.close()
            return
        self._watch()

    def data_received(self, data: bytes) -> None:
        if self.transport.is_closing():
            return
        super().data_received(data)
        self._watch()

    def connection_lost(self, exc: Exception | None) -> None:
        self._forget()
        super().connection_lost(exc)

    def _watch(self) -> None:
        """Start the clock where the head of a request is awaited, and stop it where one is whole."""
        if self.cycle is not None and not self.cycle.response_complete:
            self._forget()
        elif self._late is None:
            self._late = self.loop.call_later(HEAD_S, self.transport.close)

    def _forget(self) -> None:
        if self._late is not None:
            self._late.cancel()
            self._late = None


class Server(uvicorn.Server):
    """uvicorn server with a callback when it is ready. Set `should_exit` to end it from another thread."""

    def __init__(self, app: Starlette, ready: Callable[[], None]) -> None:
        config = uvicorn.Config(
            app,
            http=BoundedProtocol,
            ws="none",
            log_level="error",  # half a request, or none at all, is no news
            access_log=False,
            timeout_graceful_shutdown=_GRACE_S,
        )
        super().__init__(config)
        self._ready = ready
        app.state.closing = lambda: self.should_exit

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        if not self.should_exit:
            self._ready()
