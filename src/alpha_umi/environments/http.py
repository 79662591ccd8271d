"""Environment of ToolBench's tool service, real or virtual (StableToolBench's too): one POST per call.

The request is `{category, tool_name, api_name, tool_input, strip, toolbench_key}`, the reply `{error, response}`. A
service that knows the status sends it in the header `umi-tool-status`, by the names of `types.ToolStatus`; one that
keeps tasks apart (a virtual one of the sealed world) gets the id of the task in the header `umi-task`.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import cast
from urllib.parse import urlsplit

import httpx2

from alpha_umi.arguments import Arguments, Fault, decode_arguments
from alpha_umi.environments.access import Access, AccessLimits, Request, refusal
from alpha_umi.environments.reference import Replies, read_status
from alpha_umi.errors import ConfigError
from alpha_umi.formats.prompts.unknown_tools import unknown_tool
from alpha_umi.formats.tool_json import (
    DESCRIPTION_LENGTH,
    Api,
    argument_name,
    spoken_argument,
    spoken_name,
    standard_name,
    write_trained_spec,
)
from alpha_umi.loose_json import readable_json
from alpha_umi.types import Call, Json, Observation, Reference, ToolSpec, ToolStatus

STATUS_HEADER, TASK_HEADER = "umi-tool-status", "umi-task"
_ANY = ToolSpec(name="", parameters={"additionalProperties": True})
_NONE_DECLARED = ToolSpec(name="", parameters={"properties": {}, "additionalProperties": True})


@dataclass(frozen=True, slots=True, kw_only=True)
class Service:
    """Address, key and options of a tool service."""

    url: str
    key: str = ""
    """Sent as `toolbench_key`; a virtual server needs none."""
    strip: str = "truncate"
    """The service's rule for shortening replies: truncate, filter or random."""
    limits: AccessLimits = field(default_factory=AccessLimits)
    compat: Reference | None = None
    """Names match by their ends and observations read as published, cut at 1,024 characters."""
    description_length: int = DESCRIPTION_LENGTH
    """Characters that are kept of a tool's description; see formats.tool_json.write_trained_spec."""

    def __post_init__(self) -> None:
        try:
            parts = urlsplit(self.url)
        except ValueError as error:
            raise ConfigError(f"the tool service {self.url!r} is no address: {error}") from None
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise ConfigError(f"the tool service {self.url!r} must be like 'http://localhost:8080/virtual'")


class HttpEnvironment:
    """Environment of the APIs of one query behind a tool service, which keeps nothing between calls: forks share it."""

    def __init__(self, service: Service, apis: Sequence[Api], access: Access | None = None, task: str = "") -> None:
        """Of APIs under one name the first is called. `task`: the id that the service gets; empty: none."""
        self.service, self._task = service, task
        self.access = access or Access(service.limits, secrets=(service.key,))
        self._specs: dict[str, ToolSpec] = {}
        self._apis: dict[str, Api] = {}
        for api in apis:
            spec = write_trained_spec(api, service.description_length)
            self._specs.setdefault(spec.name, spec)
            self._apis.setdefault(spec.name, api)

    @property
    def tools(self) -> tuple[ToolSpec, ...]:
        return tuple(self._specs.values())

    def fork(self) -> HttpEnvironment:
        return self

    async def aclose(self) -> None:
        await self.access.aclose()

    async def execute(self, call: Call) -> Observation:
        replies = Replies(self.service.compat) if self.service.compat else None
        api = self._find(call.name)
        if api is None:
            return replies.unknown(call.name) if replies else unknown_tool(call.name)
        arguments = decode_arguments(_ANY if api.required or api.optional else _NONE_DECLARED, call.arguments)
        if isinstance(arguments, Fault) and replies is None:
            return Observation(content=arguments.reason, status=ToolStatus.BAD_ARGUMENTS)
        text = call.arguments
        if replies is None and isinstance(arguments, Arguments) and arguments.mends:
            text = json.dumps(arguments.values, ensure_ascii=False)
        response = await self.access.send(self._request(api, text), once=replies is not None)
        if isinstance(response, Observation):
            return replies.unreachable(response.status) if replies else response
        if replies is not None:
            return replies.read(response.status_code, response.text)
        return read_reply(response, self.access)

    def _find(self, name: str) -> Api | None:
        if name in self._apis or self.service.compat is None:
            return self._apis.get(name)
        # As published: the first whose name ends so, the empty name included.
        return next((api for known, api in self._apis.items() if known.endswith(name)), None)

    def _request(self, api: Api, arguments: str) -> Request:
        published = self.service.compat is not None
        body: Json = {
            "category": api.category,
            "tool_name": standard_name(api.tool) if published else spoken_name(api.tool),
            "api_name": argument_name(api.name) if published else spoken_argument(api.name),
            "tool_input": arguments,
            "strip": self.service.strip,
            "toolbench_key": self.service.key,
        }
        headers = {"toolbench_key": self.service.key}
        # A text that cannot be a header is the id of no known service.
        if self._task and self._task.isascii() and self._task.isprintable():
            headers[TASK_HEADER] = self._task
        return Request(method="POST", url=self.service.url, headers=headers, body=body)


def read_reply(response: httpx2.Response, access: Access) -> Observation:
    """Return a reply of the service as an observation: its text, after any error, as in the training data."""
    if not response.is_success:
        return refusal(response, access)
    try:
        body: object = response.json()
    except (ValueError, RecursionError):
        body = None
    if not isinstance(body, dict) or not {"error", "response"} & set(cast("dict[str, Json]", body)):
        text = access.redact(response.text[:300])
        return Observation(content=f"the tool service sent no reply but: {text}", status=ToolStatus.ERROR)
    reply = cast("dict[str, Json]", body)
    answered, error = _text(reply.get("response")), _text(reply.get("error"))
    content = access.redact(" ".join(filter(None, (error, answered))))
    status = response.headers.get(STATUS_HEADER)
    if status in list(ToolStatus):
        return Observation(content=content, status=ToolStatus(status))
    return Observation(content=content, status=read_status(error) if error else ToolStatus.OK)


def _text(value: Json) -> str:
    if value is None:
        return ""
    return readable_json(value) if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
