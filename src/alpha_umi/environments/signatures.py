"""Python functions as tools: a ToolSpec from type hints and docstring, and values of those types from JSON.

Hints that JSON can express are str, int, float, bool, None, Any, list, dict, tuple, Literal, enums, unions and
Annotated (its first text is the description). The docstring gives the rest: what stands before `Args:` describes
the tool, the entries of `Args:` (Google style) describe the arguments.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, Union, cast, get_args, get_origin, get_type_hints, overload

from alpha_umi.errors import ConfigError
from alpha_umi.types import Json, ToolSpec

_PLAIN: Mapping[object, str] = {
    str: "string",
    int: "integer",
    float: "number",
    bool: "boolean",
    NoneType: "null",
    list: "array",
    tuple: "array",
    dict: "object",
}
_ARGUMENT_TITLES = ("Args", "Arguments", "Parameters")
_SECTION = re.compile(
    rf"^\s*({'|'.join(_ARGUMENT_TITLES)}|Returns?|Yields?|Raises|Examples?|Notes?):\s*$", re.MULTILINE
)
_ENTRY = re.compile(r"^(?P<indent>\s+)(?P<name>\*{0,2}\w+)\s*(?:\([^)]*\))?:\s*(?P<text>.*)$")


@dataclass(frozen=True, slots=True, kw_only=True)
class PythonTool:
    """A function with its spec. Calling it calls the function."""

    spec: ToolSpec
    function: Callable[..., Any]
    hints: Mapping[str, Any] = field(default_factory=dict[str, Any])

    def __call__(self, *arguments: Any, **named: Any) -> Any:
        return self.function(*arguments, **named)

    def convert(self, arguments: Mapping[str, Json]) -> dict[str, Any]:
        """Arguments that fit the spec, as values of the hinted types."""
        return {name: _convert(value, self.hints.get(name, Any)) for name, value in arguments.items()}


@overload
def tool(function: Callable[..., Any], /) -> PythonTool: ...
@overload
def tool(*, name: str) -> Callable[[Callable[..., Any]], PythonTool]: ...
def tool(
    function: Callable[..., Any] | None = None, /, *, name: str = ""
) -> PythonTool | Callable[[Callable[..., Any]], PythonTool]:
    """Make a function a tool, as `@tool` or `@tool(name="...")`. Sync and async functions both work.

    Raises ConfigError for a parameter whose type JSON cannot express.
    """
    if function is not None:
        return _make(function, function.__name__)
    return lambda function: _make(function, name)


def _make(function: Callable[..., Any], name: str) -> PythonTool:
    try:
        hints = get_type_hints(function, include_extras=True)
    except (NameError, TypeError) as error:
        raise ConfigError(f"tool {name}: its type hints cannot be resolved: {error}") from None
    summary, texts = _read_docstring(inspect.getdoc(function) or "")
    properties: dict[str, Json] = {}
    required: list[Json] = []
    for parameter in inspect.signature(function).parameters.values():
        where = f"tool {name}, parameter {parameter.name!r}"
        if parameter.kind not in (parameter.POSITIONAL_OR_KEYWORD, parameter.KEYWORD_ONLY):
            raise ConfigError(f"{where}: tools are called by name; make it an ordinary parameter")
        schema = _schema(hints.get(parameter.name, Any), where)
        if parameter.name in texts:
            schema["description"] = texts[parameter.name]
        properties[parameter.name] = schema
        if parameter.default is parameter.empty:
            required.append(parameter.name)
        elif isinstance(parameter.default, (str, int, float, bool)) and not isinstance(parameter.default, Enum):
            schema["default"] = parameter.default
    spec = ToolSpec(
        name=name,
        description=summary,
        parameters={"type": "object", "properties": properties, "required": required},
    )
    return PythonTool(spec=spec, function=function, hints=hints)


def _schema(hint: Any, where: str) -> dict[str, Json]:
    origin, parts = get_origin(hint), get_args(hint)
    if origin is Annotated:
        texts: list[str] = [part for part in parts[1:] if isinstance(part, str)]
        return {**_schema(parts[0], where), **({"description": texts[0]} if texts else {})}
    if hint is Any:
        return {}
    if isinstance(hint, type) and issubclass(hint, Enum):
        return _choice([member.value for member in hint], where)
    if origin is None and hint in _PLAIN:
        return {"type": _PLAIN[hint]}
    if origin is Literal:
        return _choice(parts, where)
    if origin in (Union, UnionType):
        return _union([_schema(part, where) for part in parts])
    if origin is list or (origin is tuple and len(parts) == 2 and parts[1] is Ellipsis):
        return {"type": "array", "items": _schema(parts[0], where)}
    if origin is dict and parts[0] is str:
        return {"type": "object", "additionalProperties": _schema(parts[1], where)}
    raise ConfigError(
        f"{where}: type {hint} cannot be written as JSON; use str, int, float, bool, list, dict or Literal"
    )


def _union(options: list[dict[str, Json]]) -> dict[str, Json]:
    if all(set(option) == {"type"} for option in options):
        return {"type": [option["type"] for option in options]}
    return {"anyOf": [cast("Json", option) for option in options]}


def _choice(values: Sequence[object], where: str) -> dict[str, Json]:
    odd = [value for value in values if not (value is None or isinstance(value, (str, int, float, bool)))]
    if odd:
        raise ConfigError(f"{where}: the choice {odd[0]!r} cannot be written as JSON")
    types = {_PLAIN[type(value)] for value in values if type(value) in _PLAIN}
    declared: dict[str, Json] = {"type": types.pop()} if len(types) == 1 else {}
    return {**declared, "enum": [cast("Json", value) for value in values]}


def _convert(value: Json, hint: Any) -> Any:
    """`value` is known to fit `hint`."""
    origin, parts = get_origin(hint), get_args(hint)
    if origin is Annotated:
        return _convert(value, parts[0])
    if origin in (Union, UnionType):
        return _convert(value, next((part for part in parts if _fits(value, part)), Any))
    if isinstance(hint, type) and issubclass(hint, Enum):
        return hint(value)
    if hint in (int, float) and isinstance(value, (int, float)) and not isinstance(value, bool):
        return hint(value)
    if isinstance(value, list) and (hint in (list, tuple) or origin in (list, tuple)):
        items = [_convert(item, parts[0] if parts else Any) for item in value]
        return tuple(items) if tuple in (hint, origin) else items
    if isinstance(value, dict) and origin is dict:
        return {name: _convert(item, parts[1]) for name, item in value.items()}
    return value


def _fits(value: Json, hint: Any) -> bool:
    """Whether a member of a union is the one meant, by the outermost type."""
    origin = get_origin(hint)
    if origin is Annotated:
        return _fits(value, get_args(hint)[0])
    if origin is Literal:
        return value in get_args(hint)
    if isinstance(hint, type) and issubclass(hint, Enum):
        return value in [member.value for member in hint]
    if hint is float:
        return isinstance(value, float)
    plain = origin or hint
    return isinstance(value, list) if plain is tuple else isinstance(plain, type) and isinstance(value, plain)


def _read_docstring(text: str) -> tuple[str, dict[str, str]]:
    """The description of the tool in one line, and those of its arguments."""
    head, *sections = _SECTION.split(text)
    titled = dict(zip(sections[::2], sections[1::2], strict=True))
    entries = next((titled[title] for title in _ARGUMENT_TITLES if title in titled), "")
    return " ".join(head.split("\n\n")[0].split()), _read_entries(entries)


def _read_entries(text: str) -> dict[str, str]:
    entries: dict[str, str] = {}
    indent, name = None, ""
    for line in text.splitlines():
        entry = _ENTRY.match(line)
        if entry and (indent is None or len(entry["indent"]) <= indent):
            indent, name = len(entry["indent"]), entry["name"].lstrip("*")
            entries[name] = entry["text"].strip()
        elif name and line.strip():
            entries[name] = f"{entries[name]} {line.strip()}".strip()
    return entries
