"""Which part of a completion is what: the spans of every format make up exactly what it writes."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import strategies
from alpha_umi.errors import FormatError
from alpha_umi.formats.chat import ChatFormat
from alpha_umi.formats.shared import SharedFormat
from alpha_umi.formats.template import Filling, TemplateFormat
from alpha_umi.types import Answer, Call, Decision, Part, Plan, Role
from plain_format import PLAIN

SHARED, CHAT, TEMPLATE = SharedFormat(), ChatFormat(), TemplateFormat.from_document(PLAIN)
FORMATS = (SHARED, CHAT, TEMPLATE, TEMPLATE.using(filling=Filling.CHAINED))
PLAN = Plan(thought="look it up", decision=Decision.CALL)
CALL = Call(name="find", arguments='{"q": 1}')
ENDING, ANSWER = Plan(thought="I know", decision=Decision.CONCLUDE), Answer(text="It is so.")
GIVE_UP = Plan(thought="no way", decision=Decision.GIVE_UP)

pieces = st.sampled_from(["<|end|>", "<\\|call|>", "\n", "[call]", "Next: caller.", "conclusion: ", "Action: ", " "])
texts = st.lists(pieces | st.text(max_size=5), max_size=5).map("".join)
plans = st.builds(lambda thought, decision: Plan(thought=thought, decision=decision), texts, st.sampled_from(Decision))
calls = st.builds(lambda name, arguments: Call(name=name, arguments=arguments), texts, texts)
answers = st.builds(lambda text: Answer(text=text), texts)
spoken = (
    st.tuples(st.just(Role.PLANNER), st.tuples(plans))
    | st.tuples(st.just(Role.CALLER), st.tuples(calls))
    | st.tuples(st.just(Role.SUMMARIZER), st.tuples(answers))
    | st.tuples(st.just(Role.BACKBONE), st.tuples(plans) | st.tuples(plans, calls | answers))
)


@given(st.sampled_from(FORMATS), spoken)
@settings(max_examples=300)
def test_spans_joined_are_what_is_written_and_none_is_empty(format, case):  # noqa: A002
    spans = format.spans(*case)
    assert "".join(text for text, _ in spans) == format.write(*case)
    assert all(text for text, _ in spans)


@given(st.sampled_from(FORMATS), spoken)
def test_a_backbones_spans_tell_a_thought_from_a_call_and_an_answer(format, case):  # noqa: A002
    role, turns = case
    expected = {Plan: {Part.THOUGHT, Part.DECISION}, Call: {Part.NAME, Part.ARGUMENTS}, Answer: {Part.ANSWER}}
    allowed = {Part.MARK}.union(*(expected[type(turn)] for turn in turns))
    assert {part for _, part in format.spans(role, turns)} <= allowed


@given(strategies.texts, strategies.names, strategies.texts)
def test_a_span_holds_the_words_of_its_turn_and_nothing_else(thought, name, arguments):
    plan, call = Plan(thought=thought, decision=Decision.CALL), Call(name=name, arguments=arguments)
    for format in (CHAT, TEMPLATE):  # noqa: A001
        told = {part: text for text, part in format.spans(Role.BACKBONE, (plan, call)) if part is not Part.MARK}
        words = thought.strip() if format is TEMPLATE else thought
        wanted = {Part.THOUGHT: words, Part.NAME: name, Part.ARGUMENTS: arguments}
        assert told == {part: text for part, text in wanted.items() if text}


@pytest.mark.parametrize(
    ("format", "role", "turns", "expected"),
    [
        (SHARED, Role.PLANNER, (PLAN,), [("look it up", "thought"), ("<|call|>", "decision")]),
        (SHARED, Role.CALLER, (CALL,), [("find", "name"), ("\n", "mark"), ('{"q": 1}', "arguments")]),
        (
            SHARED,
            Role.BACKBONE,
            (ENDING, ANSWER),
            [
                ("I know", "thought"),
                ("<|conclude|>", "decision"),
                ("<|end|><|summarizer|>", "mark"),
                ("It is so.", "answer"),
            ],
        ),
        (
            SHARED,
            Role.BACKBONE,
            (CALL,),
            [("<|caller|>", "mark"), ("find", "name"), ("\n", "mark"), *[('{"q": 1}', "arguments")]],
        ),
        (CHAT, Role.PLANNER, (PLAN,), [("look it up", "thought"), ("\n", "mark"), ("Next: caller.", "decision")]),
        (
            CHAT,
            Role.BACKBONE,
            (GIVE_UP,),
            [("no way", "thought"), ("\n", "mark"), ("conclusion: give up.", "decision")],
        ),
        (
            CHAT,
            Role.BACKBONE,
            (ENDING, ANSWER),
            [("I know", "thought"), ("\n", "mark"), ("conclusion: ", "mark"), ("It is so.", "answer")],
        ),
        (TEMPLATE, Role.PLANNER, (PLAN,), [("look it up", "thought"), ("[call]", "decision")]),
        (
            TEMPLATE,
            Role.CALLER,
            (CALL,),
            [("Action: ", "mark"), ("find", "name"), ("\nAction Input: ", "mark"), ('{"q": 1}', "arguments")],
        ),
        (
            TEMPLATE,
            Role.BACKBONE,
            (ENDING, ANSWER),
            [("I know", "thought"), ("\nanswer: ", "mark"), ("It is so.", "answer")],
        ),
        (TEMPLATE, Role.BACKBONE, (GIVE_UP,), [("no way", "thought"), ("\nstop", "decision")]),
    ],
)
def test_every_format_knows_its_marks(format, role, turns, expected):  # noqa: A002
    assert [(text, part.value) for text, part in format.spans(role, turns)] == expected


@pytest.mark.parametrize("format", FORMATS)
def test_spans_of_what_a_role_cannot_say_are_refused_as_its_writing_is(format):  # noqa: A002
    with pytest.raises(FormatError, match="caller cannot say Plan"):
        format.spans(Role.CALLER, (PLAN,))
