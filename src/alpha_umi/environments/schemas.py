"""JSON Schemas of Python types, written by pydantic and shortened for small models.

References are replaced by what they name, titles are left out, and a union of plain types is a list of types. A type
that holds itself is written out once; below that it stays a reference to `$defs`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, cast

from pydantic import TypeAdapter
from pydantic.json_schema import GenerateJsonSchema

from alpha_umi.types import Json

Schema = dict[str, Json]

_PREFIX = "#/$defs/"
_LONGEST = 60
"""Of a definition, counted in the definitions that are written inside it; a longer one stays a reference."""
_BY_NAME = ("properties", "patternProperties", "dependentSchemas")
_LISTS = ("anyOf", "oneOf", "allOf", "prefixItems")
_SINGLE = ("items", "additionalProperties", "propertyNames", "contains", "not")


def write_schemas(types: Mapping[str, TypeAdapter[Any]]) -> tuple[dict[str, Schema], dict[str, Schema]]:
    """Return the schema of each type by its name, and the definitions that they refer to.

    Raises pydantic's PydanticUserError for a type that JSON cannot express.
    """
    inputs = [(name, "validation", adapter) for name, adapter in types.items()]
    written, rest = TypeAdapter.json_schemas(inputs, schema_generator=_Generator)  # pyright: ignore[reportArgumentType]
    inlining = _Inlining(definitions=cast("dict[str, Schema]", rest.get("$defs", {})))
    schemas = {name: inlining.write(cast("Schema", written[name, "validation"])) for name in types}
    return schemas, inlining.kept()


def shorten_schema(schema: Schema) -> Schema:
    """Shorten the schema of another program: its own definitions inlined, titles left out, `additionalProperties` as
    it says. Raises RecursionError for one that is nested too deeply.
    """
    definitions = schema.get("$defs")
    known = (
        {name: each for name, each in definitions.items() if isinstance(each, dict)}
        if isinstance(definitions, dict)
        else {}
    )
    inlining = _Inlining(definitions=known, closes=False)
    written = inlining.write({key: value for key, value in schema.items() if key != "$defs"})
    kept = inlining.kept()
    return {**written, "$defs": cast("Json", kept)} if kept else written


class _Generator(GenerateJsonSchema):
    """Schema generator without titles of fields, and without warnings for defaults that JSON cannot express."""

    ignored_warning_kinds = {"skipped-choice", "non-serializable-default"}  # noqa: RUF012

    def field_title_should_be_set(self, schema: Any) -> bool:
        return False


@dataclass(slots=True)
class _Inlining:
    definitions: Mapping[str, Schema]
    closes: bool = True
    """True: objects with declared members take no others."""
    used: list[str] = field(default_factory=list[str])
    lasting: set[str] = field(init=False)
    """Definitions that stay references: of types that hold themselves, and long ones."""

    def __post_init__(self) -> None:
        below = {name: list(_references(schema)) for name, schema in self.definitions.items()}
        self.lasting = {name for name in below if name in _reached(name, below)}
        sizes: dict[str, int] = {}

        def size(name: str) -> int:
            if name in self.lasting or name not in below:
                return 1
            if name not in sizes:
                sizes[name] = 1 + sum(size(each) for each in below[name])
                if sizes[name] > _LONGEST:
                    self.lasting.add(name)
            return sizes[name]

        for name in below:
            size(name)

    def kept(self) -> dict[str, Schema]:
        """The definitions that are still referred to."""
        found: dict[str, Schema] = {}
        while left := [name for name in dict.fromkeys(self.used) if name not in found]:
            found |= {name: self.write(self.definitions[name], inside=True) for name in left}
        return found

    def write(self, schema: Schema, *, inside: bool = False) -> Schema:
        """Shorten a schema; `inside`: of a definition that lasts, in which others that last stay references."""
        reference = schema.get("$ref")
        beside = {key: value for key, value in schema.items() if key != "$ref"}
        if not isinstance(reference, str):
            return self._shortened(self._below(beside, inside=inside))
        name = reference.removeprefix(_PREFIX)
        if name not in self.definitions:
            outer = name.partition("/")[0]  # of a part of a definition
            self.used += [outer] if outer in self.definitions else []
            return self._shortened({"$ref": reference, **self._below(beside, inside=inside)})
        if name in self.lasting and inside:
            self.used.append(name)
            return {"$ref": reference, **beside}
        written = self.write(self.definitions[name], inside=inside or name in self.lasting)
        return {**written, **self._below(beside, inside=inside)}

    def _below(self, schema: Schema, *, inside: bool) -> Schema:
        written: Schema = {}
        for key, value in schema.items():
            if key in _BY_NAME and isinstance(value, dict):
                written[key] = {name: self._value(each, inside=inside) for name, each in value.items()}
            elif key in _LISTS and isinstance(value, list):
                written[key] = [self._value(each, inside=inside) for each in value]
            elif key in _SINGLE:
                written[key] = self._value(value, inside=inside)
            elif key not in ("title", "discriminator"):
                written[key] = value
        return written

    def _value(self, value: Json, *, inside: bool) -> Json:
        return self.write(value, inside=inside) if isinstance(value, dict) else value

    def _shortened(self, schema: Schema) -> Schema:
        if self.closes and "properties" in schema:
            schema = {**schema, "additionalProperties": schema.get("additionalProperties", False)}
        return _shortened(schema)


def _shortened(schema: Schema) -> Schema:
    if "const" in schema:
        schema = _replaced(schema, "const", "enum", [schema["const"]])
    if schema.get("items") == {}:
        del schema["items"]
    if schema.get("additionalProperties") is True and "properties" not in schema:
        del schema["additionalProperties"]
    options = schema.get("anyOf")
    if isinstance(options, list) and all(_is_plain(option) for option in options):
        schema = _replaced(schema, "anyOf", "type", [cast("Schema", option)["type"] for option in options])
    return schema


def _replaced(schema: Schema, old: str, new: str, value: Json) -> Schema:
    """A schema with another entry in the place of one."""
    return dict((new, value) if key == old else (key, each) for key, each in schema.items())


def _is_plain(option: Json) -> bool:
    return isinstance(option, dict) and set(option) == {"type"} and isinstance(option["type"], str)


def _references(value: Json) -> Iterator[str]:
    """The names of all definitions that a schema refers to, each as often as it does."""
    if isinstance(value, dict):
        reference = value.get("$ref")
        if isinstance(reference, str):
            yield reference.removeprefix(_PREFIX)
        value = list(value.values())
    if isinstance(value, list):
        for each in value:
            yield from _references(each)


def _reached(start: str, below: Mapping[str, list[str]]) -> set[str]:
    found: set[str] = set()
    left = list(below[start])
    while left:
        name = left.pop()
        if name not in found:
            found.add(name)
            left += below.get(name, [])
    return found
