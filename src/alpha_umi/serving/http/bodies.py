"""Bodies of requests, read within bounds of size and time, and keys compared in constant time."""

from __future__ import annotations

import asyncio
import hmac
from dataclasses import dataclass

from starlette.requests import ClientDisconnect, Request


@dataclass(frozen=True, slots=True)
class Refused:
    """Body that was not read, with the HTTP status that says so. The connection must be closed behind it."""

    status: int
    reason: str


async def read_json_body(request: Request, *, max_bytes: int, max_seconds: float) -> bytes | Refused:
    """Read the body of a request of the type application/json; it is not parsed.

    Programs may leave the type out. A page may not: what has no type is sent by a browser without asking the server.
    """
    unnamed = "" if "origin" in request.headers else "application/json"
    kind = request.headers.get("content-type", unnamed).partition(";")[0].strip().lower()
    if kind != "application/json" and not kind.endswith("+json"):
        return Refused(415, f"the request is of type {kind or 'none'}; application/json is needed")
    declared = request.headers.get("content-length", "0")
    too_large = Refused(413, f"the request is larger than {max_bytes} bytes")
    if declared.isdigit() and int(declared) > max_bytes:
        return too_large
    try:
        async with asyncio.timeout(max_seconds):
            body = await _read(request, max_bytes)
    except TimeoutError:
        return Refused(408, f"the request did not arrive within {max_seconds:g} s")
    except ClientDisconnect:
        return Refused(400, "the request was not sent to its end")
    return too_large if body is None else body


async def _read(request: Request, max_bytes: int) -> bytes | None:
    """Body of a request; None where it is too large."""
    parts = bytearray()
    async for part in request.stream():
        parts += part
        if len(parts) > max_bytes:
            return None
    return bytes(parts)


def is_key(given: str, accepted: str) -> bool:
    """Compare a key with the accepted one, in a time that tells nothing of where they differ."""
    return hmac.compare_digest(*(key.encode(errors="surrogatepass") for key in (given, accepted)))
