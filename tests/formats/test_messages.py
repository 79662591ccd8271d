"""Chat messages and turns: each is read from the other, and what cannot stand in a chat is named with its place."""

import json
from contextlib import suppress

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from alpha_umi.errors import DataError, FormatError
from alpha_umi.formats.messages import read_messages, write_messages
from alpha_umi.formats.tool_lists import read_tools, write_tools
from alpha_umi.formats.turn_builder import Layout
from alpha_umi.types import Answer, Call, Decision, Observation, Plan, ToolSpec, User
from support.examples import examples

QUICK = settings(max_examples=examples(15))
TEXT = st.text(max_size=12)
SAID = TEXT.filter(str.strip)
NAME = st.from_regex(r"\A[a-z]{1,8}\Z")


def call_message(*names, content=None, start=0, **more):
    calls = [
        {"id": f"call{start + number:05}", "type": "function", "function": {"name": name, "arguments": "{}"}}
        for number, name in enumerate(names)
    ]
    return {"role": "assistant", "content": content, **more, "tool_calls": calls}


def result(number, content="ok"):
    return {"role": "tool", "tool_call_id": f"call{number:05}", "content": content}


def user(text):
    return {"role": "user", "content": text}


@st.composite
def steps(draw):
    """Turns of one exchange: the user's, then calls with results, then an answer."""
    turns = [User(text=draw(TEXT))]
    for thought, name, arguments, content in draw(
        st.lists(st.tuples(SAID | st.just(""), NAME, TEXT, TEXT), max_size=3)
    ):
        turns += [
            Plan(thought=thought, decision=Decision.CALL),
            Call(name=name, arguments=arguments),
            Observation(content=content),
        ]
    return [*turns, Plan(thought=draw(TEXT), decision=Decision.CONCLUDE), Answer(text=draw(TEXT))]


@QUICK
@given(st.lists(steps(), min_size=1, max_size=3), SAID | st.just(""))
def test_written_turns_are_read_again(exchanges, system):
    turns = tuple(turn for exchange in exchanges for turn in exchange)
    read = read_messages(write_messages(turns, system=system))
    assert (read.turns, read.system, read.layout, read.deviations) == (turns, system, Layout(), {})


@st.composite
def messages(draw):
    written, made = [{"role": "system", "content": draw(SAID)}] if draw(st.booleans()) else [], 0
    for _ in range(draw(st.integers(1, 3))):
        written.append(user(draw(TEXT)))
        for names in draw(st.lists(st.lists(NAME, min_size=1, max_size=3), max_size=3)):
            thought = draw(st.sampled_from([{"content": "so"}, {}, {"content": None, "reasoning_content": "because"}]))
            written.append(call_message(*names, start=made, **thought))
            written += [result(made + number, draw(TEXT)) for number in range(len(names))]
            made += len(names)
        written.append({"role": "assistant", "content": draw(TEXT)})
    return written


@QUICK
@given(messages())
def test_read_messages_are_written_unchanged(written):
    read = read_messages(written)
    assert write_messages(read.turns, system=read.system, layout=read.layout) == written


def test_every_call_of_a_message_becomes_a_step_and_only_the_first_has_the_thought():
    turns = read_messages(
        [user("q"), call_message("f", "g", content="both"), result(1, "of g"), result(0, "of f")]
    ).turns
    assert [turn.thought for turn in turns if isinstance(turn, Plan)] == ["both", ""]
    assert [turn.content for turn in turns if isinstance(turn, Observation)] == ["of f", "of g"]


def test_calls_at_the_end_may_have_no_results():
    read = read_messages([user("q"), call_message("f", "g")])
    assert [type(turn) for turn in read.turns] == [User, Plan, Call, Plan, Call]
    assert read.deviations == {"calls_without_result_at_the_end": 2}


def test_the_older_shape_of_calls_and_parts_of_content_are_read():
    read = read_messages(
        [
            {"role": "assistant", "content": "Hello!"},
            user([{"type": "text", "text": "a"}, {"type": "image_url", "image_url": {"url": "x"}}]),
            {"role": "assistant", "content": "I look", "function_call": {"name": "f", "arguments": {"n": 1}}},
            {"role": "function", "name": "f", "content": [{"type": "text", "text": "r"}]},
        ]
    )
    assert read.turns == (
        User(text="a"),
        Plan(thought="I look", decision=Decision.CALL),
        Call(name="f", arguments='{"n": 1}'),
        Observation(content="r"),
    )
    assert read.deviations == {"greetings_left_out": 1, "parts_that_are_no_text_left_out": 1}


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({}, "is no list"),
        (["hi"], r"messages\[0\]: an object"),
        ([{"role": "assistant", "content": "alone"}], "no message of the user"),
        ([user("q"), {"role": "narrator", "content": "x"}], r"messages\[1\]: unknown role \"narrator\""),
        ([user("q"), result(0)], r"messages\[1\]: .*answers no call"),
        ([user("q"), call_message("f"), user("and?")], r"messages\[2\]: the call of 'f' has no result"),
        ([user("q"), call_message("f"), call_message("g", start=1)], r"messages\[2\]: the call of 'f' has no result"),
        ([user("q"), call_message("f", "g"), result(0)], "the call of 'g' has no result"),
        ([user("q"), call_message("f"), result(0), result(0)], r"messages\[3\]: a second result"),
        ([user("q"), call_message("")], r"messages\[1\]: a call names no tool"),
        ([call_message("f"), result(0)], r"messages\[0\]: a call comes before the user"),
        ([user("q"), {"role": "assistant", "tool_calls": [{"id": "x"}]}], r"messages\[1\]: an entry of 'tool_calls'"),
    ],
)
def test_what_cannot_stand_in_a_chat_is_named_with_its_place(wrong, said):
    with pytest.raises(DataError, match=said):
        read_messages(wrong)


@QUICK
@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | TEXT,
        lambda inner: (
            st.lists(inner)
            | st.dictionaries(
                st.sampled_from(
                    ["role", "content", "tool_calls", "function", "name", "arguments", "tool_call_id", "type", "text"]
                ),
                inner | st.sampled_from(["user", "assistant", "tool", "system"]),
            )
        ),
    )
)
def test_any_json_is_read_or_refused(value):
    for read in (read_messages, read_tools):
        with suppress(DataError):
            read(value)


def test_a_give_up_has_no_message():
    with pytest.raises(FormatError, match="gives up"):
        write_messages([User(text="q"), Plan(thought="no", decision=Decision.GIVE_UP)])


CITY = {"type": "object", "properties": {"city": {"type": "string", "description": "which"}}, "required": ["city"]}
TIDE = ToolSpec(name="tide", description="tide tables", parameters=CITY)


@pytest.mark.parametrize(
    "declared",
    [
        [{"type": "function", "function": {"name": "tide", "description": "tide tables", "parameters": CITY}}],
        [{"name": "tide", "description": "tide tables", "input_schema": CITY}],
        [
            {
                "name": "tide",
                "description": "tide tables",
                "parameters": {"city": {"type": "string", "description": "which"}},
            }
        ],
        f"[{{'name': 'tide', 'description': 'tide tables', 'parameters': {CITY}}}]",
        f'{{"name": "tide", "description": "tide tables", "parameters": {json.dumps(CITY)}}}\n{{"name": "other"}}',
    ],
)
def test_a_tool_is_read_in_every_declaration(declared):
    assert read_tools(declared)[0] == TIDE


def test_written_tools_are_read_again():
    assert read_tools(write_tools([TIDE])) == (TIDE,)


def test_arguments_with_a_default_or_called_optional_are_not_required():
    (tool,) = read_tools(
        [
            {
                "name": "f",
                "parameters": {
                    "a": {"type": "int, optional"},
                    "b": {"type": "str", "default": ""},
                    "c": {"type": "str"},
                },
            }
        ]
    )
    assert tool.parameters["required"] == ["c"]
    assert tool.parameters["properties"]["a"] == {"type": "int"}
