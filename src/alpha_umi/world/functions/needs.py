"""Needs of the functions world: what people ask of tools, read from one TOML file for each domain."""

from __future__ import annotations

import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Any, TypeAlias, cast

from alpha_umi.errors import DataError
from alpha_umi.types import Json
from alpha_umi.world.functions.templates import Template, read_template
from alpha_umi.world.functions.values import ValueKind, read_values

Table: TypeAlias = dict[str, Any]


class Effect(StrEnum):
    """Effect of a call on what later calls find."""

    READ = "read"
    CREATE = "create"
    CHANGE = "change"
    CANCEL = "cancel"


class ParameterType(StrEnum):
    """Type of a parameter; of a list, the type of its elements."""

    STRING = "string"
    INTEGER = "integer"
    NUMBER = "number"
    BOOLEAN = "boolean"
    ENUM = "enum"
    DATE = "date"
    TIME = "time"
    OBJECT = "object"


@dataclass(frozen=True, slots=True, kw_only=True)
class Parameter:
    """Parameter of a need."""

    name: str
    names: tuple[str, ...]
    """Names that tools give it."""
    type: ParameterType
    count: tuple[int, int] | None
    """Fewest and most elements of a list; None: no list."""
    values: ValueKind | None
    """None for enums, booleans and objects."""
    choices: Mapping[str, tuple[str, ...]]
    """Value of an enum or boolean -> phrases for it."""
    fields: Mapping[str, Parameter]
    """Fields of an object."""
    noun: str
    """Noun phrase, as of "Which ...?": "the city"."""
    docs: tuple[str, ...]
    default: Json = None
    required: bool = True


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class FunctionNeed:
    """Something that people ask of a tool. Equal to itself alone."""

    id: str
    effect: Effect
    names: tuple[str, ...]
    """Names of tools for it, as lower-case words."""
    docs: tuple[str, ...]
    parameters: Mapping[str, Parameter]
    queries: tuple[Template, ...]
    missing: Mapping[str, tuple[Template, ...]]
    """Required parameter -> queries that leave it out."""
    several: tuple[Template, ...]
    """Queries that ask for two or more values of one parameter."""
    results: Mapping[str, ValueKind]
    answers: tuple[Template, ...]
    store: str = ""
    """Name of the records that it shares with other needs of the domain; empty: none."""
    key: str = ""
    """Parameter (of a created record: result) that names a record."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Chain:
    """Two or more needs of which later ones take what earlier ones give."""

    steps: Mapping[str, str]
    """Name of the step -> id of its need, in order."""
    link: Mapping[str, str]
    """`step.parameter` -> the `step.result` that it takes."""
    queries: tuple[tuple[Template, ...], ...]
    """Each one text for all steps, or one for each (several turns of the user)."""
    answers: tuple[Template, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class DomainNeeds:
    """All needs of a domain."""

    name: str
    needs: Mapping[str, FunctionNeed]
    chains: tuple[Chain, ...]
    outside: tuple[str, ...]
    """Requests of the domain that none of its needs serves."""
    lists: Mapping[str, tuple[str, ...]] = field(default_factory=dict[str, tuple[str, ...]])


def slots_of(parameters: Iterable[Parameter]) -> dict[str, Parameter]:
    """Slot of a template -> its parameter; fields of an object as `object.field`."""
    found: dict[str, Parameter] = {}
    for parameter in parameters:
        if parameter.type is ParameterType.OBJECT:
            found |= {f"{parameter.name}.{name}": of for name, of in parameter.fields.items()}
        else:
            found[parameter.name] = parameter
    return found


def read_domain(path: Path) -> DomainNeeds:
    """Read the needs of a domain. Raises DataError, which names file, need and fault."""
    try:
        document = tomllib.loads(path.read_text("utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise DataError(f"{path}: no TOML: {error}") from error
    where = path.name
    try:
        lists = {name: tuple(str(entry) for entry in names) for name, names in document.pop("lists", {}).items()}
        needs: dict[str, FunctionNeed] = {}
        for table in document.pop("need", []):
            where = f"{path.name}: need {table.get('id')!r}"
            need = _read_need(table, lists)
            if need.id in needs:
                raise DataError("this id is taken")
            needs[need.id] = need
        chains: list[Chain] = []
        for table in document.pop("chain", []):
            where = f"{path.name}: chain {table.get('steps')}"
            chains.append(_read_chain(table))
        where = path.name
        outside = _texts(document, "outside")
        _nothing_left(document)
    except DataError as error:
        raise DataError(f"{where}: {error}") from error
    return DomainNeeds(name=path.stem, needs=needs, chains=tuple(chains), outside=outside, lists=lists)


def _read_need(table: Table, lists: dict[str, tuple[str, ...]]) -> FunctionNeed:
    need = FunctionNeed(
        id=_text(table, "id"),
        effect=Effect(_choice(_text(table, "effect"), Effect)),
        names=_texts(table, "names"),
        docs=_texts(table, "docs"),
        parameters={name: _read_parameter(name, of, lists) for name, of in table.pop("params", {}).items()},
        queries=_templates(table, "queries"),
        missing={name: tuple(map(read_template, texts)) for name, texts in table.pop("missing", {}).items()},
        several=_templates(table, "several") if "several" in table else (),
        results={name: read_values(values, lists) for name, values in table.pop("result", {}).items()},
        answers=_templates(table, "answers"),
        store=table.pop("store", ""),
        key=table.pop("key", ""),
    )
    _nothing_left(table)
    return need


def _read_parameter(name: str, table: Table, lists: dict[str, tuple[str, ...]]) -> Parameter:
    try:
        kind = _text(table, "type")
        of_list = kind.startswith("list[") and kind.endswith("]")
        type_ = ParameterType(_choice(kind[5:-1] if of_list else kind, ParameterType))
        low, _, high = str(table.pop("count", "2..4")).partition("..")
        values = table.pop("values", f"pool {type_}" if type_ in (ParameterType.DATE, ParameterType.TIME) else None)
        choices = {str(value): tuple(phrases) for value, phrases in table.pop("choices", {}).items()}
        fields = {name: _read_parameter(name, of, lists) for name, of in table.pop("fields", {}).items()}
        wanted, given = _wanted(type_), {"values": values, "choices": choices, "fields": fields}
        if not given[wanted]:
            raise DataError(f"type {kind} takes {wanted!r}, which is missing")
        parameter = Parameter(
            name=name,
            names=_texts(table, "names"),
            type=type_,
            count=(int(low), int(high)) if of_list else None,
            values=read_values(values, lists) if values is not None else None,
            choices=choices,
            fields=fields,
            noun=_text(table, "noun"),
            docs=_texts(table, "docs"),
            required=not table.pop("optional", False) and "default" not in table,
            default=table.pop("default", None),
        )
        _nothing_left(table)
    except DataError as error:
        raise DataError(f"parameter {name!r}: {error}") from error
    return parameter


def _wanted(type_: ParameterType) -> str:
    if type_ in (ParameterType.ENUM, ParameterType.BOOLEAN):
        return "choices"
    return "fields" if type_ is ParameterType.OBJECT else "values"


def _read_chain(table: Table) -> Chain:
    steps: dict[str, str] = {}
    for step in _texts(table, "steps"):
        alias, _, need = step.rpartition("=")
        steps[alias or need] = need
    queries = tuple(
        tuple(map(read_template, [texts] if isinstance(texts, str) else texts)) for texts in table.pop("queries", [])
    )
    chain = Chain(steps=steps, link=table.pop("link", {}), queries=queries, answers=_templates(table, "answers"))
    _nothing_left(table)
    return chain


def _text(table: Table, key: str) -> str:
    value = table.pop(key, None)
    if not isinstance(value, str) or not value:
        raise DataError(f"{key!r} is no text: {value!r}")
    return value


def _texts(table: Table, key: str) -> tuple[str, ...]:
    value = table.pop(key, None)
    texts = cast("list[object]", value) if isinstance(value, list) else []
    found = tuple(text for text in texts if isinstance(text, str) and text)
    if not found or len(found) < len(texts):
        raise DataError(f"{key!r} is no list of texts: {value!r}")
    return found


def _templates(table: Table, key: str) -> tuple[Template, ...]:
    return tuple(map(read_template, _texts(table, key)))


def _choice(text: str, known: type[StrEnum]) -> str:
    if text not in list(known):
        raise DataError(f"{text!r} is none of {', '.join(known)}")
    return text


def _nothing_left(table: Table) -> None:
    if table:
        raise DataError(f"unknown keys: {', '.join(table)}")
