"""Calls written as objects: the names under which models put a tool's name and its arguments, and what wraps a call."""

from __future__ import annotations

import json
from collections.abc import Iterator
from itertools import islice

from alpha_umi.literals import UnreadableError, read_value, write_value
from alpha_umi.types import Call, Json

_NAMES = ("name", "tool_name", "function_name", "recipient_name", "function", "tool", "action", "api")
_ARGUMENTS = (
    *("arguments", "parameters", "args", "params", "kwargs", "input", "inputs"),
    *("tool_input", "action_input", "function_args", "tool_args", "tool_arguments", "tool_parameters"),
)
_WRAPPED = (
    *("tool_calls", "function_calls", "tool_uses", "calls", "actions"),
    *("function", "tool_call", "function_call", "tool_use", "tool", "action", "call"),
)
_KEYS = {*_NAMES, *_ARGUMENTS, *_WRAPPED}
_ADDRESS = "functions."
"""Namespace of the offered tools in the recipients of OpenAI's models."""
_MOST_CALLS = 100
"""Calls that are read from one reply."""


def calls_of(value: Json, *, marked: bool) -> tuple[Call, ...]:
    """Return the calls that a value holds. `marked`: the text says that it is a call, so a name alone is one."""
    return tuple(islice(_calls(value, marked, 0), _MOST_CALLS))


def _calls(value: Json, marked: bool, depth: int) -> Iterator[Call]:
    if depth > 3:
        return
    if isinstance(value, list):
        for item in value:
            yield from _calls(item, marked, depth + 1)
        return
    if not isinstance(value, dict):
        return
    name = next((str(value[key]).strip() for key in _NAMES if isinstance(value.get(key), str)), "")
    given = next((key for key in _ARGUMENTS if key in value), None)
    inner = next((key for key in _WRAPPED if isinstance(value.get(key), dict | list)), None)
    if name and (given is not None or marked):
        arguments = value[given] if given else None
        if not _is_schema(arguments):
            yield Call(name=name.removeprefix(_ADDRESS), arguments=write_arguments(arguments))
    elif inner is not None and not name:
        yield from _calls(_sole_call(value, inner), True, depth + 1)
    elif marked and len(value) == 1 and not _KEYS & set(value) and isinstance(only := next(iter(value.values())), dict):
        yield Call(name=next(iter(value)).strip(), arguments=write_arguments(only))  # Apertus


def _sole_call(value: dict[str, Json], inner: str) -> Json:
    """The wrapped call; arguments that stand beside it are its own."""
    wrapped = value[inner]
    beside = {key: value[key] for key in _ARGUMENTS if key in value}
    return {**beside, **wrapped} if isinstance(wrapped, dict) else wrapped


def _is_schema(arguments: Json) -> bool:
    """Return True for what a tool declares, where a model repeats it."""
    return isinstance(arguments, dict) and arguments.get("type") == "object" and "properties" in arguments


def write_arguments(given: Json) -> str:
    """Write arguments as JSON text; text that holds a literal object becomes it, other text stays as it is."""
    if given is None or given == "":
        return "{}"
    if not isinstance(given, str):
        return write_value(given)
    text = given.strip()
    try:
        json.loads(text, strict=False)
    except (ValueError, RecursionError):
        pass
    else:
        return text
    try:
        value, end = read_value(text, 0)
    except UnreadableError:
        return given
    return write_value(value) if isinstance(value, dict) and end == len(text) else given


def first_object(arguments: str) -> str:
    """Return the arguments of one call; of two objects one after the other (two calls in one) the first."""
    text = arguments.strip()
    if not text:
        return "{}"
    if not text.startswith("{"):
        return arguments
    try:
        value, end = read_value(text, 0)
    except UnreadableError:
        return arguments
    return text[:end] if isinstance(value, dict) and text[end:].lstrip().startswith("{") else arguments
