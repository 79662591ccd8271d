"""500 tasks while a third of all tool calls and of all tasks go wrong, in every way there is, and the run is killed."""

import json
import shutil
import signal
import sys
import time
from collections import Counter

import pytest

from alpha_umi.rollouts.runner import encode_rollout, read_rollouts
from alpha_umi.types import Observation, ToolStatus
from support.commands import ended, interrupt_when, start
from support.folders import SUPPORT
from support.rollout_agents import share
from support.tool_server import serving

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(sys.platform != "linux", reason="signals to a process group"),
]
TASKS, FAULTS, KILLS = 500, 0.3, 5
TIMEOUT_S = 3.0
ENVIRONMENT = f"[http]\nurl = '{{url}}'\ntimeout_s = {TIMEOUT_S}\nretries = 0\nconcurrency = 64\n"


def answer(seen):
    """What a tool replies: right, or wrong in one of many ways, always the same to the same request."""
    if share("fault", seen.body) >= FAULTS:
        return 200, json.dumps({"error": "", "response": f"fine: {share(seen.body):.6f}"})
    kinds = {
        "hang": lambda: time.sleep(3 * TIMEOUT_S) or (200, "{}"),
        "latency": lambda: time.sleep(0.1) or (200, json.dumps({"error": "", "response": "late"})),
        "limit": lambda: (429, "slow down", {"Retry-After": "0"}),
        "crash": lambda: (500, "Traceback"),
        "away": lambda: (503, ""),
        "key": lambda: (401, "who are you?"),
        "broken": lambda: (200, '{"error": "", "resp'),
        "other": lambda: (200, '["no", "reply"]'),
        "empty": lambda: (200, ""),
        "error": lambda: (200, json.dumps({"error": "API not working error...", "response": ""})),
        "closed": lambda: 1 / 0,  # the connection ends without a reply
    }
    return list(kinds.values())[int(share("kind", seen.body) * len(kinds))]()


@pytest.fixture
def desk(tmp_path):
    shutil.copy(SUPPORT / "rollout_agents.py", tmp_path)
    apis = [
        {"category_name": "Data", "tool_name": f"Tool {number}", "api_name": "Get", "method": "GET"}
        for number in range(5)
    ]
    for name in ("G1_tool", "G2_category"):
        queries = [{"query_id": number, "query": f"{name} {number}?", "api_list": apis} for number in range(TASKS // 2)]
        (tmp_path / f"{name}.json").write_text(json.dumps(queries))
    return tmp_path


def rows(run):
    """By task, what is not a matter of time or of how a connection happened to end."""
    found = {}
    for rollout in read_rollouts(run):
        row = encode_rollout(rollout) | {"seconds": 0}
        for turn in (turn for node in row["nodes"] for turn in node["turns"]):
            if turn.get("content", "").startswith("the tool cannot be reached"):
                turn["content"] = "the tool cannot be reached"
        found[rollout.key] = json.dumps(row["nodes"]) + row["error"]
    return found


def test_nothing_is_lost_doubled_or_unhandled_and_five_kills_change_nothing(desk):
    lines = desk / "killed" / "rollouts.jsonl"
    with serving(answer) as server:
        (desk / "env.toml").write_text(ENVIRONMENT.format(url=server.url))
        command = ("rollout", "--agent", "rollout_agents:faulty", "--queries", ".", "--env", "env.toml", "--strategy",
                   "dfsdt", "--max-steps", "4", "--concurrency", "64", "--out")  # fmt: skip
        whole = ended(start(*command, "whole", cwd=desk))
        assert whole.code == 0, whole.err
        for number in range(1, KILLS + 1):
            wanted = number * TASKS // (KILLS + 2)
            process = start(*command, "killed", *(["--resume"] if number > 1 else []), cwd=desk)
            stopped = interrupt_when(lambda wanted=wanted: count(lines) >= wanted, process, signal.SIGKILL)
            assert stopped.code == -signal.SIGKILL, stopped.err
            assert wanted <= count(lines) < TASKS
        assert ended(start(*command, "killed", "--resume", cwd=desk)).code == 0
    one, other = rows(desk / "whole"), rows(desk / "killed")
    assert len(one) == count(desk / "whole" / "rollouts.jsonl") == TASKS
    assert len(other) == count(lines) == TASKS
    assert one == other
    for line in lines.read_text().splitlines():
        row = json.loads(line)
        drawn = desk / "killed" / "answers" / row["set"] / f"{row['task']['id']}_DFS_woFilter_w2.json"
        assert drawn.exists() == bool(row["nodes"])
    faults = [rollout for rollout in read_rollouts(desk / "whole") if rollout.error]
    assert 0.2 * TASKS < len(faults) < 0.4 * TASKS
    assert {fault.error.partition(":")[0] for fault in faults} >= {"RuntimeError", "CancelledError", "SystemExit"}
    assert "Traceback" not in whole.err
    seen = statuses(desk / "whole")
    assert seen.keys() == {ToolStatus.OK, ToolStatus.ERROR, ToolStatus.TIMEOUT, ToolStatus.RATE_LIMITED}
    assert 0.2 < 1 - seen[ToolStatus.OK] / seen.total() < FAULTS


def count(path):
    return path.read_bytes().count(b"\n") if path.exists() else 0


def statuses(run):
    nodes = (node for rollout in read_rollouts(run) for node in rollout.nodes)
    return Counter(turn.status for node in nodes for turn in node.turns if isinstance(turn, Observation))
