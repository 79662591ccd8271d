"""Where things are written: what cannot be a folder is named, and what was not made here is left alone."""

import re

import pytest

from alpha_umi.config import resolved
from alpha_umi.demo import training
from alpha_umi.jobs.train import read_train_config
from alpha_umi.loading.bundled import DEFAULT, FOLDER
from alpha_umi.store import claim_folder, write_text, write_trajectories
from alpha_umi.world import Split, World
from support.commands import run_here

HAS_BASE = (FOLDER / DEFAULT / "base").is_dir()
needs_base = pytest.mark.skipif(not HAS_BASE, reason="this copy has no bundled base model")
TRAINING = ("demo", "--train", "--trajectories", "1", "--tasks", "1", "--out")
ORACLE = ("rollout", "--agent", "oracle", "--queries", "test.jsonl", "--env", "world", "--out")


@pytest.fixture
def desk(tmp_path):
    world = World()
    write_trajectories(tmp_path / "test.jsonl", (world.gold(world.task(Split.TEST, index)) for index in range(7)))
    return tmp_path


def test_a_run_of_other_queries_or_of_another_world_is_not_gone_on_with(desk):
    assert run_here(*ORACLE, "run", "--limit", "5", cwd=desk).code == 0
    lines = desk / "run" / "rollouts.jsonl"
    kept = lines.read_text()
    lines.write_text(kept.replace('"query":"', '"query":"Please: ', 1))
    edited = run_here(*ORACLE, "run", "--resume", cwd=desk)
    assert edited.code == 2
    assert "the finished task test/" in edited.err
    assert "was asked 'Please: " in edited.err
    assert "name another --out" in edited.err
    lines.write_text(re.sub(r'"world":"[^"]*"', '"world":"0"', kept))
    older = run_here(*ORACLE, "run", "--resume", cwd=desk)
    assert (older.code, "is of version 0 of the world, now it is of" in older.err) == (2, True)
    lines.write_text(re.sub(r'"world":"[^"]*",', "", kept))  # as of query files that tell of no world
    assert run_here(*ORACLE, "run", "--resume", cwd=desk).code == 0


def test_a_place_that_cannot_be_a_folder_is_named(desk):
    (desk / "taken").write_text("")
    writing = ("world", "write", "--split", "test", "--count", "1", "--out")
    showing = ("demo", "--agent", "oracle", "--world", "tiny", "--tasks", "1", "--out")
    for out in ("taken", "taken/run", "/proc/run"):
        for command in (ORACLE, writing, showing, *([TRAINING] if HAS_BASE else [])):
            ended = run_here(*command, out, cwd=desk)
            assert (ended.code, "cannot be a folder" in ended.err) == (7, True), ended.err
            assert out in ended.err


@pytest.mark.parametrize("folder", ["gold", "predictions", "rollouts"])
def test_the_demo_removes_nothing_that_it_has_not_made(folder, tmp_path):
    mine = tmp_path / folder / "mine" / "rollouts.jsonl"
    mine.parent.mkdir(parents=True)
    mine.write_text("mine")
    ended = run_here("demo", "--agent", "oracle", "--world", "tiny", "--tasks", "1", "--out", ".", cwd=tmp_path)
    assert (ended.code, f"{folder}: holds something else; name another --out" in ended.err) == (2, True), ended.err
    assert mine.read_text() == "mine"


@needs_base
def test_the_training_demo_removes_nothing_that_it_has_not_made(tmp_path):
    mine = tmp_path / "home" / "mine.txt"
    mine.parent.mkdir()
    mine.write_text("mine")
    for fresh in ((), ("--fresh",)):
        ended = run_here(*TRAINING, "home", *fresh, cwd=tmp_path)
        assert (ended.code, "home: holds something else; name another --out" in ended.err) == (2, True), ended.err
    assert [entry.read_text() for entry in mine.parent.iterdir()] == ["mine"]


@needs_base
def test_the_training_demo_does_not_go_on_with_another_version_of_the_world(tmp_path):
    claim_folder(tmp_path / "out")
    older = read_train_config(training.RECIPE, ["data.train='out/1-world-0.jsonl'"])
    with write_text(tmp_path / "out" / "agent" / "config.toml") as text:
        text.write(resolved(older))
    ended = run_here(*TRAINING, "out", cwd=tmp_path)
    assert ended.code == 2
    assert "out/agent: was begun with 1-world-0.jsonl, not with 1-world-" in ended.err
    assert "--fresh starts over" in ended.err
    assert not [*(tmp_path / "out").glob("*.jsonl")]
