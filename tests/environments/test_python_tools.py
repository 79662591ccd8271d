"""Python functions as tools: what can be one, defaults, and values that arrive as the hinted types."""

import asyncio
import datetime
import enum
import functools
import inspect
import json
import math
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path
from typing import Annotated, Literal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import BaseModel, Field, TypeAdapter

from alpha_umi.arguments import Fault, read_arguments
from alpha_umi.environments.python import PythonEnvironment, as_tool, load_tools, tool
from alpha_umi.errors import ConfigError
from alpha_umi.formats.json_types import normalise
from alpha_umi.types import Call, ToolStatus
from support.examples import examples


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


# --- values -----------------------------------------------------------------------------------------------

JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=6,
)
TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=8)
LEAVES = st.sampled_from([
    (int, st.integers()),
    (float, st.floats(allow_nan=False, allow_infinity=False)),
    (bool, st.booleans()),
    (str, TEXTS),
    (datetime.date, st.dates()),
    (datetime.datetime, st.datetimes()),
    (datetime.time, st.times()),
    (Unit, st.sampled_from(Unit)),
    (Literal["a", 2], st.sampled_from(["a", 2])),
    (Point, st.builds(Point, x=st.integers(), y=st.floats(allow_nan=False, allow_infinity=False))),
    (Guest, st.builds(Guest, name=TEXTS, age=st.integers(0, 120))),
    (Branch, st.builds(Branch, value=st.integers(), below=st.lists(st.builds(Branch, value=st.integers())))),
    (Annotated[int, Field(ge=3)], st.integers(3)),
    (Decimal, st.decimals(allow_nan=False, allow_infinity=False, places=2)),
])  # fmt: skip


def wider(kinds):
    return st.one_of(
        kinds.map(lambda kind: (kind[0] | None, st.none() | kind[1])),
        kinds.map(lambda kind: (list[kind[0]], st.lists(kind[1], max_size=2))),
        kinds.map(lambda kind: (dict[str, kind[0]], st.dictionaries(TEXTS, kind[1], max_size=2))),
        st.tuples(kinds, kinds).map(
            lambda pair: (tuple[pair[0][0], pair[1][0]], st.tuples(pair[0][1], pair[1][1])),
        ),
    )


KINDS = st.recursive(LEAVES, wider, max_leaves=4)


def one_argument(hint, *default):
    def echo(x):
        echo.seen = x
        return ""

    echo.__annotations__["x"] = hint
    echo.__defaults__ = default or None
    return echo


@given(KINDS, st.data())
@settings(max_examples=examples(150), deadline=None)
def test_what_a_function_takes_fits_its_schema_and_arrives_as_it_was(kind, data):
    hint, values = kind
    value = data.draw(values)
    written = TypeAdapter(hint).dump_python(value, mode="json")
    echo = one_argument(hint, value)
    assert not isinstance(read_arguments(as_tool(echo).spec, json.dumps({"x": written})), Fault)
    assert properties(echo)["x"]["default"] == written
    seen = run(echo, {"x": written})
    assert seen.status is ToolStatus.OK, seen
    assert echo.seen == value
    assert type(echo.seen) is type(value)


@given(KINDS, JSON_VALUES)
@settings(max_examples=examples(150), deadline=None)
def test_no_json_value_makes_a_tool_raise(kind, value):
    echo = one_argument(kind[0])
    seen = run(echo, {"x": value})
    assert seen.status in (ToolStatus.OK, ToolStatus.BAD_ARGUMENTS)
    assert seen.status is ToolStatus.OK or "'x" in seen.content
    normalise(as_tool(echo).spec)


@pytest.mark.parametrize(
    ("hint", "value", "words"),
    [
        (int, "3", "'x' must be an integer, not a string"),
        (tuple[int, str], ["3", "a"], r"'x[0]' must be an integer, not a string"),
        (tuple[int, str], [3], "'x[1]': field required"),
        (datetime.date, "2nd of June", "'x' must be a date, YYYY-MM-DD, not \"2nd of June\""),
        (datetime.date, "2025-06-31", "'x': "),
        (datetime.datetime, "20250602", "'x' must be a date and time"),
        (datetime.time, "noon", "'x' must be a time"),
        (Unit, "K", "'x' must be C or F"),
        (Point, {"y": 1}, "'x.x' is missing"),
        (Point, {"x": 1, "z": 1}, "'x.z' is unknown"),
        (Guest, {"name": "Ann", "age": -1}, "'x.age': "),
        (list[Guest], [{"name": "Ann", "age": "old"}], "'x[0].age' must be an integer"),
        (str, "\ud800", "'x'"),
    ],
)
def test_a_wrong_argument_is_an_observation_that_names_it(hint, value, words):
    seen = run(one_argument(hint), {"x": value})
    assert seen.status is ToolStatus.BAD_ARGUMENTS
    assert words in seen.content


def test_an_error_of_a_type_is_an_observation_too():
    class Picky(BaseModel):
        def model_post_init(self, context):
            raise RuntimeError("not in the mood")

    seen = run(one_argument(Picky), {"x": {}})
    assert (seen.status, seen.content) == (ToolStatus.ERROR, "RuntimeError: not in the mood")


def test_results_of_all_kinds_are_written_as_json():
    def report():
        return {
            "day": datetime.date(2025, 6, 2),
            "guest": Guest(name="Ann"),
            "point": Point(1),
            "units": {Unit.CELSIUS: (Unit.FAHRENHEIT, Decimal("1.5"))},
            "names": {"b", "a"},
            "path": Path("a/b"),
            3: None,
        }

    assert json.loads(run(report).content) == {
        "day": "2025-06-02",
        "guest": {"name": "Ann", "age": 18},
        "point": {"x": 1, "y": 0.5},
        "units": {"C": ["F", "1.5"]},
        "names": ["a", "b"],
        "path": "a/b",
        "3": None,
    }


# --- what can be a tool -----------------------------------------------------------------------------------


def test_a_tool_is_its_function_by_name_docstring_signature_and_call():
    @tool(name="sum_up", description="Add numbers.")
    def add(left: int, right: int = 1) -> int:
        """Return the sum."""
        return left + right

    @tool()
    async def later(word: str) -> str:
        """Say it later."""
        return word

    assert (add.__name__, add.__doc__) == ("add", "Return the sum.")
    assert list(inspect.signature(add).parameters) == ["left", "right"]
    assert (add.spec.name, add.spec.description) == ("sum_up", "Add numbers.")
    assert add(2, right=3) == 5
    assert as_tool(add) is add
    assert run(add, {"left": 2}).content == "3"
    assert asyncio.run(later("x")) == "x"
    assert (later.spec.description, run(later, {"word": "y"}).content) == ("Say it later.", "y")


class Shop:
    """A shop."""

    def __init__(self, price):
        self.price = price

    def cost(self, pieces: int = 1) -> int:
        """Return the price of some pieces."""
        return self.price * pieces

    @tool
    def offer(self, pieces: int = 1) -> int:
        """Return half of it."""
        return self.cost(pieces) // 2

    @staticmethod
    def names(first: str) -> str:
        """Return a name."""
        return first

    @tool
    @staticmethod
    def marked(word: str) -> str:
        """Return a word."""
        return word

    @classmethod
    def kind(cls, word: str) -> str:
        """Return the class."""
        return f"{cls.__name__} {word}"

    def __call__(self, pieces: int) -> int:
        return self.cost(pieces)


def test_methods_of_all_kinds_are_tools():
    shop = Shop(10)
    for method in (shop.cost, shop.offer):
        assert list(properties(method)) == ["pieces"]
    assert as_tool(shop.cost).spec.description == "Return the price of some pieces."
    assert (run(shop.cost, {"pieces": 3}).content, run(shop.offer, {"pieces": 3}).content) == ("30", "15")
    assert shop.offer(4) == 20
    for method in (Shop.names, shop.names, shop.marked, Shop.marked, Shop.kind, shop.kind):
        assert len(properties(method)) == 1
    assert run(Shop.kind, {"word": "x"}).content == "Shop x"
    assert run(shop.marked, {"word": "x"}).content == "x"


def test_partials_and_objects_are_tools_under_a_clear_name():
    def convert(amount: float, rate: float, digits: int = 2) -> float:
        """Convert money."""
        return round(amount * rate, digits)

    euros = functools.partial(convert, rate=2)
    assert (as_tool(euros).spec.name, as_tool(euros).spec.description) == ("convert", "Convert money.")
    assert list(properties(euros)) == ["amount", "digits"]
    assert run(euros, {"amount": 1.5}).content == "3.0"
    assert tool(name="euros")(euros).spec.name == "euros"
    named = tool(name="buy")(Shop(3))
    assert (named.spec.name, named.spec.description) == ("buy", "A shop.")
    assert run(named, {"pieces": 2}, name="buy").content == "6"


@pytest.mark.parametrize(
    ("value", "words"),
    [
        (lambda: 1, "a lambda has no name to call it by"),
        (Shop(1), "an object of type Shop has no name"),
        (Shop, "Shop is a class, and no tool"),
        ("weather", "'weather' of type str cannot be called"),
        (3, "3 of type int cannot be called"),
        (math.sin, r"tool sin, parameter 'x' can only be given by position"),
        (max, "tool max: Python does not know its parameters"),
    ],
)
def test_what_cannot_be_a_tool_is_refused(value, words):
    with pytest.raises(ConfigError, match=words):
        as_tool(value)


def test_parameters_that_a_model_cannot_give_are_refused_by_function_and_name():
    def by_place(first, /): ...
    def many(*rest): ...
    def named(**others): ...
    def typed(event: asyncio.Event): ...
    def field_default(size: int = Field(default=3)): ...

    for function, words in (
        (by_place, r"tool by_place, parameter 'first' can only be given by position"),
        (many, r"tool many, parameter 'rest' takes any number"),
        (named, r"tool named, parameter 'others' takes arguments of any name"),
        (typed, r"tool typed, parameter 'event': type Event cannot be written as JSON; use str"),
        (field_default, r"tool field_default, parameter 'size': write size: Annotated\[..., Field"),
    ):
        with pytest.raises(ConfigError, match=words):
            as_tool(function)


def test_two_tools_of_one_name_are_told_apart_in_the_error():
    def weather(city: str): ...

    first = weather

    def weather(town: str): ...

    with pytest.raises(ConfigError, match=r"called 'weather': .*weather \(test_python_tools.py:\d+\) and .*weather \("):
        PythonEnvironment([first, weather])
    with pytest.raises(ConfigError, match="given twice"):
        PythonEnvironment([first, first])
    with pytest.raises(ConfigError, match=r"parameter 'self': give the method of an object"):
        PythonEnvironment([Shop.cost])


def upper(text: str) -> str:
    return text.upper()


async def pieces(count: int):
    yield count


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: tool(name="a b")(upper), "cannot be called 'a b'; its name must be one word"),
        (lambda: tool(name="a\n")(upper), "one word"),
        (lambda: tool(name=3)(upper), "cannot be called 3"),
        (lambda: tool(description=3)(upper), "tool upper: the description is 3, but must be text"),
        (lambda: tool(classmethod(upper)), "upper: write @classmethod above @tool"),
        (lambda: tool(pieces), "tool pieces yields its result asynchronously"),
    ],
)
def test_what_no_model_could_call_is_refused_where_it_is_written(make, words):
    with pytest.raises(ConfigError, match=words):
        make()


# --- tool files as users write them -----------------------------------------------------------------------


def test_a_tool_file_may_use_every_kind_of_type(tmp_path):
    (tmp_path / "calendar_tools.py").write_text(
        '''
from __future__ import annotations
from dataclasses import dataclass
from datetime import date
from enum import Enum
from typing import TYPE_CHECKING
from alpha_umi import tool
if TYPE_CHECKING:
    from nowhere import Table

class Kind(Enum):
    WORK = "work"
    HOME = "home"

@dataclass
class Entry:
    title: str
    day: date
    kind: Kind = Kind.WORK

@tool
def add(entry: Entry, repeat: list[date] | None = None) -> Table:
    """Add an entry."""
    return [entry.kind.name, entry.day.year, *(day.month for day in repeat or [])]
'''
    )
    (made,) = load_tools(tmp_path / "calendar_tools.py")
    arguments = {"entry": {"title": "a", "day": "2025-06-02", "kind": "home"}, "repeat": ["2025-07-02"]}
    assert json.loads(run(made, arguments).content) == ["HOME", 2025, 7]
