"""The web page: its files, read once from the package, and the policy that keeps it to this server."""

from __future__ import annotations

from functools import cache
from importlib.resources import files
from pathlib import Path

from fastapi import Request, Response

from alpha_umi.serving.endpoint.errors import ApiError

_FOLDER = Path(__file__).parents[1] / "page"
_REPORT_STYLE = Path(str(files("alpha_umi.report"))) / "page.css"
"""Colours, turns, trees and cards of reports, which the page shares."""
_TYPES = {
    ".html": "text/html; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".svg": "image/svg+xml",
}
HEADERS = {
    "Content-Security-Policy": "default-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'; "
    "object-src 'none'; require-trusted-types-for 'script'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cache-Control": "no-cache",
}
"""Headers of every file of the page."""


@cache
def _files() -> dict[str, tuple[bytes, str]]:
    """Contents and type of each file, by its name."""
    found = {path.name: path for path in _FOLDER.iterdir() if path.suffix in _TYPES}
    found["report.css"] = _REPORT_STYLE
    return {name: (path.read_bytes(), _TYPES[path.suffix]) for name, path in found.items()}


async def send_page(_: Request) -> Response:
    """Send the page itself."""
    return _send("index.html")


async def send_file(request: Request) -> Response:
    """Send a file of the page. Raises ApiError for another name."""
    return _send(str(request.path_params["name"]))


def _send(name: str) -> Response:
    found = _files().get(name)
    if found is None:
        raise ApiError(status=404, message="there is nothing at this address")
    content, kind = found
    return Response(content, media_type=kind, headers=HEADERS)
