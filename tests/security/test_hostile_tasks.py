"""Tasks whose agent or environment does anything at all: each has a row, the others go on, and the run can resume."""

import json
import shutil
import sys

import pytest

import alpha_umi as umi
from alpha_umi.rollouts.runner import read_rollouts
from alpha_umi.store import dump_line, encode_task
from alpha_umi.types import StopReason, Usage
from support.commands import interrupt_when, start
from support.folders import SUPPORT
from support.hostile_agents import WELL, tasks

AGENT, PLACE = "support.hostile_agents:HOSTILE", "support.hostile_agents:HOSTILE_ENVIRONMENT"


@pytest.fixture
def queries(tmp_path):
    return written(tmp_path, tasks())


def written(folder, wanted):
    path = folder / "queries.jsonl"
    path.write_text("".join(dump_line(encode_task(task)) for task in wanted))
    return path


@pytest.mark.parametrize("strategy", ["chain", "dfsdt"])
def test_each_task_has_a_row_and_the_run_resumes(queries, tmp_path, strategy):
    out, options = tmp_path / "run", {"agent": AGENT, "strategy": strategy}
    done = umi.rollout(queries, out, PLACE, **options)
    rows = {rollout.trajectory.task.query: rollout for rollout in read_rollouts(out)}
    assert done.all.tasks == len(rows) == len(tasks())
    assert {query for query, rollout in rows.items() if rollout.trajectory.answer is not None} == WELL
    assert {query for query, rollout in rows.items() if not rollout.error} == WELL
    assert rows["large"].trajectory.usage.prompt_tokens == Usage.most
    before = (out / "rollouts.jsonl").read_bytes()
    assert umi.rollout(queries, out, PLACE, resume=True, **options).kept == len(tasks())
    assert (out / "rollouts.jsonl").read_bytes() == before
    again = umi.rollout(queries, out, PLACE, resume=True, retry=True, **options)
    assert (again.kept, again.all.tasks) == (len(WELL), len(tasks()))


def test_the_time_of_a_search_holds_for_an_agent_that_swallows_its_cancellation(tmp_path):
    wanted = tasks(["stays"] * 3)
    done = umi.rollout(written(tmp_path, wanted), tmp_path / "run", PLACE, agent=AGENT, max_seconds=0.3)
    assert (done.all.tasks, done.all.errors, done.all.answered) == (3, 0, 0)
    assert {rollout.trajectory.stop for rollout in read_rollouts(tmp_path / "run")} == {StopReason.LIMIT}


@pytest.mark.parametrize("count", [-1, 10**16, 0.5, "1", None, True])
def test_a_stored_usage_that_counts_nothing_is_an_error_of_its_line(queries, tmp_path, count):
    umi.rollout(queries, tmp_path / "run", PLACE, agent=AGENT, limit=1)
    path = tmp_path / "run" / "rollouts.jsonl"
    row = json.loads(path.read_text())
    row["usage"]["prompt_tokens"] = count
    path.write_text(json.dumps(row) + "\n")
    with pytest.raises(umi.errors.DataError, match=r"rollouts\.jsonl:1: "):
        list(read_rollouts(tmp_path / "run"))


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="signals to a process group")
def test_ctrl_c_ends_a_run_whose_agent_swallows_it(tmp_path):
    written(tmp_path, tasks(["fine", "stays"]))
    shutil.copy(SUPPORT / "hostile_agents.py", tmp_path)
    lines = tmp_path / "run" / "rollouts.jsonl"
    command = ("rollout", "--agent", "hostile_agents:HOSTILE", "--env", "hostile_agents:HOSTILE_ENVIRONMENT", "--out",
               "run", "--queries", "queries.jsonl")  # fmt: skip
    process = start(*command, cwd=tmp_path)
    stopped = interrupt_when(lambda: lines.exists() and lines.read_bytes().count(b"\n") == 1, process)
    assert stopped.code == 130, stopped.err
    assert "--resume goes on" in stopped.err
    assert "Traceback" not in stopped.err
