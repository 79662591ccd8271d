"""Chat messages of OpenAI's API as turns, from every client's spelling of them."""

import json

import pytest

from alpha_umi.errors import FormatError
from alpha_umi.formats.wire_messages import read_messages, read_tools
from alpha_umi.types import Answer, Call, Decision, Observation, Plan, ToolSpec, ToolStatus, User


def call(number, city):
    function = {"name": "weather", "arguments": json.dumps({"city": city})}
    return {"id": f"c{number}", "type": "function", "function": function}


def asked(city):
    return Call(name="weather", arguments=json.dumps({"city": city}))


def test_a_conversation_with_calls_is_a_trajectory():
    read = read_messages(
        [
            {"role": "system", "content": "Be brief."},
            {"role": "developer", "content": [{"type": "text", "text": "Be kind."}]},
            {"role": "user", "content": [{"type": "text", "text": "Weather in "}, {"type": "text", "text": "Lima?"}]},
            {"role": "assistant", "content": None, "reasoning_content": "I look.", "tool_calls": [call(1, "Lima")]},
            {"role": "tool", "tool_call_id": "c1", "content": "9 C"},
            {"role": "assistant", "content": "It is 9 C."},
            {"role": "user", "content": "Thanks"},
        ]
    )
    assert read.instructions == "Be brief.\n\nBe kind."
    assert read.call_ids == ("c1",)
    assert read.turns == (
        User(text="Weather in Lima?"),
        Plan(thought="I look.", decision=Decision.CALL),
        asked("Lima"),
        Observation(content="9 C"),
        Plan(thought="", decision=Decision.CONCLUDE),
        Answer(text="It is 9 C."),
        User(text="Thanks"),
    )


def test_observations_follow_their_own_calls_in_whichever_order_they_came():
    read = read_messages(
        [
            {"role": "user", "content": "Both"},
            {"role": "assistant", "content": "Two calls.", "tool_calls": [call(1, "Lima"), call(2, "Oslo")]},
            {"role": "tool", "tool_call_id": "c2", "content": "in Oslo"},
            {"role": "tool", "tool_call_id": "c1", "content": "in Lima"},
        ]
    )
    assert read.turns[1:] == (
        Plan(thought="Two calls.", decision=Decision.CALL),
        asked("Lima"),
        Observation(content="in Lima"),
        asked("Oslo"),
        Observation(content="in Oslo"),
    )


def test_calls_that_smolagents_writes_as_text_are_calls():
    written = {"id": "c1", "type": "function", "function": {"name": "weather", "arguments": {"city": "Lima"}}}
    read = read_messages(
        [
            {"role": "user", "content": [{"type": "text", "text": "New task:\nWeather?"}]},
            {"role": "assistant", "content": [{"type": "text", "text": "Calling tools:\n" + str([written])}]},
            {"role": "user", "content": [{"type": "text", "text": "Observation:\n9 C"}]},
            {"role": "assistant", "content": "Once more.\nCalling tools:\n" + str([written])},
            {"role": "user", "content": "Call id: c1\nError:\nno such city"},
        ]
    )
    assert read.call_ids == ("c1", "c1")
    assert read.turns == (
        User(text="Weather?"),
        Plan(thought="", decision=Decision.CALL),
        asked("Lima"),
        Observation(content="9 C"),
        Plan(thought="Once more.", decision=Decision.CALL),
        asked("Lima"),
        Observation(content="no such city", status=ToolStatus.ERROR),
    )


def test_both_shapes_of_tools_are_read():
    parameters = {"type": "object", "properties": {"city": {"type": "string"}}}
    function = {"name": "weather", "description": "Now.", "parameters": parameters, "strict": True}
    spec = ToolSpec(name="weather", description="Now.", parameters=parameters)
    assert read_tools([{"type": "function", "function": function}]) == (spec,)
    assert read_tools([{"type": "function", **function}]) == (spec,)


USER = {"role": "user", "content": "x"}
ASKS = {"role": "assistant", "tool_calls": [call(1, "Lima")]}


@pytest.mark.parametrize(
    ("messages", "where"),
    [
        ([1], "messages[0]"),
        ([{"content": "x"}], "messages[0].role"),
        ([{"role": ["user"]}], "messages[0].role"),
        ([{"role": "user", "content": 5}], "messages[0].content"),
        ([{"role": "user", "content": [{"type": "image_url"}]}], "messages[0].content[0].type"),
        ([USER, {"role": "assistant", "tool_calls": {}}], "messages[1].tool_calls"),
        ([USER, {"role": "assistant", "tool_calls": [{"function": {"name": 1}}]}], "messages[1].tool_calls[0]"),
        ([USER, ASKS, USER], "messages[2]"),
        ([USER, ASKS, {"role": "tool", "tool_call_id": "c9"}], "messages[2].tool_call_id"),
        ([USER, {"role": "tool", "tool_call_id": "c1"}], "messages[1].tool_call_id"),
    ],
)
def test_messages_of_another_shape_are_refused_with_their_place(messages, where):
    with pytest.raises(FormatError) as refused:
        read_messages(messages)
    assert str(refused.value).startswith(where)


@pytest.mark.parametrize("tools", [[1], [{}], [{"type": "mcp"}], [{"function": []}], [{"name": "a"}, {"name": "a"}]])
def test_tools_of_another_shape_are_refused(tools):
    with pytest.raises(FormatError, match=r"^tools\["):
        read_tools(tools)
