"""Python functions as tools: a ToolSpec from type hints and docstring, and values of those types from JSON.

pydantic reads the hints, so whatever it takes can be a parameter: str, int, float, bool, dates and times, enums,
Literal, unions, lists, dicts, TypedDicts, dataclasses and pydantic models. The docstring gives the descriptions.
"""

from __future__ import annotations

import functools
import inspect
import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Annotated, Any, cast, get_args, get_origin, get_type_hints, overload

from pydantic import TypeAdapter, ValidationError
from pydantic.errors import PydanticUserError
from pydantic.fields import FieldInfo
from pydantic_core import PydanticSerializationError

from alpha_umi.arguments import Fault
from alpha_umi.environments.docstrings import read_docstring
from alpha_umi.environments.schemas import write_schemas
from alpha_umi.errors import ConfigError
from alpha_umi.types import Json, ToolSpec

_POSITIONAL = "parameter {name!r} can only be given by position, but tools are called by name; drop the '/'"
_SEVERAL = "parameter {name!r} takes any number of arguments, which cannot be described to a model; take a list"
_EXPRESSIBLE = "use str, int, float, bool, list, dict, Literal, an enum, a date, a dataclass or a pydantic model"
_FORBIDDEN = {
    inspect.Parameter.POSITIONAL_ONLY: _POSITIONAL,
    inspect.Parameter.VAR_POSITIONAL: _SEVERAL,
    inspect.Parameter.VAR_KEYWORD: "parameter {name!r} takes arguments of any name, which cannot be described to a "
    "model; name them, or take a dict",
}


class PythonTool:
    """Python function with the ToolSpec that offers it to a model; calling it calls the function.

    Name, docstring and signature are those of the function.
    """

    def __init__(self, function: Callable[..., Any], spec: ToolSpec, types: Mapping[str, TypeAdapter[Any]]) -> None:
        self.function = function
        self.spec = spec
        self.types = types
        self.__name__ = spec.name
        functools.update_wrapper(self, function, updated=())

    def __call__(self, *arguments: Any, **named: Any) -> Any:
        return self.function(*arguments, **named)

    def __get__(self, instance: object | None, owner: type | None = None) -> PythonTool:
        """A tool in the body of a class is a method: read from an object, it is the tool bound to that object."""
        bind = getattr(self.function, "__get__", None)
        bound = self.function if instance is None or bind is None else bind(instance, owner)
        if bound is self.function or not inspect.ismethod(bound):
            return self
        properties = dict(cast("dict[str, Json]", self.spec.parameters["properties"]))
        first = next(iter(properties), "")
        properties.pop(first, None)
        required = [name for name in cast("list[Json]", self.spec.parameters["required"]) if name != first]
        parameters = {**self.spec.parameters, "properties": properties, "required": required}
        types = {name: self.types[name] for name in properties}
        return PythonTool(bound, replace(self.spec, parameters=parameters), types)

    def __repr__(self) -> str:
        return f"<tool {self.spec.name}({', '.join(self.types)})>"

    def convert(self, arguments: Mapping[str, Json]) -> dict[str, Any] | Fault:
        """Arguments that fit the spec, as values of the hinted types; a Fault for what only the types can refuse."""
        values: dict[str, Any] = {}
        for name, value in arguments.items():
            try:
                values[name] = self.types[name].validate_json(json.dumps(value))
            except ValidationError as error:
                return Fault(reason=_reason(name, error))
            except RecursionError:
                return Fault(reason=f"argument '{name}' is nested too deeply")
        return values


def _reason(name: str, error: ValidationError) -> str:
    found = error.errors(include_url=False, include_context=False, include_input=False)[0]
    steps = [step for step in found["loc"] if isinstance(step, int) or step.isidentifier()]
    path = name + "".join(f"[{step}]" if isinstance(step, int) else f".{step}" for step in steps)
    return f"argument '{path}': {found['msg'][:1].lower()}{found['msg'][1:]}"


@overload
def tool(function: Callable[..., Any], /) -> PythonTool: ...
@overload
def tool(
    *, name: str = "", description: str = "", confirm: bool = False
) -> Callable[[Callable[..., Any]], PythonTool]: ...
def tool(
    function: Callable[..., Any] | None = None, /, *, name: str = "", description: str = "", confirm: bool = False
) -> PythonTool | Callable[[Callable[..., Any]], PythonTool]:
    """Make a function a tool, as `@tool`, `@tool()`, `@tool(name="...", description="...")` or `@tool(confirm=True)`.

    `name` is by default the function's, `description` the first paragraph of its docstring. `confirm`: the user is
    asked before a call is run, for tools with effects. Sync and async functions, methods, partials and objects with
    `__call__` all work. Raises ConfigError for a parameter that a model cannot give.
    """
    if function is None:
        return lambda function: as_tool(function, name=name, description=description, confirm=confirm)
    return as_tool(function)


def as_tool(value: Callable[..., Any], *, name: str = "", description: str = "", confirm: bool = False) -> PythonTool:
    """Return a tool as it is, and any other callable as the tool that `@tool` makes of it.

    Raises ConfigError for what is not callable, has no name, or has a parameter that a model cannot give.
    """
    if not isinstance(confirm, bool):
        raise ConfigError(f"@tool(confirm={confirm!r}): it must be True or False")
    if isinstance(value, PythonTool) and not (name or description):
        return PythonTool(value.function, replace(value.spec, confirm=True), value.types) if confirm else value
    if isinstance(value, PythonTool):
        function, confirm = value.function, confirm or value.spec.confirm
    else:
        function = value
    if isinstance(function, classmethod):
        raise ConfigError(f"{_name_of(function.__func__)}: write @classmethod above @tool, not below it")
    if not callable(function):
        wrong = "write @tool(name=...)" if isinstance(function, str) else "name functions"
        raise ConfigError(f"{function!r} of type {type(function).__name__} cannot be called, so it is no tool; {wrong}")
    if isinstance(function, type):
        raise ConfigError(f"{function.__qualname__} is a class, and no tool; take a function or a method of an object")
    name = _word(name) or _name_of(function)
    if not isinstance(description, str):
        raise ConfigError(f"tool {name}: the description is {description!r}, but must be text")
    if inspect.isasyncgenfunction(_routine(function)):
        raise ConfigError(f"tool {name} yields its result asynchronously, piece by piece; let it return a list")
    summary, texts = read_docstring(_docstring_of(function))
    types, properties, required = _read_parameters(function, name, texts)
    schemas, definitions = write_schemas(types)
    written: dict[str, Json] = {each: {**schema, **properties[each]} for each, schema in schemas.items()}
    parameters: dict[str, Json] = {"type": "object", "properties": written, "required": required}
    if definitions:
        parameters["$defs"] = cast("Json", definitions)
    spec = ToolSpec(name=name, description=description or summary, parameters=parameters, confirm=confirm)
    return PythonTool(function, spec, types)


def name_tools(values: Iterable[Callable[..., Any]]) -> dict[str, PythonTool]:
    """Tools by name, in their order; functions become tools.

    Raises ConfigError for what cannot be a tool, and when two have one name.
    """
    named: dict[str, PythonTool] = {}
    for each in map(as_tool, values):
        name = each.spec.name
        if "self" in cast("dict[str, Json]", each.spec.parameters["properties"]):
            raise ConfigError(f"tool {name} has a parameter 'self': give the method of an object, not of its class")
        if name in named:
            one, other = _where(named[name]), _where(each)
            twice = f"{one} is given twice" if one == other else f"{one} and {other}; rename one with @tool(name=...)"
            raise ConfigError(f"two tools are called {name!r}: {twice}")
        named[name] = each
    return named


def _where(each: PythonTool) -> str:
    """A tool's function, as a person finds it in the source."""
    code = getattr(inspect.unwrap(_underlying(each.function)), "__code__", None)
    line = f" ({Path(code.co_filename).name}:{code.co_firstlineno})" if code is not None else ""
    return f"{getattr(each, '__qualname__', each.spec.name)}{line}"


# --- functions --------------------------------------------------------------------------------------------


def _underlying(function: Callable[..., Any]) -> Callable[..., Any]:
    while isinstance(function, functools.partial):
        function = function.func
    return function


def _routine(function: Callable[..., Any]) -> Callable[..., Any]:
    """Holder of the type hints: the function itself, or the `__call__` of an object."""
    inner = _underlying(function)
    return inner if inspect.isroutine(inner) or hasattr(inner, "__wrapped__") else type(inner).__call__


def _docstring_of(function: Callable[..., Any]) -> str:
    inner, routine = _underlying(function), _routine(function)
    # An undocumented `__call__` inherits words that say nothing.
    return inspect.cleandoc(routine.__doc__ or "") or inspect.getdoc(inner) or ""


def _name_of(function: Callable[..., Any]) -> str:
    name = getattr(_underlying(function), "__name__", None)
    if not isinstance(name, str) or not name.isidentifier():
        what = "a lambda" if name == "<lambda>" else f"an object of type {type(function).__name__}"
        raise ConfigError(f"{what} has no name to call it by; give it one: tool(name='...')(...)")
    return name


def _word(name: object) -> str:
    """The name that a tool is given. Raises ConfigError for what is not one word, as calls are written."""
    if not isinstance(name, str) or (name and name.split() != [name]):
        raise ConfigError(f"a tool cannot be called {name!r}; its name must be one word")
    return name


def _read_parameters(
    function: Callable[..., Any], name: str, texts: Mapping[str, str]
) -> tuple[dict[str, TypeAdapter[Any]], dict[str, dict[str, Json]], list[Json]]:
    """The types of the parameters, their descriptions and defaults, and the names of the required ones."""
    try:
        parameters = inspect.signature(function).parameters
    except (TypeError, ValueError):
        raise ConfigError(f"tool {name}: Python does not know its parameters; call it in a function of yours") from None
    fixed = function.keywords if isinstance(function, functools.partial) else {}
    hints = _hints(function, name)
    types: dict[str, TypeAdapter[Any]] = {}
    beside: dict[str, dict[str, Json]] = {}
    required: list[Json] = []
    for key, parameter in parameters.items():
        if key in fixed:
            continue
        if parameter.kind in _FORBIDDEN:
            raise ConfigError(f"tool {name}, {_FORBIDDEN[parameter.kind].format(name=key)}")
        default, hint = parameter.default, hints.get(key, Any)
        where = f"tool {name}, parameter {key!r}"
        if isinstance(default, FieldInfo):
            raise ConfigError(f"{where}: write {key}: Annotated[..., Field(...)] = default, not Field as the default")
        types[key] = _adapter(hint, where)
        if default is None and not _takes_none(types[key]):
            types[key] = _adapter(hint | None, where)
        text = texts.get(key) or _note(hint)
        beside[key] = {"description": text} if text else {}
        if default is parameter.empty:
            required.append(key)
        else:
            beside[key] |= _default(default, types[key])
    return types, beside, required


def _hints(function: Callable[..., Any], name: str) -> dict[str, Any]:
    """The types of the parameters. Not that of the result, whose hint may name what is imported for checks alone."""
    routine = _routine(function)
    annotations = {key: hint for key, hint in getattr(routine, "__annotations__", {}).items() if key != "return"}
    scope = getattr(inspect.unwrap(routine), "__globals__", {})
    try:
        return get_type_hints(SimpleNamespace(__annotations__=annotations), globalns=scope, include_extras=True)
    except (NameError, TypeError, AttributeError, SyntaxError) as error:
        raise ConfigError(
            f"tool {name}: its type hints cannot be read: {error}; name types that are defined in its module"
        ) from None


def _adapter(hint: Any, where: str) -> TypeAdapter[Any]:
    # Types may write their own schemas, so more than pydantic's errors can come out of them.
    try:
        adapter: TypeAdapter[Any] = TypeAdapter(hint)
        write_schemas({"it": adapter})
    except PydanticUserError as error:
        advice = error.message if error.code == "typed-dict-version" else _EXPRESSIBLE
        raise ConfigError(f"{where}: type {_shown(hint)} cannot be written as JSON; {advice}") from None
    except (NameError, TypeError, ValueError, RecursionError) as error:
        raise ConfigError(f"{where}: type {_shown(hint)} cannot be read: {error}") from None
    return adapter


def _takes_none(adapter: TypeAdapter[Any]) -> bool:
    try:
        adapter.validate_json("null")
    except ValidationError:
        return False
    return True


def _shown(hint: Any) -> str:
    return hint.__qualname__ if isinstance(hint, type) else str(hint)


def _note(hint: Any) -> str:
    """The first text of Annotated, or that of a `Doc` (PEP 727)."""
    extras = get_args(hint)[1:] if get_origin(hint) is Annotated else ()
    texts = (getattr(each, "documentation", each) for each in extras)
    return next((text for text in texts if isinstance(text, str)), "")


def _default(value: object, adapter: TypeAdapter[Any]) -> dict[str, Json]:
    """A default as JSON; nothing where JSON cannot express it."""
    try:
        return {"default": adapter.dump_python(value, mode="json", warnings=False)}
    except (PydanticSerializationError, ValueError, TypeError, AttributeError, RecursionError):
        return {}
