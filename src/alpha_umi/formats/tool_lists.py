"""Lists of tools as chat endpoints and data sets declare them, read as ToolSpecs and written from them.

An entry is OpenAI's `{"type": "function", "function": {...}}`, a bare function, Anthropic's with `input_schema`,
ToolBench's `{Name, function, input}`, or one whose parameters are a mere list of arguments (xLAM). The list may be the
text of one, as JSON, as Python prints it, or with an entry on each line.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import cast

from alpha_umi.errors import DataError
from alpha_umi.formats.documents import read_document
from alpha_umi.formats.json_schema import write_function
from alpha_umi.loose_json import read_loosely
from alpha_umi.types import Json, ToolSpec

_SCHEMAS = ("parameters", "input_schema", "inputSchema", "arguments")
_OPTIONAL = re.compile(r"\s*,?\s*\boptional\b\s*,?\s*", re.IGNORECASE)


def read_tools(tools: Json) -> tuple[ToolSpec, ...]:
    """Read a list of tools, or the text of one; nothing, or an empty text, is none.

    Of tools that are declared twice the first counts. Raises DataError naming the entry.
    """
    if isinstance(tools, str):
        return _read_text(tools)
    return _read_list(tools)


@lru_cache(maxsize=256)
def _read_text(text: str) -> tuple[ToolSpec, ...]:
    stripped = text.strip()
    return _read_list(_decode(stripped)) if stripped and stripped != "null" else ()


def _decode(text: str) -> Json:
    try:
        return read_loosely(text).value
    except ValueError as error:
        lines = [line for line in text.splitlines() if line.strip()]
        if len(lines) < 2:
            raise DataError(f"'tools' is text, and no JSON: {error}") from None
    try:
        return [read_loosely(line).value for line in lines]
    except ValueError as error:
        raise DataError(f"'tools' is text, and no JSON: {error}") from None


def _read_list(tools: Json) -> tuple[ToolSpec, ...]:
    if tools is None:
        return ()
    if isinstance(tools, dict):
        tools = [tools]
    if not isinstance(tools, list):
        raise DataError("'tools' is no list")
    specs: dict[str, ToolSpec] = {}
    for index, entry in enumerate(tools):
        try:
            spec = read_tool(entry)
        except DataError as error:
            raise DataError(f"tools[{index}]: {error}") from None
        specs.setdefault(spec.name, spec)
    return tuple(specs.values())


def read_tool(entry: Json) -> ToolSpec:
    """Read one declaration. Raises DataError for what names no tool."""
    if not isinstance(entry, dict):
        raise DataError("an object is needed")
    if "Name" in entry and "name" not in entry:
        return read_document(entry)
    function = entry.get("function")
    declared = function if isinstance(function, dict) else entry
    name, description = declared.get("name"), declared.get("description")
    if not isinstance(name, str) or not name:
        raise DataError(f"no text under 'name' (its keys: {', '.join(declared)[:100] or 'none'})")
    schema = None
    for key in _SCHEMAS:
        if key in declared:
            schema = declared[key]
            break
    return ToolSpec(
        name=name,
        description=description if isinstance(description, str) else "",
        parameters=_read_parameters(schema, declared.get("required")),
    )


def _read_parameters(schema: Json, required: Json) -> Mapping[str, Json]:
    if schema is None or schema == {}:
        return {}
    if not isinstance(schema, dict):
        raise DataError("its parameters are no object")
    if isinstance(schema.get("properties"), dict) or not _is_listing(schema):
        beside = {"required": required} if isinstance(required, list) and required and "required" not in schema else {}
        return {**schema, **beside} if beside else schema
    needed = [name for name, each in schema.items() if not _is_optional(cast("Mapping[str, Json]", each))]
    if isinstance(required, list):
        needed = [name for name in required if isinstance(name, str) and name in schema]
    properties: dict[str, Json] = {name: _argument(cast("Mapping[str, Json]", each)) for name, each in schema.items()}
    return {"type": "object", "properties": properties, "required": list[Json](needed)}


def _is_listing(schema: Mapping[str, Json]) -> bool:
    """Tell whether parameters are named arguments, without the schema of an object around them."""
    return all(isinstance(each, dict) for each in schema.values()) and not any(key.startswith("$") for key in schema)


def _is_optional(argument: Mapping[str, Json]) -> bool:
    declared = argument.get("type")
    return "default" in argument or (isinstance(declared, str) and _OPTIONAL.search(declared) is not None)


def _argument(argument: Mapping[str, Json]) -> dict[str, Json]:
    declared = argument.get("type")
    if not isinstance(declared, str) or _OPTIONAL.search(declared) is None:
        return dict(argument)
    return {**argument, "type": _OPTIONAL.sub("", declared) or "any"}


def write_tools(tools: Sequence[ToolSpec]) -> list[Json]:
    """Write tools as OpenAI's list, their parameters as valid JSON Schema."""
    return [{"type": "function", "function": cast("Json", write_function(tool))} for tool in tools]
