"""Decoding of a call's arguments, and their validation against the JSON Schema that a tool declares.

Environments decide by it whether a call is run at all. A fault is a value, not an exception: a model wrote it.
Only what tool schemas use of JSON Schema is checked; a type that JSON Schema does not know is accepted as it is.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import NoReturn, cast

from alpha_umi.types import Json, ToolSpec

Schema = Mapping[str, Json]


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """Reason for which a call cannot be run."""

    reason: str
    """One sentence that names the argument."""


def read_arguments(spec: ToolSpec, text: str) -> dict[str, Json] | Fault:
    """Return the arguments that `text` holds for `spec`, or the first fault found in them. Total over all strings.

    An argument that the schema does not name is a fault, unless the schema allows `additionalProperties`.
    """
    try:
        value: Json = json.loads(text, parse_constant=_refuse_constant)
    except (ValueError, RecursionError) as error:
        return Fault(reason=f"the arguments are not JSON: {error}")
    if not isinstance(value, dict):
        return Fault(reason=f"the arguments must be a JSON object, not {_kind(value)}")
    schema: dict[str, Json] = {"additionalProperties": False, **spec.parameters, "type": "object"}
    try:
        reason = _check("", value, schema, schema)
    except RecursionError:
        reason = "the arguments are nested too deeply"
    return Fault(reason=reason) if reason else value


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not a JSON value")


def _check(path: str, value: Json, schema: Schema, root: Schema) -> str:
    """Fault of `value`, named by its path; empty where there is none."""
    schema = _resolve(schema, root)
    for check in (_check_type, _check_choice, _check_format, _check_any_of, _check_object, _check_array):
        reason = check(path, value, schema, root)
        if reason:
            return reason
    return ""


def _check_type(path: str, value: Json, schema: Schema, _root: Schema) -> str:
    declared = schema.get("type")
    names = [name for name in declared if isinstance(name, str)] if isinstance(declared, list) else [declared]
    known = [name for name in names if isinstance(name, str) and name in _TYPES]
    if not known or len(known) < len(names) or any(_TYPES[name](value) for name in known):
        return ""
    wanted = " or ".join(_WORDS.get(name, name) for name in known)
    return f"argument '{path}' must be {wanted}, not {_kind(value)}"


def _check_choice(path: str, value: Json, schema: Schema, _root: Schema) -> str:
    choices = schema.get("enum")
    if "const" in schema:
        choices = [schema["const"]]
    if not isinstance(choices, list) or any(_same(value, choice) for choice in choices):
        return ""
    return f"argument '{path}' must be {' or '.join(_show(choice) for choice in choices)}"


def _check_format(path: str, value: Json, schema: Schema, _root: Schema) -> str:
    """Check dates and times by their shape; other formats are not checked."""
    form = schema.get("format")
    known = _FORMATS.get(form) if isinstance(form, str) and isinstance(value, str) else None
    if known is None or re.fullmatch(known[0], cast("str", value)):
        return ""
    return f"argument '{path}' must be {known[1]}, not {json.dumps(value, ensure_ascii=False)}"


def _check_any_of(path: str, value: Json, schema: Schema, root: Schema) -> str:
    options = schema.get("anyOf", schema.get("oneOf"))
    if not isinstance(options, list) or not options:
        return ""
    reasons = [_check(path, value, option, root) for option in options if isinstance(option, dict)]
    if "" in reasons:
        return ""
    reasons = list(dict.fromkeys(reasons))
    return "; or ".join(reasons)


def _check_object(path: str, value: Json, schema: Schema, root: Schema) -> str:
    if not isinstance(value, dict):
        return ""
    declared = schema.get("properties")
    properties: dict[str, Json] = declared if isinstance(declared, dict) else {}
    required = schema.get("required")
    for name in required if isinstance(required, list) else []:
        if isinstance(name, str) and name not in value:
            return f"argument '{_join(path, name)}' is missing"
    others = schema.get("additionalProperties", True)
    for name, item in value.items():
        below = properties.get(name, others)
        if below is False:
            known = ", ".join(properties) or "none"
            return f"argument '{_join(path, name)}' is unknown; known: {known}"
        reason = _check(_join(path, name), item, below, root) if isinstance(below, dict) else ""
        if reason:
            return reason
    return ""


def _check_array(path: str, value: Json, schema: Schema, root: Schema) -> str:
    if not isinstance(value, list):
        return ""
    first, rest = schema.get("prefixItems"), schema.get("items")
    items: list[Json] = [*first] if isinstance(first, list) else []
    items += [rest] * (len(value) - len(items))
    reasons = (
        _check(f"{path}[{index}]", item, below, root)
        for index, (item, below) in enumerate(zip(value, items, strict=False))
        if isinstance(below, dict)
    )
    return next((reason for reason in reasons if reason), "")


def _resolve(schema: Schema, root: Schema) -> Schema:
    """Target of a schema's reference, merged with the keys beside the reference."""
    for _ in range(_MOST_REFERENCES):
        reference = schema.get("$ref")
        if not isinstance(reference, str):
            return schema
        found: Json = dict(root)
        for key in reference.removeprefix("#/").split("/"):
            found = found.get(key) if isinstance(found, dict) else None
        beside = {key: value for key, value in schema.items() if key != "$ref"}
        schema = {**found, **beside} if isinstance(found, dict) else beside
    return {}


def _join(path: str, name: str) -> str:
    return f"{path}.{name}" if path else name


def _same(value: Json, choice: Json) -> bool:
    """JSON equality: `true` is not 1."""
    return value == choice and isinstance(value, bool) == isinstance(choice, bool)


def _show(value: Json) -> str:
    return value if isinstance(value, str) else json.dumps(value)


def _kind(value: Json) -> str:
    return next(_WORDS.get(name, name) for name in _TYPES if _TYPES[name](value))


def _is_integer(value: Json) -> bool:
    return not isinstance(value, bool) and (isinstance(value, int) or (isinstance(value, float) and value.is_integer()))


_TYPES: Mapping[str, Callable[[Json], bool]] = {
    "null": lambda value: value is None,
    "boolean": lambda value: isinstance(value, bool),
    "integer": _is_integer,
    "number": lambda value: isinstance(value, (int, float)) and not isinstance(value, bool),
    "string": lambda value: isinstance(value, str),
    "array": lambda value: isinstance(value, list),
    "object": lambda value: isinstance(value, dict),
}
_MOST_REFERENCES = 20
"""From one to the next."""
_DAY, _CLOCK = r"\d{4}-\d{2}-\d{2}", r"\d{2}:\d{2}(:\d{2}(\.\d+)?)?(Z|[+-]\d{2}:?\d{2})?"
_FORMATS = {
    "date": (_DAY, "a date, YYYY-MM-DD"),
    "time": (_CLOCK, "a time, HH:MM or HH:MM:SS"),
    "date-time": (rf"{_DAY}([Tt ]{_CLOCK})?", "a date and time, YYYY-MM-DDTHH:MM:SS"),
}
_WORDS = {
    "null": "null",
    "boolean": "true or false",
    "integer": "an integer",
    "number": "a number",
    "string": "a string",
    "array": "a list",
    "object": "an object",
}
