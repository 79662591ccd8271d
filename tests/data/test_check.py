"""`umi data check`: each kind of mistake in training data is told with its line and what to do about it."""

import gzip
import json

import pytest

from alpha_umi.errors import DataError
from alpha_umi.jobs.check import check_data
from alpha_umi.preparation.checks import Severity
from alpha_umi.store import encode_trajectory
from alpha_umi.world import World
from support.commands import run_here

QUERY = "How warm is it in Graz?"
SCHEMA = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}
GOOD = {
    "schema": "alpha_umi.trajectory/1",
    "task": {
        "id": "t1",
        "query": QUERY,
        "tools": [{"name": "weather", "description": "Weather of a city.", "parameters": SCHEMA}],
        "metadata": {},
    },
    "turns": [
        {"turn": "user", "text": QUERY},
        {"turn": "plan", "thought": "I need the weather.", "decision": "call"},
        {"turn": "call", "name": "weather", "arguments": '{"city": "Graz"}'},
        {"turn": "observation", "content": '{"celsius": 21}', "status": "ok"},
        {"turn": "plan", "thought": "I can answer.", "decision": "conclude"},
        {"turn": "answer", "text": "It is 21 degrees in Graz."},
    ],
    "stop": "answered",
    "usage": {},
}
TURNS = GOOD["turns"]


def row(**changes):
    """A good trajectory, but for what stands at a path such as `task__query` or `turns__2__name`; None removes it."""
    made = json.loads(json.dumps(GOOD))
    for path, value in changes.items():
        *inner, last = [int(key) if key.isdecimal() else key for key in path.split("__")]
        holder = made
        for key in inner:
            holder = holder[key]
        if value is None:
            del holder[last]
        else:
            holder[last] = value
    return made


def checked(tmp_path, *rows):
    path = tmp_path / "data.jsonl"
    path.write_text("".join(f"{each if isinstance(each, str) else json.dumps(each)}\n" for each in rows))
    return check_data(path)


WRONG = {
    "broken JSON": ('{"schema": ', "", "broken JSON at column"),
    "another schema": (row(schema="mine/2"), "", "alpha_umi.trajectory/1"),
    "a missing field": (row(task__query=None), "", "task.query is missing"),
    "a missing field of a turn": (row(turns__1__thought=None), "", "turns[1].thought is missing"),
    "an unknown turn": (row(turns__1__turn="thought"), "", "turns[1].turn is 'thought', but must be one of user,"),
    "an unknown decision": (row(turns__1__decision="go"), "", "turns[1].decision is 'go', but must be one of call,"),
    "an unknown status": (row(turns__3__status="fine"), "", "turns[3].status is 'fine', but must be one of ok,"),
    "an unknown ending": (row(stop="done"), "", "stop is 'done', but must be one of answered,"),
    "a task that is no object": (row(task="t1"), "", "task is 't1', but must be an object"),
    "tools that are no list": (row(task__tools="weather"), "", "task.tools is 'weather', but must be a list"),
    "a tool that is no object": (row(task__tools__0=1), "", "task.tools[0] is 1, but must be an object with name,"),
    "an unknown key of a tool": (row(task__tools__0__params={}), "", "task.tools[0] has an unknown key 'params'"),
    "a nameless tool": (row(task__tools__0__name=None), "", "task.tools[0].name is missing"),
    "turns that are no list": (row(turns={"user": QUERY}), "", "turns is {'user': "),
    "a turn that is no object": (row(turns__0=QUERY), "", "turns[0] is 'How warm is"),
    "a turn whose kind is no text": (row(turns__0__turn=[]), "", "turns[0].turn is [], but must be one of user,"),
    "an unknown usage": (row(usage={"tokens": 3}), "", "usage has an unknown key 'tokens'"),
    "a usage that is no number": (row(usage={"completions": "3"}), "", "a usage counts whole numbers"),
    "a property that is no schema": (
        row(task__tools__0__parameters__properties__city="string"),
        "task.tools[0].parameters.properties.city",
        "a JSON Schema is needed, not text",
    ),
    "arguments as an object": (row(turns__2__arguments={"city": "Graz"}), "turns[2].arguments", "JSON in one string"),
    "an id that is a number": (row(task__id=7), "task.id", "text is needed, not a number"),
    "an empty query": (row(task__query=" "), "task.query", "is empty"),
    "no turns": (row(turns=[]), "turns", "are empty"),
    "parameters without properties": (
        row(task__tools__0__parameters={"city": {"type": "string"}}),
        "task.tools[0].parameters",
        '"properties": {"city"',
    ),
    "a required name that is no property": (
        row(task__tools__0__parameters={**SCHEMA, "required": ["town"]}),
        "task.tools[0].parameters.required",
        "'town'",
    ),
    "a required name that is a list": (
        row(task__tools__0__parameters={**SCHEMA, "required": [["city"]]}),
        "task.tools[0].parameters.required",
        "['city']",
    ),
    "no user's turn": (row(turns=TURNS[1:]), "turns[0]", "the first turn must be the user's"),
    "a plan to conclude before a call": (row(turns__1__decision="conclude"), "turns[1]", "followed by a call"),
    "a call without a plan": (row(turns=[TURNS[0], *TURNS[2:]]), "turns[1]", "a plan that decides 'call'"),
    "a call without an observation": (row(turns__3=None), "turns[2]", "its observation is needed"),
    "an answer without a plan": (row(turns__4=None), "turns[4]", "an answer after an observation"),
    "a call to a tool that was not offered": (row(turns__2__name="wether"), "turns[2].name", "did you mean 'weather'?"),
    "arguments that do not fit": (row(turns__2__arguments="{}"), "turns[2].arguments", "argument 'city' is missing"),
    "arguments that are no JSON": (row(turns__2__arguments="Graz"), "turns[2].arguments", "not JSON"),
}
DOUBTFUL = {
    "a refused call to an unknown tool": (
        row(turns__2__name="x", turns__3__status="unknown_tool"),
        "turns[2].name",
        "learned from by no role",
    ),
    "refused arguments": (
        row(turns__2__arguments="{}", turns__3__status="bad_arguments"),
        "turns[2].arguments",
        "is missing",
    ),
    "a tool without a description": (row(task__tools__0__description=""), "task.tools[0].description", "name alone"),
    "another text than the query": (row(turns__0__text="Hm?"), "turns[0].text", "differs"),
    "a path that was cut off": (row(turns=TURNS[:2], stop="limit"), "turns[1]", "ends with a plan"),
    "another ending than is told": (row(turns=TURNS[:4]), "stop", "'answered'"),
    "nothing to learn": (row(turns=TURNS[:1], stop="unfinished"), "turns", "no role learns"),
}


@pytest.mark.parametrize(
    ("severity", "case"),
    [*((Severity.WRONG, case) for case in WRONG), *((Severity.DOUBTFUL, case) for case in DOUBTFUL)],
)
def test_a_fault_is_told_with_its_line_its_place_and_its_reason(severity, case, tmp_path):
    faulty, where, message = {**WRONG, **DOUBTFUL}[case]
    report = checked(tmp_path, row(task__id="t0", turns__5__text="It is 21 degrees."), "", faulty)
    assert report.rows == 2
    found = [each.finding for each in report.by_severity(severity) if each.line == 3]
    assert any(finding.where == where and message in finding.message for finding in found), report.findings
    assert {each.line for each in report.findings} == {3}
    if severity is Severity.DOUBTFUL:
        assert not report.by_severity(Severity.WRONG)


@pytest.mark.parametrize(("preset", "split"), [("tiny", "train"), ("tiny", "unseen_category"), ("small", "G1_tool")])
def test_gold_trajectories_have_no_wrong_row(preset, split, tmp_path):
    world = World(preset, 0)
    report = checked(tmp_path, *(encode_trajectory(world.gold(world.task(split, index))) for index in range(60)))
    assert not report.by_severity(Severity.WRONG)


def test_a_repeated_row_and_a_repeated_id_are_doubtful(tmp_path):
    report = checked(tmp_path, row(), row(), row(turns__5__text="21 degrees."))
    assert [(each.line, each.finding.message) for each in report.findings] == [
        (2, "repeats line 1 word for word"),
        (3, "is also that of line 1"),
    ]


def test_the_contents_are_counted(tmp_path):
    holds = checked(tmp_path, row(), row(task__id="t2", turns__2__name="wether")).to_document()["holds"]
    assert holds["trajectories"] == 2
    assert holds["turns"] == {"user": 2, "plan": 4, "call": 2, "observation": 2, "answer": 2}
    assert holds["calls"] == {"fitting": 1, "unknown_tool": 1}
    assert holds["examples"] == {"planner": 3, "caller": 1, "summarizer": 2, "backbone": 3}
    assert holds["characters"]["query"] == {"median": len(QUERY), "p95": len(QUERY), "max": len(QUERY)}


def test_processed_dialogues_are_checked_with_the_line_where_each_begins(tmp_path):
    good = {"tools": [], "instruction": QUERY, "conversations": [{"from": "user", "value": QUERY}]}
    path = tmp_path / "dialogues.json"
    path.write_text(json.dumps([good, {**good, "conversations": [{"from": "wizard", "value": ""}]}], indent=2))
    [wrong] = check_data(path).by_severity(Severity.WRONG)
    assert path.read_text().splitlines()[wrong.line - 1].strip() == "{"
    assert wrong.line > 10
    assert wrong.finding.message.startswith("row 2: ")
    assert "unknown role 'wizard'" in wrong.finding.message
    path.write_text("[1, 2, 3]")
    assert check_data(path).count_rows(Severity.WRONG) == 3


def test_compressed_files_are_read(tmp_path):
    path = tmp_path / "data.jsonl.gz"
    path.write_bytes(gzip.compress(json.dumps(row()).encode()))
    assert not check_data(path).findings


def test_a_file_without_rows_is_an_error(tmp_path):
    with pytest.raises(DataError, match="holds no rows"):
        checked(tmp_path)


def test_the_verb_prints_each_wrong_line_and_its_exit_code_says_that_there_is_one(tmp_path):
    (tmp_path / "bad.jsonl").write_text(json.dumps(row(turns__2__name="wether")))
    (tmp_path / "good.jsonl").write_text(json.dumps(row()))
    bad = run_here("data", "check", "bad.jsonl", cwd=tmp_path)
    good = run_here("data", "check", "good.jsonl", cwd=tmp_path)
    assert (bad.code, good.code) == (1, 0)
    assert "bad.jsonl:1: wrong: [t1] turns[2].name 'wether'" in bad.out
    assert "1 rows, 0 of them wrong, 0 doubtful" in good.out
    as_json = json.loads(run_here("data", "check", "bad.jsonl", "--json", cwd=tmp_path).out)
    assert [found["line"] for found in as_json["wrong"]] == [1]
