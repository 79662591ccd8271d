"""ASGI application of the endpoint: addresses, guards, and errors in OpenAI's shape."""

from __future__ import annotations

import logging
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import TypeAlias

from fastapi import FastAPI, Request, Response
from fastapi.middleware.cors import CORSMiddleware
from starlette.exceptions import HTTPException

from alpha_umi.serving.endpoint.errors import ApiError, failed
from alpha_umi.serving.endpoint.openapi import openapi_document
from alpha_umi.serving.endpoint.page import send_file, send_page
from alpha_umi.serving.endpoint.routes import AppOptions, Routes
from alpha_umi.serving.endpoint.sending import refuse, send_json
from alpha_umi.serving.endpoint.served import ServedAgent
from alpha_umi.serving.endpoint.state import State
from alpha_umi.serving.http.guard import OTHER_NAME, HostGuard

_log = logging.getLogger(__name__)
_Route: TypeAlias = Callable[[Request], Awaitable[Response]]


def make_app(served: ServedAgent, options: AppOptions, state: State) -> FastAPI:
    """Create the application. It frees the agent and the state on shutdown; set `state.closing` to announce that."""
    routes = Routes(served, options, state)

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncGenerator[None]:
        async with served.loaded:
            yield
            await served.approvals.aclose()
            if served.named_servers is not None:
                await served.named_servers.aclose()
        if served.toolbox is not None:
            await served.toolbox.__aexit__()
        state.close()

    app = FastAPI(title="alpha-umi", lifespan=lifespan, docs_url=None, redoc_url=None, openapi_url=None)
    app.openapi = openapi_document
    if options.origins:
        origins = list(options.origins)
        app.add_middleware(CORSMiddleware, allow_origins=origins, allow_methods=["*"], allow_headers=["*"])
    if options.hosts:
        refused, origins = ApiError(status=403, message=OTHER_NAME).body, frozenset(options.origins)
        app.add_middleware(HostGuard, hosts=options.hosts, refusal=refused, origins=origins)
    app.state.closing = lambda: False
    app.state.routes = routes
    routes.is_closing = lambda: app.state.closing()
    for path, route, methods in (
        ("/v1/chat/completions", routes.chat, ["POST"]),
        ("/v1/responses", routes.responses, ["POST"]),
        ("/v1/responses/{name}", routes.response, ["GET", "DELETE"]),
        ("/v1/models", routes.models, ["GET"]),
        ("/v1/models/{name:path}", routes.model, ["GET"]),
        ("/", send_page, ["GET"]),
        ("/page/{name}", send_file, ["GET"]),
        ("/agent", routes.agent, ["GET"]),
        ("/runs", routes.run, ["POST"]),
        ("/runs", routes.runs, ["GET"]),
        ("/runs/approvals/{name}", routes.decide, ["POST"]),
        ("/mcp", routes.connect, ["POST"]),
        ("/runs/{name}", routes.kept_run, ["GET"]),
        ("/health", routes.health, ["GET"]),
        ("/metrics", routes.counts, ["GET"]),
        ("/openapi.json", _document, ["GET"]),
    ):
        app.add_route(path, _guarded(route, routes, path), methods=methods)
    app.add_exception_handler(HTTPException, _explain)
    return app


async def _document(_: Request) -> Response:
    return send_json(openapi_document())


def _guarded(route: _Route, routes: Routes, path: str) -> _Route:
    """The route with its errors as responses, and counted."""

    async def guarded(request: Request) -> Response:
        try:
            response = await route(request)
        except ApiError as error:
            response = refuse(error)
        except Exception as error:  # nothing of it may reach a client
            _log.error("a request failed", exc_info=error)
            response = refuse(failed("the server failed; its log says why"))
        routes.metrics.requests.labels(path, response.status_code).inc()
        return response

    return guarded


async def _explain(_: Request, error: Exception) -> Response:
    """Unknown paths and methods in OpenAI's shape."""
    status = error.status_code if isinstance(error, HTTPException) else 500
    reasons = {404: "there is nothing at this address", 405: "this address takes another method"}
    response = refuse(ApiError(status=status, message=reasons.get(status, "the request cannot be served")))
    if isinstance(error, HTTPException) and error.headers:
        response.headers.update(error.headers)
    return response
