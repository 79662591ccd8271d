"""ASGI application of the virtual ToolBench.

`POST /virtual` as StableToolBench's server, `POST /rapidapi` as ToolBench's, `GET /health`, `GET /openapi.json`.

A tool's failure is a reply of the protocol; HTTP errors are for requests that violate the protocol, for a failing
cache, and for injected faults.
"""

from __future__ import annotations

import asyncio
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
from alpha_umi.serving.http.bodies import Refused, is_key, read_json_body
from alpha_umi.serving.http.guard import OTHER_NAME, HostGuard
from alpha_umi.serving.virtual_tools.faults import Fault, Faults, Kind
from alpha_umi.serving.virtual_tools.openapi import openapi_document
from alpha_umi.serving.virtual_tools.service import VirtualTools
from alpha_umi.serving.virtual_tools.wire import (
    TOO_MANY,
    UNAUTHORIZED,
    Asked,
    Reply,
    Unreadable,
    read_request,
)
from alpha_umi.types import Json, Reference, ToolStatus

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
    hosts: frozenset[str] = frozenset()
    """Hosts under which it may be asked; empty: any."""
    compat: Reference | None = None
    """Arguments are read as published, NaN included."""
    body_s: float = 30.0
    """Longest time in which a request's body arrives, in seconds."""


@dataclass(slots=True, kw_only=True)
class _AppState:
    tools: VirtualTools
    options: AppOptions
    closing: Callable[[], bool]
    failure: str = ""
    """The error for which the last reply could not be kept; empty: it was."""


def make_app(tools: VirtualTools, options: AppOptions) -> FastAPI:
    """Create the application. It closes `tools` on shutdown; set `state.closing` to announce that."""

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        yield
        await tools.aclose()

    app = FastAPI(title="virtual ToolBench", lifespan=lifespan, docs_url=None, redoc_url=None)
    app.openapi = openapi_document
    if options.hosts:
        app.add_middleware(HostGuard, hosts=options.hosts, refusal={"error": OTHER_NAME, "response": ""})
    app.state.closing = lambda: False
    state = _AppState(tools=tools, options=options, closing=lambda: app.state.closing())

    async def virtual(request: Request) -> Response:
        return await _answer(request, state, max_chars=None)

    async def rapidapi(request: Request) -> Response:
        return await _answer(request, state, max_chars=SERVER_CHARS)

    async def health(_: Request) -> Response:
        return await _health(state)

    for path, endpoint in (("/virtual", virtual), ("/rapidapi", rapidapi)):
        app.add_route(path, endpoint, methods=["POST"])
        app.add_route(f"{path}/", endpoint, methods=["POST"])
    app.add_route("/health", health, methods=["GET"])
    return app


async def _health(state: _AppState) -> Response:
    """State of the server: `ok`; `failing`, where replies cannot be kept; `stopping`."""
    try:
        cached = await state.tools.cached()
    except StorageError as error:
        cached, state.failure = {}, str(error)
    status = "stopping" if state.closing() else "failing" if state.failure else "ok"
    document: dict[str, Json] = {
        "status": status,
        "apis": len(state.tools.apis),
        "cached": dict[str, Json](cached),
        "replied": dict[str, Json](state.tools.counts),
        "faults": dict[str, Json](state.options.faults.dealt),
    }
    if state.failure:
        document["reason"] = state.failure
    return _json(json.dumps(document), 200 if status == "ok" else 503)


async def _answer(request: Request, state: _AppState, *, max_chars: int | None) -> Response:
    """Reply to a request, once all of it has arrived in time."""
    body = await read_json_body(request, max_bytes=_LARGEST, max_seconds=state.options.body_s)
    if isinstance(body, Refused):
        return _refuse(body)
    asked = read_request(body, request.headers, compat=state.options.compat)
    match asked:
        case Unreadable(reason=reason, http_status=status):
            return _json(json.dumps({"error": reason, "response": ""}), status)
        case Reply():
            return _send(asked)
        case Asked():
            return await _treat(request, asked, state, max_chars)


async def _treat(request: Request, asked: Asked, state: _AppState, max_chars: int | None) -> Response:
    if state.options.key and not is_key(asked.key, state.options.key):
        said = "this toolbench_key is not accepted here" if asked.key else "a toolbench_key is needed here"
        return _send(Reply(error=UNAUTHORIZED, response=said, status=ToolStatus.ERROR))
    fault = state.options.faults.deal(asked)
    if fault is not None:
        refused = await _meet(fault, request, state.closing)
        if refused is not None:
            return refused
    try:
        reply = await state.tools.reply(asked)
        state.failure = ""
    except StorageError as error:
        _log.error("no reply: %s", error)
        state.failure = str(error)
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


def _refuse(refused: Refused) -> Response:
    """Refuse a request whose rest is not read."""
    response = _json(json.dumps({"error": refused.reason, "response": ""}), refused.status)
    response.headers["Connection"] = "close"
    return response
