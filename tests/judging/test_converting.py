"""Conversion of rollouts and raw answers to what a judge reads."""

import json

import pytest
from hypothesis import given, settings

from alpha_umi.errors import DataError
from alpha_umi.formats.prompts.judging import Case, final_text, tool_steps
from alpha_umi.judging.convert import convert_answer, convert_trajectory, read_case, read_trajectory
from alpha_umi.judging.reference_convert import PublishedConverter
from alpha_umi.types import Answer, Call, Reference
from support.examples import examples
from support.strategies import trajectories


@settings(max_examples=examples(60))
@given(trajectories)
def test_a_converted_rollout_keeps_every_tool_call_and_reads_back(trajectory):
    record = json.loads(json.dumps(convert_trajectory(trajectory, "m")))
    subject = read_case(record)
    calls = [turn for turn in trajectory.turns if isinstance(turn, Call)]
    ends = [turn for turn in trajectory.turns if isinstance(turn, Answer)]
    shown = [(step["name"], step["arguments"]) for step in tool_steps(subject) if step["name"] != "Finish"]
    assert shown == [(call.name, call.arguments) for call in calls if call.name != "Finish"]
    read = read_trajectory(subject, trajectory.task)
    assert [turn for turn in read.turns if isinstance(turn, Call)] == calls
    assert [turn for turn in read.turns if isinstance(turn, Answer)] == ends


def raw(messages, *, valid=True, **more):
    generation = {"valid_data": valid, "query": "q", "function": [], "final_answer": "a", "train_messages": [messages]}
    return {"answer_generation": generation, **more}


def old_call(name, response="r"):
    call = {"role": "assistant", "function_call": {"name": name, "arguments": "{}"}}
    return [call, {"role": "function", "name": name, "content": response}]


def shown_calls(record):
    return [(step["name"], step["response"]) for step in tool_steps(read_case(record))]


def test_the_first_call_is_kept_where_no_system_message_was_recorded():
    messages = [{"role": "user", "content": "q"}, *old_call("first"), *old_call("second")]
    assert shown_calls(convert_answer(raw(messages), "m")) == [("first", "r"), ("second", "r")]
    published = PublishedConverter(version=Reference.OPENBMB, method="m").convert("1", raw(messages))
    assert [name for name, _ in shown_calls(published)] == ["second"]


def test_several_calls_in_one_message_are_all_kept_with_their_own_responses():
    def tool_call(number):
        return {"id": str(number), "function": {"name": f"t{number}", "arguments": "{}"}}

    messages = [
        {"role": "user", "content": "q"},
        {"role": "assistant", "tool_calls": [tool_call(1), tool_call(2)]},
        {"role": "tool", "tool_call_id": "2", "content": "two"},
        {"role": "tool", "tool_call_id": "1", "content": "one"},
    ]
    assert shown_calls(convert_answer(raw(messages), "m")) == [("t1", "one"), ("t2", "two")]


def chain(*names):
    nodes = []
    for name in names:
        nodes.append({"node_type": "Action", "description": name})
        nodes.append({"node_type": "Action Input", "description": "{}", "observation": "o"})
    return {"chain": nodes}


def test_of_an_unfinished_answer_the_branch_with_the_most_calls_is_shown():
    tries = convert_answer(raw([], valid=False, trys=[chain("a"), chain("b", "c"), chain("d", "e")]), "CoT@3")
    assert [name for name, _ in shown_calls(tries)] == ["b", "c"]
    leaf = {"node_type": "Action Input", "description": "{}", "observation": "o", "children": []}
    deep = {"node_type": "Action", "description": "deep", "children": [leaf]}
    tree = {
        "node_type": "Action Input",
        "children": [
            {"node_type": "Thought", "description": "hm", "children": []},
            {"node_type": "Thought", "description": "so", "children": [deep]},
        ],
    }
    assert shown_calls(convert_answer(raw([], valid=False, tree={"tree": tree}), "DFS")) == [("deep", "o")]


@pytest.mark.parametrize("version", list(Reference))
@pytest.mark.parametrize("method", ["DFS_woFilter_w2", "CoT@1", "other"])
def test_where_a_published_converter_ends_ours_goes_on_and_says_so(version, method):
    converter = PublishedConverter(version=version, method=method)
    broken = raw([{"role": "system"}, {"role": "user"}, {"role": "critic", "content": "?"}, *old_call("t")])
    assert shown_calls(converter.convert("7", broken)) == [("t", "r")]
    unfinished = raw([], valid=False, trys=[{"chain": [{"node_type": "Action", "description": "cut"}]}])
    assert converter.convert("8", unfinished)["answer"]["method"] == method
    assert [note.partition(":")[0] for note in converter.notes] == ["7", "8"]


def test_what_is_no_raw_answer_is_an_error():
    for document in ({}, [], None, {"answer_generation": 3}):
        with pytest.raises(DataError, match="answer_generation"):
            convert_answer(document, "m")


@pytest.mark.parametrize(
    ("final", "text"),
    [
        ('{"return_type": "give_answer", "final_answer": " yes "}', "yes"),
        ('{"return_type": "give_up_and_restart"}', ""),
        (
            '{"return_type": "give_answer", "final_answer": "never say give_up_and_restart"}',
            "never say give_up_and_restart",
        ),
        ('{"return_type": "give_answer", "final_answer": ', '{"return_type": "give_answer", "final_answer":'),
        ("plain words", "plain words"),
        ('{"temperature": 21}', '{"temperature": 21}'),
        ("", ""),
    ],
)
def test_the_words_of_a_final_answer(final, text):
    assert final_text(Case(query="q", tools=[], answer={"final_answer": final})) == text
