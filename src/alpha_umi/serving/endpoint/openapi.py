"""OpenAPI document of the endpoint: its addresses, the requests that are read, every status that they can have."""

from __future__ import annotations

from functools import cache
from typing import Any

from alpha_umi.serving.endpoint.wire import ApprovalDecision, ChatRequest, McpRequest, ResponsesRequest, RunRequest
from alpha_umi.types import Json

_VERSION = "1"
"""Of the interface."""
_TEXT: Json = {"type": "string"}
_ERROR: Json = {
    "type": "object",
    "properties": {
        "error": {
            "type": "object",
            "properties": {"message": _TEXT, "type": _TEXT, "param": {}, "code": {}},
            "required": ["message", "type", "param", "code"],
        }
    },
    "required": ["error"],
}
_REASONS = {
    "400": "The request cannot be read, or asks for what this server does not do.",
    "401": "The key is missing or wrong.",
    "403": "Host or Origin name another server.",
    "404": "There is no such model or response.",
    "408": "The body came too slowly.",
    "413": "The body is too large.",
    "415": "The body is of another type than application/json.",
    "429": "Too many replies are in progress.",
    "500": "The model failed.",
    "503": "Too many connections, or no tools can be had.",
    "504": "The reply took too long.",
}
_OF_ALL = ("401", "403", "500")
_OF_BODIES = ("400", "404", "408", "413", "415", "429", "503", "504")


@cache
def openapi_document() -> dict[str, Json]:
    """Make the document."""
    name: Json = {"name": "name", "in": "path", "required": True, "schema": {"type": "string", "minLength": 1}}
    deleted: Json = {"summary": "Forget a response.", "parameters": [name], "responses": _responses(_object(), "404")}
    return {
        "openapi": "3.1.0",
        "info": {"title": "alpha-umi", "version": _VERSION},
        "paths": {
            "/v1/chat/completions": {"post": _post("Answer a conversation.", "ChatRequest")},
            "/v1/responses": {"post": _post("Answer a conversation, and keep it.", "ResponsesRequest")},
            "/v1/responses/{name}": {"get": _get("A kept response.", name, "404"), "delete": deleted},
            "/runs": {
                "get": _get("The newest kept runs."),
                "post": _post("Answer a conversation of turns, as a stream of events.", "RunRequest"),
            },
            "/runs/{name}": {"get": _get("A kept run.", name, "404")},
            "/runs/approvals/{name}": {
                "post": {**_post("Approve or refuse a call.", "ApprovalDecision"), "parameters": [name]}
            },
            "/mcp": {"post": _post("Connect to an MCP server, where the server allows it.", "McpRequest")},
            "/agent": {"get": _get("The agent, its searches and the server's tools.", None, "503")},
            "/v1/models": {"get": _get("The models that can be asked.")},
            "/v1/models/{name}": {"get": _get("One of them.", name, "404")},
            "/health": {"get": {"summary": "State of the server.", "responses": _responses(_object(), "503")}},
            "/metrics": {"get": {"summary": "Counts, for Prometheus.", "responses": _responses({"text/plain": {}})}},
        },
        "components": {
            "schemas": _schemas(),
            "securitySchemes": {"key": {"type": "http", "scheme": "bearer"}},
        },
        "security": [{"key": []}, {}],
    }


def _schemas() -> dict[str, Json]:
    schemas: dict[str, Json] = {}
    for kind in (ChatRequest, ResponsesRequest, RunRequest, ApprovalDecision, McpRequest):
        schema: dict[str, Any] = kind.model_json_schema(ref_template="#/components/schemas/{model}")
        schemas |= schema.pop("$defs", {})
        schemas[kind.__name__] = schema
    return schemas


def _post(summary: str, kind: str) -> dict[str, Json]:
    content: dict[str, Json] = {**_object(), "text/event-stream": {"schema": _TEXT}}
    body: Json = {
        "required": True,
        "content": {"application/json": {"schema": {"$ref": f"#/components/schemas/{kind}"}}},
    }
    return {"summary": summary, "requestBody": body, "responses": _responses(content, *_OF_BODIES)}


def _get(summary: str, parameter: Json = None, *statuses: str) -> Json:
    parameters: list[Json] = [] if parameter is None else [parameter]
    return {"summary": summary, "parameters": parameters, "responses": _responses(_object(), *statuses)}


def _responses(content: dict[str, Json], *statuses: str) -> dict[str, Json]:
    error: Json = {"application/json": {"schema": _ERROR}}
    refused: dict[str, Json] = {
        status: {"description": _REASONS[status], "content": error} for status in sorted({*_OF_ALL, *statuses})
    }
    return {"200": {"description": "As asked.", "content": content}, **refused}


def _object() -> dict[str, Json]:
    return {"application/json": {"schema": {"type": "object"}}}
