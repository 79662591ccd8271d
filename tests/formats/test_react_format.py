"""A thought, an action and its input in one completion: read back as written, and read whatever a model writes."""

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from alpha_umi.errors import FormatError
from alpha_umi.formats.load import load_format
from alpha_umi.formats.react import ReActFormat
from alpha_umi.loading.formats import open_format
from alpha_umi.protocols import Format
from alpha_umi.types import Answer, Call, Decision, FinishReason, Observation, Plan, Role, Task, ToolSpec, User
from support import strategies
from support.examples import examples
from support.plain_format import PLAIN_REACT

REACT = ReActFormat()
FORMATS = st.sampled_from([REACT, load_format(PLAIN_REACT)])
MARKERS = ("action", "observation", "thought", "finish")
PIECES = (
    *("Thought:", "Thought: ", "\nAction: ", "Action:", "Action Input: ", "\nAction Input:", "Observation: ", "Finish"),
    *("find", "{}", '{"a": 1}', '{"return_type": "give_answer", "final_answer": "x"}', "```", "**", "\n", " ", "\t"),
    *('{"return_type": "give_up_and_restart"}', '"final_answer": "', "give_up", '"', "}", "\r", "\u2028", "é"),
)
plain = strategies.texts.filter(lambda text: not any(marker in text.lower() for marker in MARKERS))
documents = st.dictionaries(strategies.texts, strategies.json_values, max_size=3)
calls = st.builds(lambda name, given: Call(name=name, arguments=json.dumps(given)), strategies.names, documents)


def planned(decision):
    return st.builds(lambda thought: Plan(thought=thought, decision=decision), plain)


expressible = st.one_of(
    st.tuples(planned(Decision.CALL), calls),
    st.tuples(planned(Decision.CONCLUDE), st.builds(lambda text: Answer(text=text), strategies.texts)),
    st.tuples(planned(Decision.GIVE_UP)),
    st.tuples(planned(Decision.NONE)),
)
TASK = Task(
    id="1",
    query="Rain?",
    tools=(ToolSpec(name="weather", description="It's {history}", parameters={"properties": {}, "strict": True}),),
)


def test_it_is_a_format_that_a_document_carries(tmp_path):
    assert isinstance(REACT, Format)
    assert open_format("react") == REACT
    path = tmp_path / "format.json"
    for form in (REACT, load_format(PLAIN_REACT)):
        path.write_text(json.dumps(form.to_document()))
        assert open_format(str(path)) == form
    assert load_format(PLAIN_REACT).to_document() == PLAIN_REACT


@pytest.mark.parametrize(
    ("document", "said"),
    [
        ({"tool": 1}, "'tool'"),
        ({"turns": {"caller": "{text}"}}, "'turns'"),
        ({"turns": {"user": "text"}}, "'turns'.'user'"),
        ({"template": "{tools}"}, "{history}"),
        ({"end": 3}, "'end'"),
        ({"tools": "all"}, "'all'"),
        ({"finish": "Finish"}, "'finish'"),
    ],
)
def test_a_document_that_is_none_is_refused_naming_the_key(document, said):
    with pytest.raises(FormatError, match=said):
        load_format({"kind": "react", **document})


@settings(max_examples=examples(50))
@given(FORMATS, expressible)
def test_what_is_written_is_parsed_back(form, turns):
    assert form.parse(Role.BACKBONE, form.write(Role.BACKBONE, turns)) == turns


@settings(max_examples=examples(50))
@given(FORMATS, st.text(max_size=40) | st.lists(st.sampled_from(PIECES), max_size=9).map("".join))
def test_any_reply_is_turns_that_write_and_parse_as_themselves(form, text):
    turns = form.parse(Role.BACKBONE, text)
    assert form.parse(Role.BACKBONE, form.write(Role.BACKBONE, turns)) == turns
    assert form.parse(Role.BACKBONE, text, FinishReason.LENGTH)


@settings(max_examples=examples(50))
@given(FORMATS, strategies.tasks, st.lists(strategies.turns, max_size=7))
def test_no_word_of_a_turn_is_lost_in_a_prompt(form, task, turns):
    shown = form.render(Role.BACKBONE, task, turns)
    for turn in turns:
        match turn:
            case User(text=text) | Observation(content=text) | Plan(thought=text):
                assert text in shown
            case Call(name=name, arguments=given):
                assert f"Action: {name}\nAction Input: {given}" in shown
            case Answer(text=text):
                assert json.dumps(text, ensure_ascii=False) in shown


def test_a_document_lays_out_the_whole_prompt():
    turns = (
        User(text="q"),
        Plan(thought="a", decision=Decision.NONE),
        Plan(thought="b", decision=Decision.CALL),
        Call(name="weather", arguments="{}"),
        Observation(content="rain"),
    )
    assert load_format(PLAIN_REACT).render(Role.BACKBONE, TASK, turns) == (
        "Use [{'name': 'weather', 'description': \"It's {history}\", 'parameters': {'properties': {}, 'strict': True}}]"
        "\n You: q\n Me: \nThought: a</s> Me: \nThought: b\nAction: weather\nAction Input: {}</s> Tool: rain\n Me:"
    )


@pytest.mark.parametrize("shown", ["documents", "functions", "list"])
def test_tools_are_shown_as_the_document_says_and_finish_last(shown):
    prompt = load_format({"kind": "react", "tools": shown, "template": "{tools}\n{history}"}).render(
        Role.BACKBONE, TASK, ()
    )
    lines = [json.loads(line) for line in prompt.split("\n") if line]
    told = lines[0] if shown == "list" else lines
    assert [each.get("name", each.get("Name")) for each in told] == ["weather", "Finish"]


def test_what_a_model_adds_after_its_step_is_dropped():
    text = 'Thought: t\nAction: weather\nAction Input: {"a": 1}\nObservation: rain\nThought: more\nAction: x'
    assert REACT.parse(Role.BACKBONE, text) == (
        Plan(thought="t", decision=Decision.CALL),
        Call(name="weather", arguments='{"a": 1}'),
    )


def test_a_call_cut_off_within_its_name_names_no_tool():
    assert REACT.parse(Role.BACKBONE, "Thought: t\nAction: wea", FinishReason.LENGTH)[-1].name == ""


def test_other_roles_have_no_prompt():
    with pytest.raises(FormatError, match="no planner"):
        REACT.render(Role.PLANNER, TASK, ())
