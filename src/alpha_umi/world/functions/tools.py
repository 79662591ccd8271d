"""Invented tools: a need under a name, with a document, names and spellings of its own."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from alpha_umi.types import Json, ToolSpec
from alpha_umi.world.functions.drawing import Values
from alpha_umi.world.functions.naming import Case, domain_word, join_name, parameter_case
from alpha_umi.world.functions.needs import DomainNeeds, FunctionNeed, Parameter, ParameterType
from alpha_umi.world.functions.replies import Reply, draw_reply
from alpha_umi.world.random_streams import RandomStream

_TYPES = {
    ParameterType.STRING: "string",
    ParameterType.INTEGER: "integer",
    ParameterType.NUMBER: "number",
    ParameterType.BOOLEAN: "boolean",
    ParameterType.ENUM: "string",
    ParameterType.DATE: "string",
    ParameterType.TIME: "string",
    ParameterType.OBJECT: "object",
}
_SHAPES = {ParameterType.DATE: "YYYY-MM-DD", ParameterType.TIME: "HH:MM"}


@dataclass(frozen=True, slots=True, kw_only=True)
class OwnParameter:
    """A parameter as a tool has it."""

    of: Parameter
    name: str
    spellings: Mapping[str, str] = field(default_factory=dict[str, str])
    """Value of an enum -> the tool's spelling."""
    fields: Mapping[str, OwnParameter] = field(default_factory=dict[str, "OwnParameter"])
    """Field of an object -> the tool's."""

    def write(self, value: Json) -> Json:
        """An argument as the tool takes it."""
        if self.of.count is not None and isinstance(value, list):
            return [self._write(each) for each in value]
        return self._write(value)

    def _write(self, value: Json) -> Json:
        if isinstance(value, dict):
            return {own.name: own.write(value[name]) for name, own in self.fields.items() if name in value}
        return self.spellings.get(value, value) if isinstance(value, str) else value

    def read(self, value: Json) -> Json:
        """An argument that the tool takes, as the need has it, with the defaults of fields left out."""
        if self.of.count is not None and isinstance(value, list):
            return [self._read(each) for each in value]
        return self._read(value)

    def _read(self, value: Json) -> Json:
        if isinstance(value, dict) and self.fields:
            return _with_defaults(
                self.of.fields,
                {name: own.read(value[own.name]) for name, own in self.fields.items() if own.name in value},
            )
        if isinstance(value, str) and self.spellings:
            return next((known for known, own in self.spellings.items() if own == value), value)
        return int(value) if isinstance(value, float) and value.is_integer() else value


@dataclass(frozen=True, slots=True, kw_only=True)
class InventedTool:
    """A tool of one task."""

    spec: ToolSpec
    domain: str
    need: FunctionNeed
    parameters: Mapping[str, OwnParameter]
    """Parameter of the need -> the tool's; options that it lacks are left out."""
    reply: Reply

    def write(self, values: Values) -> dict[str, Json]:
        """The arguments for values of the need's parameters."""
        return {own.name: own.write(values[name]) for name, own in self.parameters.items() if name in values}

    def read(self, arguments: Values) -> dict[str, Json]:
        """The values of the need's parameters, with defaults for those left out. Null is left out, too."""
        given = {
            name: own.read(arguments[own.name])
            for name, own in self.parameters.items()
            if arguments.get(own.name) is not None
        }
        return _with_defaults(self.need.parameters, given)


def with_defaults(need: FunctionNeed, values: Values) -> dict[str, Json]:
    """The values, with defaults for the parameters and fields left out."""
    given = dict(values)
    for name, parameter in need.parameters.items():
        value = given.get(name)
        if isinstance(value, dict) and parameter.type is ParameterType.OBJECT:
            given[name] = _with_defaults(parameter.fields, value)
    return _with_defaults(need.parameters, given)


def _with_defaults(parameters: Mapping[str, Parameter], values: Values) -> dict[str, Json]:
    defaults = {name: of.default for name, of in parameters.items() if of.default is not None}
    return {**defaults, **values}


@dataclass(frozen=True, slots=True, kw_only=True)
class Style:
    """Conventions of the tools of one task."""

    case: Case
    texts: bool
    """Parameters are described."""
    in_description: bool
    """The descriptions of parameters stand in an Args section of the tool's."""
    closed: bool
    """Schemas forbid further properties."""


def invent_tool(
    rng: RandomStream,
    domain: DomainNeeds,
    need: FunctionNeed,
    style: Style,
    *,
    options: Sequence[str] = (),
    documented: bool = True,
) -> InventedTool:
    """Invent a tool for a need. `options`: optional parameters that it must have; `documented`: never without a doc."""
    case = parameter_case(style.case)
    taken: set[str] = set()
    own: dict[str, OwnParameter] = {}
    for name in _order(rng, need, options):
        own[name] = _invent_parameter(rng, need.parameters[name], case, taken)
    description = "" if not documented and rng.below(8) == 0 else rng.pick(need.docs)
    texts = {name: _describe(rng, parameter) for name, parameter in own.items()} if style.texts else {}
    properties: dict[str, Json] = {
        parameter.name: _schema(rng, parameter, "" if style.in_description else texts.get(name, ""), texts=style.texts)
        for name, parameter in own.items()
    }
    if style.in_description and texts and description:
        lines = [f"    {own[name].name}: {text}" for name, text in texts.items()]
        description = "\n".join([description, "", "Args:", *lines])
    parameters: dict[str, Json] = {
        "type": "object",
        "properties": properties,
        "required": [parameter.name for parameter in own.values() if parameter.of.required],
    }
    if style.closed:
        parameters["additionalProperties"] = False
    name = join_name(rng.pick(need.names), style.case, domain_word(rng, domain.name))
    return InventedTool(
        spec=ToolSpec(name=name, description=description, parameters=parameters),
        domain=domain.name,
        need=need,
        parameters=own,
        reply=draw_reply(rng, need, case),
    )


def _order(rng: RandomStream, need: FunctionNeed, options: Sequence[str]) -> Iterator[str]:
    """The parameters that a tool has, in an order of its own, required ones mostly first."""
    kept = [name for name, of in need.parameters.items() if of.required or name in options or rng.below(100) < 65]
    if rng.below(3) == 0:
        kept = rng.sample(kept, len(kept))
    yield from sorted(kept, key=lambda name: not need.parameters[name].required)


def _invent_parameter(rng: RandomStream, parameter: Parameter, case: Case, taken: set[str]) -> OwnParameter:
    names = [join_name(name, case) for name in parameter.names]
    free = [name for name in names if name not in taken] or [f"{names[0]}_{len(taken)}"]
    name = rng.pick(free)
    taken.add(name)
    inner: set[str] = set()
    return OwnParameter(
        of=parameter,
        name=name,
        spellings=_spell(rng, parameter),
        fields={field: _invent_parameter(rng, of, case, inner) for field, of in parameter.fields.items()},
    )


def _spell(rng: RandomStream, parameter: Parameter) -> dict[str, str]:
    """Spellings of an enum's values: mostly as written, sometimes in another case or with other separators."""
    if parameter.type is not ParameterType.ENUM:
        return {}
    values = enum_values(parameter)
    change = rng.pick(_SPELLINGS) if rng.below(4) == 0 else str
    spelled = {value: change(value) for value in values}
    return spelled if len({*spelled.values()}) == len(spelled) else {value: value for value in values}


_SPELLINGS: tuple[Callable[[str], str], ...] = (
    str.upper,
    str.lower,
    lambda value: value.replace("-", "_"),
    lambda value: value.replace("_", "-"),
    lambda value: value.replace("_", " "),
)


def enum_values(parameter: Parameter) -> list[str]:
    """The values of an enum: those that people mention, and the default."""
    default = [parameter.default] if isinstance(parameter.default, str) else []
    return list(dict.fromkeys([*parameter.choices, *default]))


def _describe(rng: RandomStream, own: OwnParameter) -> str:
    """A parameter's description, with its default where the schema may not say it."""
    text = rng.pick(own.of.docs)
    for known, spelled in own.spellings.items():
        if known != spelled:
            text = re.sub(rf"(?<!\w){re.escape(known)}(?!\w)", lambda _, spelled=spelled: spelled, text)
    if own.of.default is not None and "default" not in text.lower():
        text = f"{text} (default {_shown(own.write(own.of.default))})"
    shape = _SHAPES.get(own.of.type)
    return f"{text}, {shape}" if shape and shape not in text and rng.below(2) else text


def _shown(value: Json) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def _schema(rng: RandomStream, own: OwnParameter, text: str, *, texts: bool) -> Json:
    parameter = own.of
    schema: dict[str, Json] = {"type": _TYPES[parameter.type]}
    if parameter.type is ParameterType.ENUM:
        values = rng.sample(list(own.spellings.values()), len(own.spellings))
        if text and rng.below(7) == 0:
            text = f"{text}. One of: {', '.join(values)}"
        else:
            schema["enum"] = [*values]
    if parameter.type is ParameterType.DATE and rng.below(2):
        schema["format"] = "date"
    if parameter.type is ParameterType.OBJECT:
        schema["properties"] = {
            each.name: _schema(rng, each, _describe(rng, each) if texts else "", texts=texts)
            for each in own.fields.values()
        }
        schema["required"] = [each.name for each in own.fields.values() if each.of.required]
    if parameter.count is not None:
        schema = {"type": "array", "items": schema}
    if text:
        schema["description"] = text
    if parameter.default is not None and (not text or rng.below(2)):
        schema["default"] = own.write(parameter.default)
    return schema
