"""Rows and answer files of a run: read as they were written, whole, each under a name of its own."""

import json

from hypothesis import given, settings
from hypothesis import strategies as st

from alpha_umi.rollouts.runner import (
    Rollout,
    RolloutFolder,
    decode_rollout,
    encode_rollout,
)
from alpha_umi.search import Chain, Node, NodeStatus
from alpha_umi.search.record import Recorder
from alpha_umi.store import append_rows, drop_half_line
from alpha_umi.types import Task, Trajectory, Usage
from support.examples import examples
from support.strategies import texts, trajectories, turns

nodes = st.builds(
    lambda said, status, hint, visit: Node(
        index=0, parent=None, turns=tuple(said), status=status, usage=Usage(completions=1), hint=hint, visit=visit
    ),
    st.lists(turns, max_size=3),
    st.sampled_from(list(NodeStatus)),
    texts,
    st.none() | st.integers(0, 5),
)


@settings(max_examples=examples(50))
@given(trajectories, st.lists(nodes, max_size=3), texts)
def test_a_rollout_is_read_as_it_was_written(trajectory, tried, error):
    rollout = Rollout(
        set="G1_tool", trajectory=trajectory, nodes=tuple(tried), method="CoT@1", error=error, seconds=0.5
    )
    assert decode_rollout(json.loads(json.dumps(encode_rollout(rollout)))) == rollout


@given(st.lists(st.binary(max_size=90_000), max_size=3), st.binary(max_size=70_000))
@settings(max_examples=examples(30))
def test_only_what_follows_the_last_line_break_is_dropped(tmp_path_factory, whole, half):
    path = tmp_path_factory.mktemp("half") / "lines"
    kept = b"".join(line.replace(b"\n", b"") + b"\n" for line in whole)
    path.write_bytes(kept + half.replace(b"\n", b""))
    drop_half_line(path)
    assert path.read_bytes() == kept


def test_rows_are_appended_whole_and_a_file_that_is_not_there_has_no_half_line(tmp_path):
    drop_half_line(tmp_path / "rows.jsonl")
    append_rows(tmp_path / "rows.jsonl", [{"a": 1}, {"b": "\ud83d"}])
    append_rows(tmp_path / "rows.jsonl", [])
    assert [json.loads(line) for line in (tmp_path / "rows.jsonl").read_text().splitlines()] == [
        {"a": 1},
        {"b": "\ud83d"},
    ]


def test_answers_whose_ids_differ_in_a_sign_are_two_files(tmp_path):
    folder = RolloutFolder(tmp_path, Recorder(strategy=Chain()))
    nodes = (Node(index=0, parent=None),)
    for name in ("a_b", "a-b", "A-b"):
        trajectory = Trajectory(task=Task(id=name, query="q"), turns=())
        folder.write_answer(Rollout(set="s", trajectory=trajectory, nodes=nodes, method="CoT@1"))
    assert len(list((tmp_path / "answers" / "s").glob("*_*.json"))) == 3


def test_an_answer_that_an_earlier_version_named_is_found_again(tmp_path):
    folder = RolloutFolder(tmp_path, Recorder(strategy=Chain()))
    earlier = tmp_path / "answers" / "MySet" / "G1-7_CoT@1.json"
    earlier.parent.mkdir(parents=True)
    earlier.write_text("{}")
    trajectory = Trajectory(task=Task(id="G1_7", query="q"), turns=())
    rollout = Rollout(set="MySet", trajectory=trajectory, nodes=(Node(index=0, parent=None),), method="CoT@1")
    folder.write_answer(rollout, overwrite=False)
    assert [path.name for path in tmp_path.rglob("*.json")] == [earlier.name]
