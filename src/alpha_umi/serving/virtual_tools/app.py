"""ASGI application of the virtual ToolBench.

`POST /virtual` as StableToolBench's server, `POST /rapidapi` as ToolBench's, `GET /health`.

A tool's failure is a reply of the protocol; HTTP errors are for requests that violate the protocol, for a failing
cache, and for injected faults.
"""

from __future__ import annotations

import asyncio
import hmac
import json
import logging
import math
import random
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from http import HTTPStatus

from fastapi import FastAPI, Request, Response

from alpha_umi.environments.budgets import SERVER_CHARS, Budget, Cut, shorten
from alpha_umi.environments.http import STATUS_HEADER
from alpha_umi.errors import StorageError
from alpha_umi.serving.virtual_tools.faults import Fault, Faults, Kind
from alpha_umi.serving.virtual_tools.service import VirtualTools
from alpha_umi.serving.virtual_tools.wire import (
    TOO_MANY,
    UNAUTHORIZED,
    Asked,
    Reply,
    Unreadable,
    read_request,
)
from alpha_umi.types import Json, ToolStatus

_log = logging.getLogger(__name__)
_LARGEST = 1 << 20
_POLL_S = 0.1
_FILTERS = (Cut.FILTER, Cut.RANDOM)


@dataclass(frozen=True, slots=True, kw_only=True)
class AppOptions:
    """Options of request handling."""

    key: str = ""
    """The toolbench_key that a request must have; empty: any, or none."""
    faults: Faults = field(default_factory=Faults)
    seed: int = 0
    """Decides for `strip` "random"."""


@dataclass(slots=True, kw_only=True)
class _AppState:
    tools: VirtualTools
    options: AppOptions
    closing: Callable[[], bool]


def make_app(tools: VirtualTools, options: AppOptions) -> FastAPI:
    """Create the application. It closes `tools` on shutdown; set `state.closing` to announce that."""

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        yield
        await tools.aclose()

    app = FastAPI(title="virtual ToolBench", lifespan=lifespan, docs_url=None, redoc_url=None, openapi_url=None)
    app.state.closing = lambda: False
    state = _AppState(tools=tools, options=options, closing=lambda: app.state.closing())

    async def virtual(request: Request) -> Response:
        return await _answer(request, state, max_chars=None)

    async def rapidapi(request: Request) -> Response:
        return await _answer(request, state, max_chars=SERVER_CHARS)

    async def health(_: Request) -> Response:
        document: Json = {
            "status": "ok",
            "apis": len(tools.apis),
            "cached": dict[str, Json](await tools.cached()),
            "replied": dict[str, Json](tools.counts),
            "faults": dict[str, Json](options.faults.dealt),
        }
        return _json(json.dumps(document))

    for path, endpoint in (("/virtual", virtual), ("/rapidapi", rapidapi)):
        app.add_route(path, endpoint, methods=["POST"])
        app.add_route(f"{path}/", endpoint, methods=["POST"])
    app.add_route("/health", health, methods=["GET"])
    return app


async def _answer(request: Request, state: _AppState, *, max_chars: int | None) -> Response:
    body = await _read_body(request)
    asked = read_request(body, request.headers) if body is not None else _TOO_LARGE
    match asked:
        case Unreadable(reason=reason, http_status=status):
            return _json(json.dumps({"error": reason, "response": ""}), status)
        case Reply():
            return _send(asked)
        case Asked():
            return await _treat(request, asked, state, max_chars)


async def _treat(request: Request, asked: Asked, state: _AppState, max_chars: int | None) -> Response:
    if state.options.key and not hmac.compare_digest(asked.key.encode(), state.options.key.encode()):
        said = "this toolbench_key is not accepted here" if asked.key else "a toolbench_key is needed here"
        return _send(Reply(error=UNAUTHORIZED, response=said, status=ToolStatus.ERROR))
    fault = state.options.faults.deal(asked)
    if fault is not None:
        refused = await _meet(fault, request, state.closing)
        if refused is not None:
            return refused
    try:
        reply = await state.tools.reply(asked)
    except StorageError as error:
        _log.error("no reply: %s", error)
        return _json(json.dumps({"error": f"the server cannot keep replies: {error}", "response": ""}), 503)
    response = _send(_strip(reply, asked, state, max_chars))
    if fault is not None and fault.kind is Kind.BROKEN:
        text = bytes(response.body)
        return _json(text[: 1 + int(fault.at * (len(text) - 1))])
    return response


# --- faults ---------------------------------------------------------------------------------------------


async def _meet(fault: Fault, request: Request, closing: Callable[[], bool]) -> Response | None:
    """Apply an injected fault: the response that replaces the reply, or None where the reply is still sent."""
    match fault.kind:
        case Kind.LATENCY:
            await asyncio.sleep(fault.seconds)
            return None
        case Kind.TOO_MANY:
            response = _json(Reply(error=TOO_MANY).dump(), 429)
            response.headers["Retry-After"] = str(math.ceil(fault.seconds))
            return response
        case Kind.SERVER_ERROR:
            return Response(HTTPStatus(fault.status).phrase, status_code=fault.status, media_type="text/plain")
        case Kind.HANG:
            until = time.monotonic() + fault.seconds
            while time.monotonic() < until and not closing() and not await request.is_disconnected():
                await asyncio.sleep(_POLL_S)
            return Response(status_code=504)
        case Kind.BROKEN:
            return None


# --- requests and responses -----------------------------------------------------------------------------


def _strip(reply: Reply, asked: Asked, state: _AppState, max_chars: int | None) -> Reply:
    """Shorten a reply's response: by `strip` to what the tool declares, by ToolBench's own rule to its start."""
    response = reply.response
    if asked.strip in _FILTERS and response:
        response = _filter(response, asked, state)
    if max_chars is not None:
        text = response if isinstance(response, str) else json.dumps(response, ensure_ascii=False)
        response = text[:max_chars]
    return Reply(error=reply.error, response=response, status=reply.status, extra=reply.extra)


def _filter(response: Json, asked: Asked, state: _AppState) -> Json:
    name, api = asked.address.function, state.tools.apis.get(asked.address)
    schema = _read(api.schema) if api is not None and isinstance(api.schema, str) else api.schema if api else None
    text = response if isinstance(response, str) else json.dumps(response)
    budget = Budget(cut=Cut(asked.strip), max_chars=len(text) * 2, schemas={name: schema})
    chance = random.Random(f"{state.options.seed} {name} {asked.canonical}")  # noqa: S311
    kept = shorten(text, budget, name, chance)
    return kept if isinstance(response, str) else _read(kept)


def _read(text: str) -> Json:
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return None


def _send(reply: Reply) -> Response:
    response = _json(reply.dump())
    response.headers[STATUS_HEADER] = reply.status.value
    return response


def _json(content: str | bytes, status: int = 200) -> Response:
    return Response(content, status_code=status, media_type="application/json")


_TOO_LARGE = Unreadable(reason=f"the request is larger than {_LARGEST} bytes", http_status=413)


async def _read_body(request: Request) -> bytes | None:
    """Read the request body; None where it is too large."""
    parts = bytearray()
    async for part in request.stream():
        parts += part
        if len(parts) > _LARGEST:
            return None
    return bytes(parts)
