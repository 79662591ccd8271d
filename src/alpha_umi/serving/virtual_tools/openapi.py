"""OpenAPI document of the virtual ToolBench."""

from __future__ import annotations

from alpha_umi.serving.virtual_tools.wire import DEEPEST
from alpha_umi.types import Json

_VERSION = "1"
"""Of the interface."""
_TEXT: Json = {"type": "string"}
_REPLY: Json = {
    "type": "object",
    "properties": {"error": _TEXT, "response": {"description": "The API's reply: any JSON value."}},
    "required": ["error", "response"],
}
_REQUEST: Json = {
    "type": "object",
    "properties": {
        "category": _TEXT,
        "tool_name": _TEXT,
        "api_name": _TEXT,
        "tool_input": {
            "description": f"The arguments: an object, or JSON text of one; at most {DEEPEST} levels deep.",
            "anyOf": [{"type": "object"}, _TEXT],
        },
        "strip": _TEXT,
        "toolbench_key": _TEXT,
    },
    "required": ["category", "tool_name", "api_name", "tool_input"],
}
_HEALTH: Json = {
    "type": "object",
    "properties": {
        "status": {"enum": ["ok", "failing", "stopping"]},
        "reason": _TEXT,
        "apis": {"type": "integer"},
        "cached": {"type": "object"},
        "replied": {"type": "object"},
        "faults": {"type": "object"},
    },
    "required": ["status"],
}
_REASONS = {
    "400": "The request was not read to its end.",
    "403": "Host or Origin name another server.",
    "408": "The body came too slowly.",
    "413": "The body is too large.",
    "415": "The body is of another type than application/json.",
    "422": "The body is no request.",
    "429": "An injected fault, or too many requests.",
    "500": "An injected fault.",
    "502": "An injected fault.",
    "503": "An injected fault, replies cannot be kept, or too many connections.",
    "504": "An injected fault.",
}


def openapi_document() -> dict[str, Json]:
    """Make the document: every status that a path can have."""
    paths: dict[str, Json] = {path: {"post": _post(summary)} for path, summary in _PATHS.items()}
    health: Json = {
        "summary": "State of the server and counts of its replies.",
        "responses": {
            "200": _content("It replies.", _HEALTH),
            "503": _content("It stops, or cannot keep replies.", _HEALTH),
            "403": {"description": _REASONS["403"]},
        },
    }
    return {
        "openapi": "3.1.0",
        "info": {"title": "virtual ToolBench", "version": _VERSION},
        "paths": {**paths, "/health": {"get": health}},
    }


_PATHS = {
    "/virtual": "Reply of an API, whole, as StableToolBench's server sends it.",
    "/rapidapi": "Reply of an API, cut as ToolBench's server cuts it.",
}


def _post(summary: str) -> Json:
    responses: dict[str, Json] = {"200": _content("The API's reply, or its error.", _REPLY)}
    return {
        "summary": summary,
        "requestBody": {"required": True, "content": {"application/json": {"schema": _REQUEST}}},
        "responses": {**responses, **{status: {"description": reason} for status, reason in _REASONS.items()}},
    }


def _content(description: str, schema: Json) -> Json:
    return {"description": description, "content": {"application/json": {"schema": schema}}}
