"""Guard of the server against pages in a browser: requests for another host, or from another origin, are refused.

A page that a user visits may send requests to servers of the user's machine, by their address or by a name that it
resolves there (DNS rebinding); its Host or Origin then is not the server's.
"""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any, TypeAlias
from urllib.parse import urlsplit

from alpha_umi.types import Json

Scope: TypeAlias = MutableMapping[str, Any]
Receive: TypeAlias = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send: TypeAlias = Callable[[MutableMapping[str, Any]], Awaitable[None]]
LOOPBACK = frozenset({"localhost", "127.0.0.1", "::1"})
OTHER_NAME = "this server is asked under another name, or by a page of another site"
"""Reason of a refusal."""


class HostGuard:
    """ASGI middleware that passes on requests for one of some hosts alone."""

    def __init__(
        self,
        app: Callable[[Scope, Receive, Send], Awaitable[None]],
        hosts: frozenset[str],
        refusal: Json,
        origins: frozenset[str] = frozenset(),
    ) -> None:
        """`refusal`: body of the response to others. `origins`: of pages that may ask, beside those of the hosts."""
        self._app, self._hosts, self._origins = app, hosts, origins
        self._refusal = json.dumps(refusal).encode()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or self._is_ours(scope):
            await self._app(scope, receive, send)
            return
        headers = [(b"content-type", b"application/json"), (b"connection", b"close")]
        await send({"type": "http.response.start", "status": 403, "headers": headers})
        await send({"type": "http.response.body", "body": self._refusal})

    def _is_ours(self, scope: Scope) -> bool:
        named = [value.decode("latin-1") for name, value in scope["headers"] if name == b"host"]
        origins = [value.decode("latin-1") for name, value in scope["headers"] if name == b"origin"]
        return all(_host(f"//{each}") in self._hosts for each in named) and all(
            each in self._origins or _host(each) in self._hosts for each in origins
        )


def hosts_of(host: str) -> frozenset[str]:
    """Hosts under which a server that listens at `host` may be asked; empty: any, as it is open to other machines."""
    return LOOPBACK if host in LOOPBACK or host.startswith("127.") else frozenset()


def _host(address: str) -> str | None:
    try:
        return urlsplit(address).hostname
    except ValueError:
        return None
