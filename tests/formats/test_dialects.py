"""Calls in other dialects than ours are calls, and what a model reasons is nothing that it says."""

import asyncio
import json
import random
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from alpha_umi.agent import RoleModel, SingleAgent
from alpha_umi.formats.chat import ChatFormat
from alpha_umi.formats.dialects.declared import as_declared
from alpha_umi.formats.dialects.reasoning import FAMILIES, find_reasoning, masked, without_reasoning
from alpha_umi.formats.load import load_format
from alpha_umi.formats.native import Ending, NativeFormat, write_reply
from alpha_umi.formats.react import ReActFormat
from alpha_umi.formats.shared import SharedFormat
from alpha_umi.models.scripted import ScriptedModel
from alpha_umi.types import Answer, Call, Decision, FinishReason, Plan, Role, Task, ToolSpec
from support import reply_fuzz
from support.dialects import DIALECTS, REASONING
from support.examples import examples
from support.plain_format import PLAIN

CHAT, REACT, SHARED, TEMPLATE = ChatFormat(), ReActFormat(), SharedFormat(), load_format(PLAIN)
NATIVE, FINISH = NativeFormat(), NativeFormat(ending=Ending.FINISH)
BERGEN = {"city": "Bergen", "days": 3}
CUT, STOP = FinishReason.LENGTH, FinishReason.STOP


def called(turns):
    call = next(turn for turn in turns if isinstance(turn, Call))
    return call.name, json.loads(call.arguments)


# --- dialects ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("dialect", DIALECTS)
@pytest.mark.parametrize("before", ["", "I look it up.\n"])
def test_a_call_is_read_in_every_dialect_with_words_before_it(dialect, before):
    text = before + DIALECTS[dialect].write("weather", BERGEN)
    assert called(CHAT.parse(Role.CALLER, text)) == ("weather", BERGEN)
    for form in (CHAT, REACT):
        plan, call = form.parse(Role.BACKBONE, text)
        assert plan.decision is Decision.CALL
        assert plan.thought.strip() == before.strip()
        assert called((call,)) == ("weather", BERGEN)


@pytest.mark.parametrize("dialect", [name for name, each in DIALECTS.items() if not name.startswith("labels")])
def test_a_call_without_arguments_is_read_in_every_dialect(dialect):
    assert called(CHAT.parse(Role.CALLER, DIALECTS[dialect].write("ping", {}))) == ("ping", {})


@pytest.mark.parametrize(
    "text",
    [
        '{"name": "ping"}',
        '{"name": "ping", "arguments": null}',
        '{"name": "ping", "arguments": ""}',
        '<tool_call>{"name": "ping"}</tool_call>',
        "<tool_call>ping</tool_call>",
        "[TOOL_CALLS]ping",
        "ping()",
        "[ping()]",
        '<invoke name="ping"/>',
        "<function=ping></function>",
        '```json\n{"name": "ping"}\n```',
    ],
)
def test_a_call_that_names_its_tool_alone_has_no_arguments(text):
    assert CHAT.parse(Role.CALLER, text) == (Call(name="ping", arguments="{}"),)


@pytest.mark.parametrize(
    "text",
    [
        '{"type": "function", "function": {"name": "weather", "arguments": "{\\"city\\": \\"Bergen\\"}"}}',
        '{"function": {"name": "weather"}, "arguments": {"city": "Bergen"}}',
        '{"tool_calls": [{"name": "weather", "arguments": {"city": "Bergen"}}]}',
        '{"tool": "weather", "tool_input": {"city": "Bergen"}}',
        '{"thought": "now", "action": "weather", "action_input": {"city": "Bergen"}}',
        '{"tool_uses": [{"recipient_name": "functions.weather", "parameters": {"city": "Bergen"}}]}',
        'I call {"name": "weather", "arguments": {"city": "Bergen"}} now.',
        '{"name": "weather", "parameters": {"city": "Bergen"}}; {"name": "ping", "parameters": {}}',
        '[{"name": "weather", "arguments": {"city": "Bergen"}}, {"name": "ping", "arguments": {}}]',
        "<tool_call>\n{'name': 'weather', 'arguments': {'city': 'Bergen',},}\n</tool_call>",
        '<tool_call>{"name": "weather", "arguments": "{\'city\': \'Bergen\'}"}</tool_call>',
        '<tool_call>{"name": "weather", "arguments": {"city": "Bergen"}}}</tool_call>',
        '`<tool_call>{"name": "weather", "arguments": {"city": "Bergen"}}</tool_call>`',
        'weather {"city": "Bergen"}',
        'weather\n```json\n{"city": "Bergen"}\n```',
        "weather(city='Bergen')",
        'weather({"city": "Bergen"})',
    ],
)
def test_a_call_is_read_from_any_object_with_a_name_and_arguments(text):
    assert called(CHAT.parse(Role.CALLER, text)) == ("weather", {"city": "Bergen"})


def test_the_first_call_that_can_be_read_counts_where_a_format_has_one():
    text = (
        '<tool_call>{"name": </tool_call> <tool_call>{"name": "a", "arguments": {}}</tool_call><tool_call>b</tool_call>'
    )
    assert called(CHAT.parse(Role.BACKBONE, text)) == ("a", {})


def test_all_calls_count_in_native_calling_where_a_server_has_not_read_them():
    both = DIALECTS["hermes"].write("weather", BERGEN) + DIALECTS["hermes"].write("ping", {})
    plan, first, second = NATIVE.parse(Role.BACKBONE, write_reply("I look.\n" + both, []))
    assert plan == Plan(thought="I look.", decision=Decision.CALL)
    assert (called((first,)), called((second,))) == (("weather", BERGEN), ("ping", {}))


@pytest.mark.parametrize(
    ("arguments", "read"), [("", {}), ('{"a": 1}{"a": 2}', {"a": 1}), ('{"a": 1}', {"a": 1}), (' {"a": 1} ', {"a": 1})]
)
def test_arguments_of_native_calls_are_those_of_one_call(arguments, read):
    turns = NATIVE.parse(Role.BACKBONE, write_reply("", [Call(name="ping", arguments=arguments)]))
    assert called(turns) == ("ping", read)


@pytest.mark.parametrize(
    "text",
    [
        '<tool_call>{"name": "weather", "arguments": {"city": ',
        '<tool_call>\n{"name": </tool_call>',
        "<|python_tag|>{oops}",
        "[TOOL_CALLS] [nothing that is one]",
        "<tool_call>",
        "<tool_call>not a call at all</tool_call>",
    ],
)
def test_what_is_marked_as_a_call_and_cannot_be_read_is_a_call_without_a_name(text):
    assert CHAT.parse(Role.CALLER, text) == (Call(name="", arguments=text),)
    for form in (CHAT, REACT):
        assert form.parse(Role.BACKBONE, f"I look.\n{text}") == (
            Plan(thought="I look.", decision=Decision.CALL),
            Call(name="", arguments=text),
        )
    assert NATIVE.parse(Role.BACKBONE, write_reply(text, []))[-1] == Call(name="", arguments=text)


@pytest.mark.parametrize(
    "text",
    [
        "The `<tool_call>` mark starts a call.",
        'Write "<tool_call>" first.',
        "The format is <tool_call> and then an object.",
        'I know {"city": "Bergen"} and {"name": "weather"}, nothing else.',
        'Their record is\n{"name": "Ann", "age": 3}\nas you see.',
    ],
)
def test_a_mark_that_is_spoken_of_and_an_object_that_is_none_are_no_calls(text):
    assert CHAT.parse(Role.BACKBONE, text) == (Plan(thought=text, decision=Decision.NONE),)
    assert NATIVE.parse(Role.BACKBONE, write_reply(text, []))[-1] == Answer(text=text)


def test_a_tool_that_a_model_repeats_is_no_call():
    spec = {"name": "weather", "parameters": {"type": "object", "properties": {"city": {"type": "string"}}}}
    for repeated in (spec, {"type": "function", "function": spec}):
        assert CHAT.parse(Role.CALLER, json.dumps(repeated))[0].name == ""


def test_an_answer_may_show_a_call():
    text = 'Done.\nconclusion: Write <tool_call>{"name": "x", "arguments": {}}</tool_call> there.'
    assert isinstance(CHAT.parse(Role.BACKBONE, text)[-1], Answer)


@pytest.mark.parametrize("dialect", ["qwen_coder", "glm47", "minimax_m2"])
def test_bare_values_are_json_where_they_can_be_written_back(dialect):
    given = {"n": 3, "zip": "02139", "version": "1.10", "on": True, "list": [1, "a"], "big": "1e20", "none": None}
    assert called(CHAT.parse(Role.CALLER, DIALECTS[dialect].write("f", given))) == ("f", given)


def test_a_value_may_hold_the_marks_of_its_own_dialect():
    given = {"text": "Write [TOOL_CALLS]name[ARGS]{} or <tool_call>, then </tool_call>; [THINK] is no thought."}
    for dialect in ("mistral_args", "hermes", "deepseek_v31", "harmony", "gemma4", "lfm2"):
        assert called(CHAT.parse(Role.BACKBONE, DIALECTS[dialect].write("f", given))) == ("f", given)


@pytest.mark.parametrize("dialect", DIALECTS)
def test_a_call_that_is_cut_anywhere_is_that_call_or_none(dialect):
    whole = {"city": "Bergen", "note": "x y"}
    text = DIALECTS[dialect].write("weather", whole)
    for at in range(len(text)):
        for turns in (CHAT.parse(Role.CALLER, text[:at], CUT), REACT.parse(Role.BACKBONE, text[:at], CUT)):
            for call in turns:
                if isinstance(call, Call) and call.name:
                    assert call.name == "weather"
                    assert written(call.arguments) in (whole, None)
                    assert json.dumps(whole).startswith(call.arguments.strip())


def written(arguments):
    try:
        return json.loads(arguments)
    except ValueError:
        return None


# --- reasoning --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("frame", REASONING)
def test_what_is_reasoned_is_never_a_decision_a_call_or_an_answer(frame):
    drafted = frame.format(reply_fuzz.DRAFT.replace("{}", "{{}}")) if "{}" in frame else frame
    call = 'Action: weather\nAction Input: {"city": "Bergen", "days": 3}'
    assert CHAT.parse(Role.PLANNER, f"{drafted}Look.\nNext: give up.") == (
        Plan(thought="Look.", decision=Decision.GIVE_UP),
    )
    assert called(CHAT.parse(Role.CALLER, drafted + call)) == ("weather", BERGEN)
    assert CHAT.parse(Role.SUMMARIZER, f"{drafted}It rains.") == (Answer(text="It rains."),)
    assert CHAT.parse(Role.BACKBONE, f"{drafted}ok\nconclusion: It rains.")[1:] == (Answer(text="It rains."),)
    plan, made = REACT.parse(Role.BACKBONE, f"{drafted}Thought: ok\n{call}")
    assert (plan.thought, called((made,))) == ("ok", ("weather", BERGEN))
    assert NATIVE.parse(Role.BACKBONE, write_reply(f"{drafted}It rains.", []))[-1] == Answer(text="It rains.")
    native = NATIVE.parse(Role.BACKBONE, write_reply(drafted, [Call(name="weather", arguments="{}")]))
    assert "wrong" not in native[0].thought


OPENINGS = [frame.partition("{}")[0] for frame in REASONING if not frame.startswith("{}")]


@pytest.mark.parametrize("opening", OPENINGS)
@pytest.mark.parametrize("finish", [STOP, CUT])
def test_reasoning_that_was_cut_off_is_never_a_decision_a_call_or_an_answer(opening, finish):
    text = opening + reply_fuzz.DRAFT
    nothing = Plan(thought=text, decision=Decision.NONE)
    for form in (CHAT, TEMPLATE):
        assert form.parse(Role.PLANNER, text, finish) == (nothing,)
        assert form.parse(Role.CALLER, text, finish) == (Call(name="", arguments=text),)
        assert form.parse(Role.SUMMARIZER, text, finish) == (Answer(text=""),)
        assert form.parse(Role.BACKBONE, text, finish) == (nothing,)
    assert REACT.parse(Role.BACKBONE, text, finish) == (nothing,)
    for form in (NATIVE, FINISH):
        turns = form.parse(Role.BACKBONE, write_reply(text, []), finish)
        assert turns[0].decision is Decision.NONE
        assert len(turns) == 1
    assert SHARED.parse(Role.SUMMARIZER, f"{opening}private", finish)[0].text in ("", f"{opening}private")


def test_reasoning_of_a_trained_model_is_no_decision_and_stays_its_thought():
    drafted = "<think>Maybe <|call|> or not</think>Look.<|give_up|>"
    cut = "<think>Maybe <|call|> or <|conclude|> it"
    assert SHARED.parse(Role.PLANNER, cut)[0].decision is Decision.NONE
    assert SHARED.parse(Role.PLANNER, cut, CUT)[0].decision is Decision.NONE
    assert SHARED.parse(Role.BACKBONE, f"{cut}<|end|><|caller|>x\n{{}}")[0].decision is Decision.NONE
    assert SHARED.parse(Role.PLANNER, "<think>so</think>Look.<|call|>") == (
        Plan(thought="<think>so</think>Look.", decision=Decision.CALL),
    )
    assert drafted  # a special token ends the text of a turn, so it cannot stand within its reasoning
    assert SHARED.parse(Role.CALLER, "<think>x\n{}</think>\nweather\n{}") == (Call(name="weather", arguments="{}"),)
    assert TEMPLATE.parse(Role.PLANNER, "<think>stop</think>Look. Next") == (
        Plan(thought="<think>stop</think>Look. Next", decision=Decision.NONE),
    )


@pytest.mark.parametrize("family", FAMILIES)
def test_a_mark_in_quotes_or_in_arguments_opens_no_reasoning(family):
    opening = next((text for text in OPENINGS if family == "tags" and text.startswith("<think>")), "[THINK]")
    for text in (
        f"Write `{opening}` first.",
        f'Action: a\nAction Input: {{"x": "{opening}"}}',
        f'{{"x": "{opening} y"}}',
    ):
        assert without_reasoning(text) == text
        assert find_reasoning(text).spans == ()


@settings(max_examples=examples(200))
@given(st.lists(st.sampled_from(reply_fuzz.PIECES) | st.text(max_size=4), max_size=10).map("".join))
def test_a_masked_text_has_its_length_and_what_is_said_has_no_reasoning(text):
    assert len(masked(text)) == len(text)
    assert find_reasoning(without_reasoning(text)).spans == () or "\n" in without_reasoning(text)


# --- labels -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "decision", "thought"),
    [
        ("需要天气。\nNext：caller。", Decision.CALL, "需要天气。"),
        ("够了。\n**Next**：conclusion。", Decision.CONCLUDE, "够了。"),
        ("Next：　give up！", Decision.GIVE_UP, ""),
        ("Planner：看一看。\nNext：caller。", Decision.CALL, "看一看。"),
        ("Look.\nNext: Next: caller.", Decision.CALL, "Look."),
    ],
)
def test_decisions_are_read_in_full_width_punctuation_and_written_twice(text, decision, thought):
    assert CHAT.parse(Role.PLANNER, text) == (Plan(thought=thought, decision=decision),)


def test_published_marks_are_read_in_full_width_punctuation():
    form = load_format(
        {**PLAIN, "decision_marks": {"call": "Next: caller.", "conclude": "Next: end.", "give_up": "No."}}
    )
    assert form.parse(Role.PLANNER, "看 Next：caller。") == (Plan(thought="看 ", decision=Decision.CALL),)
    assert form.parse(Role.CALLER, "Action：weather\nAction Input：{}") == (Call(name="weather", arguments="{}"),)


@pytest.mark.parametrize(
    "text",
    [
        'Action：weather\nAction Input：{"city": "Bergen"}',
        'Action: weather\nAction: weather\nAction Input: {"city": "Bergen"}',
        'Action: weather\n**Action:** `weather`\nAction: weather\nAction Input: {"city": "Bergen"}',
        'Action: Action: weather\nAction Input: {"city": "Bergen"}',
        'Action: weather\nAction Input: Action Input: {"city": "Bergen"}',
        'Action: weather({"city": "Bergen"})',
        "Action: weather(city='Bergen')",
        'Action: weather {"city": "Bergen"}',
        'Action: weather(city="Bergen")\nAction Input: {"city": "Bergen"}',
        'Action:\n```json\n{"action": "weather", "action_input": {"city": "Bergen"}}\n```',
    ],
)
def test_labels_that_are_doubled_wide_or_hold_the_whole_call_are_read(text):
    call = Call(name="weather", arguments='{"city": "Bergen"}')
    assert CHAT.parse(Role.CALLER, text) == (call,)
    for form in (CHAT, REACT):
        assert form.parse(Role.BACKBONE, f"Thought: x\n{text}") == (Plan(thought="x", decision=Decision.CALL), call)


@pytest.mark.parametrize(
    ("text", "arguments"), [("Action: search[Bergen rain]", "Bergen rain"), ("Action: ask(?)", "?")]
)
def test_an_input_in_brackets_that_is_no_json_is_kept_as_data(text, arguments):
    assert CHAT.parse(Role.CALLER, text)[0].arguments == arguments


def test_answers_are_read_behind_labels_that_are_wide_or_doubled():
    for label in ("conclusion：", "Conclusion: conclusion: ", "Final Answer："):
        assert CHAT.parse(Role.BACKBONE, f"好。\n{label}晴天。") == (
            Plan(thought="好。", decision=Decision.CONCLUDE),
            Answer(text="晴天。"),
        )


# --- Finish -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "given",
    [
        "{'return_type': 'give_answer', 'final_answer': 'It rains.'}",
        "{'return_type': 'give_answer', 'final_answer': 'It rains.',}",
        '```json\n{"return_type": "give_answer", "final_answer": "It rains."}\n```',
        "```python\n{'return_type': 'give_answer', 'final_answer': 'It rains.'}\n```",
        '"{\\"return_type\\": \\"give_answer\\", \\"final_answer\\": \\"It rains.\\"}"',
        "It rains.",
        '"It rains."',
    ],
)
def test_finish_is_read_from_literals_fences_and_text(given):
    assert REACT.parse(Role.BACKBONE, f"Thought: x\nAction: Finish\nAction Input: {given}") == (
        Plan(thought="x", decision=Decision.CONCLUDE),
        Answer(text="It rains."),
    )
    assert FINISH.parse(Role.BACKBONE, write_reply("x", [Call(name="Finish", arguments=given)]))[-1] == Answer(
        text="It rains."
    )


@pytest.mark.parametrize(
    "given",
    [
        "{'return_type': 'give_up_and_restart'}",
        "```\n{'return_type': 'give_up_and_restart'}\n```",
        "give_up_and_restart",
        "{'return_type': 'give_up_and_restart', 'final_answer': None}",
        "{'return_type': 'give_up_and_restart",
    ],
)
def test_finish_that_gives_up_is_read_from_literals_fences_and_text(given):
    assert REACT.parse(Role.BACKBONE, f"Thought: x\nAction: Finish\nAction Input: {given}") == (
        Plan(thought="x", decision=Decision.GIVE_UP),
    )


# --- fuzz -------------------------------------------------------------------------------------------------


def check(seed, tries):
    rng = random.Random(seed)
    dialects = list(DIALECTS)
    for number in range(tries):
        rendered = reply_fuzz.a_call(rng, dialects[number % len(dialects)])
        assert not list(reply_fuzz.misread(rendered)), rendered
        text = reply_fuzz.damaged(rng, rendered.text)
        assert not list(reply_fuzz.untyped(rng, text)), text


def test_calls_are_read_exactly_and_damaged_replies_end_as_turns():
    check(seed=0, tries=300)


@pytest.mark.slow
def test_ten_thousand_calls_are_read_exactly_and_damaged_replies_end_as_turns():
    check(seed=1, tries=10_000)


HOSTILE = ("<tool_call>{", "<tool_call>['", "Action: a(", "<think", "<function=a><parameter=b>", "[{", " ", "Next：")


@pytest.mark.parametrize("unit", HOSTILE)
def test_a_hostile_reply_is_read_in_time_that_grows_with_its_length_alone(unit):
    started = time.process_time()
    for name, (form, roles) in reply_fuzz.FORMATS.items():
        for role in roles:
            assert form.parse(role, unit * (50_000 // len(unit))), name
    assert time.process_time() - started < 6


def test_values_without_quotes_have_the_declared_types():
    types = {"zip": "string", "version": "string", "body": "string", "n": "integer", "x": "NUMBER", "any": "any"}
    tool = ToolSpec(name="f", parameters={"properties": {name: {"type": word} for name, word in types.items()}})
    given = {"zip": "12345", "version": "1.10", "body": '{"a":  1}', "n": "007", "x": "1e20", "any": "3"}
    for dialect in ("qwen_coder", "glm47", "minimax_m2"):
        text = DIALECTS[dialect].write("f", given)
        turns = as_declared(CHAT.parse(Role.CALLER, text), (tool,), text)
        assert called(turns) == ("f", {**given, "x": 1e20, "any": 3})
        assert as_declared(turns, (), text) == turns
    typed = DIALECTS["hermes"].write("f", {"zip": 5})
    assert called(as_declared(CHAT.parse(Role.CALLER, typed), (tool,), typed)) == ("f", {"zip": 5})


def test_an_agent_calls_with_the_declared_types():
    tool = ToolSpec(name="post", parameters={"properties": {"zip": {"type": "string"}}})
    model = ScriptedModel([DIALECTS["qwen_coder"].write("post", {"zip": "12345"})])
    agent = SingleAgent(backbone=RoleModel(model=model), format=CHAT)
    said = asyncio.run(agent.propose(Task(id="t", query="q", tools=(tool,)), ())).turns
    assert called(said) == ("post", {"zip": "12345"})


@pytest.mark.parametrize("form", [CHAT, TEMPLATE, SHARED], ids=lambda form: form.name)
def test_a_decision_that_a_grammar_forces_behind_open_reasoning_counts(form):
    mark = form.write(Role.PLANNER, (Plan(thought="", decision=Decision.CONCLUDE),))
    text = f"<think>\nMaybe Next: caller. or not\n{mark}"
    task = Task(id="t", query="q", tools=(ToolSpec(name="weather"),))
    for constrained, decision in ((True, Decision.CONCLUDE), (False, None)):
        planner = RoleModel(model=ScriptedModel([text]), constrained=constrained)
        (plan,) = asyncio.run(planner.complete_turn(Role.PLANNER, form, task, ())).turns
        assert decision is None or plan.decision is decision
        assert constrained or form is SHARED or plan.decision is Decision.NONE


def test_an_answer_that_a_grammar_forces_behind_open_reasoning_counts():
    task = Task(id="t", query="q", tools=(ToolSpec(name="weather"),))
    backbone = RoleModel(model=ScriptedModel(["<think>\nlong thoughts\nconclusion: It rains."]), constrained=True)
    said = asyncio.run(backbone.complete_turn(Role.BACKBONE, CHAT, task, ())).turns
    assert said[-1] == Answer(text="It rains.")
