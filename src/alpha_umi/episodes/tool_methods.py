"""Tools of an episode as Python methods, for libraries that read a tool's schema from a signature and a docstring."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any, Literal, cast

from alpha_umi.types import ToolSpec

_TYPES = {"string": str, "integer": int, "number": float, "boolean": bool, "array": list, "object": dict}


def tool_method(tool: ToolSpec) -> Callable[..., str]:
    """Method of an object whose `_episode` has the tool, with a signature and a docstring that tell its schema."""

    def call(self: Any, /, **arguments: Any) -> str:
        return self._episode.call(tool.name, arguments).content

    properties = cast("dict[str, dict[str, Any]]", tool.parameters["properties"])
    required = cast("list[str]", tool.parameters.get("required", []))
    lines = [f"    {name}: {_line(str(schema.get('description') or name))}" for name, schema in properties.items()]
    call.__name__ = tool.name
    call.__doc__ = "\n".join([_line(tool.description or tool.name), *(["", "Args:", *lines] if lines else [])])
    call.__annotations__ = {**{name: _hint(schema) for name, schema in properties.items()}, "return": str}
    named = [_parameter(name, schema, name in required) for name, schema in properties.items()]
    self = inspect.Parameter("self", inspect.Parameter.POSITIONAL_ONLY)
    vars(call)["__signature__"] = inspect.Signature([self, *named])
    return call


def _parameter(name: str, schema: dict[str, Any], is_required: bool) -> inspect.Parameter:
    default = inspect.Parameter.empty if is_required else schema.get("default")
    made = inspect.Parameter("name", inspect.Parameter.KEYWORD_ONLY, default=default, annotation=_hint(schema))
    made._name = name  # type: ignore[attr-defined]  # noqa: SLF001  # may be a keyword of Python, such as `from`
    return made


def _line(text: str) -> str:
    return " ".join(text.split())


def _hint(schema: dict[str, Any]) -> Any:
    if "enum" in schema:
        return Literal[tuple(schema["enum"])]
    if schema.get("type") == "array":
        return list[_hint(schema["items"])] if "items" in schema else list
    return _TYPES.get(str(schema.get("type")), str)
