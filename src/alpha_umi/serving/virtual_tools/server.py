"""HTTP server of the application: runs on a port until it is interrupted."""

from __future__ import annotations

import errno
import socket
from collections.abc import Callable

import uvicorn
from fastapi import FastAPI

from alpha_umi.errors import ConfigError

_GRACE_S, _BACKLOG = 3, 2048
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


def serve(app: FastAPI, listening: socket.socket, ready: Callable[[], None]) -> None:
    """Serve requests until SIGINT or SIGTERM; open requests then get a few seconds to finish."""
    try:
        Server(app, ready).run(sockets=[listening])
    except KeyboardInterrupt:
        pass  # uvicorn raises the signal again once all is closed
    finally:
        listening.close()


class Server(uvicorn.Server):
    """uvicorn server with a callback when it is ready. Set `should_exit` to end it from another thread."""

    def __init__(self, app: FastAPI, ready: Callable[[], None]) -> None:
        super().__init__(uvicorn.Config(app, log_level="warning", access_log=False, timeout_graceful_shutdown=_GRACE_S))
        self._ready = ready
        app.state.closing = lambda: self.should_exit

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        if not self.should_exit:
            self._ready()
