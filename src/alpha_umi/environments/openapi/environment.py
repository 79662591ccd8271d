"""Environment of an API that an OpenAPI document describes: every call is one request, and its reply the observation.

What the API sends is data: text is shown as it is, anything else by its type and size. Keys never show in it.
"""

from __future__ import annotations

from urllib.parse import quote

import httpx2

from alpha_umi.arguments import Fault
from alpha_umi.environments.access import Access, AccessLimits, Request, refusal
from alpha_umi.environments.openapi.requests import build_request
from alpha_umi.environments.openapi.tool_file import ApiTools
from alpha_umi.formats.prompts.unknown_tools import unknown_tool
from alpha_umi.loose_json import readable_json
from alpha_umi.types import Call, Observation, ToolSpec, ToolStatus

_READING = ("GET", "HEAD", "OPTIONS")
_TEXTS = ("text/", "application/json", "application/xml", "application/javascript", "application/x-ndjson")


class OpenApiEnvironment:
    """Environment of the operations of one API, which keeps nothing between calls: forks share it."""

    def __init__(self, api: ApiTools, limits: AccessLimits | None = None, access: Access | None = None) -> None:
        """Raises ConfigError where an environment variable with a key is not set."""
        self.api = api
        self._auth = [(each, each.fill()) for each in api.auth]
        keys = [text for _, text in self._auth]
        words = [word for text in keys for word in (text, quote(text, safe=""), text.rpartition(" ")[2])]
        self.access = access or Access(limits or AccessLimits(timeout_s=api.timeout_s), secrets=tuple(words))
        self._operations = {operation.tool.name: operation for operation in api.operations}

    @property
    def tools(self) -> tuple[ToolSpec, ...]:
        return tuple(operation.tool for operation in self._operations.values())

    def fork(self) -> OpenApiEnvironment:
        return self

    async def aclose(self) -> None:
        await self.access.aclose()

    async def execute(self, call: Call) -> Observation:
        operation = self._operations.get(call.name)
        if operation is None:
            return unknown_tool(call.name)
        return await self._send(build_request(operation, self.api.base_url, call.arguments))

    async def _send(self, request: Request | Fault) -> Observation:
        if isinstance(request, Fault):
            return Observation(content=request.reason, status=ToolStatus.BAD_ARGUMENTS)
        reply = await self.access.send(self._with_keys(request), repeatable=request.method in _READING)
        if isinstance(reply, Observation):
            return reply
        if not reply.is_success:
            return refusal(reply, self.access)
        return Observation(content=self.access.redact(_shown(reply)))

    def _with_keys(self, request: Request) -> Request:
        headers, url = dict(request.headers), request.url
        for auth, text in self._auth:
            if auth.place == "header":
                headers[auth.name] = text
            elif auth.place == "cookie":
                headers["Cookie"] = "; ".join(filter(None, (headers.get("Cookie"), f"{auth.name}={quote(text)}")))
            else:
                url += f"{'&' if '?' in url else '?'}{quote(auth.name)}={quote(text, safe='')}"
        return Request(method=request.method, url=url, headers=headers, content=request.content)


def _shown(reply: httpx2.Response) -> str:
    """Text of a reply; of anything else its type and size."""
    kind = reply.headers.get("content-type", "").partition(";")[0].strip().lower()
    if not reply.content:
        return f"the tool answered with status {reply.status_code} and no content"
    if kind and not kind.startswith(_TEXTS) and not kind.endswith(("+json", "+xml")):
        return f"the tool answered with {len(reply.content):,} bytes of {kind}"
    return readable_json(reply.text)
