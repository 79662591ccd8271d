"""Processed dialogues and raw answers to and from trajectories."""

from __future__ import annotations

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from alpha_umi.datasets.processed import read_processed, write_processed
from alpha_umi.datasets.reference import published_stage_1
from alpha_umi.datasets.toolbench import Skip, read_answer, write_answer
from alpha_umi.errors import DataError
from alpha_umi.formats.documents import write_document
from alpha_umi.store import decode_trajectory, encode_trajectory, read_json
from alpha_umi.types import (
    Answer,
    Call,
    Decision,
    Observation,
    Plan,
    StopReason,
    Task,
    ToolStatus,
    Trajectory,
    User,
)
from support.examples import examples
from support.published_data import OUT_OF_DOMAIN
from support.strategies import argument_types, json_values, names, texts, trajectories

marks = st.sampled_from(["", "Next: caller.", " Next: conclusion.", "Next: give up.", "Next: nobody."])
call_texts = st.builds(lambda name, text: f"Action: {name}\nAction Input: {text}", names | texts, texts)
words = texts | st.builds(lambda text, mark: text + mark, texts, marks) | call_texts
entries = st.builds(
    lambda role, value, more: {"from": role, "value": value, **more},
    st.sampled_from(["user", "assistant", "caller", "observation", "conclusion"]),
    words | words | json_values,
    st.just({}) | st.dictionaries(names, json_values, max_size=1),
)
described = st.builds(lambda kind, text: f"{kind}, {text}", argument_types, texts)
documents = st.builds(
    lambda name, about, arguments, more: {"Name": name, "function": about, "input": arguments, **more},
    texts,
    texts | json_values,
    st.dictionaries(texts, argument_types | described | json_values, max_size=3) | json_values,
    st.just({}) | st.dictionaries(texts, json_values, max_size=1),
)
rows = st.builds(
    lambda tools, instruction, conversations, more: {
        **more,
        "tools": tools,
        "instruction": instruction,
        "conversations": conversations,
    },
    st.lists(documents, max_size=3),
    texts | json_values,
    st.lists(entries, max_size=6),
    st.just({}) | st.dictionaries(texts, json_values, max_size=2),
)


@given(rows)
@settings(max_examples=examples(200))
def test_a_processed_row_comes_back_as_it_was_even_from_disk(row):
    trajectory = read_processed(row, "t-0")
    stored = decode_trajectory(json.loads(json.dumps(encode_trajectory(trajectory))))
    assert json.dumps(write_processed(stored)) == json.dumps(row)


def test_the_published_test_file_comes_back_as_it_was():
    if not OUT_OF_DOMAIN.is_file():
        pytest.skip(f"no {OUT_OF_DOMAIN}")
    for index, row in enumerate(read_json(OUT_OF_DOMAIN)):
        assert json.dumps(write_processed(read_processed(row, str(index)))) == json.dumps(row)


@given(trajectories)
def test_a_raw_answer_says_the_turns_it_was_written_from(trajectory):
    turns = (User(text=trajectory.task.query), *trajectory.turns)
    written = write_answer(Trajectory(task=trajectory.task, turns=turns))
    reading = read_answer(json.loads(json.dumps(written)), "a")
    assert not isinstance(reading, Skip)
    assert reading.trajectory.turns == turns


def test_the_result_of_a_call_without_a_thought_is_in_the_raw_answer():
    turns = (
        User(text="q"),
        Plan(thought="", decision=Decision.CALL),
        Call(name="weather", arguments="{}"),
        Observation(content="fog"),
    )
    reading = read_answer(write_answer(Trajectory(task=Task(id="a", query="q"), turns=turns)), "a")
    assert not isinstance(reading, Skip)
    assert reading.trajectory.turns == turns


@given(trajectories)
def test_a_tool_spec_survives_the_raw_answer(trajectory):
    turns = (User(text=trajectory.task.query),)
    reading = read_answer(write_answer(Trajectory(task=trajectory.task, turns=turns)), "a")
    assert not isinstance(reading, Skip)
    assert reading.trajectory.task.tools == trajectory.task.tools


def test_a_raw_answer_must_start_with_the_query():
    with pytest.raises(DataError, match="starts with the query"):
        write_answer(Trajectory(task=Task(id="x", query="q"), turns=(Answer(text="a"),)))


@pytest.mark.parametrize(
    ("row", "words"),
    [
        ([], "not a dialogue"),
        ({"tools": []}, "instruction and conversations missing"),
        ({"tools": {}, "instruction": "", "conversations": []}, "'tools' is no list"),
        ({"tools": [1], "instruction": "", "conversations": []}, r"tools\[0\] is no object"),
        ({"tools": [{}], "instruction": "", "conversations": []}, r"tools\[0\]: .*'Name'"),
        ({"tools": [], "instruction": "", "conversations": {}}, "'conversations' is no list"),
        ({"tools": [], "instruction": "", "conversations": ["a"]}, "turn 0"),
        ({"tools": [], "instruction": "", "conversations": [{"from": "robot", "value": ""}]}, "unknown role 'robot'"),
    ],
)
def test_a_row_of_another_shape_is_named(row, words):
    with pytest.raises(DataError, match=words):
        read_processed(row, "t-0")


# --- the right reading of raw answers -----------------------------------------------------------------


def answer_with(*messages, functions=(), query="q"):
    head = [{"role": "system", "content": "s"}, {"role": "user", "content": f"\n{query}\nBegin!\n"}]
    generation = {"query": query, "function": list(functions), "train_messages": [[], [*head, *messages]]}
    return {"answer_generation": generation}


def turns_of(*messages):
    reading = read_answer(answer_with(*messages), "a")
    assert not isinstance(reading, Skip)
    assert reading.trajectory.turns[0] == User(text="q")
    return reading.trajectory.turns[1:]


def said(name, arguments, content="t"):
    return {"role": "assistant", "content": content, "function_call": {"name": name, "arguments": arguments}}


def seen(content):
    return {"role": "function", "name": "f", "content": content}


def test_a_call_keeps_its_arguments_as_written():
    assert turns_of(said("f", '{"a": 1')) == (
        Plan(thought="t\n ", decision=Decision.CALL),
        Call(name="f", arguments='{"a": 1'),
    )


def test_an_assistant_without_a_call_is_a_plan_that_names_nobody():
    assert turns_of({"role": "assistant", "content": "hm"}) == (Plan(thought="hm\n", decision=Decision.NONE),)


def test_a_hint_of_the_search_stays_a_user_turn():
    assert turns_of({"role": "user", "content": "not the first time", "valid": False}) == (
        User(text="not the first time"),
    )


@pytest.mark.parametrize(
    ("arguments", "answer"),
    [
        ('{"return_type": "give_answer", "final_answer": "yes"}', "yes"),
        ({"return_type": "give_answer", "final_answer": "yes"}, "yes"),
        ('{"return_type": "give_answer", "final_answer": {"a": 1}}', '{"a": 1}'),
        ('{"return_type": "give_answer", "final_answer": "two\nlines"}', "two\nlines"),
        ('{"return_type": "give_answer", "final_answer": "cut \\"off\\" he', 'cut "off" he'),
        ('{"return_type": "give_answer", "final_answer": "half \\u00e', "half "),
        ('{"return_type": "give_answer",\n "final_answer":"no "quotes" escaped"\n}', 'no "quotes" escaped'),
        ('{"return_type": "give_answer"}', ""),
        ("garbage", "t"),
        ("{'return_type': 'give_answer', 'final_answer': 'hi'}", "hi"),
        ("{'return_type': 'give_answer', 'final_answer': \"it's\"}", "it's"),
        ("{'return_type': 'give_answer', 'final_answer': 'cut o", "cut o"),
        ('```json\n{"return_type": "give_answer", "final_answer": "fenced"}\n```', "fenced"),
        ("```python\n{'return_type': 'give_answer', 'final_answer': 'both',}\n```", "both"),
    ],
)
def test_a_finish_is_an_answer_however_broken(arguments, answer):
    assert turns_of(said("Finish", arguments)) == (
        Plan(thought="t\n ", decision=Decision.CONCLUDE),
        Answer(text=answer),
    )


@pytest.mark.parametrize(
    "arguments",
    [
        '{"return_type": "give_up_and_restart"}',
        '{"return_type": give_up_and_restart',
        {"return_type": "give_up"},
        '{"return_type":"give_up',
    ],
)
def test_a_finish_that_gives_up_is_a_plan(arguments):
    assert turns_of(said("Finish", arguments, content=None)) == (Plan(thought=" ", decision=Decision.GIVE_UP),)


@pytest.mark.parametrize(
    ("content", "text", "status"),
    [
        ('{"error": "", "response": "fine"}', "fine", ToolStatus.OK),
        ('{"error": "", "response": {"k": [1]}}', '{"k": [1]}', ToolStatus.OK),
        ('{"error": "broken", "response": ""}', "broken", ToolStatus.ERROR),
        ('{"error": "broken", "response": "but this"}', "broken but this", ToolStatus.ERROR),
        ('{"error": "late", "response": "cut \\"o\\" and...', 'late cut "o" and...', ToolStatus.ERROR),
        ('{"error": "", "response": "caf\\u00e9 \\u00...', "café ...", ToolStatus.OK),
        ('{"error": "", "response": "smile \\ud83d...', "smile ...", ToolStatus.OK),
        ('{"error": "", "response": {"sea": "calm", "wind": "no...', '{"sea": "calm", "wind": "no...', ToolStatus.OK),
        ('{"error": "", "response": [{"sea": "calm"}, {"se', '[{"sea": "calm"}, {"se', ToolStatus.OK),
        (
            '{\n "response" : {"sea": "calm"},\n "error" : "half of i...',
            'half of i... {"sea": "calm"}',
            ToolStatus.ERROR,
        ),
        ('{"error": "half of i', "half of i", ToolStatus.ERROR),
        ('{"response": 12345', "12345", ToolStatus.OK),
        ('{"sea": "calm", "wi', '{"sea": "calm", "wi', ToolStatus.OK),
        ([{"type": "text", "text": '{"error": "", "response": "calm"}'}], "calm", ToolStatus.OK),
        ("plain", "plain", ToolStatus.OK),
        ("[1, 2]", "[1, 2]", ToolStatus.OK),
        (None, "", ToolStatus.OK),
    ],
)
def test_an_observation_keeps_what_the_tool_said(content, text, status):
    assert turns_of(seen(content)) == (Observation(content=text, status=status),)


def asks(*calls, content="t"):
    """A message of the newer shape: calls as (id, name, arguments)."""
    listed = [{"id": i, "type": "function", "function": {"name": n, "arguments": a}} for i, n, a in calls]
    return {"role": "assistant", "content": content, "tool_calls": listed}


def answers(identity, content):
    return {"role": "tool", "tool_call_id": identity, "content": content}


def test_a_call_of_the_newer_shape_is_a_call():
    finish = ("b", "Finish", '{"return_type": "give_answer", "final_answer": "calm"}')
    found = turns_of(
        asks(("a", "f", "{}")), answers("a", '{"error": "", "response": "1 m"}'), asks(finish, content=None)
    )
    assert found == (
        Plan(thought="t\n ", decision=Decision.CALL),
        Call(name="f", arguments="{}"),
        Observation(content="1 m"),
        Plan(thought=" ", decision=Decision.CONCLUDE),
        Answer(text="calm"),
    )


@pytest.mark.parametrize("order", [("a", "b", "c"), ("c", "a", "b"), ("b", "c", "a")])
def test_each_of_parallel_calls_is_followed_by_its_own_observation(order):
    calls = [(name, f"tool_{name}", json.dumps({"of": name})) for name in "abc"]
    found = turns_of(
        asks(*calls), *(answers(name, f"says {name}") for name in order), {"role": "user", "content": "go"}
    )
    assert [turn.thought for turn in found if isinstance(turn, Plan)] == ["t\n ", " ", " "]
    assert [(found[at].name, found[at + 1].content) for at in (1, 4, 7)] == [
        (f"tool_{name}", f"says {name}") for name in "abc"
    ]
    assert found[9:] == (User(text="go"),)


def test_responses_without_ids_belong_to_the_calls_in_their_order():
    calls = [{"function": {"name": name, "arguments": {}}} for name in "xy"]
    found = turns_of(
        {"role": "assistant", "content": None, "tool_calls": calls}, seen("one"), seen("two"), seen("three")
    )
    assert [turn.content for turn in found if isinstance(turn, Observation)] == ["one", "two", "three"]
    assert [turn.name for turn in found if isinstance(turn, Call)] == ["x", "y"]
    assert found[2:4] == (Observation(content="one"), Plan(thought=" ", decision=Decision.CALL))


def test_a_call_without_a_response_takes_no_others():
    found = turns_of(asks(("a", "x", "{}"), ("b", "y", "{}")), answers("b", "for y"))
    assert found[1:3] == (Call(name="x", arguments="{}"), Plan(thought=" ", decision=Decision.CALL))
    assert found[-1] == Observation(content="for y")


def test_an_answer_beside_calls_comes_after_them():
    finish = ("z", "Finish", '{"return_type": "give_answer", "final_answer": "done"}')
    found = turns_of(asks(finish, ("a", "x", "{}")), answers("a", "for x"))
    assert found[-1] == Answer(text="done")
    assert found[2] == Observation(content="for x")


def test_tools_may_be_wrapped_as_functions():
    bare = {"name": "tide", "description": "d", "parameters": {"type": "object", "properties": {}, "required": []}}
    documents = [
        answer_with(functions=[tool, finish])
        for tool, finish in (
            (bare, {"name": "Finish"}),
            ({"type": "function", "function": bare}, {"type": "function", "function": {"name": "Finish"}}),
        )
    ]
    first, second = (read_answer(document, "a").trajectory.task.tools for document in documents)
    assert first == second
    assert [tool.name for tool in first] == ["tide"]


@given(
    st.lists(
        st.recursive(
            json_values | names,
            lambda inner: (
                st.lists(inner, max_size=3)
                | st.dictionaries(
                    st.sampled_from(
                        [
                            "role",
                            "content",
                            "tool_calls",
                            "function_call",
                            "function",
                            "name",
                            "id",
                            "arguments",
                            "tool_call_id",
                            "assistant",
                            "tool",
                        ]
                    ),
                    inner,
                    max_size=4,
                )
            ),
            max_leaves=12,
        ),
        max_size=5,
    )
)
@settings(max_examples=examples(150))
def test_messages_of_any_shape_are_read(messages):
    assert not isinstance(read_answer(answer_with(*messages), "a"), Skip)


def test_descriptions_keep_their_beginning_and_types_may_be_absent():
    properties = {"a": {"type": "string", "description": "x" * 256 + "y"}, "b": {"description": "no type"}}
    parameters = {"type": "object", "properties": properties, "required": [], "optional": ["a"]}
    function = {"name": "n" * 70 + "e", "description": "d" * 300, "parameters": parameters}
    reading = read_answer(answer_with(functions=[function, {"name": "Finish"}]), "a")
    assert not isinstance(reading, Skip)
    (tool,) = reading.trajectory.task.tools
    assert tool.parameters["optional"] == ["a"]
    assert write_document(tool) == {
        "Name": "n" * 63 + "e",
        "function": "d" * 256,
        "input": {"a": "string, " + "x" * 256, "b": "any, no type"},
    }
    assert reading.deviations["argument_descriptions_cut_at_the_end"] == 1


def test_as_published_an_argument_keeps_the_end_of_its_description():
    properties = {"a": {"type": "string", "description": "first" + "x" * 251 + "last"}}
    function = {"name": "f", "description": "d", "parameters": {"properties": properties}}
    stage = published_stage_1(answer_with(functions=[function]))
    assert not isinstance(stage, Skip)
    assert stage["tools"] == [{"Name": "f", "function": "d", "input": {"a": "string, t" + "x" * 251 + "last"}}]


@pytest.mark.parametrize(
    ("last", "stop"),
    [
        (said("Finish", '{"return_type": "give_answer", "final_answer": "a"}'), StopReason.ANSWERED),
        (said("Finish", '{"return_type": "give_up_and_restart"}'), StopReason.GAVE_UP),
        (seen("cut here"), StopReason.UNFINISHED),
    ],
)
def test_the_last_turn_says_how_it_ended(last, stop):
    reading = read_answer(answer_with(last), "a")
    assert not isinstance(reading, Skip)
    assert reading.trajectory.stop is stop


@given(json_values, json_values)
def test_reading_a_raw_answer_never_raises(messages, other):
    for document in (
        other,
        {"answer_generation": other},
        {"answer_generation": {"query": other, "function": [other], "train_messages": [messages]}},
        answer_with({"role": "assistant", "content": other, "function_call": {"name": other, "arguments": messages}}),
        answer_with({"role": "function", "content": other}, {"role": "user", "content": messages}, functions=[other]),
        answer_with(functions=[{"name": "f", "description": other, "parameters": messages}]),
    ):
        read = read_answer(document, "a")
        assert isinstance(read, Skip) or read.trajectory.task.id == "a"
