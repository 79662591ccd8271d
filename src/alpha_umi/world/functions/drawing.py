"""Draws of values: of a kind, of a parameter, of all parameters of a need."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import TypeAlias

from alpha_umi.types import Json
from alpha_umi.world.functions.needs import Parameter, ParameterType
from alpha_umi.world.functions.pools import draw_name, names_for
from alpha_umi.world.functions.values import NameList, Pattern, Pool, Range, Records, Several, Truth, ValueKind
from alpha_umi.world.random_streams import RandomStream

Values: TypeAlias = Mapping[str, Json]
_LETTERS = "ABCDEFGHJKLMNPQRSTUVWXYZ"
_TRIES = 20
NUMBERS = (ParameterType.INTEGER, ParameterType.NUMBER)


def draw_value(rng: RandomStream, kind: ValueKind, *, train: bool) -> Json:
    """Draw a value. `train`: no name that is kept back for tests. Records have no value of their own: None."""
    match kind:
        case Range():
            return _number(rng, kind)
        case Pool(name="year"):
            return int(draw_name(rng, "year", train=train))
        case Pool(name=name):
            return draw_name(rng, name, train=train)
        case NameList(names=names):
            return rng.pick(names_for(names, train=train))
        case Pattern(pattern=pattern):
            return re.sub("[A9]", lambda mark: _character(rng, mark[0]), pattern)
        case Several(low=low, high=high, of=of):
            return draw_different(rng, of, rng.between(low, high), train=train)
        case Truth():
            return bool(rng.below(2))
        case Records():
            return None


def draw_different(rng: RandomStream, kind: ValueKind, count: int, *, train: bool) -> list[Json]:
    """Draw `count` different values of a kind; fewer where it has fewer."""
    found: list[Json] = []
    for _ in range(_TRIES * count):
        value = draw_value(rng, kind, train=train)
        if value not in found:
            found.append(value)
        if len(found) == count:
            break
    return found


def draw_argument(rng: RandomStream, parameter: Parameter, *, train: bool) -> Json:
    """Draw an argument as a query would name it, other than the default where there is another."""
    value = parameter.default
    for _ in range(_TRIES):
        value = _argument(rng, parameter, train=train)
        if value != parameter.default:
            break
    return value


def draw_others(rng: RandomStream, parameter: Parameter, count: int, *, train: bool) -> list[Json]:
    """Draw up to `count` different arguments for one parameter."""
    found: list[Json] = []
    for _ in range(_TRIES):
        value = draw_argument(rng, parameter, train=train)
        if value not in found:
            found.append(value)
        if len(found) == count:
            break
    return found


def _argument(rng: RandomStream, parameter: Parameter, *, train: bool) -> Json:
    if parameter.count is not None:
        count = rng.between(*parameter.count)
        if parameter.type is ParameterType.ENUM:
            return [*rng.sample(list(parameter.choices), count)]
        distinct = parameter.type not in NUMBERS
        return _elements(rng, parameter, count, distinct=distinct, train=train)
    return _element(rng, parameter, train=train)


def _elements(rng: RandomStream, parameter: Parameter, count: int, *, distinct: bool, train: bool) -> list[Json]:
    if distinct and parameter.values is not None:
        return draw_different(rng, parameter.values, count, train=train)
    return [_element(rng, parameter, train=train) for _ in range(count)]


def _element(rng: RandomStream, parameter: Parameter, *, train: bool) -> Json:
    match parameter.type:
        case ParameterType.ENUM:
            return rng.pick(list(parameter.choices))
        case ParameterType.BOOLEAN:
            return rng.pick(list(parameter.choices)) == "true"
        case ParameterType.OBJECT:
            return {
                name: draw_argument(rng, field, train=train)
                for name, field in parameter.fields.items()
                if field.required
            }
        case _:
            assert parameter.values is not None  # noqa: S101
            return fitted(draw_value(rng, parameter.values, train=train), parameter.type)


def fitted(value: Json, type_: ParameterType) -> Json:
    """A value as its type writes it: whole numbers of a range with digits, years as text, keys that are numbers."""
    if type_ is ParameterType.STRING and isinstance(value, int | float) and not isinstance(value, bool):
        return str(value)
    if type_ is ParameterType.INTEGER and isinstance(value, float):
        return round(value)
    if type_ is ParameterType.INTEGER and isinstance(value, str) and value.isdecimal():
        return int(value)
    return value


def _number(rng: RandomStream, kind: Range) -> Json:
    steps = round((kind.high - kind.low) / kind.step)
    value = round(kind.low + kind.step * rng.between(0, steps), kind.digits)
    return value if kind.digits else round(value)


def _character(rng: RandomStream, mark: str) -> str:
    return rng.pick(_LETTERS) if mark == "A" else str(rng.below(10))


def fit_argument(value: Json, parameter: Parameter) -> Json:
    """A result as the argument of a parameter: of a list where it takes one, with the type of its elements."""
    if parameter.count is not None:
        return [fitted(each, parameter.type) for each in (value if isinstance(value, list) else [value])]
    return fitted(value[0] if isinstance(value, list) and value else value, parameter.type)
