"""ASGI application of the endpoint: routes, keys, limits, streams, and errors in OpenAI's shape."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import AsyncGenerator, Awaitable, Callable, Coroutine
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass
from typing import Any, TypeVar

from fastapi import FastAPI, Request, Response
from fastapi.responses import StreamingResponse
from starlette.exceptions import HTTPException

from alpha_umi.serving.endpoint.asking import Asked, ask, read_chat
from alpha_umi.serving.endpoint.chat import chat_chunks, chat_completion
from alpha_umi.serving.endpoint.errors import ApiError, failed
from alpha_umi.serving.endpoint.memory import CallMemory
from alpha_umi.serving.endpoint.served import ServedAgent
from alpha_umi.serving.endpoint.wire import ChatRequest, read_body
from alpha_umi.serving.http.bodies import Refused, is_key, read_json_body
from alpha_umi.serving.http.guard import OTHER_NAME, HostGuard
from alpha_umi.types import Json

_log = logging.getLogger(__name__)
_Result = TypeVar("_Result")


@dataclass(frozen=True, slots=True, kw_only=True)
class AppOptions:
    """Options of request handling."""

    key: str = ""
    """The bearer key that requests must have; empty: any, or none."""
    hosts: frozenset[str] = frozenset()
    """Hosts under which it may be asked; empty: any."""
    max_body_bytes: int = 8 << 20
    body_s: float = 30.0
    """Longest time in which a request's body arrives, in seconds."""
    request_s: float = 600.0
    """Longest time of a reply, in seconds."""
    most_replies: int = 512
    """Replies in progress; more requests are asked to come later (429)."""


class Desk:
    """What the routes share: the agent, the memory of its calls, and the replies in progress."""

    def __init__(self, served: ServedAgent, options: AppOptions) -> None:
        self.served, self.options = served, options
        self.memory = CallMemory()
        self.in_progress = 0

    async def body(self, request: Request) -> bytes:
        """The body of a request that may be served. Raises ApiError."""
        self.check_key(request)
        options = self.options
        body = await read_json_body(request, max_bytes=options.max_body_bytes, max_seconds=options.body_s)
        if isinstance(body, Refused):
            raise ApiError(status=body.status, message=body.reason)
        return body

    def check_key(self, request: Request) -> None:
        """Refuse a request without the key. Raises ApiError."""
        if not self.options.key:
            return
        scheme, _, given = request.headers.get("authorization", "").partition(" ")
        if scheme.lower() != "bearer" or not is_key(given.strip(), self.options.key):
            said = "this key is not accepted here" if given else "a key is needed here: Authorization: Bearer KEY"
            raise ApiError(status=401, message=said, code="invalid_api_key")

    @asynccontextmanager
    async def replying(self) -> AsyncGenerator[None]:
        """One reply in progress, within its time. Raises ApiError."""
        if self.in_progress >= self.options.most_replies:
            raise ApiError(status=429, message="too many replies are in progress; come again later")
        self.in_progress += 1
        try:
            async with asyncio.timeout(self.options.request_s):
                yield
        except TimeoutError:
            message = f"the reply took longer than {self.options.request_s:g} s"
            raise ApiError(status=504, message=message, code="timeout") from None
        finally:
            self.in_progress -= 1


def make_app(served: ServedAgent, options: AppOptions) -> FastAPI:
    """Create the application. It frees the agent on shutdown; set `state.closing` to announce that."""

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncGenerator[None]:
        async with served.loaded:
            yield
        if served.toolbox is not None:
            await served.toolbox.__aexit__()

    app = FastAPI(title="alpha-umi", lifespan=lifespan, docs_url=None, redoc_url=None, openapi_url=None)
    if options.hosts:
        refused = ApiError(status=403, message=OTHER_NAME)
        app.add_middleware(HostGuard, hosts=options.hosts, refusal=refused.body)
    app.state.closing = lambda: False
    app.state.desk = desk = Desk(served, options)

    async def chat(request: Request) -> Response:
        read = read_body(ChatRequest, await desk.body(request))
        asked = await ask(read_chat(read), served, desk.memory)
        if read.stream:
            with_usage = read.stream_options is not None and bool(read.stream_options.include_usage)
            return stream(desk, chat_chunks(asked, with_usage=with_usage))
        return await answer(desk, request, asked, chat_completion)

    async def models(request: Request) -> Response:
        desk.check_key(request)
        return _json({"object": "list", "data": served.cards})

    async def model(request: Request) -> Response:
        desk.check_key(request)
        name = str(request.path_params["name"])
        served.find(name)
        return _json(served.card(name))

    async def health(_: Request) -> Response:
        status = "stopping" if app.state.closing() else "ok"
        return _json({"status": status, "model": served.name}, 200 if status == "ok" else 503)

    for path, endpoint, method in (
        ("/v1/chat/completions", chat, "POST"),
        ("/v1/models", models, "GET"),
        ("/v1/models/{name:path}", model, "GET"),
        ("/health", health, "GET"),
    ):
        app.add_route(path, _guarded(endpoint), methods=[method])
    app.add_exception_handler(HTTPException, _explain)
    return app


_Route = Callable[[Request], Awaitable[Response]]


def _guarded(route: _Route) -> _Route:
    async def guarded(request: Request) -> Response:
        try:
            return await route(request)
        except ApiError as error:
            return _refuse(error)
        except Exception as error:  # nothing of it may reach a client
            _log.error("a request failed", exc_info=error)
            return _refuse(failed("the server failed; its log says why"))

    return guarded


async def _explain(_: Request, error: Exception) -> Response:
    """Unknown paths and methods in OpenAI's shape."""
    status = error.status_code if isinstance(error, HTTPException) else 500
    reasons = {404: "there is nothing at this address", 405: "this address takes another method"}
    response = _refuse(ApiError(status=status, message=reasons.get(status, "the request cannot be served")))
    if isinstance(error, HTTPException) and error.headers:
        response.headers.update(error.headers)
    return response


# --- replies ----------------------------------------------------------------------------------------------


async def answer(
    desk: Desk, request: Request, asked: Asked, make: Callable[[Asked], Coroutine[Any, Any, dict[str, Json]]]
) -> Response:
    """Answer a request in one piece; a client that hangs up meanwhile cancels the work. Raises ApiError."""
    async with desk.replying():
        made = await until_hang_up(request, make(asked))
    return Response(status_code=499) if made is None else _json(made)


async def until_hang_up(request: Request, work: Coroutine[Any, Any, _Result]) -> _Result | None:
    """Await work; None, and the work is cancelled, where the client hangs up first."""
    task = asyncio.ensure_future(work)
    gone = asyncio.ensure_future(_hang_up(request))
    try:
        await asyncio.wait({task, gone}, return_when=asyncio.FIRST_COMPLETED)
        return task.result() if task.done() else None
    finally:
        for each in (task, gone):
            each.cancel()
        await asyncio.wait({task, gone})


async def _hang_up(request: Request) -> None:
    """Wait until the client has closed the connection; its body is read already."""
    while (await request.receive())["type"] != "http.disconnect":
        pass


def stream(desk: Desk, chunks: AsyncGenerator[dict[str, Json]]) -> Response:
    """Send chunks as server-sent events; an error becomes the last of them."""
    headers = {"Cache-Control": "no-cache", "X-Accel-Buffering": "no"}
    return StreamingResponse(_events(desk, chunks), media_type="text/event-stream", headers=headers)


async def _events(desk: Desk, chunks: AsyncGenerator[dict[str, Json]]) -> AsyncGenerator[str]:
    async with aclosing(chunks):
        try:
            async with desk.replying():
                async for chunk in chunks:
                    yield f"data: {_dump(chunk)}\n\n"
        except ApiError as error:
            yield f"data: {_dump(error.body)}\n\n"
        else:
            yield "data: [DONE]\n\n"


def _json(document: dict[str, Json], status: int = 200) -> Response:
    return Response(_dump(document), status_code=status, media_type="application/json")


def _dump(document: Json) -> str:
    """JSON text; half a character that a model wrote is escaped."""
    text = json.dumps(document, ensure_ascii=False, separators=(",", ":"))
    return text if _is_unicode(text) else json.dumps(document, separators=(",", ":"))


def _is_unicode(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _refuse(error: ApiError) -> Response:
    response = _json(error.body, error.status)
    if error.status in (408, 413, 415):
        response.headers["Connection"] = "close"  # the rest of the request is not read
    if error.status == 401:
        response.headers["WWW-Authenticate"] = "Bearer"
    if error.status in (429, 503):
        response.headers["Retry-After"] = "1"
    return response
