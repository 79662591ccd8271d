"""Public data sets: every shape is told from the others and read as the same turns; odd rows are kept, or named."""

import gzip
import json
import random

import pytest

import alpha_umi as umi
from alpha_umi.cli.prepare import SHAPES as VERBS
from alpha_umi.datasets.chats import Origin
from alpha_umi.datasets.shapes import SHAPES, identify, read_as
from alpha_umi.errors import DataError
from alpha_umi.preparation.checks import Severity, check_trajectory, check_types
from alpha_umi.store import read_trajectories
from alpha_umi.training.data.examples import count_targets, targets
from alpha_umi.types import Answer, Call, Decision, Observation, Plan, Role, StopReason, ToolStatus, User
from support import shaped_rows as rows


def read(row, shape=None):
    found = [*read_as(shape or identify(row), row, Origin(task_id="t"))]
    for each in found:
        if isinstance(each, DataError):
            raise each
    return found


def turns_of(row, shape=None):
    return read(row, shape)[0].trajectory.turns


def kinds(turns):
    return [type(turn).__name__.lower() for turn in turns]


@pytest.mark.parametrize(("name", "row"), [*rows.ROWS.items(), ("hermes", rows.QWEN)])
def test_one_dialogue_is_read_alike_in_every_shape(name, row):
    assert identify(row).name == name
    (reading,) = read(row)
    trajectory = reading.trajectory
    plan, call, *rest = trajectory.turns[1:]
    assert trajectory.turns[0] == User(text=rows.QUERY)
    thought = "" if name in ("toolace", "xlam") else rows.THOUGHT
    assert plan == Plan(thought=thought, decision=Decision.CALL)
    assert (call.name, json.loads(call.arguments)) == ("sky_of", rows.ARGUMENTS)
    if name == "xlam":
        assert not rest
        assert trajectory.stop is StopReason.UNFINISHED
    else:
        assert rest == [
            Observation(content=rows.SEEN),
            Plan(thought="", decision=Decision.CONCLUDE),
            Answer(text=rows.SAID),
        ]
        assert trajectory.stop is StopReason.ANSWERED
    (tool,) = trajectory.task.tools
    assert (tool.name, tool.description) == ("sky_of", "Sky over a city.")
    assert tool.parameters["properties"]["city"] == {"type": "string", "description": "which city"}
    assert not check_types(trajectory)
    if name != "processed":
        assert tool.parameters["required"] == ["city"]
        assert not [f for f in check_trajectory(trajectory) if f.severity is Severity.WRONG]
        expected = {Role.PLANNER, Role.BACKBONE, Role.CALLER, Role.SUMMARIZER} - (
            {Role.SUMMARIZER} if name == "xlam" else set()
        )
        if name == "toolllama":
            expected -= {Role.CALLER}  # the row is for its last step
        assert {role for role, count in count_targets(trajectory).items() if count} == expected


def test_the_verbs_of_the_command_line_are_the_shapes():
    assert {*VERBS, "processed"} == set(SHAPES)


@pytest.mark.parametrize("name", rows.ROWS)
def test_a_file_of_another_shape_is_refused_with_the_verb_that_reads_it(name, tmp_path):
    path, out = tmp_path / "rows.json", tmp_path / "out.jsonl"
    path.write_text(json.dumps([rows.ROWS[name]]), encoding="utf-8")
    other = "xlam" if name != "xlam" else "swift"
    with pytest.raises(DataError, match=rf"rows\.json: row 0: .*; it is a row of .*umi prepare {name} reads"):
        umi.prepare(other, [path], out)
    assert not out.exists()
    assert umi.prepare.auto([path], out).kept == 1
    assert next(read_trajectories(out)).task.metadata["source"] == name


def test_rows_of_several_shapes_in_one_file_are_counted_and_named(tmp_path):
    path, out = tmp_path / "rows.jsonl", tmp_path / "out.jsonl"
    lines = [json.dumps(row) for row in (rows.OPENAI, rows.SHAREGPT, rows.OPENAI)]
    path.write_text("\n".join([*lines, lines[0][:-40]]), encoding="utf-8")
    report = umi.prepare.auto([path], out)
    assert (report.kept, sum(report.skipped.values())) == (2, 2)
    assert "rows.jsonl:2: 'messages' is no list; it is a row of ShareGPT" in report.skipped_first[0]
    assert "rows.jsonl:4:" in report.skipped_first[1]
    with pytest.raises(DataError, match=r"rows\.jsonl:2"):
        umi.prepare.openai([path], tmp_path / "strict.jsonl", strict=True)
    assert not (tmp_path / "strict.jsonl").exists()


@pytest.mark.parametrize(
    ("row", "said"),
    [
        ([1], "no known shape"),
        ({"schema": "x", "turns": []}, "a trajectory already"),
        ({"answer_generation": {}}, "umi prepare toolbench"),
        ({"instruction": "x", "output": "y"}, "Alpaca"),
        ({"query": "x", "api_list": []}, "umi rollout"),
        ({"chosen": 1, "rejected": 2}, "preference pair"),
        ({"text": "x"}, r"no known shape \(its keys: text\)"),
    ],
)
def test_a_file_of_no_shape_says_what_it_is(row, said, tmp_path):
    assert identify(row) is None
    path = tmp_path / "x.jsonl"
    path.write_text(json.dumps([row]), encoding="utf-8")
    with pytest.raises(DataError, match=said):
        umi.prepare.auto([path], tmp_path / "out.jsonl")


# --- parallel calls, odd results ----------------------------------------------------------------------

TWO = [{"name": "f", "arguments": {"n": 1}}, {"name": "g", "arguments": {}}]


@pytest.mark.parametrize(
    "row",
    [
        {
            "messages": [
                rows.user(),
                rows.calling(*TWO, content=None),
                {"role": "tool", "tool_call_id": "c1", "content": "b"},
                {"role": "tool", "tool_call_id": "c0", "content": "a"},
            ]
        },
        {
            "tools": "[]",
            "messages": [
                rows.user(),
                *({"role": "tool_call", "content": json.dumps(call)} for call in TWO),
                {"role": "tool_response", "content": "a"},
                {"role": "tool", "content": "b"},
            ],
        },
        {
            "conversations": [
                {"from": "human", "value": "q"},
                {"from": "function_call", "value": json.dumps(TWO)},
                {"from": "observation", "value": '["a", "b"]'},
            ]
        },
        {
            "conversations": [
                {"from": "human", "value": "q"},
                {"from": "gpt", "value": "".join(f"<tool_call>{json.dumps(call)}</tool_call>" for call in TWO)},
                {"from": "tool", "value": "<tool_response>a</tool_response><tool_response>\nb\n</tool_response>"},
            ]
        },
        {
            "system": '[{"name": "f"}, {"name": "g"}]',
            "conversations": [
                {"from": "user", "value": "q"},
                {"from": "assistant", "value": "[f(n=1), g()]"},
                {"from": "tool", "value": '[{"name": "f", "results": "a"}, {"name": "g", "results": "b"}]'},
            ],
        },
    ],
)
def test_parallel_calls_are_steps_with_their_own_results(row):
    turns = turns_of(row)
    assert kinds(turns) == ["user", *(["plan", "call", "observation"] * 2)]
    assert [turn.name for turn in turns if isinstance(turn, Call)] == ["f", "g"]
    assert [turn.content for turn in turns if isinstance(turn, Observation)] == ["a", "b"]


@pytest.mark.parametrize(
    ("shape", "row", "said"),
    [
        (
            "sharegpt",
            [("human", "q"), ("function_call", json.dumps(TWO)), ("observation", "a")],
            "2 calls have one result",
        ),
        ("sharegpt", [("human", "q"), ("function_call", "f(1)"), ("observation", "a")], r"\[1\]: a call is no JSON"),
        (
            "sharegpt",
            [("human", "q"), ("function_call", '{"name": "f"}'), ("gpt", "x")],
            r"\[2\]: the call of 'f' has no",
        ),
        ("sharegpt", [("human", "q"), ("observation", "a")], r"\[1\]: a tool's result answers no call"),
        ("sharegpt", [("human", "q"), ("narrator", "a")], "unknown role 'narrator'"),
        ("hermes", [("human", "q"), ("gpt", "<tool_call>{broken</tool_call>")], "message 1: a call cannot be read"),
        ("toolllama", [("user", "q"), ("function", "a")], "answers no call"),
    ],
)
def test_a_broken_row_is_refused_with_its_message(shape, row, said):
    with pytest.raises(DataError, match=said):
        read({"conversations": [{"from": who, "value": text} for who, text in row]}, SHAPES[shape])


def test_reasoning_before_an_answer_is_the_thought_and_a_greeting_is_left_out():
    (reading,) = read(
        {
            "conversations": [
                {"from": "gpt", "value": "Hello!"},
                {"from": "human", "value": "q"},
                {"from": "gpt", "value": "<think>\nhm\n</think>\n\nyes"},
            ]
        }
    )
    assert reading.trajectory.turns[1:] == (Plan(thought="hm", decision=Decision.CONCLUDE), Answer(text="yes"))
    assert reading.deviations == {"greetings_left_out": 1}


def test_system_texts_and_other_columns_are_kept():
    row = {**rows.SWIFT, "id": 3, "messages": [{"role": "system", "content": "Be brief."}, *rows.SWIFT["messages"]]}
    metadata = read(row)[0].trajectory.task.metadata
    assert metadata == {"system": "Be brief.", "columns": {"id": 3}}


def test_trl_pairs_are_read_as_one_chat():
    messages = rows.OPENAI["messages"]
    row = {"prompt": messages[:1], "completion": messages[1:], "tools": rows.TOOLS}
    assert turns_of(row) == turns_of(rows.OPENAI)


def test_an_xlam_row_without_a_call_gives_up():
    turns = turns_of({**rows.XLAM, "answers": "[]"})
    assert turns[1:] == (Plan(thought="", decision=Decision.GIVE_UP),)


def test_names_of_toolace_may_hold_blanks_and_an_answer_may_be_in_brackets():
    system = '[{"name": "Market Trends"}, {"name": "Market Trends API"}]'
    said = [
        ("user", "q"),
        ("assistant", "[Market Trends API(kind='x', n=[1, 2])]"),
        ("tool", "{}"),
        ("assistant", "[see](y)"),
    ]
    turns = turns_of({"system": system, "conversations": [{"from": who, "value": text} for who, text in said]})
    assert turns[2] == Call(name="Market Trends API", arguments='{"kind": "x", "n": [1, 2]}')
    assert turns[-1] == Answer(text="[see](y)")


def test_a_row_of_toolllama_is_learned_from_in_its_last_step_alone():
    row = {
        "id": "Step 4: x",
        "conversations": [
            *rows.TOOLLLAMA["conversations"][:2],
            {"from": "assistant", "value": "\nThought: t\nAction: nope\nAction Input: {}"},
            {"from": "function", "value": '{"error": "No such function name: nope", "response": ""}'},
            {"from": "assistant", "value": "\nThought: \nAction: sky_of\nAction Input: {}"},
        ],
    }
    (reading,) = read(row)
    assert reading.trajectory.turns[3].status is ToolStatus.ERROR
    assert [target.at for target in targets(reading.trajectory, Role.PLANNER)] == [4]
    assert [target.at for target in targets(reading.trajectory, Role.CALLER)] == [5]
    assert reading.deviations["calls_of_tools_that_are_not_offered"] == 1


def test_golden_calls_of_toolalpaca_are_read_for_each_instruction():
    api = {key: value for key, value in rows.TOOLALPACA.items() if key != "Instances"}
    golden = [
        {"Action": "sky_of", "Action_Input": '{"city": "Oslo"}'},
        {"Action": "getDetails", "Action_Input": "${x}"},
    ]
    found = [
        *read_as(
            SHAPES["toolalpaca"],
            {**api, "Instructions": ["a", "b"], "Golden_Answers": [golden, []]},
            Origin(task_id="t"),
        )
    ]
    assert kinds(found[0].trajectory.turns) == ["user", "plan", "call", "plan", "call"]
    assert found[0].deviations["golden_inputs_that_are_no_json"] == 1
    assert [tool.name for tool in found[0].trajectory.task.tools] == ["sky_of", "getDetails"]
    assert "Instructions[1]" in str(found[1])
    assert not [
        f
        for f in check_trajectory(found[0].trajectory)
        if "followed by a plan" in f.message and f.severity is Severity.WRONG
    ]


def test_parameters_of_toolalpaca_become_schemas():
    told = (
        'Looks.\nParameters: {"a": "Required. string. One of: [x, y z]. Which.", "b": "Array[string]. Some. Or none.", '
        '"c": "Array[Object{id: string. The id}]. All", "d": "no type here"}\nOutput: Done.\n - Structure: Object{x}'
    )
    (reading,) = read(
        {"Function_Description": {"f": told}, "Instructions": ["q"], "Golden_Answers": [[{"Action": "f"}]]}
    )
    (tool,) = reading.trajectory.task.tools
    assert tool.description == "Looks.\nOutput: Done.\n - Structure: Object{x}"
    assert tool.parameters["required"] == ["a"]
    assert tool.parameters["properties"] == {
        "a": {"type": "string", "enum": ["x", "y z"], "description": "Which."},
        "b": {"type": "array", "items": {"type": "string"}, "description": "Some. Or none."},
        "c": {"type": "array", "description": "Array[Object{id: string. The id}]. All"},
        "d": {"description": "no type here"},
    }


@pytest.mark.parametrize("name", ["rows.jsonl", "rows.json", "rows.jsonl.gz"])
def test_progress_of_a_long_file_is_the_bytes_read_and_ends_with_all_of_them(name, tmp_path):
    noise = [random.Random(number).randbytes(500).hex() for number in range(1000)]
    texts = [json.dumps({**rows.ROWS["openai"], "noise": each}) for each in noise]
    content = "[" + ",".join(texts) + "]" if name == "rows.json" else "\n".join(texts)
    small, large = tmp_path / "first.jsonl", tmp_path / name
    small.write_text(texts[0])
    large.write_bytes(gzip.compress(content.encode()) if name.endswith("gz") else content.encode())
    seen = []
    report = umi.prepare.openai([small, large], tmp_path / "out.jsonl", on_progress=lambda *at: seen.append(at))
    assert report.kept == 1001
    total = small.stat().st_size + large.stat().st_size
    assert {of for _, of in seen} == {total}
    done = [at for at, _ in seen]
    assert done == sorted(done)
    assert done[-1] == total
    assert len(set(done)) >= 4
