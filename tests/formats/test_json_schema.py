"""Parameters of tools as endpoints take them: valid JSON Schema, whatever the tool declares."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from jsonschema import Draft202012Validator

from alpha_umi.formats import json_schema
from alpha_umi.formats.json_schema import write_schema
from support.examples import examples

_KEYWORDS = [
    *json_schema._OF_NAMES, *json_schema._ONE, *json_schema._SEVERAL, *json_schema._LEFT_OUT, *json_schema._VALID,
    "default", "const", "example_value",
]  # fmt: skip
_TYPES = st.sampled_from(
    ["string", "float", "dict", "any", "tuple", "NUMBER", "list[int]", "int|null", "Widget", "", "DATE"]
)
_ITEMS = st.recursive(
    st.none() | st.booleans() | st.integers(-2, 2) | st.sampled_from([0.5, "[", "(a", "#/x", "a b", "^a$"]) | _TYPES,
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(_KEYWORDS), inner, max_size=4)
        | st.dictionaries(st.sampled_from(["type", "properties", "items", "required", "a", "["]), inner, max_size=4)
    ),
    max_leaves=10,
)
_SCHEMAS = st.dictionaries(st.sampled_from(_KEYWORDS), _ITEMS, max_size=6)


@settings(max_examples=examples(300), deadline=None)
@given(_SCHEMAS)
def test_whatever_a_tool_declares_is_written_as_valid_json_schema_of_an_object(declared):
    written = write_schema(declared)
    assert written["type"] == "object"
    Draft202012Validator.check_schema(written)
    assert write_schema(written) == written


@pytest.mark.parametrize(
    ("declared", "written"),
    [
        ({"type": "float", "description": "r"}, {"type": "number", "description": "r"}),
        ({"type": "dict"}, {"type": "object"}),
        ({"type": "tuple"}, {"type": "array", "items": {}}),
        ({"type": "array", "items": {"type": "tuple", "items": {"type": "int"}}},
         {"type": "array", "items": {"type": "array", "items": {"type": "integer"}}}),
        ({"type": "list[float]"}, {"type": "array", "items": {"type": "number"}}),
        ({"type": ["NUMBER", "null"]}, {"type": ["number", "null"]}),
        ({"type": "string", "nullable": True}, {"type": ["string", "null"]}),
        ({"type": "int|str"}, {"type": ["integer", "string"]}),
        ({"type": ["Widget", "null"], "description": "d"}, {"description": "Widget: d"}),
        ("string", {"type": "string"}),
        ({"items": [{"type": "int"}], "type": "array"}, {"type": "array", "prefixItems": [{"type": "integer"}]}),
        ({"type": "integer", "minimum": 0, "exclusiveMinimum": True}, {"type": "integer", "exclusiveMinimum": 0}),
        ({"type": "string", "enum": "a, b", "required": True, "example_value": 3},
         {"type": "string", "example_value": 3}),
        ({"properties": {"properties": {"type": "bool"}}, "type": "map"},
         {"type": "object", "properties": {"properties": {"type": "boolean"}}}),
    ],
)  # fmt: skip
def test_types_and_keywords_are_those_of_json_schema(declared, written):
    assert write_schema({"properties": {"x": declared}})["properties"]["x"] == written
