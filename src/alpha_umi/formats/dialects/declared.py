"""Types of values that a dialect writes bare, without quotes (`<parameter=zip>02139</parameter>`): the declared ones.

A reply alone cannot tell the text 5 from the number 5, so it is read as the number; what a tool declares can.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import replace

from alpha_umi.formats.json_types import normalise
from alpha_umi.literals import UnreadableError, read_value, write_value
from alpha_umi.types import Call, Json, ToolSpec, Turn

_BARE = re.compile(r"<arg_value>|<(?:\w{1,20}:)?(?:parameter|param|argument|arg)\s*[ =]")
_OPENS, _SEPARATES, _CLOSES = re.compile(r"\s*\{\s*"), re.compile(r"\s*[,:]\s*"), re.compile(r"\s*\}")
_NUMBER = re.compile(r"-?(?:0|[1-9]\d*)(?:\.\d+)?(?:[eE][+-]?\d+)?")


def as_declared(turns: tuple[Turn, ...], tools: Sequence[ToolSpec], text: str) -> tuple[Turn, ...]:
    """Return the turns of a reply `text`, values of its calls as declared where the text writes them bare."""
    if _BARE.search(text) is None:
        return turns
    declared = {tool.name: tool for tool in tools}
    return tuple(
        replace(turn, arguments=_typed(turn.arguments, declared[turn.name]))
        if isinstance(turn, Call) and turn.name in declared
        else turn
        for turn in turns
    )


def _typed(arguments: str, tool: ToolSpec) -> str:
    properties = normalise(tool).schema.get("properties")
    types = properties if isinstance(properties, dict) else {}
    try:
        members = [(key, _value(written, types.get(key))) for key, written in _members(arguments)]
    except UnreadableError:
        return arguments
    return "{" + ", ".join(f"{write_value(key)}: {value}" for key, value in members) + "}"


def _value(written: str, schema: Json) -> str:
    declared = schema.get("type") if isinstance(schema, dict) else None
    is_text = written.startswith('"')
    if declared == "string" and not is_text:
        return write_value(written)
    if declared in ("integer", "number") and is_text:
        inner = str(read_value(written, 0)[0]).strip()
        return inner if _NUMBER.fullmatch(inner) else written
    return written


def _members(arguments: str) -> Iterator[tuple[str, str]]:
    """Names of an object with their values as they are written. Raises UnreadableError for any other text."""
    at = _behind(_OPENS, arguments, 0)
    while not arguments.startswith("}", at):
        key, at = read_value(arguments, at)
        start = _behind(_SEPARATES, arguments, at)
        _, end = read_value(arguments, start)
        yield str(key), arguments[start:end]
        at = _behind(_SEPARATES, arguments, end) if not _CLOSES.match(arguments, end) else arguments.index("}", end)


def _behind(mark: re.Pattern[str], text: str, at: int) -> int:
    found = mark.match(text, at)
    if found is None:
        raise UnreadableError(f"no object at {at}")
    return found.end()
