"""Preparation and export from files: counts, bad input, and nothing half-written."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time

import pytest
from hypothesis import given

from alpha_umi.errors import DataError, StorageError
from alpha_umi.formats.template import TemplateFormat
from alpha_umi.preparation import (
    AnswerOptions,
    export_examples,
    export_published,
    prepare_answers,
    prepare_processed,
)
from alpha_umi.preparation.answers import GROUPS, STAGES
from alpha_umi.preparation.lists import dump_indented, writing_list
from alpha_umi.roles import FORMAT_ROLES
from alpha_umi.store import read_json, read_trajectories
from alpha_umi.training.data.examples import make_examples
from alpha_umi.types import Answer, Call, Decision, Observation, Plan, Role, Task, ToolSpec, Trajectory, User
from support.folders import SOURCES
from support.strategies import json_values

FORMAT = TemplateFormat.from_document(
    {
        "name": "test",
        "target_end": "</s>",
        "templates": {role.value: f"{role.value} {{doc}} {{history}} {{thought}}" for role in FORMAT_ROLES},
        "suffixes": {role.value: f" {role.value}: " for role in FORMAT_ROLES},
        "turns": {kind: f"{kind}: {{text}};" for kind in ("user", "planner", "caller", "observation", "summarizer")},
        "backbone_turns": {
            "user": "user: {text};",
            "step": "step: {target};",
            "observation": "observation: {text}",
            "target": {
                "call": "{thought}\n{call}",
                "conclude": "{thought}\nconclusion: {answer}",
                "give_up": "{thought}\nconclusion: give up.",
            },
        },
        "decision_marks": {"call": "Next: caller.", "conclude": "Next: conclusion.", "give_up": "Next: give up."},
    }
)


def answer(query, *, gives_up=False):
    finish = {"return_type": "give_up_and_restart"} if gives_up else {"return_type": "give_answer", "final_answer": "A"}
    head = [{"role": "system", "content": "s"}, {"role": "user", "content": query}]
    step = [
        {"role": "assistant", "content": "t", "function_call": {"name": "f", "arguments": "{}"}},
        {"role": "function", "name": "f", "content": '{"error": "late", "response": "r"}'},
        {"role": "assistant", "content": None, "function_call": {"name": "Finish", "arguments": json.dumps(finish)}},
    ]
    functions = [{"name": "f", "description": "d", "parameters": {"type": "object", "properties": {}}}]
    return {"answer_generation": {"query": query, "function": functions, "train_messages": [[*head, *step]]}}


@pytest.fixture
def answers(tmp_path):
    folder = tmp_path / "answer"
    for group in GROUPS:
        (folder / group).mkdir(parents=True)
    for group, name in (("G1_answer", "2_x"), ("G1_answer", "10_x"), ("G2_answer", "2_x")):
        (folder / group / f"{name}.json").write_text(json.dumps(answer(f"{group} {name}")))
    return folder


def queries(path):
    return [trajectory.task.query for trajectory in read_trajectories(path)]


def leftovers(folder):
    return [path.name for path in folder.rglob("*") if path.name.endswith(".part")]


def test_answers_come_in_sorted_order_and_other_files_are_ignored(answers, tmp_path):
    (answers / "G1_answer" / ".DS_Store").write_bytes(b"\0\1")
    (answers / "G3_answer" / "notes.txt").write_text("mine")
    report = prepare_answers(answers, tmp_path / "t.jsonl")
    assert queries(tmp_path / "t.jsonl") == ["G1_answer 10_x", "G1_answer 2_x", "G2_answer 2_x"]
    assert (report.read, report.kept, report.ignored) == (3, 3, 2)
    assert report.deviations == {"error_text_kept": 3}


def test_several_processes_write_what_one_writes(answers, tmp_path):
    for number in range(70):
        (answers / "G3_answer" / f"{number}_y.json").write_text(json.dumps(answer(f"q{number}")))
    for workers in (1, 4):
        options = AnswerOptions(stages=tmp_path / str(workers), workers=workers)
        prepare_answers(answers, tmp_path / str(workers) / "t.jsonl", options)
    for name in ("t.jsonl", *STAGES):
        assert (tmp_path / "1" / name).read_bytes() == (tmp_path / "4" / name).read_bytes()


@pytest.mark.parametrize(
    ("compat", "ids", "kept"),
    [
        (False, {"2": 0}, ["G1_answer 10_x", "G2_answer 2_x"]),
        (False, [2, 10], ["G2_answer 2_x"]),
        (True, {"2": 0}, ["G1_answer 10_x"]),
        (True, [2, 10], ["G1_answer 10_x", "G1_answer 2_x", "G2_answer 2_x"]),
    ],
)
def test_held_out_ids_count_in_their_own_group_unless_as_published(answers, tmp_path, compat, ids, kept):
    (tmp_path / "ids").mkdir()
    (tmp_path / "ids" / "G1_tool.json").write_text(json.dumps(ids))
    report = prepare_answers(answers, tmp_path / "t.jsonl", AnswerOptions(test_ids=tmp_path / "ids", compat=compat))
    assert queries(tmp_path / "t.jsonl") == kept
    assert report.held_out == 3 - len(kept)


@pytest.mark.parametrize(("compat", "reading"), [(True, "alpha-umi"), (False, None)])
def test_a_trajectory_says_whether_it_was_prepared_as_published(answers, tmp_path, compat, reading):
    prepare_answers(answers, tmp_path / "t.jsonl", AnswerOptions(compat=compat))
    first = next(iter(read_trajectories(tmp_path / "t.jsonl")))
    assert first.task.id == "G1_answer/10_x"
    assert first.task.metadata.get("reading") == reading


def test_a_limit_keeps_the_first(answers, tmp_path):
    prepare_answers(answers, tmp_path / "t.jsonl", AnswerOptions(limit=2))
    assert queries(tmp_path / "t.jsonl") == ["G1_answer 10_x", "G1_answer 2_x"]


def test_an_answer_without_messages_is_skipped_with_its_reason(answers, tmp_path):
    (answers / "G3_answer" / "1_x.json").write_text('{"answer_generation": {"query": "q"}}')
    report = prepare_answers(answers, tmp_path / "t.jsonl")
    assert report.skipped == {"no train_messages": 1}
    assert report.skipped_first == ("G3_answer/1_x.json: no train_messages",)


def test_nothing_usable_is_an_error_that_says_why(tmp_path):
    (tmp_path / "answer" / "G1_answer").mkdir(parents=True)
    (tmp_path / "answer" / "G1_answer" / "1_x.json").write_text("{}")
    with pytest.raises(DataError, match=r"no usable answer: 1 files, 0 held out, 1 skipped \(no answer_generation\)"):
        prepare_answers(tmp_path / "answer", tmp_path / "t.jsonl")
    assert not (tmp_path / "t.jsonl").exists()


@pytest.mark.parametrize("workers", [1, 2])
def test_broken_json_is_named_with_line_and_column_and_nothing_is_written(answers, tmp_path, workers):
    for number in range(40):
        (answers / "G2_answer" / f"{number}_y.json").write_text(json.dumps(answer("q")))
    (answers / "G2_answer" / "5_z.json").write_text('{"a": 1,\n "b" 2}')
    options = AnswerOptions(stages=tmp_path / "stages", workers=workers, strict=True)
    with pytest.raises(DataError, match=r"5_z\.json:2:6: broken JSON"):
        prepare_answers(answers, tmp_path / "t.jsonl", options)
    assert not (tmp_path / "t.jsonl").exists()
    assert leftovers(tmp_path) == []


BROKEN = [
    (b"", ":1:1: broken JSON"),
    (b'{"a": 1,\n "b" 2}', ":2:6: broken JSON"),
    (b'{"a": "\xff"}', ": not UTF-8"),
    (b"[" * 100_000, ":1: JSON nested too deeply"),
]


@pytest.mark.parametrize("compat", [False, True])
@pytest.mark.parametrize(
    ("workers", "broken"), [*((1, [each]) for each in BROKEN), (2, BROKEN)], ids=["1", "2", "3", "4", "all"]
)
def test_broken_files_among_others_are_counted_and_named(answers, tmp_path, workers, broken, compat):
    for number in range(40):
        (answers / "G2_answer" / f"{number}_y.json").write_text(json.dumps(answer("q")))
    options = AnswerOptions(workers=workers, compat=compat)
    whole = prepare_answers(answers, tmp_path / "whole.jsonl", options)
    for number, (content, _) in enumerate(broken):
        (answers / "G2_answer" / f"{number}_z.json").write_bytes(content)
    report = prepare_answers(answers, tmp_path / "t.jsonl", options)
    assert (report.kept, report.read) == (whole.kept, whole.read + len(broken))
    assert sum(report.skipped.values()) == sum(whole.skipped.values()) + len(broken)
    for number, (_, says) in enumerate(broken):
        assert any(f"G2_answer/{number}_z.json{says}" in named for named in report.skipped_first)
    assert (tmp_path / "t.jsonl").read_text() == (tmp_path / "whole.jsonl").read_text()


def test_broken_rows_and_files_of_dialogues_are_counted_and_named(tmp_path):
    good = {"tools": [], "instruction": "q", "conversations": [{"from": "user", "value": "q"}]}
    contents = {
        "a.json": json.dumps([good, {"tools": []}, good]),
        "b.json": json.dumps([good, good])[:-9],
        "c.jsonl": f"{json.dumps(good)}\n",
    }
    for name, content in contents.items():
        (tmp_path / name).write_text(content)
    files = [tmp_path / name for name in (*contents, "nowhere.json")]
    report = prepare_processed(files, tmp_path / "t.jsonl")
    assert (report.kept, report.read) == (4, 7)
    for says in ("a.json: row 1: not a dialogue", "b.json:1:", "nowhere.json: no such file"):
        assert any(says in named for named in report.skipped_first)
    with pytest.raises(DataError, match=r"a\.json: row 1"):
        prepare_processed(files, tmp_path / "strict.jsonl", strict=True)
    assert not (tmp_path / "strict.jsonl").exists()


def test_half_a_character_in_an_answer_is_written_and_read_back(answers, tmp_path):
    (answers / "G1_answer" / "1_z.json").write_text(json.dumps(answer("half \ud83d")))
    prepare_answers(answers, tmp_path / "t.jsonl")
    assert "half \ud83d" in queries(tmp_path / "t.jsonl")


@pytest.mark.parametrize("missing", ["nowhere", "."])
def test_a_folder_without_answers_is_named(tmp_path, missing):
    with pytest.raises(DataError, match="G1_answer, G2_answer, G3_answer"):
        prepare_answers(tmp_path / missing, tmp_path / "t.jsonl")


def test_missing_held_out_ids_are_an_error(answers, tmp_path):
    with pytest.raises(DataError, match="no held-out ids"):
        prepare_answers(answers, tmp_path / "t.jsonl", AnswerOptions(test_ids=tmp_path / "nowhere"))


def test_output_that_cannot_be_written_is_a_storage_error(answers, tmp_path):
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(StorageError, match="cannot be written"):
        prepare_answers(answers, tmp_path / "file" / "t.jsonl")
    with pytest.raises(StorageError, match="cannot be written"):
        prepare_answers(answers, tmp_path / "t.jsonl", AnswerOptions(stages=tmp_path / "file"))
    assert not (tmp_path / "t.jsonl").exists()


FULL_DISK = """
import resource, signal, sys
from pathlib import Path
from alpha_umi.errors import StorageError
from alpha_umi.preparation import AnswerOptions, prepare_answers
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, 20_000))
try:
    prepare_answers(Path(sys.argv[1]), Path(sys.argv[2]), AnswerOptions(workers=2))
except StorageError as error:
    sys.exit(str(error))
"""


def run_python(code, *arguments):
    environment = {**os.environ, "PYTHONPATH": str(SOURCES)}
    return subprocess.Popen(
        [sys.executable, "-c", code, *map(str, arguments)],
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


@pytest.mark.skipif(sys.platform != "linux", reason="file size limits as on Linux")
def test_a_full_disk_leaves_what_was_there(answers, tmp_path):
    for number in range(200):
        (answers / "G3_answer" / f"{number}_y.json").write_text(json.dumps(answer("q")))
    (tmp_path / "t.jsonl").write_text("old\n")
    process = run_python(FULL_DISK, answers, tmp_path / "t.jsonl")
    _, errors = process.communicate(timeout=600)
    assert process.returncode == 1
    assert "cannot be written" in errors
    assert "Traceback" not in errors
    assert (tmp_path / "t.jsonl").read_text() == "old\n"
    assert leftovers(tmp_path) == []


INTERRUPTED = """
import sys
import time
from pathlib import Path
from alpha_umi.preparation import AnswerOptions, prepare_answers
def told(done, of):
    print(done, flush=True)
    time.sleep(60)  # the others are at work when the interrupt comes, on a busy machine too
try:
    prepare_answers(Path(sys.argv[1]), Path(sys.argv[2]), AnswerOptions(workers=2), told)
except KeyboardInterrupt:
    sys.exit(130)
"""


def is_left(group):
    try:
        os.killpg(group, 0)
    except ProcessLookupError:
        return False
    return True


@pytest.mark.skipif(sys.platform != "linux", reason="signals to a process group")
def test_ctrl_c_leaves_nothing_half_written(answers, tmp_path):
    content = json.dumps(answer("q" * 20_000))
    for number in range(3000):
        (answers / "G3_answer" / f"{number}_y.json").write_text(content)
    process = run_python(INTERRUPTED, answers, tmp_path / "t.jsonl")
    assert process.stdout is not None
    process.stdout.readline()
    os.killpg(process.pid, signal.SIGINT)
    _, errors = process.communicate(timeout=600)
    assert (process.returncode, errors) == (130, "")
    assert not (tmp_path / "t.jsonl").exists()
    assert leftovers(tmp_path) == []
    until = time.monotonic() + 60
    while is_left(process.pid):
        assert time.monotonic() < until
        time.sleep(0.01)


# --- processed files ----------------------------------------------------------------------------------


def test_processed_files_become_tasks_named_by_file_and_row(tmp_path):
    row = {"tools": [], "instruction": "q", "conversations": [{"from": "user", "value": "q"}]}
    for name in ("a.json", "b.json"):
        (tmp_path / name).write_text(json.dumps([row, row]))
    report = prepare_processed([tmp_path / "b.json", tmp_path / "a.json"], tmp_path / "t.jsonl", limit=3)
    ids = [trajectory.task.id for trajectory in read_trajectories(tmp_path / "t.jsonl")]
    assert ids == ["b-0", "b-1", "a-0"]
    assert report.kept == 3


def test_an_unknown_role_is_named_with_file_row_and_turn(tmp_path):
    bad = {"tools": [], "instruction": "q", "conversations": [{"from": "robot", "value": "q"}]}
    (tmp_path / "a.json").write_text(json.dumps([bad]))
    with pytest.raises(DataError, match=r"a\.json: row 0: turn 0: unknown role 'robot'"):
        prepare_processed([tmp_path / "a.json"], tmp_path / "t.jsonl")
    assert not (tmp_path / "t.jsonl").exists()


@pytest.mark.parametrize(
    ("content", "words"), [("{}", r"a\.json:1: not a dialogue"), ("[{", r"a\.json:1:3: broken JSON")]
)
def test_a_processed_file_of_another_shape_is_named(tmp_path, content, words):
    (tmp_path / "a.json").write_text(content)
    with pytest.raises(DataError, match=words):
        prepare_processed([tmp_path / "a.json"], tmp_path / "t.jsonl")


# --- role files ---------------------------------------------------------------------------------------


def trajectory(*turns, name="x"):
    return Trajectory(task=Task(id=name, query="q", tools=(ToolSpec(name="f"),)), turns=(User(text="q"), *turns))


CALL = (Plan(thought="t ", decision=Decision.CALL), Call(name="f", arguments="{}"))
GIVE_UP = Plan(thought="no ", decision=Decision.GIVE_UP)


@pytest.mark.parametrize("role", FORMAT_ROLES)
def test_the_default_export_holds_the_examples_of_training(role, tmp_path):
    unknown = (Plan(thought="u", decision=Decision.CALL), Call(name="unknown", arguments="{}"))
    rows = [trajectory(*CALL, *unknown, Plan(thought="c", decision=Decision.CONCLUDE), Answer(text="A"))]
    rows.append(trajectory(*CALL, Plan(thought="hm", decision=Decision.NONE), GIVE_UP))
    report = export_examples(rows, role, FORMAT, tmp_path / "r.json")
    written = read_json(tmp_path / "r.json")
    examples = [example for row in rows for example in make_examples(row, role, FORMAT).rows]
    assert [(row["input"], row["target"]) for row in written] == [(x.prompt, x.completion) for x in examples]
    assert report.rows == len(examples)
    assert all(row["tools"] == [{"Name": "f", "function": "", "input": {}}] for row in written)


def test_as_published_a_give_up_is_paired_with_the_prompt_before_it(tmp_path):
    rows = [trajectory(*CALL, name="a"), trajectory(GIVE_UP, name="b")]
    export_published(rows, Role.BACKBONE, FORMAT, tmp_path / "r.json")
    first, second = read_json(tmp_path / "r.json")
    assert second["input"] == first["input"]
    assert second["history"] == [{"from": "user", "value": "q"}]


def test_where_the_published_export_crashes_the_rest_is_written_and_it_is_said(tmp_path):
    last = Plan(thought="t", decision=Decision.CALL)
    report = export_published(
        [trajectory(last, name="cut"), trajectory(*CALL)], Role.PLANNER, FORMAT, tmp_path / "r.json"
    )
    assert report.rows == 1
    (reason,) = report.skipped
    assert reason.startswith("cut: turn 1: the published preparation stops here")


def test_calls_without_a_plan_are_no_targets_as_published_and_are_counted(tmp_path):
    seen, orphan = Observation(content="x"), Call(name="f", arguments="{}")
    rows = [trajectory(orphan, seen, name="a"), trajectory(*CALL, seen, orphan, seen, orphan, name="b")]
    report = export_published(rows, Role.CALLER, FORMAT, tmp_path / "r.json")
    assert report.rows == 1
    assert [skip.rpartition(": ")[0] for skip in report.skipped] == ["a: turn 1", "b: turn 4", "b: turn 6"]
    ((reason, places),) = report.places.items()
    assert "without a plan before it" in reason
    assert places == ["a: turn 1", "b: turn 4", "b: turn 6"]


@given(json_values)
def test_indented_rows_are_those_of_the_standard_library(value):
    assert dump_indented(value, "\n") == json.dumps(value, indent=2)


@pytest.mark.parametrize("rows", [[], [{}], [{"a": [1, {"b": "c\n"}]}, "é", []]])
def test_a_list_written_row_by_row_is_that_of_the_standard_library(rows, tmp_path):
    with writing_list(tmp_path / "l.json") as written:
        for row in rows:
            written.add(dump_indented(row))
    assert (tmp_path / "l.json").read_text() == json.dumps(rows, indent=2)
