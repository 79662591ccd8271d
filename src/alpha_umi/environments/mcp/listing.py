"""Tools that MCP servers list, as specifications: names of their own, schemas that are valid and short."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace

from mcp.types import Tool

from alpha_umi.environments.schemas import shorten_schema
from alpha_umi.formats.json_schema import write_schema
from alpha_umi.formats.tool_names import unique_names
from alpha_umi.types import Json, ToolSpec

DESCRIPTION_LENGTH = 1024
_LONGEST_SCHEMA = 100_000
"""Characters of a schema as JSON; of a longer one nothing is shown or checked."""


@dataclass(frozen=True, slots=True, kw_only=True)
class McpTool:
    """Tool of an MCP server, and how models see it."""

    server: int
    """Index of its server."""
    declared: str
    """Name on the server."""
    spec: ToolSpec


def list_specs(listings: Iterable[tuple[str, Iterable[Tool]]]) -> tuple[McpTool, ...]:
    """Return the tools of some servers, given by name; of a server's tools under one name the first counts."""
    found: dict[tuple[int, str], Tool] = {}
    names: list[str] = []
    for number, (name, tools) in enumerate(listings):
        names.append(name)
        for tool in tools:
            found.setdefault((number, tool.name), tool)
    models_names = unique_names((names[number], declared) for number, declared in found)
    return tuple(
        McpTool(server=number, declared=declared, spec=replace(_spec(tool), name=name))
        for ((number, declared), tool), name in zip(found.items(), models_names, strict=True)
    )


def _spec(tool: Tool) -> ToolSpec:
    description = tool.description or tool.title or ""
    return ToolSpec(
        name=tool.name,
        description=_cut(description.strip()),
        parameters=_parameters(tool.input_schema),
        confirm=_has_effects(tool),
    )


def _has_effects(tool: Tool) -> bool:
    """Return True for a tool whose server says that it may destroy something; not where it says that it only reads."""
    hints = tool.annotations
    return hints is not None and hints.destructive_hint is True and not hints.read_only_hint


def _parameters(declared: Mapping[str, Json]) -> Mapping[str, Json]:
    """Schema of the arguments; of any object where the declared one cannot be read."""
    anything: dict[str, Json] = {"type": "object", "properties": {}, "additionalProperties": True}
    try:
        if len(json.dumps(declared)) > _LONGEST_SCHEMA:
            return anything
        return shorten_schema(write_schema(declared))
    except (RecursionError, TypeError, ValueError):
        return anything


def _cut(text: str) -> str:
    return text if len(text) <= DESCRIPTION_LENGTH else f"{text[: DESCRIPTION_LENGTH - 3]}..."
