"""Schemas of Python functions: types of all kinds, their defaults, and types that hold themselves."""

import asyncio
import datetime
import enum
import json
import time
from dataclasses import dataclass, field
from typing import Annotated, Any, Literal, NotRequired, Optional

from pydantic import BaseModel, Field
from typing_extensions import TypedDict

from alpha_umi.environments.python import PythonEnvironment, as_tool
from alpha_umi.formats.json_types import normalise
from alpha_umi.types import Call, ToolSpec, ToolStatus


class Unit(enum.Enum):
    CELSIUS = "C"
    FAHRENHEIT = "F"


@dataclass
class Point:
    x: int
    y: float = 0.5


class Guest(BaseModel):
    name: str
    age: Annotated[int, Field(ge=0)] = 18


class Extras(TypedDict):
    unit: Unit
    note: NotRequired[str]


@dataclass
class Branch:
    value: int
    below: "list[Branch]" = field(default_factory=list)
    beside: "Branch | None" = None


def run(value, arguments="{}", name=None):
    made = as_tool(value)
    text = arguments if isinstance(arguments, str) else json.dumps(arguments)
    return asyncio.run(PythonEnvironment([made]).execute(Call(name=name or made.spec.name, arguments=text)))


def properties(value):
    return as_tool(value).spec.parameters["properties"]


def test_types_of_all_kinds_and_their_defaults_are_in_the_schema():
    def plan(
        when: datetime.date,
        start: Point,
        guests: list[Guest],
        extras: Extras,
        unit: Unit = Unit.CELSIUS,
        end: Point = Point(1, 2.0),  # noqa: B008
        until: datetime.date = datetime.date(2025, 6, 2),
        note: Optional[str] = None,  # noqa: UP045
        size: Literal["S", "L"] = "S",
        pair: tuple[int, str] = (1, "a"),
        old: str = None,  # noqa: RUF013
        any_tags: dict = {},  # noqa: B006
    ): ...

    point = {
        "type": "object",
        "properties": {"x": {"type": "integer"}, "y": {"type": "number", "default": 0.5}},
        "required": ["x"],
        "additionalProperties": False,
    }
    unit = {"type": "string", "enum": ["C", "F"]}
    parameters = as_tool(plan).spec.parameters
    assert parameters["required"] == ["when", "start", "guests", "extras"]
    assert "$defs" not in parameters
    assert parameters["properties"] == {
        "when": {"type": "string", "format": "date"},
        "start": point,
        "guests": {
            "type": "array",
            "items": {
                "type": "object",
                "properties": {
                    "name": {"type": "string"},
                    "age": {"type": "integer", "minimum": 0, "default": 18},
                },
                "required": ["name"],
                "additionalProperties": False,
            },
        },
        "extras": {
            "type": "object",
            "properties": {"unit": unit, "note": {"type": "string"}},
            "required": ["unit"],
            "additionalProperties": False,
        },
        "unit": {**unit, "default": "C"},
        "end": {**point, "default": {"x": 1, "y": 2.0}},
        "until": {"type": "string", "format": "date", "default": "2025-06-02"},
        "note": {"type": ["string", "null"], "default": None},
        "size": {"type": "string", "enum": ["S", "L"], "default": "S"},
        "pair": {
            "type": "array",
            "prefixItems": [{"type": "integer"}, {"type": "string"}],
            "minItems": 2,
            "maxItems": 2,
            "default": [1, "a"],
        },
        "old": {"type": ["string", "null"], "default": None},
        "any_tags": {"type": "object", "default": {}},
    }
    json.dumps(parameters)


def test_a_type_that_holds_itself_is_written_out_once_and_read_to_any_depth():
    def grow(tree: Branch, title: str = "") -> Any:
        return tree.below[0].below[0].value if tree.below else type(tree).__name__

    spec = as_tool(grow).spec
    assert spec.parameters["properties"]["tree"]["properties"]["below"] == {
        "type": "array",
        "items": {"$ref": "#/$defs/Branch"},
    }
    assert list(spec.parameters["$defs"]) == ["Branch"]
    deep = {"value": 1, "below": [{"value": 2, "below": [{"value": 3}]}]}
    assert run(grow, {"tree": deep}).content == "3"
    deep["below"][0]["below"][0]["value"] = "three"
    seen = run(grow, {"tree": deep})
    assert seen.status is ToolStatus.BAD_ARGUMENTS
    assert "'tree.below[0].below[0].value'" in seen.content
    seen = run(grow, {"tree": {"value": 1, "beside": {"value": 2, "besides": None}}})
    assert "'tree.beside.besides' is unknown" in seen.content


def test_schemas_whose_references_multiply_are_neither_written_out_nor_read_in_full():
    kind = int
    for number in range(16):
        kind = dataclass(type(f"Level{number}", (), {"__annotations__": {"left": kind, "right": kind}}))
    started = time.monotonic()

    def reach(tree): ...

    reach.__annotations__["tree"] = kind
    spec = as_tool(reach).spec
    assert len(json.dumps(spec.parameters)) < 50_000
    rings = {name: {"$ref": "#/$defs/Node"} for name in "abcdefgh"}
    ring = {"properties": rings, "$defs": {"Node": {"type": "object", "properties": rings}}}
    for each in (spec, ToolSpec(name="ring", parameters=ring)):
        normalised = normalise(each)
        assert normalised.schema["properties"]
        assert 0 < len(normalised.notes) < 10
    assert time.monotonic() - started < 20
    last = normalise(ToolSpec(name="ring", parameters={**ring, "properties": {**rings, "last": {"type": "integer"}}}))
    assert last.schema["properties"]["last"] == {"type": "integer"}
    assert "a: '#/$defs/Node' holds itself, and is read 2 levels deep" in last.notes


def test_two_types_of_one_name_stay_apart():
    @dataclass
    class Point:
        east: "list[Point]" = field(default_factory=list)

    def go(start, end): ...

    inner, outer = Point, globals()["Point"]
    inner.__annotations__["east"] = list[int]
    go.__annotations__ |= {"start": inner, "end": outer}
    assert list(properties(go)["start"]["properties"]) == ["east"]
    assert list(properties(go)["end"]["properties"]) == ["x", "y"]
