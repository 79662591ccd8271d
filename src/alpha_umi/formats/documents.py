"""Tool documents: ToolBench's `{Name, function, input}` to and from ToolSpec, without loss.

`input` maps an argument to "type, description", or to "type" alone where none was given. A type that is more than
one word (an array's elements, a list of types) is written as in `signatures`: `array<string>`, `string|null`. A key
or a value of any other shape is kept under `x-toolbench` and written back in its place.
"""

from __future__ import annotations

from collections.abc import Mapping

from alpha_umi.errors import DataError
from alpha_umi.formats.signatures import type_name
from alpha_umi.types import Json, ToolSpec

_VERBATIM = "x-toolbench"
_KEYS = ["Name", "function", "input"]


def write_document(tool: ToolSpec) -> dict[str, Json]:
    """Write the document of a tool as the published prompts show it, one JSON line per tool."""
    verbatim = tool.parameters.get(_VERBATIM)
    if isinstance(verbatim, dict):
        return dict(verbatim)
    properties = tool.parameters.get("properties")
    arguments = properties if isinstance(properties, dict) else {}
    return {
        "Name": tool.name,
        "function": tool.description,
        "input": {name: _write_argument(schema) for name, schema in arguments.items()},
    }


def read_document(document: Mapping[str, Json]) -> ToolSpec:
    """Read the ToolSpec of a document. Raises DataError when it names no tool."""
    name = document.get("Name")
    if not isinstance(name, str):
        raise DataError(f"a tool document has no text under 'Name' (its keys: {', '.join(document) or 'none'})")
    description, arguments = document.get("function"), document.get("input")
    properties: dict[str, Json] = {}
    if isinstance(arguments, dict):
        properties = {key: _read_argument(value) for key, value in arguments.items()}
    tool = ToolSpec(
        name=name,
        description=description if isinstance(description, str) else "",
        parameters={"type": "object", "properties": properties},
    )
    written = write_document(tool)
    if written == document and list(document) == _KEYS:
        return tool
    parameters: dict[str, Json] = {**tool.parameters, _VERBATIM: dict(document)}
    return ToolSpec(name=name, description=tool.description, parameters=parameters)


def _write_argument(schema: Json) -> str:
    if not isinstance(schema, dict):
        return "any"
    declared = schema.get("type")
    is_word = isinstance(declared, str) and not (declared == "array" and "items" in schema)
    text = str(declared) if is_word else type_name(schema)
    description = schema.get("description")
    return f"{text}, {description}" if isinstance(description, str) else text


def _read_argument(text: Json) -> dict[str, Json]:
    if not isinstance(text, str):
        return {"type": "any"}
    declared, comma, description = text.partition(", ")
    return {"type": declared, "description": description} if comma else {"type": declared}


def write_function(tool: ToolSpec) -> dict[str, Json]:
    """Write a tool as a JSON Schema function, without the keys that are kept only to write a source back."""
    parameters = {key: value for key, value in tool.parameters.items() if not key.startswith("x-")}
    return {"name": tool.name, "description": tool.description, "parameters": parameters}
