"""A call that the token limit cut off is never a call of another tool, nor one with arguments nobody wrote."""

import asyncio
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from alpha_umi.agent import MultiAgent, RoleModel, propose_step
from alpha_umi.evaluation.metrics import score_step
from alpha_umi.formats.chat import ChatFormat
from alpha_umi.formats.shared import SharedFormat
from alpha_umi.formats.steps import read_step, write_step
from alpha_umi.formats.template import TemplateFormat
from alpha_umi.models.scripted import ScriptedModel
from alpha_umi.types import Call, Completion, Decision, FinishReason, Plan, Role, Task, ToolSpec
from support.plain_format import PLAIN

FORMATS = {"shared": SharedFormat(), "template": TemplateFormat.from_document(PLAIN), "chat": ChatFormat()}
words = st.from_regex(r"[a-z]{1,8}", fullmatch=True)
calls = st.builds(
    lambda name, given: Call(name=name, arguments=json.dumps(given)),
    st.from_regex(r"[a-z]{1,4}(_[a-z]{1,4}){0,2}", fullmatch=True),
    st.dictionaries(words, words | st.integers(0, 9), max_size=2),
)
formats = pytest.mark.parametrize("form", FORMATS.values(), ids=FORMATS)


@formats
@given(data=st.data(), call=calls, role=st.sampled_from([Role.CALLER, Role.BACKBONE]))
def test_wherever_a_call_is_cut_it_is_that_call_or_none(form, data, call, role):
    plan = Plan(thought="it is time to look", decision=Decision.CALL)
    text = form.write(role, (call,) if role is Role.CALLER else (plan, call))
    at = data.draw(st.integers(0, len(text)))
    read = form.parse(role, text[:at], FinishReason.LENGTH)
    for named in named_calls(read):
        assert named.name == call.name
        assert call.arguments.startswith(named.arguments)
    if isinstance(read[0], Plan):  # nor does a file of steps make a call of it
        assert named_calls(read_step(write_step(read))) == named_calls(read)


def named_calls(turns):
    return [turn for turn in turns if isinstance(turn, Call) and turn.name]


@formats
@given(call=calls, role=st.sampled_from([Role.CALLER, Role.BACKBONE]))
def test_a_call_that_ends_just_at_the_limit_is_whole(form, call, role):
    plan = Plan(thought="it is time to look", decision=Decision.CALL)
    said = (call,) if role is Role.CALLER else (plan, call)
    assert form.parse(role, form.write(role, said), FinishReason.LENGTH)[-1] == call


@pytest.mark.parametrize(
    ("form", "text"),
    [("shared", "weather"), ("template", "Action: weather"), ("template", "Action: weather\nAction In"),
     ("chat", "Action: weather"), ("chat", "**Action:** `weather`\nAction Input")],
)  # fmt: skip
def test_an_agent_whose_caller_is_cut_off_calls_no_tool(form, text):
    form = FORMATS[form]
    plan = Plan(thought="it will rain", decision=Decision.CALL)
    cut = Completion(text=text, finish=FinishReason.LENGTH)
    role_models = {
        Role.PLANNER: RoleModel(model=ScriptedModel([form.write(Role.PLANNER, (plan,))] * 2)),
        Role.CALLER: RoleModel(model=ScriptedModel([cut, text])),
    }
    agent = MultiAgent(role_models=role_models, format=form)
    tools = (ToolSpec(name="weather"), ToolSpec(name="weather_tomorrow"))

    def call():
        said = asyncio.run(propose_step(agent, Task(id="t", query="rain?", tools=tools), ())).turns
        assert isinstance(said[0], Plan)
        return said[1], score_step(said, (plan, Call(name="weather", arguments="{}")), {"weather"}).scores

    unfinished, scores = call()
    assert unfinished.name == ""
    assert "weather" in unfinished.arguments
    assert (scores["action_exact_match"], scores["hallucination_rate"]) == (0, 0)
    assert call()[0] == Call(name="weather", arguments="{}")  # it stopped by itself: that is the whole name
