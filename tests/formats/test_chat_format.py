"""Chat messages: every turn renders into what every chat template takes, and every reply reads as turns."""

import json
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from alpha_umi.errors import FormatError
from alpha_umi.formats.chat import ChatFormat, Wording
from alpha_umi.formats.marks import Marks, read_call
from alpha_umi.protocols import Format
from alpha_umi.roles import FORMAT_ROLES
from alpha_umi.types import Answer, Call, Decision, Message, Observation, Plan, Role, Task, ToolSpec, User
from support import strategies
from support.examples import examples
from support.folders import GOLDEN

FORMAT = ChatFormat()
TASK = Task(
    id="1",
    query="Will it rain in Bonn?",
    tools=(
        ToolSpec(
            name="weather",
            description="Forecast for one city",
            parameters={
                "type": "object",
                "properties": {"city": {"type": "string"}},
                "required": ["city"],
                "x-toolbench": {"Name": "weather"},
            },
        ),
    ),
)
ASKED = (User(text="Will it rain in Bonn?"),)
PLAN = Plan(thought="The forecast is missing.", decision=Decision.CALL)
CALL = Call(name="weather", arguments='{"city": "Bonn"}')
RAIN = Observation(content='{"rain": true}')
DONE = Plan(thought="Now it is known.", decision=Decision.CONCLUDE)
ANSWER = Answer(text="Yes, it will rain.")

MARKERS = ("next", "action", "conclusion", "observation", "final", "think", "thought", "planner", "assistant", "answer")
FRAGMENTS = (
    *("Next: caller.", "Next:", " conclusion.", "give up", "call", "**", "*", "_", "`", "```json\n", "\n", " ", "\t"),
    *("Action:", "Action Input:", "Observation:", "conclusion:", "final answer:", "{}", '{"a": 1}', '{"a"', "}", "x"),
    *(
        "get()",
        "Thought:",
        "Planner:",
        "</think>",
        "Answer:",
        "\r",
        "é",
        "ſ",
        "-",
        "#",
        ">",
        "\x1c",
        "\u00a0",
        "\u2028",
    ),
    *('{"name": "x", "arguments": {"a": 1}}', "<tool_call>"),
)
plain = strategies.texts.filter(lambda text: not any(marker in text.lower() for marker in MARKERS))
thoughts = plain | st.sampled_from([" ", "\n", "I need X. ", "1. this\n2. that\n", "**Rain** is next, then call."])
documents = st.dictionaries(strategies.texts, strategies.json_values, max_size=3)
written = st.builds(lambda value, indent: json.dumps(value, indent=indent), documents, st.sampled_from([None, 2]))
arguments = written.filter(lambda text: "</think>" not in text)
calls = st.builds(lambda name, given: Call(name=name, arguments=given), strategies.names, arguments | st.just(""))
answers = st.builds(lambda text: Answer(text=text), plain.filter(lambda text: "give" not in text.lower()))
replies = st.text(max_size=60) | st.lists(st.sampled_from(FRAGMENTS), max_size=10).map("".join)


def planned(decision):
    return st.builds(lambda thought: Plan(thought=thought, decision=decision), thoughts)


expressible = st.one_of(
    st.tuples(st.just(Role.PLANNER), st.one_of(*map(planned, Decision)).map(lambda plan: (plan,))),
    st.tuples(
        st.just(Role.CALLER),
        (calls | st.builds(lambda text: Call(name="", arguments=text), plain)).map(lambda call: (call,)),
    ),
    st.tuples(st.just(Role.SUMMARIZER), answers.map(lambda answer: (answer,))),
    st.tuples(st.just(Role.BACKBONE), st.tuples(planned(Decision.CALL), calls)),
    st.tuples(st.just(Role.BACKBONE), st.tuples(planned(Decision.CONCLUDE), answers)),
    st.tuples(st.just(Role.BACKBONE), st.tuples(planned(Decision.GIVE_UP) | planned(Decision.NONE))),
)


def test_it_is_a_format():
    assert isinstance(FORMAT, Format)
    assert (FORMAT.name, FORMAT.end, FORMAT.special_tokens) == ("chat", "", ())


# --- laws -------------------------------------------------------------------------------------------------


@given(expressible)
def test_what_is_written_is_parsed_back(said):
    role, turns = said
    assert FORMAT.parse(role, FORMAT.write(role, turns)) == turns


@settings(max_examples=examples(300))
@given(st.sampled_from(FORMAT_ROLES), replies)
def test_any_reply_is_turns_that_write_and_parse_as_themselves(role, text):
    turns = FORMAT.parse(role, text)
    assert FORMAT.parse(role, FORMAT.write(role, turns)) == turns


@given(st.sampled_from(FORMAT_ROLES), strategies.tasks, st.lists(strategies.turns, max_size=7))
def test_every_prompt_is_system_then_user_and_assistant_in_turn_and_ends_with_user(role, task, turns):
    roles = [message.role for message in FORMAT.render(role, task, turns)]
    assert roles == ["system", *(["user", "assistant"] * len(roles))[: len(roles) - 1]]
    assert roles[-1] == "user"


@given(st.sampled_from(FORMAT_ROLES), strategies.tasks, st.lists(strategies.turns, max_size=7))
def test_no_word_of_a_turn_is_lost_in_a_prompt(role, task, turns):
    shown = "\n".join(message.content for message in FORMAT.render(role, task, [User(text="go"), *turns]))
    for turn in turns:
        match turn:
            case User(text=text) | Answer(text=text) | Observation(content=text) | Plan(thought=text):
                assert text in shown
            case Call(name=name, arguments=given):
                assert f"Action: {name}\nAction Input: {given}" in shown


def _golden():
    root = GOLDEN
    if not root.is_dir():
        pytest.skip(f"no golden data at {root}; set ALPHA_UMI_GOLDEN")
    return root


def test_published_targets_are_expressible():
    read = {
        "planner": lambda text: Marks().read_plan(text),
        "caller": read_call,
        "summarizer": lambda text: Answer(text=text),
    }
    seen = 0
    for name, reader in read.items():
        for path in _golden().glob(f"prepro/**/train_{name}.json"):
            for row in json.loads(path.read_text()):
                turns = (reader(row["target"].removesuffix("</s>")),)
                seen += 1
                assert FORMAT.parse(Role(name), FORMAT.write(Role(name), turns)) == turns
    assert seen


# --- prompts ----------------------------------------------------------------------------------------------


def test_a_caller_reads_the_conversation_and_the_plan_that_called_it():
    system, *conversation = FORMAT.render(Role.CALLER, TASK, (*ASKED, PLAN, CALL, RAIN, PLAN))
    assert conversation == [
        Message(role="user", content="Will it rain in Bonn?"),
        Message(
            role="assistant",
            content='The forecast is missing.\nNext: caller.\nAction: weather\nAction Input: {"city": "Bonn"}',
        ),
        Message(role="user", content='Observation: {"rain": true}'),
        Message(role="assistant", content="The forecast is missing.\nNext: caller."),
        Message(role="user", content=FORMAT.wording.cues[Role.CALLER]),
    ]
    assert "NAME is one of: weather." in system.content
    assert "{tool_names}" not in system.content


def test_a_backbone_reads_its_own_steps_as_it_writes_them():
    prompt = FORMAT.render(Role.BACKBONE, TASK, (*ASKED, PLAN, CALL, RAIN, DONE, ANSWER, User(text="And snow?")))
    assert prompt[2].content == FORMAT.write(Role.BACKBONE, (PLAN, CALL))
    assert prompt[4].content == FORMAT.write(Role.BACKBONE, (DONE, ANSWER))
    assert prompt[5].content.startswith("And snow?")


def test_tools_are_json_schema_without_what_is_kept_for_a_source():
    shown = FORMAT.render(Role.PLANNER, TASK, ASKED)[0].content.splitlines()
    assert json.loads(shown[1]) == {
        "name": "weather",
        "description": "Forecast for one city",
        "parameters": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
    }
    assert "Forecast" not in FORMAT.render(Role.SUMMARIZER, TASK, ASKED)[0].content
    assert "There are no tools." in FORMAT.render(Role.PLANNER, Task(id="2", query="hi"), ())[0].content


def test_a_tool_named_like_a_placeholder_is_not_filled_in():
    task = Task(id="1", query="q", tools=(ToolSpec(name="a", description="{tool_names}"),))
    assert '"{tool_names}"' in FORMAT.render(Role.CALLER, task, ())[0].content


def test_turns_without_a_request_get_the_request_of_the_task():
    assert FORMAT.render(Role.PLANNER, TASK, ()) == FORMAT.render(Role.PLANNER, TASK, ASKED)
    assert FORMAT.render(Role.CALLER, TASK, (PLAN,)) == FORMAT.render(Role.CALLER, TASK, (*ASKED, PLAN))


def test_a_turn_that_says_nothing_is_no_message():
    nothing = Plan(thought="", decision=Decision.NONE)
    assert FORMAT.render(Role.PLANNER, TASK, (*ASKED, nothing)) == FORMAT.render(Role.PLANNER, TASK, ASKED)


def test_each_role_is_told_the_marks_that_are_parsed():
    for role, asked in {
        Role.PLANNER: ["\nNext: caller.\n", "\nNext: conclusion.\n", "\nNext: give up.\n"],
        Role.CALLER: ["\nAction: NAME\nAction Input: {"],
        Role.BACKBONE: ["\nAction: NAME\nAction Input: {", "\nconclusion: ", "\nconclusion: give up."],
    }.items():
        system = FORMAT.render(role, TASK, ASKED)[0].content
        assert all(mark in system for mark in asked), role


# --- replies ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "decision", "thought"),
    [
        ("Look.\nNext: caller.", Decision.CALL, "Look."),
        ("**Planner:** Look.\n\n**Next: caller.**", Decision.CALL, "Look.\n"),
        ("Thought: Look.\n> **Next:** conclusion", Decision.CONCLUDE, "Look."),
        ("Look. Next: give up.", Decision.GIVE_UP, "Look. "),
        ("Look.\nnext: Summarizer", Decision.CONCLUDE, "Look."),
        ("<think>Next: give up.</think>\n\nLook.\nNext: caller.", Decision.CALL, "Look."),
        ("I could say Next: give up. but no\nNext: caller.", Decision.CALL, "I could say Next: give up. but no"),
        ("Look.\nNext: caller.\nAction: weather\nObservation: ok\nNext: conclusion.", Decision.CALL, "Look."),
        ("Never Next: give up. so\nNext: caller. It knows.", Decision.CALL, "Never Next: give up. so"),
        ("Assistant: **Planner:** Look.\nNext: caller.", Decision.CALL, "Look."),
        ("Next: callers are many", Decision.NONE, "Next: callers are many"),
        ("", Decision.NONE, ""),
    ],
)
def test_a_plan_is_read_through_markdown_labels_and_chatter(text, decision, thought):
    assert FORMAT.parse(Role.PLANNER, text) == (Plan(thought=thought, decision=decision),)


@pytest.mark.parametrize(
    "text",
    [
        'Action: weather\nAction Input: {"city": "Bonn"}',
        '**Action:** `weather`\n**Action Input:**\n```json\n{"city": "Bonn"}\n```\nThis asks for it.',
        '**Action**: weather()\n**Action Input**: {"city": "Bonn"}',
        'Caller:\nAction: weather Action Input: {"city": "Bonn"}',
        'Sure!\n\n- Action: [weather]\n- Action Input: `{"city": "Bonn"}`',
        'I will use Action: weather\nAction Input: {"city": "Bonn"}',
        'Action: weather\n```json\n{"city": "Bonn"}\n```',
        'Action: weather\nAction Input: {"city": "Bonn"}\nObservation: {"rain": false}\nAction: b',
        '<tool_call>\n{"name": "weather", "arguments": {"city": "Bonn"}}\n</tool_call>',
        '```json\n{"action": "weather", "action_input": {"city": "Bonn"}}\n```',
    ],
)
def test_a_call_is_read_through_markdown_labels_and_chatter(text):
    assert FORMAT.parse(Role.CALLER, text) == (CALL,)


@pytest.mark.parametrize(
    ("text", "call"),
    [
        ("Action: weather", Call(name="weather", arguments="{}")),
        ("Action: weather\nAction Input: {'city': 'Bonn'}", Call(name="weather", arguments="{'city': 'Bonn'}")),
        ("Action: weather\nAction Input: Bonn\nObservation: rain", Call(name="weather", arguments="Bonn")),
        ('Action: a\nAction: b\nAction Input: {"x": 1}', Call(name="a", arguments="{}")),
        ("I cannot call anything.", Call(name="", arguments="I cannot call anything.")),
        ("Action: \nAction Input: {}", Call(name="", arguments="Action: \nAction Input: {}")),
    ],
)
def test_what_is_wrong_in_a_call_is_kept_as_data(text, call):
    assert FORMAT.parse(Role.CALLER, text) == (call,)


@pytest.mark.parametrize(
    ("text", "turns"),
    [
        ('Look.\n\n**Action:** weather\n**Action Input:** {"city": "Bonn"}', ("Look.\n", CALL)),
        ("Look.\nFinal Answer: Yes, it will rain.", ("Look.", ANSWER)),
        ("Thought: Look.\n**Conclusion:** Yes, it will rain.", ("Look.", ANSWER)),
        ("Look.\nconclusion: Give up!", ("Look.", Decision.GIVE_UP)),
        ("Look.", ("Look.", Decision.NONE)),
    ],
)
def test_a_step_is_read_through_markdown_labels_and_chatter(text, turns):
    thought, said = turns
    match said:
        case Call():
            expected = (Plan(thought=thought, decision=Decision.CALL), said)
        case Answer():
            expected = (Plan(thought=thought, decision=Decision.CONCLUDE), said)
        case _:
            expected = (Plan(thought=thought, decision=said),)
    assert FORMAT.parse(Role.BACKBONE, text) == expected


def test_a_degenerate_reply_is_parsed_in_time_that_grows_with_its_length_alone():
    started = time.process_time()
    for unit in ("*", "-", "`", "\n", "{", "Planner:", "Next:", "Action:", "Action Input: ", "```json\n", "\nAction: "):
        for role in FORMAT_ROLES:
            FORMAT.parse(role, unit * (16_000 // len(unit)))
    assert time.process_time() - started < 5


@pytest.mark.parametrize(
    ("role", "turns"),
    [(Role.PLANNER, (CALL,)), (Role.CALLER, ()), (Role.BACKBONE, (CALL,)), (Role.SUMMARIZER, (RAIN,))],
)
def test_a_role_cannot_say_the_turns_of_another(role, turns):
    with pytest.raises(FormatError, match=f"the {role.value} cannot say"):
        FORMAT.write(role, turns)


# --- documents --------------------------------------------------------------------------------------------


def test_a_format_is_read_back_from_its_own_document():
    own = ChatFormat(name="mine", wording=Wording(tools="TOOLS", cues={**FORMAT.wording.cues, Role.PLANNER: "Plan."}))
    again = ChatFormat.from_document(json.loads(json.dumps(own.to_document())))
    assert again == own
    assert again.render(Role.PLANNER, TASK, ASKED) == own.render(Role.PLANNER, TASK, ASKED)


def test_a_document_may_change_one_text_and_keep_the_rest():
    changed = ChatFormat.from_document({"kind": "chat", "wording": {"instructions": {"caller": "Call {tool_names}!"}}})
    assert "Call weather!" in changed.render(Role.CALLER, TASK, ASKED)[0].content
    assert changed.render(Role.PLANNER, TASK, ASKED) == FORMAT.render(Role.PLANNER, TASK, ASKED)


@pytest.mark.parametrize(
    ("document", "named"),
    [
        ({}, "'kind'"),
        ({"kind": "template"}, "'template'"),
        ({"kind": "chat", "wordings": {}}, "'wordings'"),
        ({"kind": "chat", "name": 1}, "'name'"),
        ({"kind": "chat", "wording": []}, "'wording'"),
        ({"kind": "chat", "wording": {"tool": ""}}, "'tool'"),
        ({"kind": "chat", "wording": {"tools": 3}}, "'tools'"),
        ({"kind": "chat", "wording": {"cues": {"judge": ""}}}, "'judge'"),
        ({"kind": "chat", "wording": {"cues": "x"}}, "'cues'"),
    ],
)
def test_a_wrong_document_is_refused_by_the_key_that_is_wrong(document, named):
    with pytest.raises(FormatError, match=named):
        ChatFormat.from_document(document)
