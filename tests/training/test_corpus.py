"""Trajectories on disk as a corpus: any of them, by its number, and broken lines by name."""

import gzip
import itertools
import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from alpha_umi.datasets.processed import write_processed
from alpha_umi.errors import DataError
from alpha_umi.preparation.processed import read_processed_file
from alpha_umi.store import dump_line, encode_trajectory, write_trajectories
from alpha_umi.training.data.corpus import Corpus, Sources, _find, _walk_piece
from alpha_umi.training.data.examples import targets
from alpha_umi.types import Role
from alpha_umi.world import Split, World
from support.examples import examples

THREE = (Role.PLANNER, Role.CALLER, Role.SUMMARIZER)

WORLD = World("tiny", 0)
GOLD = tuple(WORLD.gold(WORLD.task(Split.TRAIN, index)) for index in range(12))


def sources(folder, *paths, limit=None):
    return Sources(paths=paths, folder=folder / "cache", read_dialogues=read_processed_file, limit=limit)


@pytest.fixture
def gold_file(tmp_path):
    path = tmp_path / "gold.jsonl"
    write_trajectories(path, GOLD)
    return path


@pytest.mark.parametrize("ending", ["jsonl", "jsonl.gz", "jsonl.zst"])
def test_a_corpus_gives_any_trajectory_of_its_files(tmp_path, ending):
    path = tmp_path / f"a.{ending}"
    write_trajectories(path, GOLD)
    blank = tmp_path / "b.jsonl"
    blank.write_text("\n" + "\r\n".join(json.dumps(encode_trajectory(one)) for one in GOLD[:3]) + "\n \n")
    corpus = Corpus.open(sources(tmp_path, path, blank))
    assert [corpus.read(index) for index in range(len(corpus))] == [*GOLD, *GOLD[:3]]
    for role in Role:
        counted = [sum(1 for _ in targets(one, role)) for one in (*GOLD, *GOLD[:3])]
        assert corpus.counts([role]).tolist() == counted
    assert corpus.counts(THREE).tolist() == [sum(corpus.counts([role])[at] for role in THREE) for at in range(15)]
    with pytest.raises(IndexError):
        corpus.read(15)


def test_processed_dialogues_are_a_corpus_too(tmp_path):
    path = tmp_path / "dialogues.json"
    path.write_text(json.dumps([write_processed(one) for one in GOLD]))
    corpus = Corpus.open(sources(tmp_path, path))
    assert [corpus.read(index) for index in range(len(corpus))] == list(read_processed_file(path))


def test_the_tools_of_a_corpus_are_named_unless_there_are_many(tmp_path, gold_file):
    corpus = Corpus.open(sources(tmp_path, gold_file))
    names = {tool.name for one in GOLD for tool in one.task.tools}
    assert corpus.tool_names() == tuple(sorted(names))
    assert corpus.tool_names(most=len(names) - 1) is None


def test_equal_queries_stand_at_one_place(tmp_path, gold_file):
    places = Corpus.open(sources(tmp_path, gold_file, gold_file)).places
    assert places[:12].tolist() == places[12:].tolist()
    assert len(set(places.tolist())) == len({one.task.query for one in GOLD})
    assert 0 <= places.min() < 0.5 < places.max() < 1


def test_a_limit_takes_the_first_trajectories_only(tmp_path, gold_file):
    corpus = Corpus.open(sources(tmp_path, gold_file, gold_file, limit=13))
    assert len(corpus) == len(corpus.counts(THREE)) == len(corpus.sizes) == len(corpus.places) == 13
    assert corpus.read(12) == GOLD[0]
    with pytest.raises(IndexError):
        corpus.read(13)


@given(st.lists(st.integers(0, 40_000), max_size=5), st.lists(st.integers(0, len(GOLD) - 1), max_size=3))
@settings(max_examples=examples(30), deadline=None)
def test_a_file_walked_in_any_pieces_has_the_same_entries(tmp_path_factory, cuts, lines):
    path = tmp_path_factory.getbasetemp() / "pieces.jsonl"
    if not path.exists():
        write_trajectories(path, GOLD)
    text = _find(path, path)
    whole = _walk_piece(text, 0, text.size)
    starts = whole["offset"][lines].tolist()
    bounds = sorted({0, text.size, *starts, *(min(cut, text.size) for cut in cuts)})
    pieces = [_walk_piece(text, *bound) for bound in itertools.pairwise(bounds)]
    assert np.concatenate(pieces).tobytes() == whole.tobytes()
    assert len(whole) == len(GOLD)


def test_an_index_is_made_once_and_again_when_the_file_is_another(tmp_path, gold_file):
    told = []
    Corpus.open(sources(tmp_path, gold_file), lambda done, total: told.append((done, total)))
    size = gold_file.stat().st_size
    assert told[-1] == (size, size)
    told.clear()
    first = Corpus.open(sources(tmp_path, gold_file), lambda done, total: told.append(done))
    assert not told
    write_trajectories(gold_file, GOLD[:5])
    second = Corpus.open(sources(tmp_path, gold_file), lambda done, total: told.append(done))
    assert told
    assert len(second) == 5
    assert first.fingerprint != second.fingerprint
    with pytest.raises(DataError, match=r"gold.jsonl: changed while it is being learned from"):
        first.read(0)


@pytest.mark.parametrize(
    ("line", "problem"),
    [
        (b'{"schema": ', r"bad\.jsonl:3:\d+: broken JSON"),
        (b'{"schema": "other/1"}', r"bad\.jsonl:3: schema is 'other/1'"),
        (b'"\xff"', r"bad\.jsonl:3: not UTF-8 text at byte 1"),
    ],
)
@pytest.mark.parametrize("packed", [False, True])
def test_a_broken_line_is_named(tmp_path, line, problem, packed):
    good = dump_line(encode_trajectory(GOLD[0])).encode()
    lines = good + b"\n" + line + b"\n" + good
    path = tmp_path / ("bad.jsonl.gz" if packed else "bad.jsonl")
    path.write_bytes(gzip.compress(lines) if packed else lines)
    if packed and b"\xff" in line:
        problem = "not UTF-8"
    with pytest.raises(DataError, match=problem.replace(r"\.jsonl", r"\.jsonl(\.gz)?")):
        Corpus.open(sources(tmp_path, path))


@pytest.mark.slow
def test_many_pieces_are_walked_on_several_cores_and_a_broken_line_in_the_last_is_named(tmp_path):
    path = tmp_path / "big.jsonl"
    lines = "".join(dump_line(encode_trajectory(one)) for one in GOLD)
    repeats = (9 * (8 << 20)) // len(lines) + 1
    with path.open("w") as file:
        for _ in range(repeats):
            file.write(lines)
        file.write("{}\n")
    with pytest.raises(DataError, match=rf"big\.jsonl:{repeats * 12 + 1}: schema is None"):
        Corpus.open(sources(tmp_path, path), workers=2)


def test_a_file_that_is_not_there_is_an_error_with_its_name(tmp_path):
    with pytest.raises(DataError, match=r"none\.jsonl: no such file"):
        Corpus.open(sources(tmp_path, tmp_path / "none.jsonl"))
