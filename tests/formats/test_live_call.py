"""Calls in progress: the pieces of their arguments are those of the whole call, in every layout."""

import json

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from alpha_umi.formats.live_call import LiveCall
from alpha_umi.loading.formats import open_format
from alpha_umi.types import Call, Decision, FinishReason, Plan, Role
from support.examples import examples

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda each: st.lists(each) | st.dictionaries(st.text(), each),
)


@pytest.mark.parametrize("name", ["shared", "chat"])
@settings(max_examples=examples(60), deadline=None)
@example(arguments={"<|": None}, cuts=[1, 1, 5, 5, 5])
@example(arguments={"a": "<", "b<": "<\\"}, cuts=[1] * 60)
@given(arguments=st.dictionaries(st.text(), VALUES, max_size=4), cuts=st.lists(st.integers(1, 5), max_size=200))
def test_pieces_joined_begin_the_arguments_of_the_whole_call(name, arguments, cuts):
    form = open_format(name)
    call = Call(name="find_weather", arguments=json.dumps(arguments))
    written = form.write(Role.CALLER, (call,))
    whole = next(turn for turn in form.parse(Role.CALLER, written, FinishReason.STOP) if isinstance(turn, Call))
    live, pieces, at = LiveCall(form), "", 0
    for cut in [*cuts, len(written)]:
        pieces += live.feed(written[at : at + cut])
        at += cut
    assert whole.arguments.startswith(pieces)
    assert pieces == live.shown
    assert live.begins(whole)
    escaped = call.arguments not in written
    assert name != "shared" or escaped or (live.name, pieces) == (whole.name, whole.arguments)


def test_a_completion_that_calls_nothing_has_no_pieces():
    live = LiveCall(open_format("shared"))
    written = open_format("shared").write(Role.PLANNER, (Plan(thought="I need {no} tool.", decision=Decision.CALL),))
    assert [live.feed(character) for character in written] == [""] * len(written)
