"""Validation of public functions' arguments: a wrong type, name or value is a ConfigError in words.

Paths are taken as text or Path. Types are the annotations; nothing else declares them.
"""

from __future__ import annotations

import difflib
import inspect
import reprlib
import typing
from collections.abc import Callable, Iterator, Sequence
from functools import wraps
from typing import Any, ParamSpec, TypeVar, cast

from pydantic import ConfigDict, ValidationError, validate_call
from pydantic_core import CoreSchema, ErrorDetails, core_schema

from alpha_umi.config.files import MEMBER
from alpha_umi.errors import ConfigError

_Parameters = ParamSpec("_Parameters")
_Result = TypeVar("_Result")
_ALLOWED = ConfigDict(arbitrary_types_allowed=True)
STRICT = ConfigDict(extra="forbid", arbitrary_types_allowed=True)
"""For TypedDicts of keyword arguments: others are refused."""


class InstanceOnly:
    """Marker in `Annotated` for a class whose instances are taken as they are."""

    def __get_pydantic_core_schema__(self, source: Any, _: object) -> CoreSchema:
        return core_schema.is_instance_schema(source)


_KINDS = {
    "string": "text",
    "int": "a whole number",
    "float": "a number",
    "bool": "true or false",
    "path": "a path",
    "callable": "a function",
    "list": "a list",
    "tuple": "a list",
    "sequence": "a list",
    "dict": "a mapping",
    "mapping": "a mapping",
    "iterable": "a list",
}
_UNKNOWN = ("unexpected_keyword_argument", "extra_forbidden")


def validated(function: Callable[_Parameters, _Result]) -> Callable[_Parameters, _Result]:
    """Check and convert the arguments of every call by the annotations. The function raises ConfigError for wrong ones.

    Sync and async functions; an async one raises when it is awaited.
    """
    checked = validate_call(config=_ALLOWED)(function)

    def explain(error: ValidationError) -> ConfigError:
        return ConfigError(f"{function.__qualname__}: {'; '.join(_explain(function, error))}")

    if inspect.iscoroutinefunction(function):

        @wraps(function)
        async def call_async(*positional: Any, **named: Any) -> Any:
            try:
                return await cast("Any", checked(*positional, **named))
            except ValidationError as error:
                if error.title != function.__qualname__:
                    raise
                raise explain(error) from None

        return cast("Callable[_Parameters, _Result]", call_async)

    @wraps(function)
    def call(*positional: _Parameters.args, **named: _Parameters.kwargs) -> _Result:
        try:
            return checked(*positional, **named)
        except ValidationError as error:
            if error.title != function.__qualname__:
                raise
            raise explain(error) from None

    return call


def _explain(function: Callable[..., object], error: ValidationError) -> Iterator[str]:
    """Error text, one sentence per wrong argument."""
    names = list(inspect.signature(function).parameters)
    wrong: dict[str, list[ErrorDetails]] = {}
    for problem in error.errors(include_url=False):
        first = problem["loc"][0] if problem["loc"] else ""
        name = names[first] if isinstance(first, int) and first < len(names) else str(first)
        wrong.setdefault(name, []).append(problem)
    for name, problems in wrong.items():
        yield _sentence(name, problems, function)


def _sentence(name: str, problems: Sequence[ErrorDetails], function: Callable[..., object]) -> str:
    kinds = {problem["type"] for problem in problems}
    if kinds & {*_UNKNOWN}:
        known = _known(function)
        near = difflib.get_close_matches(name, known, n=1)
        return f"unknown argument {name!r}; " + (f"did you mean {near[0]!r}?" if near else f"known: {', '.join(known)}")
    if "unexpected_positional_argument" in kinds:
        return f"argument {name} has to be named; known: {', '.join(_known(function))}"
    if kinds & {"missing_argument", "missing_keyword_only_argument", "missing"}:
        return f"argument {name!r} is missing"
    if "multiple_argument_values" in kinds:
        return f"argument {name!r} is given twice"
    # Of a union the alternatives that got furthest into the value say most.
    deepest = max(_depth(problem) for problem in problems)
    chosen = [problem for problem in problems if _depth(problem) == deepest]
    wanted = list(dict.fromkeys(_wanted(problem) for problem in chosen))
    at = "".join(f"[{part}]" for part in chosen[0]["loc"][1:] if isinstance(part, int))
    return f"{name}{at} is {reprlib.repr(chosen[0]['input'])}, but must be {' or '.join(wanted)}"


def _depth(problem: ErrorDetails) -> int:
    return sum(isinstance(part, int) for part in problem["loc"][1:])


def _wanted(problem: ErrorDetails) -> str:
    context = problem.get("ctx", {})
    match problem["type"]:
        case "is_instance_of":
            name = str(context.get("class", "")).rpartition(".")[2]
            return "a list" if name in ("Sequence", "Iterable") else f"of type {name}"
        case "literal_error" | "enum":
            return "one of " + MEMBER.sub(r"\1", str(context.get("expected")))
        case "greater_than_equal":
            return f"at least {context.get('ge')}"
        case "greater_than":
            return f"more than {context.get('gt')}"
        case "less_than_equal":
            return f"at most {context.get('le')}"
        case kind if kind.partition("_")[0] in _KINDS:
            return _KINDS[kind.partition("_")[0]]
        case _:
            return str(problem["msg"]).removeprefix("Input should be ").lower()


def _known(function: Callable[..., object]) -> list[str]:
    """Names of all arguments, those of an unpacked TypedDict included."""
    names: list[str] = []
    hints = typing.get_type_hints(function)
    for parameter in inspect.signature(function).parameters.values():
        if parameter.kind is parameter.VAR_KEYWORD:
            for table in typing.get_args(hints.get(parameter.name)):
                names += typing.get_type_hints(table)
        elif parameter.name not in ("self", "cls"):
            names.append(parameter.name)
    return names
