"""Arguments of calls: what fits a tool's schema, what is mended, and what is a fault."""

import asyncio
import json

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from jsonschema import Draft202012Validator

from alpha_umi.arguments import Arguments, Fault, decode_arguments, read_arguments
from alpha_umi.environments.mending import MendingEnvironment
from alpha_umi.environments.python import PythonEnvironment
from alpha_umi.loose_json import decode_json, read_loosely, readable_json
from alpha_umi.store import decode_turn, encode_turn
from alpha_umi.types import Call, Observation, ToolSpec, ToolStatus
from support.examples import examples

_SCALARS = st.none() | st.booleans() | st.integers(-3, 3) | st.sampled_from([0.5, 1.0, "", "a", "1"])
_VALUES = st.recursive(
    _SCALARS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from("abc"), inner, max_size=3),
    max_leaves=6,
)
_TEXTS = st.text(st.characters(codec="utf-8"), max_size=12) | st.text("'\"\\\n\t\x01é天🌤abx", max_size=12)
_DOCUMENTS = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | _TEXTS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(_TEXTS, inner, max_size=4),
    max_leaves=12,
)


def tool(parameters):
    return ToolSpec(name="t", parameters=parameters)


def properties(**declared):
    return {"type": "object", "properties": declared}


# --- the same verdict as a JSON Schema library ------------------------------------------------------------

DEFINITIONS = ("A", "b/c", "d~e", "f g", "%25")


def pointer(name):
    return "#/$defs/" + name.replace("~", "~0").replace("/", "~1").replace("%", "%25").replace(" ", "%20")


@st.composite
def schemas(draw, level=0, depth=0):
    """A schema that may refer to definitions from `level` on for the same value, and to any for values below it."""
    if draw(st.booleans()) and draw(st.booleans()):
        return draw(st.booleans() | st.just({}))
    found = {}
    if level < len(DEFINITIONS) and draw(st.booleans()):
        found["$ref"] = pointer(draw(st.sampled_from(DEFINITIONS[level:])))
    types = ["null", "boolean", "integer", "number", "string", "array", "object"]
    if draw(st.booleans()):
        found["type"] = draw(st.sampled_from(types) | st.lists(st.sampled_from(types), min_size=1, unique=True))
    if depth > 1:
        return found
    same, below = schemas(level, depth + 1), schemas(0, depth + 1)
    match draw(st.sampled_from(["", "enum", "const", "anyOf", "allOf", "object", "object", "array"])):
        case "enum":
            found["enum"] = draw(st.lists(_VALUES, min_size=1, max_size=3))
        case "const":
            found["const"] = draw(_VALUES)
        case "anyOf" | "allOf" as key:
            found[key] = draw(st.lists(same, min_size=1, max_size=2))
        case "object":
            found["properties"] = draw(st.dictionaries(st.sampled_from("abc"), below, max_size=2))
            found["required"] = draw(st.lists(st.sampled_from("abc"), max_size=2, unique=True))
            if draw(st.booleans()):
                found["additionalProperties"] = draw(below)
        case "array":
            found["items"] = draw(below)
            found["prefixItems"] = draw(st.lists(below, min_size=1, max_size=2))
        case _:
            pass
    return found


@settings(max_examples=examples(150), deadline=None)
@given(st.data())
def test_a_value_fits_exactly_where_a_json_schema_library_says_so(data):
    root = data.draw(schemas())
    assume(isinstance(root, dict))
    root |= {"additionalProperties": root.get("additionalProperties", True), "type": "object"}
    defined = {name: data.draw(schemas(level + 1)) for level, name in enumerate(DEFINITIONS)}
    root["$defs"] = defined
    value = data.draw(st.dictionaries(st.sampled_from("abc"), _VALUES, max_size=3))
    found = decode_arguments(tool(root), json.dumps(value))
    assert (found == Arguments(values=value)) == Draft202012Validator(root).is_valid(value)


def test_references_that_multiply_are_checked_once_each():
    levels = 48
    defined = {
        f"L{n}": {"anyOf": [{"$ref": f"#/$defs/L{n + 1}"}, {"$ref": f"#/$defs/L{n + 1}"}]} for n in range(levels)
    }
    root = {**properties(a={"$ref": "#/$defs/L0"}), "$defs": {**defined, f"L{levels}": {"type": "string"}}}
    assert isinstance(read_arguments(tool(root), '{"a": 3}'), Fault)
    assert read_arguments(tool(root), '{"a": "x"}') == {"a": "x"}


def test_a_check_that_would_take_too_long_is_a_fault():
    options = [{"items": {"items": {"description": str(number)}}} for number in range(500)]
    spec = tool(properties(a={"allOf": options}))
    assert read_arguments(spec, '{"a": [[1]]}') == {"a": [[1]]}
    found = read_arguments(spec, json.dumps({"a": [[1] * 10] * 40}))
    assert isinstance(found, Fault)
    assert "too large together" in found.reason


@pytest.mark.parametrize("schema", [{"$ref": "#/$defs/A"}, {"anyOf": [{"$ref": "#/$defs/A"}]}, {"$ref": "#"}])
def test_a_schema_that_leads_to_itself_ends(schema):
    root = {**properties(a=schema), "$defs": {"A": {"allOf": [schema, {"type": "object"}]}}}
    assert isinstance(read_arguments(tool(root), '{"a": {}}'), dict)
    assert isinstance(read_arguments(tool(root), '{"a": 1}'), Fault)


# --- schemas as tools declare them ------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("declared", "good", "bad"),
    [
        ("float", 1.5, "abc"),
        ("dict", {"x": 1}, [1]),
        ("tuple", [1], {"x": 1}),
        ("INTEGER", 3, "x"),
        ("list[int]", [1], ["x"]),
        ("string|null", None, 1),
        ("DATE (YYYY-MM-DD)", "2026-01-31", "tomorrow"),
        (["NUMBER", "null"], 2, "x"),
        (["str", "list<str>"], ["x"], [1]),
    ],
)
def test_types_in_words_are_checked(declared, good, bad):
    spec = tool(properties(x={"type": declared}))
    assert read_arguments(spec, json.dumps({"x": good})) == {"x": good}
    assert isinstance(read_arguments(spec, json.dumps({"x": bad})), Fault)


@pytest.mark.parametrize("declared", ["any", "enum", "file", "Widget", "", "timestamp", ["Widget", "null"], {"a": 1}])
def test_a_type_that_is_not_known_allows_any_value(declared):
    for value in (None, 3, "x", [1], {"y": 2}):
        assert read_arguments(tool(properties(x={"type": declared})), json.dumps({"x": value})) == {"x": value}


def test_null_is_taken_where_it_is_declared_and_left_out_where_it_means_nothing():
    spec = tool({**properties(a={"type": "string"}, b={"type": "string", "nullable": True}), "required": ["a"]})
    assert read_arguments(spec, '{"a": "x", "b": null}') == {"a": "x", "b": None}
    assert isinstance(read_arguments(spec, '{"a": null}'), Fault)
    spec = tool(properties(a={"type": "integer"}, b={"$ref": "#/$defs/B"}, c={"type": "integer", "default": None}))
    spec = tool({**spec.parameters, "$defs": {"B": {"enum": ["x"]}}})
    found = decode_arguments(spec, '{"a": null, "b": null, "c": null}')
    assert found == Arguments(
        values={"c": None},
        mends=("argument 'a' was null and is not required", "argument 'b' was null and is not required"),
    )
    inner = tool(properties(a=properties(b={"type": "integer"})))
    assert read_arguments(inner, '{"a": {"b": null}}') == {"a": {}}
    assert isinstance(read_arguments(inner, '{"z": null}'), Fault)


def test_arguments_are_known_by_every_schema_that_applies():
    parts = {"P": properties(a={"type": "string"}), "Q": properties(b={"type": "string"})}
    for spec in (
        tool({"allOf": [{"$ref": "#/$defs/P"}, {"$ref": "#/$defs/Q"}], "$defs": parts}),
        tool({"anyOf": [{"$ref": "#/$defs/P"}], "$ref": "#/$defs/Q", "$defs": parts}),
    ):
        assert read_arguments(spec, '{"a": "x", "b": "y"}') == {"a": "x", "b": "y"}
        unknown = read_arguments(spec, '{"a": "x", "c": "y"}')
        assert isinstance(unknown, Fault)
        assert "'c' is unknown" in unknown.reason


# --- mends ------------------------------------------------------------------------------------------------

CITY = tool({**properties(city={"type": "string"}, days={"type": "integer"}), "required": ["city"]})
NOTHING = tool(properties())


@pytest.mark.parametrize("text", ["", " ", "null", "None", '"null"', '""', "{}"])
def test_a_tool_without_arguments_is_called_with_none(text):
    assert read_arguments(NOTHING, text) == {}
    assert read_arguments(tool({}), text) == {}
    assert (read_arguments(tool(properties(x={"type": "string"})), text) == {}) == (text == "{}")


@pytest.mark.parametrize(
    "text",
    [
        "{'city': 'Oslo', 'days': 2}",
        '{"city": "Oslo", "days": 2,}',
        "{'city': \"Oslo\", 'days': 2, }",
        json.dumps('{"city": "Oslo", "days": 2}'),
        json.dumps("{'city': 'Oslo', 'days': 2}"),
        json.dumps(json.dumps('{"city": "Oslo", "days": 2}')),
        "\n {'city': '\\x4fslo', 'days': 2}\n",
        '{"city":\u00a0"Oslo", "days": 2}',
        "{u'city': r'Oslo', 'days': (2)}",
    ],
)
def test_what_means_one_thing_is_mended_and_the_mend_is_named(text):
    found = decode_arguments(CITY, text)
    assert isinstance(found, Arguments)
    assert found.values == {"city": "Oslo", "days": 2}
    assert found.mends


@pytest.mark.parametrize(
    "text",
    ["{city: 'Oslo'}", "{'city': 'Oslo'", "{'city': 'L'Aquila'}", "{'city': Oslo}", '{"city": "Oslo"} {}',
     "{'city': 'Oslo', 'days': 1e999}", "{'city': 'Oslo', 'days': '2'}", '{"city": "Oslo", "days": "2"}',
     "{'city': 'Oslo', 'days': +2}", "{'city': 'Oslo', 'days': 02}", "{'city': 'Oslo', 'days': none}",
     "{'city': <escape>Oslo<escape>}",
     '{"city": ,}', '{"city": None}', "[{'city': 'Oslo'}]", '"Oslo"', "('Oslo',)", "{,}", '{"city": "Oslo",,}',
     "dict(city='Oslo')"],
)  # fmt: skip
def test_what_could_mean_several_things_stays_a_fault(text):
    assert isinstance(decode_arguments(CITY, text), Fault)


def test_json_within_a_string_is_read_only_where_no_string_may_be():
    written, value = '["a", "b"]', ["a", "b"]
    lists = {"type": "array", "items": {"type": "string"}}
    for schema, kept in (
        (lists, value),
        ({"anyOf": [lists, {"type": "integer"}]}, value),
        ({"type": "string"}, written),
        ({"anyOf": [lists, {"type": "string"}]}, written),
        ({}, written),
        ({"type": "Widget"}, written),
    ):
        assert read_arguments(tool(properties(x=schema)), json.dumps({"x": written})) == {"x": kept}
    assert isinstance(read_arguments(tool(properties(x=lists)), json.dumps({"x": "[1]"})), Fault)
    nested = tool(properties(x={"type": "object", "properties": {"y": lists}}))
    assert read_arguments(nested, json.dumps({"x": json.dumps({"y": written})})) == {"x": {"y": value}}


def test_a_mend_that_two_readings_allow_is_not_made():
    either = {"anyOf": [properties(a={"type": "array"}, b={}), properties(b={"type": "array"}, a={})]}
    spec = tool({**either, "additionalProperties": True})
    assert read_arguments(spec, '{"a": "[1]", "b": []}') == {"a": "[1]", "b": []}
    assert isinstance(read_arguments(spec, '{"a": "[1]", "b": "[2]"}'), Fault)


@settings(max_examples=examples(200))
@given(_DOCUMENTS)
def test_a_python_literal_of_json_is_read_as_its_value(value):
    assert read_loosely(repr(value)).value == value
    assert read_loosely(json.dumps(value)).mends == ()


@settings(max_examples=examples(300))
@given(st.text("{}[]:,'\"\\ \nabTrueNonl123.e-", max_size=30) | st.text(max_size=20), st.data())
def test_arguments_that_were_read_are_read_again_without_a_mend(text, data):
    declared = data.draw(st.sampled_from([CITY, NOTHING, tool({"additionalProperties": True})]))
    found = decode_arguments(declared, text)
    if isinstance(found, Arguments):
        assert decode_arguments(declared, json.dumps(found.values)) == Arguments(values=found.values)


def test_mends_stand_in_the_record_of_an_observation_and_nowhere_else():
    seen = []

    def look(city: str, days: int = 1) -> str:
        """Look."""
        seen.append((city, days))
        return "dry"

    environment = MendingEnvironment(PythonEnvironment([look]))
    text = "{'city': 'Oslo', 'days': None}"
    mended = asyncio.run(environment.fork().execute(Call(name="look", arguments=text)))
    assert seen == [("Oslo", 1)]
    assert mended == Observation(
        content="dry",
        mends=("the arguments were written as a Python literal", "argument 'days' was null and is not required"),
    )
    assert decode_turn(encode_turn(mended)) == mended
    plain = asyncio.run(environment.execute(Call(name="look", arguments='{"city": "Oslo"}')))
    assert plain == Observation(content="dry")
    assert "mends" not in encode_turn(plain)
    wrong = asyncio.run(environment.execute(Call(name="look", arguments="Oslo")))
    assert wrong.status is ToolStatus.BAD_ARGUMENTS


# --- JSON for readers -------------------------------------------------------------------------------------


@settings(max_examples=examples(200))
@given(_DOCUMENTS)
def test_unescaped_json_has_the_same_value(value):
    text = json.dumps(value)
    assert decode_json(readable_json(text)) == decode_json(text)


def test_only_json_is_unescaped_and_only_what_can_be_read():
    assert readable_json(r'{"\u57ce\u5e02": "\u00e9 \ud83c\udf24"}') == '{"城市": "é 🌤"}'
    for kept in (r'["\\u57ce"]', r'["\u0000\u001b\u202e\ud800\u0022\u005c"]', r"path \u57ce", r'{"a": "\u57ce'):
        assert readable_json(kept) == kept
