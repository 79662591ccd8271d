"""The tool service's protocol: what is asked, what is replied, and ToolBench's own words for what goes wrong.

The request is `{category, tool_name, api_name, tool_input, strip, toolbench_key}`, the reply `{error, response}`.
Names arrive as declared or as ToolBench standardises them, with the category behind the tool's or not: all of these
are one address here, and so are all ways to write the same arguments.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import cast

from alpha_umi.environments.http import TASK_HEADER
from alpha_umi.environments.reference import read_status
from alpha_umi.formats.tool_json import NAME_LENGTH, Api, argument_name, category_name, standard_name
from alpha_umi.types import Json, Observation, ToolStatus

NOT_WORKING = "API not working error..."
TOO_MANY = "Too many requests error..."
UNAUTHORIZED = "Unauthorized error..."
NOT_READ = "Tool input parse error...\n"


@dataclass(frozen=True, slots=True, kw_only=True)
class ApiAddress:
    """Which API is meant, by standard names."""

    category: str
    tool: str
    api: str

    @property
    def function(self) -> str:
        """The name by which models call it."""
        return f"{self.api}_for_{self.tool}"[-NAME_LENGTH:]

    def __str__(self) -> str:
        return f"API {self.api!r} of tool {self.tool!r} in category {self.category!r}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """One request."""

    address: ApiAddress
    arguments: Mapping[str, Json]
    strip: str = ""
    key: str = ""
    task: str = ""
    """The task within which a world is asked; may be empty."""

    @property
    def canonical(self) -> str:
        """One text, in ASCII, for all ways to write the same arguments."""
        return json.dumps(self.arguments, sort_keys=True, separators=(",", ":"))


@dataclass(frozen=True, slots=True, kw_only=True)
class Reply:
    """One reply."""

    error: str = ""
    response: Json = ""
    status: ToolStatus = ToolStatus.OK
    extra: Mapping[str, Json] = field(default_factory=dict[str, Json])
    """What else a foreign reply held; sent on as it came."""

    @property
    def body(self) -> dict[str, Json]:
        return {"error": self.error, "response": self.response, **self.extra}

    def dump(self) -> str:
        return json.dumps(self.body)


@dataclass(frozen=True, slots=True, kw_only=True)
class Unreadable:
    """A request that is none of the protocol's."""

    reason: str
    http_status: int = 422


def address_of(category: str, tool: str, api: str) -> ApiAddress:
    """The address that names mean, standardised or not."""
    folder = category_name(category)
    bare = tool.removesuffix(f"_for_{folder}")
    name = argument_name(api)
    for ending in (tool, standard_name(bare)):
        name = name.removesuffix(f"_for_{ending}") if ending else name
    return ApiAddress(category=_whole(folder), tool=standard_name(bare), api=name)


def address_of_api(api: Api) -> ApiAddress:
    return address_of(api.category, api.tool, api.name)


def read_request(body: bytes, headers: Mapping[str, str]) -> Asked | Reply | Unreadable:
    """What is asked; a Reply where only the arguments cannot be read, as ToolBench's server replies then."""
    try:
        document: object = json.loads(body)
    except (ValueError, RecursionError) as error:
        return Unreadable(reason=f"the request is no JSON: {error}")
    if not isinstance(document, dict):
        return Unreadable(reason="the request must be a JSON object")
    fields = cast("dict[str, Json]", document)
    for name in ("category", "tool_name", "api_name"):
        if not isinstance(fields.get(name), str):
            return Unreadable(reason=f"the request has no text under '{name}'")
    if "tool_input" not in fields:
        return Unreadable(reason="the request has no 'tool_input'")
    arguments = read_input(fields["tool_input"])
    if arguments is None:
        return Reply(error=NOT_READ, status=ToolStatus.BAD_ARGUMENTS)
    key = _text(fields.get("toolbench_key")) or headers.get("toolbench_key", "")
    return Asked(
        address=address_of(_text(fields["category"]), _text(fields["tool_name"]), _text(fields["api_name"])),
        arguments=arguments,
        strip=_text(fields.get("strip")),
        key=key,
        task=headers.get(TASK_HEADER, ""),
    )


def read_input(value: Json) -> dict[str, Json] | None:
    """The arguments: an object, or JSON text of one; no text at all means none. None: neither."""
    if isinstance(value, str):
        if not value:
            return {}
        try:
            value = cast("Json", json.loads(value))
        except (ValueError, RecursionError):
            return None
    return value if isinstance(value, dict) else None


def read_reply(value: Json) -> Reply | None:
    """A recorded reply; None for what is none."""
    if not isinstance(value, dict) or not value.keys() & {"error", "response"}:
        return None
    error = value.get("error", "")
    extra = {name: item for name, item in value.items() if name not in ("error", "response")}
    text = error if isinstance(error, str) else "" if error is None else json.dumps(error)
    return Reply(
        error=text,
        response=value.get("response", ""),
        status=classify(text),
        extra=extra,
    )


def classify(error: str) -> ToolStatus:
    """What an error of a reply means; none at all is fine."""
    return read_status(error) if error else ToolStatus.OK


def reply_of(observation: Observation) -> Reply:
    """The reply that an http environment reads as this observation, word for word."""
    if observation.status is ToolStatus.OK:
        return Reply(response=observation.content)
    return Reply(error=observation.content, status=observation.status)


def _text(value: Json) -> str:
    return value if isinstance(value, str) else ""


def _whole(text: str) -> str:
    """Half a character, which a category may hold and no file can, is escaped."""
    return text.encode("utf-8", "backslashreplace").decode()
