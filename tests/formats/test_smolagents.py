"""Calls and results that smolagents writes as text."""

import json

from alpha_umi.formats.messages import read_messages
from alpha_umi.formats.smolagents import with_calls
from alpha_umi.types import Call, Decision, Observation, Plan, User

WRITTEN = {"id": "c1", "type": "function", "function": {"name": "weather", "arguments": {"city": "Lima"}}}
CALL = Call(name="weather", arguments=json.dumps({"city": "Lima"}))


def part(text):
    return [{"type": "text", "text": text}]


def test_calls_and_results_that_are_text_are_calls_and_results():
    messages = with_calls(
        [
            {"role": "system", "content": part("You call tools.")},
            {"role": "user", "content": part("New task:\nWeather?")},
            {"role": "assistant", "content": part("Calling tools:\n" + str([WRITTEN]))},
            {"role": "user", "content": part("Observation:\n9 C")},
            {"role": "assistant", "content": "Once more.\nCalling tools:\n" + str([WRITTEN])},
            {"role": "user", "content": "Call id: c1\nError:\nno such city"},
        ]
    )
    read = read_messages(messages)
    assert read.call_ids == ("c1", "c1")
    assert read.turns == (
        User(text="Weather?"),
        Plan(thought="", decision=Decision.CALL),
        CALL,
        Observation(content="9 C"),
        Plan(thought="Once more.", decision=Decision.CALL),
        CALL,
        Observation(content="no such city"),
    )


def test_messages_of_others_stay_as_they_are():
    messages = [
        {"role": "user", "content": "Observation:\nof birds"},
        {"role": "assistant", "content": "Calling tools:\nis what plumbers do"},
        {"role": "user", "content": "Error:\nis human"},
        {"role": "assistant", "content": None, "tool_calls": [WRITTEN]},
        {"role": "tool", "tool_call_id": "c1", "content": "Observation:\nx"},
        1,
    ]
    assert with_calls(messages) == messages
