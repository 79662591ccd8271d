"""Responses over HTTP: JSON, errors, streams of events, and work that ends when its client hangs up."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncGenerator, Coroutine
from contextlib import AbstractAsyncContextManager, aclosing
from typing import Any, TypeVar

from fastapi import Request, Response
from fastapi.responses import StreamingResponse

from alpha_umi.serving.endpoint.errors import ApiError
from alpha_umi.types import Json

_Result = TypeVar("_Result")
HUNG_UP = 499
"""Status of a request whose client has gone; nobody reads it."""


def send_json(document: dict[str, Json], status: int = 200) -> Response:
    """Make a response of a JSON object."""
    return Response(dump(document), status_code=status, media_type="application/json")


def refuse(error: ApiError) -> Response:
    """Make the response of an error."""
    response = send_json(error.body, error.status)
    if error.status in (408, 413, 415):
        response.headers["Connection"] = "close"  # the rest of the request is not read
    if error.status == 401:
        response.headers["WWW-Authenticate"] = "Bearer"
    if error.status in (429, 503):
        response.headers["Retry-After"] = "1"
    return response


def dump(document: Json) -> str:
    """Write JSON text; half a character that a model wrote is escaped."""
    text = json.dumps(document, ensure_ascii=False, separators=(",", ":"))
    try:
        text.encode()
    except UnicodeEncodeError:
        return json.dumps(document, separators=(",", ":"))
    return text


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


def send_stream(
    chunks: AsyncGenerator[dict[str, Json]], replying: AbstractAsyncContextManager[None], *, named: bool = False
) -> Response:
    """Send chunks as server-sent events; an error becomes the last of them. `named`: as the Responses API has them."""
    headers = {"Cache-Control": "no-cache", "X-Accel-Buffering": "no"}
    events = _events(chunks, replying, named=named)
    return StreamingResponse(events, media_type="text/event-stream", headers=headers)


async def _events(
    chunks: AsyncGenerator[dict[str, Json]], replying: AbstractAsyncContextManager[None], *, named: bool
) -> AsyncGenerator[str]:
    async with aclosing(chunks):
        try:
            async with replying:
                async for chunk in chunks:
                    yield f"event: {chunk['type']}\ndata: {dump(chunk)}\n\n" if named else f"data: {dump(chunk)}\n\n"
        except ApiError as error:
            yield f"event: error\ndata: {dump(error.event)}\n\n" if named else f"data: {dump(error.body)}\n\n"
            return
        if not named:
            yield "data: [DONE]\n\n"
