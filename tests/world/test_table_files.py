"""Files that a table world writes: queries, raw answers and test ids in the published shapes."""

import asyncio
import dataclasses
import json
from itertools import islice, pairwise

import pytest

from alpha_umi.datasets.toolbench import read_answer
from alpha_umi.environments.http import HttpEnvironment, Service
from alpha_umi.environments.rapidapi import RapidApiEnvironment, load_apis
from alpha_umi.environments.world import WorldEnvironment
from alpha_umi.errors import ConfigError
from alpha_umi.formats.tool_json import read_api, write_trained_spec
from alpha_umi.preparation.world_files import Choice, write_gold, write_tools
from alpha_umi.store import read_trajectories
from alpha_umi.types import Call, Observation, Plan
from alpha_umi.world import World, answer_document
from alpha_umi.world.needs import Refusal
from support.table_tasks import NAMES_OF_PRESETS, WORLDS, catalogue, problem, problems

"""Preset and version -> what its first tasks look like."""


@pytest.fixture(params=NAMES_OF_PRESETS)
def preset(request):
    return request.param


def test_raw_answers_read_back_as_the_turns_that_they_hold():
    for made in problems("full", 12):
        gold = WORLDS["full"].gold(made.task)
        reading = read_answer(json.loads(json.dumps(answer_document(gold))), made.task.id)
        assert [said(turn) for turn in reading.trajectory.turns] == [said(turn) for turn in gold.turns]
        assert reading.trajectory.task.tools == gold.task.tools


def said(turn):
    match turn:
        case Observation(content=content):
            return content
        case Plan(thought=thought, decision=decision):
            return thought.strip(), decision
        case _:
            return turn


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    folder = tmp_path_factory.mktemp("world")
    for split in ("train", "G1_tool", "G2_category"):
        write_gold(folder, Choice(split=split, count=12, preset="small"))
    assert write_tools(folder, "small") >= 30
    return folder


def test_query_files_have_the_published_shape(written):
    queries = json.loads((written / "queries" / "G1_tool.json").read_text())
    assert len(queries) == 12
    for index, query in enumerate(queries):
        assert {"query_id", "query", "api_list", "relevant APIs"} <= set(query)
        task = WORLDS["small"].task("G1_tool", index)
        assert (query["query"], query["query_id"]) == (task.query, task.metadata["query_id"])
        assert query["metadata"] == task.metadata
        assert tuple(write_trained_spec(read_api(api)) for api in query["api_list"]) == task.tools
        listed = [[api["tool_name"], api["api_name"]] for api in query["api_list"]]
        assert all(relevant in listed for relevant in query["relevant APIs"])


def test_the_environments_for_toolbench_read_what_the_world_writes(written):
    query = json.loads((written / "queries" / "G2_category.json").read_text())[0]
    task = WORLDS["small"].task("G2_category", 0)
    http = HttpEnvironment(Service(url="http://localhost:1/virtual"), [read_api(api) for api in query["api_list"]])
    assert http.tools == task.tools
    apis = load_apis(written / "tools")
    direct = RapidApiEnvironment(apis, key="none")
    assert {spec.name: spec for spec in direct.tools} == {spec.name: spec for spec in WORLDS["small"].tools}
    asyncio.run(http.aclose())
    asyncio.run(direct.aclose())


def test_written_answers_and_test_ids_belong_together(written):
    ids = json.loads((written / "test_query_ids" / "G1_tool.json").read_text())
    names = [path.name for path in (written / "G1_tool" / "answer" / "G1_answer").iterdir()]
    assert sorted(name.partition("_")[0] for name in names) == sorted(ids)
    groups = {path.parent.name for path in (written / "train" / "answer").glob("*/*.json")}
    assert groups == {"G1_answer", "G2_answer", "G3_answer"}
    golds = list(read_trajectories(written / "train.jsonl"))
    assert [gold.task.metadata["index"] for gold in golds] == list(range(12))
    assert not (written / "test_query_ids" / "train.json").exists()


def test_a_query_read_from_its_file_runs_in_the_world(written):
    query = json.loads((written / "queries" / "G1_tool.json").read_text())[1]
    task = dataclasses.replace(
        WORLDS["small"].task("G1_tool", 1), id=str(query["query_id"]), metadata=query["metadata"]
    )
    environment = WorldEnvironment(WORLDS["small"], task)
    gold = WORLDS["small"].gold(task)
    for call, observation in pairwise(gold.turns):
        if isinstance(call, Call):
            assert asyncio.run(environment.execute(call)) == observation
    assert WORLDS["small"].verify(task, gold).passed


def test_tasks_of_a_choice_may_be_short_only():
    chosen = islice(Choice(split="train", count=9, preset="full", max_calls=1).tasks(WORLDS["full"]), 9)
    assert {task.metadata["calls"] for task in chosen} == {1}


def test_what_there_is_not_is_named(preset):
    with pytest.raises(ConfigError, match=r"'G9'.*G1_instruction"):
        WORLDS[preset].task("G9", 0)
    with pytest.raises(ConfigError, match=r"'unseen_tool'.*train, G1_instruction"):
        WORLDS[preset].task("unseen_tool", 0)
    with pytest.raises(ConfigError, match="tool JSON"):
        World("tiny").query(World("tiny").task("train", 0))
    assert not World("tiny").documents
    refused = catalogue(preset).needs["weather"].answer(problem(preset, "train", 0).facts, {"city": "Gotham"})
    assert refused == Refusal(input="city", reason="Gotham is unknown")
