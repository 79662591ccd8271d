"""Guard of an MCP server by a bearer key."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from alpha_umi.serving.http.bodies import is_key
from alpha_umi.serving.http.guard import Receive, Scope, Send

_REFUSAL = b'{"error": "a key is needed here: Authorization: Bearer KEY"}'


class KeyGuard:
    """ASGI middleware that passes on requests with the key alone."""

    def __init__(self, app: Callable[[Scope, Receive, Send], Awaitable[None]], key: str) -> None:
        self._app, self._key = app, key

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or self._is_allowed(scope):
            await self._app(scope, receive, send)
            return
        headers = [(b"content-type", b"application/json"), (b"www-authenticate", b"Bearer"), (b"connection", b"close")]
        await send({"type": "http.response.start", "status": 401, "headers": headers})
        await send({"type": "http.response.body", "body": _REFUSAL})

    def _is_allowed(self, scope: Scope) -> bool:
        given = [value.decode("latin-1") for name, value in scope["headers"] if name == b"authorization"]
        scheme, _, key = given[0].partition(" ") if len(given) == 1 else ("", "", "")
        return scheme.lower() == "bearer" and is_key(key.strip(), self._key)
