"""Chats for other trainers: written rows are read again by the shape's own reader; what cannot be said is named."""

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from alpha_umi.datasets.chats import Origin
from alpha_umi.datasets.shapes import SHAPES, identify, read_as
from alpha_umi.datasets.writers import WRITERS
from alpha_umi.errors import DataError
from alpha_umi.preparation.export_chats import export_chats
from alpha_umi.store import write_trajectories
from alpha_umi.text_files import read_json_list
from alpha_umi.types import Answer, Call, Decision, Observation, Plan, Task, ToolSpec, Trajectory, User
from support import shaped_rows as rows
from support.commands import run_here
from support.examples import examples

WORDS = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="<>"), max_size=9).map(str.strip)
TOOL = ToolSpec(name="sky_of", description="Sky over a city.", parameters=rows.SCHEMA)


def read(row, name):
    (reading,) = read_as(SHAPES["openai" if name == "trl" else name], row, Origin(task_id="t"))
    return reading.trajectory


@st.composite
def trajectories(draw):
    turns = []
    for _ in range(draw(st.integers(1, 2))):
        turns.append(User(text=draw(WORDS)))
        for city in draw(st.lists(WORDS, max_size=2)):
            turns += [
                Plan(thought=draw(WORDS), decision=Decision.CALL),
                Call(name="sky_of", arguments=json.dumps({"city": city}, ensure_ascii=False)),
                Observation(content=draw(WORDS)),
            ]
        turns += [Plan(thought=draw(WORDS), decision=Decision.CONCLUDE), Answer(text=draw(WORDS))]
    task = Task(id="t", query=turns[0].text, tools=(TOOL,), metadata={"system": "Be brief."})
    return Trajectory(task=task, turns=tuple(turns))


@settings(max_examples=examples(20))
@given(trajectories())
def test_a_written_chat_is_read_again(trajectory):
    for name, write in WRITERS.items():
        row = json.loads(json.dumps(write(trajectory)))
        again = read(row, name)
        assert again.turns == trajectory.turns, name
        assert again.task.tools == (TOOL,), name
        assert again.task.metadata["system"] == "Be brief.", name


@pytest.mark.parametrize(("name", "row"), [("openai", rows.OPENAI), ("swift", rows.SWIFT), ("sharegpt", rows.SHAREGPT)])
def test_a_row_is_written_back_as_it_was(name, row):
    written = WRITERS[name](read(row, name))
    if name == "openai":
        for message in written["messages"]:
            if "tool_call_id" in message:
                message["tool_call_id"] = "c0"
            for call in message.get("tool_calls", ()):
                call["id"] = "c0"
    if "tools" in row and isinstance(row["tools"], str):
        written["tools"] = (
            json.dumps([json.loads(written["tools"])[0]["function"]]) if name == "sharegpt" else written["tools"]
        )
    assert written == row
    assert identify(written).name == name


def test_parallel_calls_stay_together_where_the_shape_can_say_so():
    calls = [{"name": "f", "arguments": {"n": n}} for n in range(2)]
    results = [{"role": "tool", "tool_call_id": f"c{n}", "content": str(n)} for n in range(2)]
    trajectory = read(
        {"messages": [rows.user(), rows.calling(*calls), *results, {"role": "assistant", "content": "x"}]}, "openai"
    )
    openai, swift, sharegpt = (WRITERS[name](trajectory) for name in ("openai", "swift", "sharegpt"))
    assert [len(each.get("tool_calls", ())) for each in openai["messages"]] == [0, 2, 0, 0, 0]
    assert [each["role"] for each in swift["messages"]] == [
        *("user", "assistant", "tool_call", "tool_call", "tool_response", "tool_response", "assistant")
    ]
    assert len(sharegpt["conversations"]) == 6
    for name, row in (("openai", openai), ("swift", swift), ("sharegpt", sharegpt)):
        assert read(row, name).turns == trajectory.turns


def test_what_a_shape_cannot_say_is_left_out_and_named(tmp_path):
    query = User(text="q")
    task = Task(id="kept", query="q")
    kept = Trajectory(task=task, turns=(query, Plan(thought="", decision=Decision.CONCLUDE), Answer(text="a")))
    gives_up = Trajectory(task=Task(id="up", query="q"), turns=(query, Plan(thought="", decision=Decision.GIVE_UP)))
    call = Plan(thought="", decision=Decision.CALL), Call(name="f", arguments="{broken"), Observation(content="x")
    broken = Trajectory(task=Task(id="broken", query="q"), turns=(query, *call, *kept.turns[1:]))
    report = export_chats([kept, gives_up, broken], "swift", tmp_path / "rows.jsonl")
    assert report.rows == 1
    assert {place for places in report.places.values() for place in places} == {"up", "broken"}
    assert export_chats([broken], "openai", tmp_path / "o.json").rows == 1
    assert read_json_list(tmp_path / "o.json")[0]["messages"][1]["tool_calls"][0]["function"]["arguments"] == "{broken"
    with pytest.raises(DataError, match="up: it gives up"):
        export_chats([gives_up], "trl", tmp_path / "none.jsonl")
    assert not (tmp_path / "none.jsonl").exists()


def test_the_command_line_writes_chats(tmp_path):
    write_trajectories(tmp_path / "t.jsonl", [read(rows.OPENAI, "openai")])
    options = ["export", "--trajectories", tmp_path / "t.jsonl", "--out", tmp_path / "o.jsonl", "--to"]
    done = run_here(*options, "trl")
    assert (done.code, "1 chats for trl" in done.out) == (0, True), done
    (row,) = read_json_list(tmp_path / "o.jsonl")
    assert row["messages"][1]["tool_calls"][0]["function"]["arguments"] == rows.ARGUMENTS
    assert json.loads(row["tools"])[0]["function"]["name"] == "sky_of"
    assert run_here(*options, "alpaca").code == 2
    assert run_here(*options, "trl", "--role", "planner").code == 2
