"""Valid JSON Schema (2020-12) of a tool's parameters, for endpoints that refuse any other.

Types in words become JSON Schema's where `json_types` is sure of them; others move to the description. Keywords whose
value is not what JSON Schema asks for are left out, older spellings are brought up to date, keywords that JSON Schema
does not know stay. Law: what is written is valid for the metaschema and has `"type": "object"` at its root.
"""

from __future__ import annotations

import re
import warnings
from collections.abc import Callable, Mapping
from typing import cast

from alpha_umi.formats import documents
from alpha_umi.formats.json_types import read_type
from alpha_umi.types import Json, ToolSpec

Schema = dict[str, Json]

TYPES = ("string", "number", "integer", "boolean", "array", "object", "null")
_DEEPEST = 64
_OF_NAMES = ("properties", "patternProperties", "$defs", "definitions", "dependentSchemas")
_ONE = ("items", "additionalProperties", "not", "if", "then", "else", "contains", "propertyNames", "unevaluatedItems",
        "unevaluatedProperties", "contentSchema")  # fmt: skip
_SEVERAL = ("anyOf", "oneOf", "allOf", "prefixItems")
_LEFT_OUT = ("type", "nullable", "additionalItems", "$schema", "$id", "$anchor", "$dynamicAnchor", "$dynamicRef",
             "$vocabulary", "dependencies")  # fmt: skip


def _is_number(value: Json) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def _is_count(value: Json) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0


def _is_names(value: Json) -> bool:
    return isinstance(value, list) and all(isinstance(each, str) for each in value) and len(set(value)) == len(value)


def _is_text(value: Json) -> bool:
    return isinstance(value, str)


def _is_pattern(value: Json) -> bool:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            re.compile(cast("str", value))
    except (re.error, TypeError, OverflowError, RecursionError):
        return False
    return True


_VALID: Mapping[str, Callable[[Json], bool]] = {
    **dict.fromkeys(("title", "description", "format", "$comment"), _is_text),
    "pattern": _is_pattern,
    **dict.fromkeys(("contentEncoding", "contentMediaType"), _is_text),
    **dict.fromkeys(("minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum"), _is_number),
    **dict.fromkeys(("minLength", "maxLength", "minItems", "maxItems", "minContains", "maxContains"), _is_count),
    **dict.fromkeys(("minProperties", "maxProperties"), _is_count),
    **dict.fromkeys(("uniqueItems", "deprecated", "readOnly", "writeOnly"), lambda value: isinstance(value, bool)),
    "multipleOf": lambda value: _is_number(value) and cast("float", value) > 0,
    "enum": lambda value: isinstance(value, list) and bool(value),
    "examples": lambda value: isinstance(value, list),
    "required": _is_names,
    "dependentRequired": lambda value: isinstance(value, dict) and all(map(_is_names, value.values())),
    "$ref": lambda value: isinstance(value, str) and value.startswith("#") and value.isascii() and " " not in value,
}


def write_function(tool: ToolSpec) -> dict[str, Json]:
    """Write a tool as a function whose parameters are valid JSON Schema."""
    declared = documents.write_function(tool)
    return {**declared, "parameters": write_schema(cast("Schema", declared["parameters"]))}


def write_schema(parameters: Mapping[str, Json]) -> Schema:
    """Write the parameters of a tool as valid JSON Schema of an object."""
    root = _of({**parameters, "type": "object"}, 0)
    properties = root.pop("properties", {})
    return {"type": "object", "properties": properties, **{key: item for key, item in root.items() if key != "type"}}


def _value(schema: Json, depth: int) -> Json:
    """Schema of one value: an object, or true or false."""
    if isinstance(schema, bool):
        return schema
    if isinstance(schema, str):
        schema = {"type": schema}
    return _of(schema, depth) if isinstance(schema, dict) and depth < _DEEPEST else {}


def _of(schema: Schema, depth: int) -> Schema:
    written: Schema = {}
    for key, item in _renewed(schema).items():
        if key in _OF_NAMES:
            if isinstance(item, dict):
                names = filter(_is_pattern, item) if key == "patternProperties" else item
                written[key] = {name: _value(item[name], depth + 1) for name in names}
        elif key in _ONE:
            written[key] = _value(item, depth + 1)
        elif key in _SEVERAL:
            if isinstance(item, list) and item:
                written[key] = [_value(each, depth + 1) for each in item]
        elif key not in _LEFT_OUT and (key not in _VALID or _VALID[key](item)):
            written[key] = item
    return _typed(schema, written)


def _renewed(schema: Schema) -> Schema:
    """The schema in the spelling of 2020-12: tuples of items, and bounds that are excluded by a flag."""
    renewed = dict(schema)
    if isinstance(renewed.get("items"), list):
        renewed["prefixItems"] = renewed.pop("items")
        if "additionalItems" in schema:
            renewed["items"] = schema["additionalItems"]
    for flag, bound in (("exclusiveMinimum", "minimum"), ("exclusiveMaximum", "maximum")):
        if renewed.get(flag) is True and bound in renewed:
            renewed[flag] = renewed.pop(bound)
    return renewed


def _typed(declared: Schema, written: Schema) -> Schema:
    """The schema with its type first: a word of JSON Schema or several, or words that the description tells."""
    named = declared.get("type")
    names = named if isinstance(named, list) else [named]
    options: list[Schema] = []
    for name in names:
        options += _options(name) if isinstance(name, str) else []
    if not options or {} in options:
        words = [name for name in names if isinstance(name, str) and _options(name) == [{}]]
        return _told(words, written)
    if declared.get("nullable") is True:
        options.append({"type": "null"})
    types = list(dict.fromkeys(cast("str", option["type"]) for option in options))
    if "array" in types and not {"items", "prefixItems"} & set(written):
        found: list[Json] = [option["items"] for option in options if "items" in option]
        written["items"] = found[0] if found else {}
    return {"type": types[0] if len(types) == 1 else list[Json](types), **written}


def _options(name: str) -> list[Schema]:
    """Schemas of a type in words, each with one type; any value where it is not known for sure."""
    if name in TYPES:
        return [{"type": name}]
    read = read_type(name)
    found = read.schema.get("anyOf")
    options = [cast("Schema", each) for each in found] if isinstance(found, list) else [dict(read.schema)]
    sure = not read.notes and all("type" in option and "pattern" not in option for option in options)
    return options if sure else [{}]


def _told(words: list[str], written: Schema) -> Schema:
    description = ": ".join(
        text for text in (" or ".join(words), written.get("description")) if isinstance(text, str) and text
    )
    rest = {key: item for key, item in written.items() if key != "description"}
    return {**rest, "description": description} if description else rest
