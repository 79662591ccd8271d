"""The ASGI application: `POST /virtual` as StableToolBench's server, `POST /rapidapi` as ToolBench's, `GET /health`.

What goes wrong with a tool is a reply of the protocol; HTTP errors are for what is no request of the protocol.
"""

from __future__ import annotations

import hmac
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

from fastapi import FastAPI, Request, Response

from alpha_umi.environments.budgets import SERVER_CHARS
from alpha_umi.serving.virtual_tools.service import VirtualTools
from alpha_umi.serving.virtual_tools.wire import (
    STATUS_HEADER,
    UNAUTHORIZED,
    Asked,
    Reply,
    Unreadable,
    read_request,
)
from alpha_umi.types import ToolStatus

_LARGEST = 1 << 20
_JSON = "application/json"


@dataclass(frozen=True, slots=True, kw_only=True)
class Terms:
    """On which terms requests are answered."""

    key: str = ""
    """The toolbench_key that a request must have; empty: any, or none."""


def make_app(tools: VirtualTools, terms: Terms) -> FastAPI:
    """`tools` is closed when the application is shut down."""

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        yield
        await tools.aclose()

    app = FastAPI(title="virtual ToolBench", lifespan=lifespan, docs_url=None, redoc_url=None)

    async def virtual(request: Request) -> Response:
        return await _answer(request, tools, terms, max_chars=None)

    async def rapidapi(request: Request) -> Response:
        return await _answer(request, tools, terms, max_chars=SERVER_CHARS)

    async def health(_: Request) -> Response:
        document = {
            "status": "ok",
            "apis": len(tools.apis),
            "cached": tools.cached(),
            "replied": dict(tools.counts),
        }
        return Response(json.dumps(document), media_type=_JSON)

    for path, endpoint in (("/virtual", virtual), ("/rapidapi", rapidapi)):
        app.add_route(path, endpoint, methods=["POST"])
        app.add_route(f"{path}/", endpoint, methods=["POST"])
    app.add_route("/health", health, methods=["GET"])
    return app


async def _answer(request: Request, tools: VirtualTools, terms: Terms, *, max_chars: int | None) -> Response:
    body = await _read_body(request)
    asked = read_request(body, request.headers) if body is not None else _TOO_LARGE
    match asked:
        case Unreadable(reason=reason, http_status=status):
            return Response(json.dumps({"error": reason, "response": ""}), status_code=status, media_type=_JSON)
        case Reply():
            return _send(asked)
        case Asked(key=key) if terms.key and not hmac.compare_digest(key.encode(), terms.key.encode()):
            said = "this toolbench_key is not accepted here" if key else "a toolbench_key is needed here"
            return _send(Reply(error=UNAUTHORIZED, response=said, status=ToolStatus.ERROR))
        case Asked():
            return _send(await tools.reply(asked), max_chars)


def _send(reply: Reply, max_chars: int | None = None) -> Response:
    body = reply.body
    if max_chars is not None:
        response = reply.response
        text = response if isinstance(response, str) else json.dumps(response, ensure_ascii=False)
        body = {**body, "response": text[:max_chars]}
    return Response(json.dumps(body), media_type=_JSON, headers={STATUS_HEADER: reply.status.value})


_TOO_LARGE = Unreadable(reason=f"the request is larger than {_LARGEST} bytes", http_status=413)


async def _read_body(request: Request) -> bytes | None:
    """None: it is too large."""
    parts = bytearray()
    async for part in request.stream():
        parts += part
        if len(parts) > _LARGEST:
            return None
    return bytes(parts)
