"""Trajectories as JSON objects for scripts: what `umi ask --json` prints."""

import json

from hypothesis import given

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
    Usage,
    User,
)
from support.strategies import trajectories

TASK = Task(id="ask", query="How warm is Graz?")
TURNS = (
    User(text="How warm is Graz?"),
    Plan(thought="Look it up.", decision=Decision.CALL),
    Call(name="weather", arguments='{"city": "Graz"}'),
    Observation(content="21", status=ToolStatus.OK),
    Plan(thought="", decision=Decision.CONCLUDE),
    Answer(text="21 degrees."),
)


def test_an_answered_trajectory_tells_its_answer_and_its_calls():
    trajectory = Trajectory(task=TASK, turns=TURNS, stop=StopReason.ANSWERED)
    assert trajectory.answer == "21 degrees."
    assert trajectory.calls == (TURNS[2],)


def test_a_trajectory_that_ends_otherwise_has_no_answer():
    assert Trajectory(task=TASK, turns=TURNS[:-1]).answer is None
    assert Trajectory(task=TASK, turns=()).answer is None
    assert Trajectory(task=TASK, turns=(*TURNS, User(text="And in Linz?"))).answer is None


def test_its_json_names_kinds_statuses_and_decisions_and_has_arguments_as_an_object():
    usage = Usage(prompt_tokens=7, completion_tokens=3, completions=2)
    told = Trajectory(task=TASK, turns=TURNS, stop=StopReason.ANSWERED, usage=usage).to_json()
    assert told == {
        "query": "How warm is Graz?",
        "turns": [
            {"kind": "user", "content": "How warm is Graz?"},
            {"kind": "plan", "content": "Look it up.", "decision": "call"},
            {"kind": "call", "name": "weather", "arguments": {"city": "Graz"}},
            {"kind": "observation", "content": "21", "status": "ok"},
            {"kind": "plan", "content": "", "decision": "conclude"},
            {"kind": "answer", "content": "21 degrees."},
        ],
        "answer": "21 degrees.",
        "stop": "answered",
        "usage": {"prompt_tokens": 7, "completion_tokens": 3, "completions": 2},
    }


def test_arguments_that_are_no_json_object_stay_text():
    for written in ("", "{", "[1]", '"x"', '{"a": NaN}', "[" * 100_000):
        [turn] = Trajectory(task=TASK, turns=(Call(name="weather", arguments=written),)).to_json()["turns"]
        assert turn["arguments"] == written


@given(trajectories)
def test_every_trajectory_is_json(trajectory):
    assert json.loads(json.dumps(trajectory.to_json())) == trajectory.to_json()
