"""Where things are written: what cannot be a folder is named, and what was not made here is left alone."""

import re

import pytest

from alpha_umi.store import write_trajectories
from alpha_umi.world import Split, World
from commands import run_here

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
    for out in ("taken", "taken/run", "/proc/run"):
        ended = run_here(*ORACLE, out, cwd=desk)
        assert (ended.code, f"{out}: cannot be a folder" in ended.err) == (7, True), ended.err
    (desk / "run" / ".lock").mkdir(parents=True)
    assert run_here(*ORACLE, "run", cwd=desk).code == 7
