"""Signatures of tools, one line each: `weather(city: string "the city", days?: integer) — description`.

Made from `ToolSpec.parameters` alone and the same every time. `?` marks an optional argument, and only
where the tool says which arguments are required at all (ToolBench's documents do not). Types stand as they
were declared, odd ones too. Of a description that ToolBench wrapped into a sentence with the tool's name, the
wrapping is left out: the name says as much.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import cast

from alpha_umi.formats.tool_json import own_words
from alpha_umi.types import Json, ToolSpec

_UNIONS = ("anyOf", "oneOf", "allOf")


def signature(tool: ToolSpec) -> str:
    """Write the signature of a tool as one line; line breaks in names and descriptions become spaces."""
    line = f"{_on_one_line(tool.name)}({_arguments(tool.parameters)})"
    description = _on_one_line(own_words(tool.description))
    return f"{line} — {description}" if description else line


def _arguments(schema: Mapping[str, Json]) -> str:
    properties = schema.get("properties")
    if not isinstance(properties, dict):
        return ""
    required = schema.get("required")
    written: list[str] = []
    for name, argument in properties.items():
        optional = isinstance(required, list) and name not in required
        written.append(f"{_on_one_line(name)}{'?' if optional else ''}: {_argument(argument)}")
    return ", ".join(written)


def _argument(schema: Json) -> str:
    if not isinstance(schema, dict):
        return type_name(schema)
    parts = [type_name(schema)]
    if "default" in schema:
        parts.append(f"= {_compact(schema['default'])}")
    description = schema.get("description")
    if isinstance(description, str) and description.strip():
        parts.append(json.dumps(_on_one_line(description), ensure_ascii=False))
    return " ".join(parts)


def type_name(schema: Json) -> str:
    """Write the type that a schema declares on one line: `string`, `array<number|null>`, `"c"|"f"`; `any` for none."""
    if not isinstance(schema, dict):
        return _on_one_line(schema) if isinstance(schema, str) else _compact(schema)
    if "const" in schema:
        return _compact(schema["const"])
    choices = schema.get("enum")
    if isinstance(choices, list):
        return "|".join(_compact(choice) for choice in choices)
    for key in _UNIONS:
        options = schema.get(key)
        if isinstance(options, list):
            return "|".join(type_name(option) for option in options)
    return _declared(schema)


def _declared(schema: Mapping[str, Json]) -> str:
    declared = schema.get("type")
    if isinstance(declared, list):
        return "|".join(type_name(cast("Json", {**schema, "type": option})) for option in declared)
    if declared == "array" and "items" in schema:
        return f"array<{type_name(schema['items'])}>"
    if declared in ("object", None) and isinstance(schema.get("properties"), dict):
        return f"{{{_arguments(schema)}}}"
    if declared is None:
        reference = schema.get("$ref")
        return reference if isinstance(reference, str) else "any"
    return _on_one_line(declared) if isinstance(declared, str) else _compact(declared)


def _compact(value: Json) -> str:
    return _on_one_line(json.dumps(value, ensure_ascii=False, separators=(",", ":")))


def _on_one_line(text: str) -> str:
    return " ".join(text.split())
