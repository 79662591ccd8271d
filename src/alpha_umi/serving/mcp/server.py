"""MCP server of an environment: its tools for any MCP client, of either protocol era.

Arguments reach the environment as the client sent them, which checks them by its schemas; what a call or a tool does
wrong is a result that says so in words, never an error of the protocol.
"""

from __future__ import annotations

import json
import logging
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any, cast

from mcp.server.context import ServerRequestContext
from mcp.server.lowlevel import Server
from mcp.types import CallToolRequestParams, CallToolResult, ListToolsResult, PaginatedRequestParams, TextContent, Tool

from alpha_umi.formats.json_schema import write_schema
from alpha_umi.protocols import Environment
from alpha_umi.serving.mcp.tools import PROGRESS
from alpha_umi.types import Call, Json, ToolSpec, ToolStatus

_log = logging.getLogger(__name__)
Lifespan = Callable[[Any], AbstractAsyncContextManager[Any]]


@asynccontextmanager
async def _no_lifespan(_: Any) -> AsyncIterator[None]:
    yield


def make_server(
    environment: Environment,
    *,
    name: str,
    version: str,
    instructions: str | None = None,
    lifespan: Lifespan = _no_lifespan,
) -> Server[Any]:
    """Make the server of an environment; `lifespan` is entered when it starts to serve."""

    async def list_tools(_: ServerRequestContext[Any], __: PaginatedRequestParams | None) -> ListToolsResult:
        return ListToolsResult(tools=[_tool(spec) for spec in environment.tools])

    async def call_tool(context: ServerRequestContext[Any], params: CallToolRequestParams) -> CallToolResult:
        count = 0

        async def report(message: str) -> None:
            nonlocal count
            count += 1
            await context.session.report_progress(count, message=message)

        token = PROGRESS.set(report)
        try:
            return await _call(environment, params.name, params.arguments)
        finally:
            PROGRESS.reset(token)

    return Server(
        name,
        version=version,
        instructions=instructions,
        lifespan=lifespan,
        on_list_tools=list_tools,
        on_call_tool=call_tool,
    )


def _tool(spec: ToolSpec) -> Tool:
    schema = write_schema(spec.parameters)
    return Tool(
        name=spec.name,
        description=spec.description or None,
        input_schema={**schema, "additionalProperties": schema.get("additionalProperties", False)},
    )


async def _call(environment: Environment, name: str, arguments: dict[str, Json] | None) -> CallToolResult:
    text = json.dumps(arguments or {}, ensure_ascii=False)
    # Environments may be third-party code, and the server outlives what one of their calls raises.
    try:
        seen = await environment.execute(Call(name=name, arguments=text))
    except Exception:
        _log.exception("tool %r raised", name)
        return _result(f"{name} failed by a mistake of the server; its log says more", is_error=True)
    if seen.status is not ToolStatus.OK:
        return _result(seen.content, is_error=True)
    return _result(seen.content)


def _result(text: str, *, is_error: bool = False) -> CallToolResult:
    structured = None if is_error else _object(text)
    said = [TextContent(text=text.encode("utf-8", errors="replace").decode("utf-8"))]
    return CallToolResult(content=list(said), structured_content=structured, is_error=is_error)


def _object(text: str) -> dict[str, Json] | None:
    """The object that a text is, for clients that read structured content."""
    try:
        value: object = json.loads(text)
    except (ValueError, RecursionError):
        return None
    return cast("dict[str, Json]", value) if isinstance(value, dict) else None
