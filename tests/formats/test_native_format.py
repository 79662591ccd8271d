"""Native function calling: every history makes messages that endpoints take, and every reply reads as turns."""

import json
import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from alpha_umi.errors import FormatError
from alpha_umi.formats.load import load_format
from alpha_umi.formats.native import Ending, NativeFormat, write_reply
from alpha_umi.loading.formats import open_format
from alpha_umi.models.tool_calls import ToolWire
from alpha_umi.protocols import Format
from alpha_umi.roles import FORMAT_ROLES
from alpha_umi.types import (
    Answer,
    Call,
    Decision,
    FinishReason,
    Message,
    Observation,
    Plan,
    Role,
    Task,
    ToolPrompt,
    ToolSpec,
    User,
)
from support import strategies
from support.examples import examples

REPLY, FINISH = NativeFormat(), NativeFormat(ending=Ending.FINISH)
FORMATS = st.sampled_from([REPLY, FINISH])
WEATHER = ToolSpec(name="weather", description="Forecast", parameters={"properties": {"city": {"type": "string"}}})
TASK = Task(id="1", query="Rain in Bonn and Kiel?", tools=(WEATHER,))
BONN, KIEL = (Call(name="weather", arguments=json.dumps({"city": city})) for city in ("Bonn", "Kiel"))
LOOK = Plan(thought="Two forecasts are missing.", decision=Decision.CALL)
WET, DRY = Observation(content="rain"), Observation(content="sun")

calls = st.builds(
    lambda name, arguments: Call(name=name, arguments=arguments),
    st.text(max_size=8).filter(lambda name: name not in ("Finish", "give_up")),
    strategies.texts.filter(str.strip),
)
called = st.tuples(
    st.builds(lambda thought: Plan(thought=thought, decision=Decision.CALL), strategies.texts),
    st.lists(calls, min_size=1, max_size=3),
).map(lambda said: (said[0], *said[1]))
gave_up = st.builds(lambda thought: (Plan(thought=thought, decision=Decision.GIVE_UP),), strategies.texts)
replied = st.builds(
    lambda text: (Plan(thought="", decision=Decision.CONCLUDE), Answer(text=text)), strategies.texts.filter(str.strip)
)
finished = st.builds(
    lambda thought, text: (Plan(thought=thought, decision=Decision.CONCLUDE), Answer(text=text)),
    strategies.texts,
    strategies.texts,
)
mused = st.builds(lambda thought: (Plan(thought=thought, decision=Decision.NONE),), strategies.texts)
expressible = st.one_of(
    st.tuples(FORMATS, called | gave_up),
    st.tuples(st.just(REPLY), replied),
    st.tuples(st.just(FINISH), finished | mused),
)
histories = st.lists(strategies.turns, max_size=8)


def test_it_is_a_format_with_a_name_and_a_file_of_its_own(tmp_path):
    assert isinstance(REPLY, Format)
    assert open_format("native") == REPLY
    assert open_format("native-finish").ending is Ending.FINISH
    changed = load_format({"kind": "native", "ending": "finish", "wording": {"system": "Be quick.", "end": ""}})
    path = tmp_path / "format.json"
    path.write_text(json.dumps(changed.to_document()))
    assert open_format(str(path)) == changed
    assert changed.render(Role.BACKBONE, TASK, ()).messages[0].content.startswith("Be quick.\n\nEvery task ends")


@pytest.mark.parametrize(
    ("document", "said"),
    [
        ({"kind": "native", "ends": 1}, "'ends'"),
        ({"kind": "native", "ending": "stop"}, "'stop'"),
        ({"kind": "native", "name": 1}, "'name'"),
        ({"kind": "native", "wording": {"systen": ""}}, "'systen'"),
        ({"kind": "native", "wording": {"system": 1}}, "'wording'"),
    ],
)
def test_a_document_that_is_none_is_refused_naming_the_key(document, said):
    with pytest.raises(FormatError, match=said):
        load_format(document)


# --- laws -------------------------------------------------------------------------------------------------


@settings(max_examples=examples(50))
@given(expressible)
def test_what_is_written_is_parsed_back(case):
    form, turns = case
    assert form.parse(Role.BACKBONE, form.write(Role.BACKBONE, turns)) == turns
    assert "".join(text for text, _ in form.spans(Role.BACKBONE, turns)) == form.write(Role.BACKBONE, turns)


texts = strategies.texts | st.sampled_from(["Finish", "give_up", '{"return_type": "give_answer"', "null", "[]"])
documents = st.builds(
    write_reply, texts, st.lists(st.builds(lambda name, given: Call(name=name, arguments=given), texts, texts))
)


@settings(max_examples=examples(50))
@given(
    FORMATS, st.sampled_from(FORMAT_ROLES), texts | documents | strategies.json_values.map(json.dumps), st.booleans()
)
def test_any_reply_is_turns_that_write_and_parse_as_themselves(form, role, text, cut):
    turns = form.parse(role, text, FinishReason.LENGTH if cut else FinishReason.STOP)
    assert form.parse(Role.BACKBONE, form.write(Role.BACKBONE, turns)) == turns


@settings(max_examples=examples(50))
@given(FORMATS, strategies.tasks, histories)
def test_every_call_is_followed_by_its_observations_and_the_model_speaks_next(form, task, turns):
    prompt = form.render(Role.BACKBONE, task, turns)
    assert prompt.messages[0].role == "system"
    assert prompt.messages[-1].role in ("user", "tool")
    owed = 0
    for message in prompt.messages[1:]:
        assert (message.role == "tool") == (owed > 0)
        owed += len(message.calls) - (message.role == "tool")
        assert message.content or message.calls or message.role != "assistant"
    assert owed == 0


@settings(max_examples=examples(50))
@given(FORMATS, strategies.tasks, histories)
def test_no_word_of_a_turn_is_lost_in_a_prompt(form, task, turns):
    messages = form.render(Role.BACKBONE, task, [User(text="go"), *turns]).messages
    shown = "\n".join(message.content for message in messages)
    made = [call for message in messages for call in message.calls]
    for turn in turns:
        match turn:
            case User(text=text) | Observation(content=text) | Plan(thought=text):
                assert text in shown
            case Call():
                assert turn in made
            case Answer(text=text):
                assert text in shown or any(
                    text in json.loads(call.arguments).values() for call in made[:] if call.name == "Finish"
                )


@settings(max_examples=examples(50))
@given(st.lists(st.text(min_size=1, max_size=70), unique=True, max_size=4), st.data())
def test_names_travel_in_the_characters_of_endpoints_and_come_back(names, data):
    wire = ToolWire(ToolPrompt(messages=(), tools=tuple(ToolSpec(name=name) for name in names)))
    sent = [tool["function"]["name"] for tool in wire.request().get("tools", [])]
    assert len(set(sent)) == len(names)
    assert all(0 < len(name) <= 64 and name.replace("-", "_").replace("_", "a").isalnum() for name in sent)
    entries = [{"function": {"name": name, "arguments": "{}"}} for name in sent]
    read = json.loads(wire.read({"tool_calls": entries}, ""))
    assert [call["name"] for call in read["calls"]] == names


def test_a_name_without_latin_letters_gets_a_stand_in_and_is_told_in_the_description():
    names = ["天气", "погода", "ค้นหา_for_วิกิ", "かな", "날씨", "🌤", "__", "prévisions météo"]
    tools = tuple(ToolSpec(name=name, description="d") for name in names)
    past = Message(role="assistant", content="", calls=(Call(name="时间", arguments="{}"),))
    request = ToolWire(ToolPrompt(messages=(past,), tools=tools)).request()
    sent = [tool["function"] for tool in request["tools"]]
    shown = [re.sub("_[a-z2-7]{8}$", "", each["name"]) for each in sent]
    assert shown == [
        "u5929u6c14",
        "poghoda",
        "khonohoaa_for_woikoi",
        "kana",
        "nalssi",
        "tool",
        "__",
        "previsions_meteo",
    ]
    assert [each["description"] for each in sent] == [*(f"{name}: d" for name in names[:6]), "d", "d"]
    alone = ToolWire(ToolPrompt(messages=(), tools=tools[1:2])).request()["tools"][0]["function"]
    assert alone == sent[1]
    assert request["messages"][0]["tool_calls"][0]["function"]["name"].startswith("u65f6u95f4_")


def test_types_that_no_endpoint_knows_are_told_in_words():
    day = {"type": "DATE (YYYY-MM-DD)", "description": "when"}
    shown = {
        "type": {"type": "string", "default": "day"},
        "days": {"type": "array", "items": day},
        "x": {"type": "any"},
    }
    tool = ToolSpec(name="find", parameters={"type": "object", "properties": shown, "x-toolbench": {}})
    sent = ToolWire(ToolPrompt(messages=(), tools=(tool,))).request()["tools"][0]["function"]["parameters"]
    assert sent == {
        "type": "object",
        "properties": {
            "type": {"type": "string", "default": "day"},
            "days": {"type": "array", "items": {"description": "DATE (YYYY-MM-DD): when"}},
            "x": {"description": "any"},
        },
    }


# --- the words of a history -------------------------------------------------------------------------------


def test_calls_of_one_reply_are_one_message_and_calls_of_two_steps_are_two():
    one = REPLY.render(Role.BACKBONE, TASK, (User(text="q"), LOOK, BONN, WET, KIEL, DRY)).messages
    assert one[2:] == (
        Message(role="assistant", content=LOOK.thought, calls=(BONN, KIEL)),
        Message(role="tool", content="rain"),
        Message(role="tool", content="sun"),
    )
    silent = Plan(thought="", decision=Decision.CALL)
    two = REPLY.render(Role.BACKBONE, TASK, (User(text="q"), silent, BONN, WET, silent, KIEL, DRY)).messages
    assert [(message.role, message.calls) for message in two[2:]] == [
        ("assistant", (BONN,)),
        ("tool", ()),
        ("assistant", (KIEL,)),
        ("tool", ()),
    ]


def test_a_mere_thought_is_asked_to_go_on_then_and_ever_after():
    mused = Plan(thought="Hm.", decision=Decision.NONE)
    first = FINISH.render(Role.BACKBONE, TASK, (User(text="q"), mused)).messages
    later = FINISH.render(Role.BACKBONE, TASK, (User(text="q"), mused, LOOK, BONN, WET)).messages
    assert first[-1] == Message(role="user", content=FINISH.wording.cue)
    assert later[: len(first)] == first


def test_the_tool_that_ends_tasks_comes_last_and_belongs_to_no_task():
    assert [tool.name for tool in REPLY.render(Role.BACKBONE, TASK, ()).tools] == ["weather", "give_up"]
    assert [tool.name for tool in FINISH.render(Role.BACKBONE, TASK, ()).tools] == ["weather", "Finish"]
    with pytest.raises(FormatError, match="has a tool 'Finish'"):
        FINISH.render(Role.BACKBONE, Task(id="2", query="q", tools=(ToolSpec(name="Finish"),)), ())
    with pytest.raises(FormatError, match="no planner"):
        REPLY.render(Role.PLANNER, TASK, ())


# --- replies ----------------------------------------------------------------------------------------------


def finish(arguments, cut=FinishReason.STOP):
    return FINISH.parse(Role.BACKBONE, write_reply("Done.", [Call(name="Finish", arguments=arguments)]), cut)


@pytest.mark.parametrize(
    "arguments",
    [
        '{"return_type": "give_answer", "final_answer": "It \\"rains\\"."}',
        '{"final_answer": "It \\"rains\\"."}',
        '{"return_type": "give_answer", "final_answer": "It "rains"."}',
        '{"return_type":"give_answer","final_answer":"It \\"rains\\"."',
    ],
)
def test_an_answer_is_read_however_carelessly_finish_is_called(arguments):
    assert finish(arguments) == (
        Plan(thought="Done.", decision=Decision.CONCLUDE),
        Answer(text='It "rains".'),
    )


def test_an_answer_that_was_cut_off_is_what_there_is_of_it():
    assert finish('{"return_type": "give_answer", "final_answer": "It ra', FinishReason.LENGTH)[1] == Answer(
        text="It ra"
    )


@pytest.mark.parametrize("arguments", ['{"return_type": "give_up_and_restart"}', '{"return_type": "give_up'])
def test_a_give_up_is_read(arguments):
    read = finish(arguments + ('"' if not arguments.endswith("}") else ""))
    assert read == (Plan(thought="Done.", decision=Decision.GIVE_UP),)


@pytest.mark.parametrize("arguments", ["{}", "[1]", '{"return_type": "give_answer"}', '{"return_type": 3}'])
def test_a_finish_that_says_nothing_stays_a_call(arguments):
    assert finish(arguments) == (
        Plan(thought="Done.", decision=Decision.CALL),
        Call(name="Finish", arguments=arguments),
    )


def test_a_call_that_ends_the_task_behind_others_waits_for_them():
    give_up = Call(name="give_up", arguments="{}")
    both = REPLY.parse(Role.BACKBONE, write_reply("Hm.", [BONN, give_up, KIEL]))
    assert both == (Plan(thought="Hm.", decision=Decision.CALL), BONN, KIEL)
    assert REPLY.parse(Role.BACKBONE, write_reply("Hm.", [give_up, BONN])) == (
        Plan(thought="Hm.", decision=Decision.GIVE_UP),
    )


def test_a_call_that_was_cut_off_before_its_arguments_names_no_tool():
    text = write_reply("", [BONN, Call(name="wea", arguments="")])
    assert REPLY.parse(Role.BACKBONE, text, FinishReason.LENGTH)[-1] == Call(name="", arguments="wea")
    assert REPLY.parse(Role.BACKBONE, text)[-1] == Call(name="wea", arguments="{}")
