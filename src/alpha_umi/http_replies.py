"""Replies over HTTP of bounded size: what a server sends, compressed or not, takes no more memory than was granted."""

from __future__ import annotations

import re
import zlib
from typing import Any

import httpx2

_ACCEPTED = "gzip, deflate"
_CHUNK = 1 << 16
_GZIP = b"\x1f\x8b"
_CHARSETS = re.compile(
    r"(utf-?8|utf-?(16|32)(-?[bl]e)?|(us-)?ascii|iso-?8859-\d+|latin-?1|windows-\d+|cp\d+|gb\w+|big5\S*|shift[-_]jis|"
    r"iso-2022-\w+|euc[-_]\w+|koi8-\w|tis-620|mac\w*)",
    re.IGNORECASE,
)
"""Of texts. Python knows others, which are transformations: one of them decompresses."""


class OversizedReplyError(Exception):
    """Reply that is longer than was granted."""


async def send(
    client: httpx2.AsyncClient, method: str, url: httpx2.URL | str, max_bytes: int, **fields: Any
) -> httpx2.Response:
    """Send a request and return the response, its body decompressed and read to the end.

    Raises OversizedReplyError beyond `max_bytes`, before or after decompression, and what httpx2 raises: DecodingError
    for a body that is broken, cut off, or in an encoding that was not asked for.
    """
    headers = {**fields.pop("headers", {}), "Accept-Encoding": _ACCEPTED}
    async with client.stream(method, url, headers=headers, **fields) as reply:
        body = _Body(reply.headers.get("Content-Encoding", ""), max_bytes)
        async for chunk in reply.aiter_raw(_CHUNK):
            body.add(chunk)
        kept = [(name, value) for name, value in reply.headers.multi_items() if name not in _REPLACED]
        return httpx2.Response(
            reply.status_code,
            headers=[*kept, ("content-type", _content_type(reply.headers.get("content-type", "")))],
            content=body.end(),
            request=reply.request,
        )


_REPLACED = ("content-encoding", "content-length", "transfer-encoding", "content-type")


def _content_type(declared: str) -> str:
    """Content type whose charset, if any, is that of a text."""
    kind, *parameters = declared.split(";")
    charset = next((each.partition("=")[2].strip(" \"'") for each in parameters if "charset" in each.lower()), "")
    return f"{kind}; charset={charset}" if _CHARSETS.fullmatch(charset) else kind


class _Body:
    """Body of a reply, decompressed as it arrives."""

    def __init__(self, encoding: str, max_bytes: int) -> None:
        """Raises httpx2.DecodingError for an encoding that is not known here."""
        self._left = max_bytes
        self._max = max_bytes
        self._parts: list[bytes] = []
        self._encoding = encoding.strip().lower()
        if self._encoding not in ("", "identity", "gzip", "x-gzip", "deflate"):
            raise httpx2.DecodingError(f"the reply is encoded as {encoding[:40]!r}, which was not asked for")
        self._inflate = None if self._encoding in ("", "identity") else zlib.decompressobj(zlib.MAX_WBITS | 32)
        self._received = 0

    def add(self, chunk: bytes) -> None:
        self._received += len(chunk)
        if self._received > self._max:
            raise OversizedReplyError
        if self._inflate is None:
            self._keep(chunk)
            return
        if self._encoding == "deflate" and self._received == len(chunk) and not _has_zlib_header(chunk):
            self._inflate = zlib.decompressobj(-zlib.MAX_WBITS)
        try:
            self._decompress(self._inflate, chunk)
        except zlib.error as error:
            raise httpx2.DecodingError(f"the reply is no whole {self._encoding}: {error}") from None

    def _decompress(self, inflate: zlib._Decompress, chunk: bytes) -> None:
        while True:
            part = inflate.decompress(chunk, _CHUNK)
            self._keep(part)
            chunk = inflate.unconsumed_tail
            if inflate.eof:
                chunk = inflate.unused_data
                if not chunk.startswith(_GZIP):  # what follows is no further member
                    return
                self._inflate = inflate = zlib.decompressobj(zlib.MAX_WBITS | 32)
            elif not chunk and len(part) < _CHUNK:
                return

    def _keep(self, part: bytes) -> None:
        self._left -= len(part)
        if self._left < 0:
            raise OversizedReplyError
        self._parts.append(part)

    def end(self) -> bytes:
        if self._inflate is not None and self._received and not self._inflate.eof:
            raise httpx2.DecodingError(f"the reply is no whole {self._encoding}: it was cut off")
        return b"".join(self._parts)


def _has_zlib_header(chunk: bytes) -> bool:
    return len(chunk) > 1 and chunk[0] & 15 == 8 and (chunk[0] << 8 | chunk[1]) % 31 == 0
