"""`umi rollout --on ray` on two nodes: the results of one machine, also when a node dies under way."""

import importlib.util
import os
import shutil
import subprocess
import sys

import pytest

from alpha_umi.rollouts.runner import encode_rollout, read_rollouts
from alpha_umi.store import write_trajectories
from alpha_umi.world import Split, World
from support.commands import ended, environment, interrupt_when, run_here, start
from support.folders import SUPPORT

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(importlib.util.find_spec("ray") is None, reason="needs Ray"),
    pytest.mark.skipif(sys.platform != "linux", reason="a cluster of processes"),
]
TASKS = 24
COMMAND = ("rollout", "--agent", "rollout_agents:slow", "--queries", "test.jsonl", "--env", "world", "--strategy",
           "dfsdt", "--concurrency", "4", "--out")  # fmt: skip


@pytest.fixture
def desk(tmp_path, monkeypatch):
    world = World()
    write_trajectories(tmp_path / "test.jsonl", [world.gold(world.task(Split.TEST, index)) for index in range(TASKS)])
    shutil.copy(SUPPORT / "rollout_agents.py", tmp_path)
    monkeypatch.setenv("SLOW_S", "0.05")
    return tmp_path


@pytest.fixture
def cluster(desk, monkeypatch):
    script = SUPPORT / "ray_cluster.py"
    nodes = environment()
    nodes["PYTHONPATH"] += os.pathsep + str(desk)
    process = subprocess.Popen(
        [sys.executable, script], env=nodes, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
        text=True,
    )  # fmt: skip
    monkeypatch.setenv("RAY_ADDRESS", process.stdout.readline().strip())
    yield process
    process.communicate(timeout=600)


def rows(run):
    return {rollout.key: encode_rollout(rollout) | {"seconds": 0} for rollout in read_rollouts(run)}


def test_two_nodes_give_the_results_of_one_machine_even_when_one_of_them_dies(desk, cluster):
    assert run_here(*COMMAND, "here", cwd=desk).code == 0
    whole = ended(start(*COMMAND, "both", "--on", "ray", cwd=desk))
    assert whole.code == 0, whole.err
    assert rows(desk / "both") == rows(desk / "here")
    lines = desk / "lame" / "rollouts.jsonl"

    def removed():
        if lines.exists() and lines.read_bytes().count(b"\n") >= 5:
            cluster.stdin.write("remove one\n")
            cluster.stdin.flush()
            return cluster.stdout.readline() == "removed\n"
        return False

    lame = interrupt_when(removed, start(*COMMAND, "lame", "--on", "ray", cwd=desk), number=0)
    assert lame.code == 0, lame.err
    assert rows(desk / "lame") == rows(desk / "here")
    answers = [{path.name: path.read_text() for path in (desk / run).rglob("*.json")} for run in ("lame", "here")]
    assert answers[0] == answers[1]
    assert len(answers[0]) == TASKS


def test_no_cluster_is_said_in_a_line(desk, monkeypatch):
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    alone = ended(start(*COMMAND, "run", "--on", "ray", cwd=desk))
    assert alone.code == 2
    assert "no Ray cluster at 'auto'" in alone.err
    assert "ray start --head" in alone.err
    assert len(alone.err.splitlines()) == 1
