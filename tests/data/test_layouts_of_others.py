"""Every verb that reads a user's file reads it in any layout and encoding: marks, lists, lines, compression."""

import json
import os

import pytest

from alpha_umi.config import EnvironmentConfig, load_config
from alpha_umi.environments.rapidapi import load_apis
from alpha_umi.evaluation.static import score_rows
from alpha_umi.jobs.check import check_data
from alpha_umi.preparation.processed import prepare_processed
from alpha_umi.preparation.reading import read_any
from alpha_umi.retrieval import load_corpus
from alpha_umi.retrieval.scores import load_gold
from alpha_umi.rollouts.query_sets import read_sets
from alpha_umi.store import dump_line, encode_trajectory, read_trajectories
from alpha_umi.text_files import read_json_list
from alpha_umi.training.data.corpus import Corpus, Sources
from alpha_umi.types import Role

DIALOGUES = [
    {
        "tools": [{"Name": "tide", "function": "tide tables", "input": {"port": "STRING, a port"}}],
        "instruction": f"When is high water in {port}?",
        "conversations": [
            {"from": "user", "value": f"When is high water in {port}?"},
            {"from": "assistant", "value": "that is known Next: conclusion."},
            {"from": "conclusion", "value": "At noon."},
        ],
    }
    for port in ("Hoek", "Málaga", "青岛")
]
API = {
    "tool_name": "Tides",
    "api_name": "tide",
    "category_name": "Sea",
    "api_description": "high water",
    "url": "http://x",
}
QUERIES = [
    {"query_id": number, "query": text, "api_list": [API], "relevant APIs": [["Tides", "tide"]]}
    for number, text in enumerate(["high water?", "agua alta, ¿cuándo?"])
]


def utf8(text):
    return text.encode()


def marked(text):
    return text.encode("utf-8-sig")


def utf16(text):
    return text.encode("utf-16")


def rows_as(layout, rows):
    if layout == "list":
        return json.dumps(rows, ensure_ascii=False, indent=1)
    return "".join(dump_line(row) for row in rows)


@pytest.fixture(params=[utf8, marked, utf16])
def encode(request):
    return request.param


@pytest.fixture(params=["list", "lines"])
def layout(request):
    return request.param


@pytest.fixture(params=["x.json", "x.jsonl", "x.txt"])
def place(request, tmp_path):
    return tmp_path / request.param


def test_dialogues(encode, layout, place, tmp_path):
    place.write_bytes(encode(rows_as(layout, DIALOGUES)))
    assert prepare_processed([place], tmp_path / "t.jsonl").kept == 3
    found = list(read_trajectories(tmp_path / "t.jsonl"))
    assert [each.task.query for each in found] == [row["instruction"] for row in DIALOGUES]
    assert [each.task.id for each in found] == ["x-0", "x-1", "x-2"]
    assert list(read_any(place)) == found
    report = check_data(place)
    assert (report.rows, report.contents.trajectories["answered"]) == (3, 3)


def test_trajectories(encode, layout, place, tmp_path):
    (tmp_path / "plain.json").write_text(json.dumps(DIALOGUES))
    found = list(read_any(tmp_path / "plain.json"))
    place.write_bytes(encode(rows_as(layout, [encode_trajectory(each) for each in found])))
    assert list(read_trajectories(place)) == list(read_any(place)) == found
    assert [query.recorded for query in read_sets(place)[0].queries] == found
    assert check_data(place).contents.trajectories["answered"] == 3
    corpus = Corpus.open(Sources(paths=[place], folder=tmp_path / "cache", read_dialogues=read_any))
    assert [corpus.read(index) for index in range(len(corpus))] == found


def test_dialogues_to_train_on(encode, layout, place, tmp_path):
    place.write_bytes(encode(rows_as(layout, DIALOGUES)))
    corpus = Corpus.open(Sources(paths=[place], folder=tmp_path / "cache", read_dialogues=read_any))
    assert corpus.counts([Role.SUMMARIZER]).tolist() == [1, 1, 1]
    assert corpus.read(2).task.query == "When is high water in 青岛?"


def test_queries(encode, layout, place):
    place.write_bytes(encode(rows_as(layout, QUERIES)))
    assert [query.task.query for query in read_sets(place)[0].queries] == [row["query"] for row in QUERIES]
    assert [gold.query for gold in load_gold(place)[0]] == [row["query"] for row in QUERIES]
    assert [api.name for api in load_corpus(place)] == ["tide"]


def test_predictions(encode, layout, place):
    rows = [{"tools": [{"Name": "f"}], "reference": "x Next: give up.", "predictions": "x Next: give up."}] * 2
    place.write_bytes(encode(rows_as(layout, rows)))
    assert score_rows(read_json_list(place)) == score_rows(rows)


def test_tool_documents(encode, tmp_path):
    path = tmp_path / "Sea" / "tides.json"
    path.parent.mkdir()
    path.write_bytes(encode(json.dumps({"tool_name": "Tides", "api_list": [API]})))
    assert [api.name for api in load_apis(tmp_path)] == [api.name for api in load_corpus(path)] == ["tide"]


def test_configurations(encode, tmp_path):
    path = tmp_path / "env.toml"
    path.write_bytes(encode("[python]\ntools = 'tools.py'\n"))
    found = load_config(EnvironmentConfig, path)
    assert found.python is not None
    assert found.python.tools == os.fspath(tmp_path / "tools.py")
