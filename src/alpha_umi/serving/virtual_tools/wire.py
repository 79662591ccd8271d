"""Wire protocol of the tool service: requests, replies, and ToolBench's own error texts.

The request is `{category, tool_name, api_name, tool_input, strip, toolbench_key}`, the reply `{error, response}`.
Names arrive as declared or as ToolBench standardises them, with the category behind the tool's or not: all of these
are one address here, and all ways to write the same arguments are equal.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import cast

from alpha_umi.environments.http import TASK_HEADER
from alpha_umi.environments.reference import read_status
from alpha_umi.formats.tool_json import Api, category_name, function_name, spoken_argument, spoken_name, standard_name
from alpha_umi.types import Json, Observation, Reference, ToolStatus

NOT_WORKING = "API not working error..."
TOO_MANY = "Too many requests error..."
UNAUTHORIZED = "Unauthorized error..."
NOT_READ = "Tool input parse error...\n"
DEEPEST = 100
"""Most levels of a request and of its arguments."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ApiAddress:
    """Address of an API: category, tool and API by their spoken names."""

    category: str
    tool: str
    api: str

    @property
    def function(self) -> str:
        """Name by which models call it."""
        return function_name(self.api, self.tool)

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
        """Canonical form of the arguments: the same ASCII text for all ways to write them."""
        return json.dumps(self.arguments, sort_keys=True, separators=(",", ":"))


@dataclass(frozen=True, slots=True, kw_only=True)
class Reply:
    """One reply."""

    error: str = ""
    response: Json = ""
    status: ToolStatus = ToolStatus.OK
    extra: Mapping[str, Json] = field(default_factory=dict[str, Json])
    """Further keys of a recorded reply, sent unchanged."""

    @property
    def body(self) -> dict[str, Json]:
        """JSON body of the reply."""
        return {"error": self.error, "response": self.response, **self.extra}

    def dump(self) -> str:
        """Serialise the reply."""
        return json.dumps(self.body)


@dataclass(frozen=True, slots=True, kw_only=True)
class Unreadable:
    """Request that violates the protocol: the reason, and the HTTP status of the response."""

    reason: str
    http_status: int = 422


def address_of(category: str, tool: str, api: str) -> ApiAddress:
    """Resolve names, standardised or not, to an address."""
    folder = category_name(category)
    bare = tool
    for written in dict.fromkeys((category, folder, standard_name(category), spoken_name(category))):
        bare = bare.removesuffix(f"_for_{written}") if written else bare
    name = spoken_argument(api)
    for ending in (tool, spoken_name(bare)):
        name = name.removesuffix(f"_for_{ending}") if ending else name
    return ApiAddress(category=_whole(folder), tool=spoken_name(bare), api=name)


def address_of_api(api: Api) -> ApiAddress:
    """Address of a documented API."""
    return address_of(api.category, api.tool, api.name)


def read_request(
    body: bytes, headers: Mapping[str, str], *, compat: Reference | None = None
) -> Asked | Reply | Unreadable:
    """Parse a request; a Reply where only the arguments cannot be read, as ToolBench's server replies then.

    `compat`: arguments are read by `read_published_input`.
    """
    try:
        document: object = json.loads(body, parse_constant=_refuse_constant)
    except (ValueError, RecursionError) as error:
        return Unreadable(reason=f"the request is no JSON: {error}")
    if not isinstance(document, dict):
        return Unreadable(reason="the request must be a JSON object")
    if not _is_shallow(cast("Json", document)):
        return Unreadable(reason=f"the request is more than {DEEPEST} levels deep")
    fields = cast("dict[str, Json]", document)
    for name in ("category", "tool_name", "api_name"):
        if not isinstance(fields.get(name), str):
            return Unreadable(reason=f"the request has no text under '{name}'")
    if "tool_input" not in fields:
        return Unreadable(reason="the request has no 'tool_input'")
    arguments = (read_published_input if compat else read_input)(fields["tool_input"])
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
    """Parse arguments: an object, or JSON text of one; empty text is no arguments. None for anything else."""
    if isinstance(value, str):
        if not value:
            return {}
        try:
            value = cast("Json", json.loads(value, parse_constant=_refuse_constant))
        except (ValueError, RecursionError):
            return None
    return value if isinstance(value, dict) and _is_shallow(value) else None


def read_published_input(value: Json) -> dict[str, Json] | None:
    """Parse arguments as ToolBench's server does; None where it stops, too.

    NaN and infinities are numbers, an empty list is no arguments, an object that is no text is not read.
    """
    if value == "":
        return {}
    try:
        found = cast("Json", json.loads(value)) if isinstance(value, str) else None
    except (ValueError, RecursionError):
        return None
    return {} if found == [] else found if isinstance(found, dict) and _is_shallow(found) else None


def _refuse_constant(name: str) -> object:
    raise ValueError(f"{name} is not JSON")


def _is_shallow(value: Json) -> bool:
    """Return True for a value of bounded depth, which whatever reads it later can take."""
    level: list[Json] = [value]
    for _ in range(DEEPEST):
        level = [each for one in level for each in _inside(one)]
        if not level:
            return True
    return False


def _inside(value: Json) -> Iterable[Json]:
    if isinstance(value, dict):
        return value.values()
    return value if isinstance(value, list) else ()


def read_reply(value: Json) -> Reply | None:
    """Parse a recorded reply; None for anything that is none."""
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
    """Status of an observation by the error of its reply; empty is success."""
    return read_status(error) if error else ToolStatus.OK


def reply_of(observation: Observation) -> Reply:
    """Reply that an http environment reads as this observation, word for word."""
    if observation.status is ToolStatus.OK:
        return Reply(response=observation.content)
    return Reply(error=observation.content, status=observation.status)


def _text(value: Json) -> str:
    return value if isinstance(value, str) else ""


def _whole(text: str) -> str:
    """Escape unpaired surrogates, which a category may hold and a file name cannot."""
    return text.encode("utf-8", "backslashreplace").decode()
