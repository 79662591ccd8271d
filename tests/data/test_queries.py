"""ToolBench's query files: what can be a query is one, what is odd is said, what cannot be one is refused."""

import json
import re
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from alpha_umi.datasets.queries import read_queries
from alpha_umi.errors import DataError
from alpha_umi.formats.tool_json import write_trained_spec
from alpha_umi.rollouts.query_sets import read_sets
from alpha_umi.store import encode_task, write_trajectories
from alpha_umi.world import Split, World
from support.published_data import QUERIES
from support.strategies import json_values


def api(name="Now", tool="Weather", **more):
    return {"category_name": "Data", "tool_name": tool, "api_name": name, "method": "GET", **more}


def query(**more):
    return {
        "query_id": 7,
        "query": "How warm is it?",
        "api_list": [api()],
        "relevant APIs": [["Weather", "Now"]],
    } | more


def read(*entries):
    return read_queries(list(entries), "G1_tool", "G1_tool.json")


def test_a_query_becomes_a_task_with_the_tools_that_models_were_trained_on():
    [found] = read(query()).queries
    assert (found.task.id, found.task.query) == ("7", "How warm is it?")
    assert found.task.tools == tuple(write_trained_spec(each) for each in found.apis)
    assert found.relevant == (("Weather", "Now"),)
    assert read(query()).notes == ()


def test_metadata_stays_with_the_task():
    assert read(query(metadata={"world": "1"})).queries[0].task.metadata == {"world": "1"}


@pytest.mark.parametrize(
    ("document", "said"),
    [
        ({"query": "x"}, "no query file"),
        ([3], "entry 0 is no query"),
        ([{"query": "x"}], "entry 0: 'query_id' is missing"),
        ([query(query_id=True)], "'query_id' is missing"),
        ([query(query="  ")], r"entry 0 \(query 7\): 'query' is missing or empty"),
        ([query(api_list="all")], r"entry 0 \(query 7\): 'api_list' is no list"),
        ([query(), query(query="other")], "two queries have the id 7"),
    ],
)
def test_what_cannot_be_a_query_is_refused_by_name(document, said):
    with pytest.raises(DataError, match=f"G1_tool.json.*{said}"):
        read_queries(document, "G1_tool", "G1_tool.json")


@pytest.mark.parametrize(
    ("entry", "said"),
    [
        (query(api_list=None), "it has no 'api_list'; --retrieve-from finds APIs"),
        (query(api_list=[]), "it has no 'api_list'"),
        (query(api_list=[api(), {"api_name": "x"}, 3]), "2 entries of its 'api_list' lack 'tool_name' or 'api_name'"),
        (query(api_list=[api("Now"), api("now!")]), "2 APIs are called 'now_for_weather' ('Now', 'now!')"),
        (query(**{"relevant APIs": [["Weather", "Then"]]}), "its relevant API 'Then' of 'Weather' is not in its"),
    ],
)
def test_what_is_odd_about_a_query_is_said_and_it_is_kept(entry, said):
    found = read(query(query_id=1), entry)
    assert len(found.queries) == 2
    [note] = found.notes
    assert note.startswith("G1_tool: query 7: ")
    assert said in note


def test_of_apis_under_one_name_the_first_is_offered():
    [found] = read(query(api_list=[api("Now", api_description="one"), api("now!", api_description="two")])).queries
    [tool] = found.task.tools
    assert "one" in tool.description


@given(st.lists(json_values, max_size=3) | json_values)
def test_no_document_is_read_with_anything_but_a_clear_error(document):
    with suppress(DataError):
        read_queries(document, "set", "file")


@pytest.mark.skipif(not QUERIES.is_dir(), reason=f"no query files at {QUERIES}")
def test_every_real_query_is_read_and_those_with_names_that_clash_are_named():
    sets = read_sets(QUERIES)
    for each in sets:
        entries = json.loads((QUERIES / f"{each.name}.json").read_text())
        assert [query.task.id for query in each.queries] == [str(entry["query_id"]) for entry in entries]
        clash = {query.task.id for query in each.queries if len(query.task.tools) < len(query.apis)}
        assert clash == {note.split(": ")[1].removeprefix("query ") for note in each.notes}


def test_a_folder_is_a_set_per_file_and_a_jsonl_file_holds_tasks_or_trajectories(tmp_path):
    world = World()
    tasks = [world.task(Split.TEST, index) for index in range(3)]
    write_trajectories(tmp_path / "gold.jsonl", [world.gold(task) for task in tasks])
    (tmp_path / "tasks.jsonl").write_text("".join(json.dumps(encode_task(task)) + "\n" for task in tasks))
    [gold], [bare] = read_sets(tmp_path / "gold.jsonl"), read_sets(tmp_path / "tasks.jsonl")
    assert [each.task for each in gold.queries] == [each.task for each in bare.queries] == tasks
    assert [each.recorded for each in gold.queries] == [world.gold(task) for task in tasks]
    for name in ("G2_category", "G1_tool"):
        (tmp_path / f"{name}.json").write_text(json.dumps([query()]))
    assert [each.name for each in read_sets(tmp_path)] == ["G1_tool", "G2_category"]
    (tmp_path / "twice.jsonl").write_text(2 * (json.dumps(encode_task(tasks[0])) + "\n"))
    with pytest.raises(DataError, match="two tasks have the id"):
        read_sets(tmp_path / "twice.jsonl")


def test_a_row_that_is_only_a_query_is_a_task_of_its_number_whose_tools_are_the_environments(tmp_path):
    path = tmp_path / "queries.jsonl"
    path.write_text('{"query": "What?"}\n{"query": "Where?", "id": "w"}\n{"query": "Who?", "tools": []}\n')
    [found] = read_sets(path)
    assert [(each.task.id, each.task.query) for each in found.queries] == [
        ("1", "What?"),
        ("w", "Where?"),
        ("3", "Who?"),
    ]
    assert [(each.task.tools, each.names_no_tools) for each in found.queries] == [((), True), ((), True), ((), False)]
    (tmp_path / "list.json").write_text('[{"query": "What?"}]')
    assert [each.task.id for each in read_sets(tmp_path / "list.json")[0].queries] == ["1"]


@pytest.mark.parametrize(
    ("row", "said"),
    [
        ({"query": 3}, "queries.jsonl:1: not a task: query is 3, but must be what the user asks"),
        ({"query": " "}, "queries.jsonl:1: not a task: query is ' '"),
        ({"query": "x", "id": 7}, "queries.jsonl:1: not a task: id is 7, but must be text"),
        ({"id": "1"}, "queries.jsonl:1: not a task: query is missing"),
        ({"query": "x", "relevant APIs": []}, "queries.jsonl: entry 0: 'query_id' is missing"),
    ],
)
def test_a_row_that_is_no_query_is_refused_by_its_line(tmp_path, row, said):
    (tmp_path / "queries.jsonl").write_text(json.dumps(row) + "\n")
    with pytest.raises(DataError, match=re.escape(said)):
        read_sets(tmp_path / "queries.jsonl")
