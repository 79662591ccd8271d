"""`umi rollout`: every task ends in one row, whatever happens to it or to the process."""

import asyncio
import json
import re
import shutil
import signal
import sys

import pytest

from alpha_umi.config import EnvironmentConfig, RolloutConfig, make_config
from alpha_umi.datasets.queries import Query
from alpha_umi.loading.agents import endpoint_agent
from alpha_umi.loading.rollouts import open_explorer, open_recorder
from alpha_umi.rollouts.runner import (
    Job,
    Rollout,
    RolloutFolder,
    encode_rollout,
    read_rollouts,
    roll_out_all,
)
from alpha_umi.search import Chain, DepthFirst, Node, NodeStatus, PublishedChain, PublishedTree
from alpha_umi.search.record import Recorder
from alpha_umi.store import read_trajectories, write_trajectories
from alpha_umi.types import Observation, StopReason, Task, Trajectory
from alpha_umi.world import Split, World
from support.commands import interrupt_when, run, run_here, start
from support.endpoint_server import Reply, chat_reply
from support.endpoint_server import serving as models
from support.folders import SUPPORT
from support.tool_server import serving

TASKS = 12
ORACLE = ("rollout", "--agent", "oracle", "--queries", "test.jsonl", "--env", "world", "--out")
HELD = ("rollout", "--agent", "rollout_agents:held", "--queries", "test.jsonl", "--env", "world", "--out")


@pytest.fixture
def desk(tmp_path):
    world = World()
    gold = [world.gold(world.task(Split.TEST, index)) for index in range(TASKS)]
    write_trajectories(tmp_path / "test.jsonl", gold)
    shutil.copy(SUPPORT / "rollout_agents.py", tmp_path)
    return tmp_path


def rows(run):
    return {rollout.key: strip(encode_rollout(rollout)) for rollout in read_rollouts(run)}


def strip(row):
    return {key: value for key, value in row.items() if key != "seconds"}


# --- a run ------------------------------------------------------------------------------------------------


def test_the_oracle_passes_every_task_and_leaves_trajectories_and_answer_files(desk):
    ended = run_here(*ORACLE, "run", cwd=desk)
    assert ended.code == 0, ended.err
    assert ended.out == f"run: {TASKS} tasks; next: umi judge convert run --out ANSWERS\n"
    kept = {rollout.key: rollout for rollout in read_rollouts(desk / "run")}
    gold = {f"test/{each.task.id}": each for each in read_trajectories(desk / "test.jsonl")}
    assert kept.keys() == gold.keys()
    for key, rollout in kept.items():
        assert rollout.verdict == {"passed": True, "reasons": []}
        assert (rollout.trajectory.turns, rollout.trajectory.stop) == (gold[key].turns, gold[key].stop)
    assert sorted(each.task.id for each in read_trajectories(desk / "run" / "rollouts.jsonl")) == sorted(
        each.task.id for each in gold.values()
    )
    files = sorted(path.name for path in (desk / "run" / "answers" / "test").iterdir())
    assert files == sorted(f"{each.task.id}_CoT@1.json" for each in gold.values())


def test_a_run_is_convertible_by_rollouts_and_by_answer_files_and_the_judge_agrees_with_its_verdicts(desk):
    assert run_here(*ORACLE, "run", "--max-steps", "2", cwd=desk).code == 0
    assert run_here("judge", "convert", "run", "--out", "limited", cwd=desk).code == 0
    assert run_here("judge", "pass", "limited", "--out", "judged", "--world", cwd=desk).code == 0
    judged = json.loads((desk / "judged" / "verdicts" / "test.json").read_text())
    passed = {rollout.trajectory.task.id: rollout.verdict["passed"] for rollout in read_rollouts(desk / "run")}
    assert {key: row["outcome"] == "passed" for key, row in judged.items()} == passed
    assert len(set(passed.values())) == 2
    for compat in ((), ("--compat", "openbmb")):
        converted = run_here("judge", "convert", "run/answers/test", "--out", "x.json", *compat, cwd=desk)
        assert (converted.code, converted.out) == (0, f"x.json: {TASKS} answers\n")
        assert json.loads((desk / "x.json").read_text()).keys() == passed.keys()
    refused = run_here("judge", "convert", "run", "--out", "x", "--compat", "openbmb", cwd=desk)
    assert (refused.code, "name run/answers/SET" in refused.err) == (2, True)


def test_another_run_of_the_same_folder_needs_resume_and_the_same_settings(desk):
    assert run_here(*ORACLE, "run", "--limit", "5", cwd=desk).code == 0
    again = run_here(*ORACLE, "run", cwd=desk)
    assert (again.code, "--resume goes on with it" in again.err) == (2, True)
    other = run_here(*ORACLE, "run", "--resume", "--strategy", "dfsdt", "--max-steps", "3", cwd=desk)
    assert other.code == 2
    assert "limits.max_steps was 12, is 3; strategy was 'chain', is 'dfsdt'" in other.err
    more = run_here(*ORACLE, "run", "--resume", "--concurrency", "2", cwd=desk)
    assert (more.code, more.out.partition(";")[0]) == (0, f"run: {TASKS} tasks, 5 of them from before"), more.err
    (desk / "run" / "rollout.toml").unlink()
    assert "no rollout.toml" in run_here(*ORACLE, "run", "--resume", cwd=desk).err


# --- killed -----------------------------------------------------------------------------------------------


@pytest.mark.skipif(sys.platform != "linux", reason="signals to a process group")
@pytest.mark.parametrize(
    "number",
    [pytest.param(signal.SIGINT, id="ctrl-c", marks=pytest.mark.slow), pytest.param(signal.SIGKILL, id="kill")],
)
def test_a_stopped_run_has_lost_no_finished_task_and_repeats_none(number, desk):
    assert run_here(*ORACLE, "whole", cwd=desk).code == 0
    lines = desk / "run" / "rollouts.jsonl"
    (desk / "hold").touch()
    process = start(*HELD, "run", "--concurrency", "3", cwd=desk)
    stopped = interrupt_when(lambda: lines.exists() and lines.read_bytes().count(b"\n") >= 3, process, number)
    if number is signal.SIGINT:
        assert stopped.code == 130
        assert stopped.err.endswith("error: interrupted; every finished task is kept, the same command with --resume "
                                    "goes on\n")  # fmt: skip
    (desk / "hold").unlink()
    with lines.open("a") as file:
        file.write('{"schema":"alpha_umi.trajectory/1","task":{"id":"cut sho')
    before = {key: json.dumps(row) for key, row in rows_kept(lines).items()}
    assert 3 <= len(before) < TASKS
    forgotten = next((desk / "run" / "answers" / "test").glob("*.json"))  # a killed process leaves .part files
    forgotten.unlink()
    resumed = run(*HELD, "run", "--resume", cwd=desk)
    assert (resumed.code, f"{len(before)} of them from before" in resumed.out) == (0, True), resumed.err
    after = [json.loads(line) for line in lines.read_text().splitlines()]
    assert len(after) == TASKS
    assert {key: json.dumps(row) for key, row in rows_kept(lines).items() if key in before} == before
    assert rows(desk / "run") == rows(desk / "whole")
    assert forgotten.exists()


def rows_kept(lines):
    whole = [json.loads(line) for line in lines.read_bytes().split(b"\n")[:-1]]
    return {row["task"]["id"]: row for row in whole}


def test_two_processes_do_not_share_a_run(desk):
    (desk / "hold").touch()
    process = start(*HELD, "run", "--concurrency", "1", cwd=desk)
    other = None

    def asked():
        nonlocal other
        if not (desk / "run" / "rollouts.jsonl").exists():
            return False
        other = run_here(*ORACLE, "run", "--resume", cwd=desk)
        return True

    interrupt_when(asked, process)
    assert (other.code, "another process is at work" in other.err) == (2, True)


# --- faults -----------------------------------------------------------------------------------------------


def test_whatever_goes_wrong_in_a_task_is_its_own_and_can_be_tried_again(desk):
    faulty = (
        "rollout",
        "--agent",
        "rollout_agents:faulty",
        "--queries",
        "test.jsonl",
        "--env",
        "world",
        "--out",
        "run",
    )
    ended = run_here(*faulty, "--strategy", "dfsdt", "--max-steps", "4", cwd=desk)
    assert ended.code == 0, ended.err
    kept = list(read_rollouts(desk / "run"))
    assert len(kept) == len({rollout.key for rollout in kept}) == TASKS
    wrong = [rollout for rollout in kept if rollout.error]
    assert 0 < len(wrong) < TASKS
    assert f"{len(wrong)} ended with an error" in ended.err
    assert all(rollout.verdict is None for rollout in wrong)
    again = run_here(*faulty, "--strategy", "dfsdt", "--max-steps", "4", "--resume", "--retry", cwd=desk)
    assert f"{TASKS - len(wrong)} of them from before" in again.out
    assert {each.key for each in read_rollouts(desk / "run") if each.error} == {each.key for each in wrong}


def test_a_run_in_which_nothing_works_says_why(desk):
    with models(Reply(status=401, body="no such key")) as server:
        ended = run_here("rollout", "--base-url", server.url, "--model", "m", "--queries", "test.jsonl", "--env",
                         "world", "--limit", "2", "--out", "run", cwd=desk)  # fmt: skip
    assert ended.code == 6
    assert "OPENAI_API_KEY" in ended.err
    assert "all 2 tasks ended with an error" in ended.err
    assert "--resume --retry" in ended.err


def test_what_is_awaited_is_bounded_and_cancelling_leaves_whole_rows(tmp_path):
    under_way = most = 0
    folder = RolloutFolder(tmp_path, Recorder(strategy=Chain()))

    async def roll_out(job):
        nonlocal under_way, most
        under_way += 1
        most = max(most, under_way)
        await asyncio.sleep(0.001)
        under_way -= 1
        return made(job.query.task.id)

    async def gather():
        async for finished in roll_out_all(jobs(100), roll_out, 7):
            folder.add(finished)
            if len(list(folder.read())) >= 30:
                return

    asyncio.run(gather())
    assert most == 7
    kept = [rollout.key for rollout in folder.read()]
    assert 30 <= len(kept) == len(set(kept)) < 40


def jobs(count):
    return [Job(set="s", query=Query(task=Task(id=str(index), query="q"))) for index in range(count)]


def made(task_id):
    root = Node(index=0, parent=None, status=NodeStatus.DONE)
    trajectory = Trajectory(task=Task(id=task_id, query="q"), turns=(), stop=StopReason.GAVE_UP)
    return Rollout(set="s", trajectory=trajectory, nodes=(root,), method="CoT@1")


# --- environments -----------------------------------------------------------------------------------------


def query_file(path, *entries):
    path.write_text(json.dumps(list(entries)))


def weather(query_id=1, **more):
    api = {"category_name": "Data", "tool_name": "Weather", "api_name": "Now", "method": "GET"}
    return {"query_id": query_id, "query": "How warm is it?", "api_list": [api], **more}


def test_published_queries_are_rolled_out_through_a_tool_service(desk):
    query_file(desk / "G1_tool.json", weather(1), weather(2))
    answer = json.dumps({"error": "", "response": "12 C"})
    with serving(lambda _: (200, answer)) as server:
        ended = run_here("rollout", "--agent", "rollout_agents:explorer", "--queries", "G1_tool.json", "--env",
                         server.url, "--strategy", "DFS_woFilter_w2", "--max-steps", "4", "--out", "run",
                         cwd=desk)  # fmt: skip
        assert ended.code == 0, ended.err
        asked = [seen.json for seen in server.seen]
    assert {(each["tool_name"], each["api_name"]) for each in asked} == {("weather", "now")}
    kept = {rollout.key: rollout for rollout in read_rollouts(desk / "run")}
    assert kept.keys() == {"G1_tool/1", "G1_tool/2"}
    calls = [turn for rollout in kept.values() for node in rollout.nodes for turn in node.turns
             if isinstance(turn, Observation)]  # fmt: skip
    assert {each.content for each in calls} == {"12 C"}
    assert len(calls) == len(asked)
    document = json.loads((desk / "run/answers/G1_tool/1_DFS_woFilter_w2.json").read_text())
    assert document["answer_generation"]["query_count"] == len(kept["G1_tool/1"].nodes) - 1
    assert [tool["name"] for tool in document["answer_generation"]["function"]] == ["now_for_weather", "Finish"]


def test_tools_are_found_for_queries_that_name_none(desk):
    apis = [
        {"category_name": "Data", "tool_name": name, "api_name": "Now", "method": "GET", "api_description": words}
        for name, words in (("Weather", "how warm it is"), ("Trains", "when trains leave"), ("Cash", "what money buys"))
    ]
    query_file(desk / "corpus.json", {"query_id": 9, "query": "x", "api_list": apis})
    query_file(desk / "open.json", weather(1, api_list=None, query="when do trains leave?"), weather(2))
    with serving(lambda _: (200, json.dumps({"error": "", "response": "12:05"}))) as server:
        command = ("rollout", "--agent", "rollout_agents:explorer", "--queries", "open.json", "--env", server.url)
        found = run_here(*command, "--retrieve-from", "corpus.json", "--retrieve", "1", "--out", "run", cwd=desk)
    assert found.code == 0, found.err
    tools = {
        rollout.key: [tool.name for tool in rollout.trajectory.task.tools] for rollout in read_rollouts(desk / "run")
    }
    assert tools == {"open/1": ["now_for_trains"], "open/2": ["now_for_weather"]}


def test_a_query_for_which_no_tool_is_found_is_named_with_the_reason(desk):
    api = {"category_name": "Data", "tool_name": "Trains", "api_name": "Now", "api_description": "when trains leave"}
    query_file(desk / "corpus.json", {"query_id": 9, "query": "x", "api_list": [api]})
    query_file(desk / "open.json", weather(7, api_list=None, query="quel temps?"))
    command = ("rollout", "--agent", "rollout_agents:explorer", "--queries", "open.json", "--env", "http://x")
    found = run_here(*command, "--retrieve-from", "corpus.json", "--out", "run", cwd=desk)
    assert found.code == 3
    (line,) = found.err.splitlines()
    for part in ("set open: query 7 ('quel temps?')", "none of the 1 APIs of corpus.json shares a word with it"):
        assert part in line
    assert "take a query file that has one" not in line
    assert not (desk / "run").exists()


def test_observations_are_recorded_and_replayed_without_the_service(desk):
    query_file(desk / "G1_tool.json", weather(1), weather(2), weather(3))
    (desk / "env.toml").write_text('record = "seen.jsonl"\n[http]\nurl = "http://x"\n[budget]\nmax_chars = 40\n')
    command = ("rollout", "--agent", "rollout_agents:explorer", "--queries", "G1_tool.json", "--env")
    with serving(lambda _: (200, json.dumps({"error": "", "response": "warm " * 100}))) as server:
        first = run_here(*command, "env.toml", "--set", f"http.url={server.url}", "--out", "one", cwd=desk)
        assert first.code == 0, first.err
    again = run_here(*command, "replay", "--set", "replay.recording=seen.jsonl", "--set", "budget.max_chars=40",
                "--out", "two", cwd=desk)  # fmt: skip
    assert again.code == 0, again.err
    assert rows(desk / "one") == rows(desk / "two")
    said = [turn for rollout in read_rollouts(desk / "two") for turn in rollout.trajectory.turns]
    seen = [turn.content for turn in said if isinstance(turn, Observation)]
    assert seen
    assert all(len(each) <= 40 for each in seen)


def test_trajectories_are_replayed_and_python_functions_are_tools(desk):
    command = ("rollout", "--agent", "oracle", "--queries", "test.jsonl", "--limit", "2", "--out")
    assert run_here(*command, "replayed", "--env", "replay", cwd=desk).code == 0
    gold = {each.task.id: each.turns for each in read_trajectories(desk / "test.jsonl")}
    assert all(each.trajectory.turns == gold[each.trajectory.task.id] for each in read_rollouts(desk / "replayed"))
    (desk / "tools.py").write_text(
        'from alpha_umi import tool\n\n@tool\ndef now(city: str = "") -> str:\n    """Now."""\n    return "noon"\n'
    )
    ended = run_here("rollout", "--agent", "rollout_agents:explorer", "--queries", "test.jsonl", "--limit", "2",
                     "--env", "tools.py", "--out", "python", cwd=desk)  # fmt: skip
    assert ended.code == 0, ended.err
    assert all([tool.name for tool in each.trajectory.task.tools] == ["now"] for each in read_rollouts(desk / "python"))


def test_queries_that_name_no_tools_get_those_of_the_environment_or_are_refused(desk):
    (desk / "tools.py").write_text(
        'from alpha_umi import tool\n\n@tool\ndef now(city: str = "") -> str:\n    """Now."""\n    return "noon"\n'
    )
    (desk / "queries.jsonl").write_text('{"query": "What time is it?"}\n{"query": "And in Oslo?"}\n')
    command = ("rollout", "--agent", "rollout_agents:reader", "--queries", "queries.jsonl", "--out", "run")
    ended = run_here(*command, "--env", "tools.py", cwd=desk)
    assert ended.code == 0, ended.err
    kept = {each.key: each.trajectory for each in read_rollouts(desk / "run")}
    assert {key: [tool.name for tool in each.task.tools] for key, each in kept.items()} == {
        "queries/1": ["now"],
        "queries/2": ["now"],
    }
    assert all(Observation(content="noon") in each.turns for each in kept.values())
    refused = run_here(*command, "--env", "bfcl", cwd=desk)
    assert refused.code == 3
    assert "query 1 ('What time is it?') names no tools, and its environment offers none" in refused.err


TOOL = {"tool_name": "Weather", "api_list": [{"name": "Now", "url": "https://w.example/now", "method": "GET"}]}


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (["--env", "moon"], 2, "--env 'moon' is not known; known: world, http"),
        (["--env", "http"], 2, r"--env http: key 'url' is missing in \[http\]"),
        (["--env", "ftp.toml"], 2, "ftp.toml: no such file"),
        (["--env", "empty.toml"], 2, r"empty.toml: it names no environment; write one of the tables \[world\]"),
        (["--env", "http://127.0.0.1:9", "--set", "http.retrys=1"], 2, "unknown key 'retrys' in .*did you mean 'retri"),
        (["--env", "world"], 3, "G1_tool.json: set G1_tool: task '1' is no task of the sealed world; make some by"),
        (["--env", "replay"], 3, "query 1 is no trajectory, so there is nothing to replay; name a recording"),
        (["--env", "replay", "--set", "replay.recording=gone"], 3, "gone: no such recording"),
        (["--env", "gone.py"], 3, "gone.py: no such file"),
        (["--env", "rapidapi", "--set", "rapidapi.tools=tools"], 2, "needs a key; set RAPIDAPI_KEY"),
        (["--env", "rapidapi", "--set", "rapidapi.tools=tools", "--set", "rapidapi.key_env=PATH"], 3,
         "query 1: .*tools has no 'Now' of 'Weather', so none of its APIs can be called"),
        (["--env", "http://127.0.0.1:9", "--queries", "bare.json"], 3, "set bare: query 1 has no 'api_list'"),
        (["--env", "http://127.0.0.1:9", "--queries", "broken.json"], 3, "broken.json: entry 0: 'query_id' is missing"),
        (["--env", "http://127.0.0.1:9", "--queries", "tools"], 3, r"tools: holds no query file \(\*.json, "),
        (["--env", "http://127.0.0.1:9", "--queries", "none.json"], 3, "none.json: holds no query"),
        (["--env", "http://127.0.0.1:9", "--strategy", "bfs"], 2, "no strategy 'bfs'"),
        (["--env", "http://127.0.0.1:9", "--strategy", "dfs"], 2, "compares children with a model"),
        (["--env", "http://127.0.0.1:9", "--agent", "gone"], 5, "gone: no such run directory"),
        (["--env", "http://127.0.0.1:9", "--agent", "gone:agent"], 2, "No module named 'gone'"),
        (["--env", "http://127.0.0.1:9", "--agent", "rollout_agents:nothing"], 2, "has no 'propose'"),
        (["--env", "http://127.0.0.1:9", "--agent", "rollout_agents:none"], 2, "has no attribute 'none'"),
        (["--env", "http://127.0.0.1:9", "--model", "m"], 2, "name an agent by --agent, or an instruct model"),
        (["--env", "http://127.0.0.1:9", "--compat", "stable"], 2, "--compat 'stable' is not known"),
        (["--env", "http://127.0.0.1:9", "--on", "slurm"], 2, "--on 'slurm' is not known; known: here, ray"),
    ],
)  # fmt: skip
def test_what_a_user_gets_wrong_is_one_line_and_asks_nobody(desk, monkeypatch, arguments, code, said):
    monkeypatch.delenv("RAPIDAPI_KEY", raising=False)
    monkeypatch.syspath_prepend(str(desk))
    query_file(desk / "G1_tool.json", weather(1))
    query_file(desk / "bare.json", {"query_id": 1, "query": "q"})
    query_file(desk / "broken.json", {"query": "q", "api_list": []})
    query_file(desk / "none.json")
    (desk / "empty.toml").write_text("")
    (desk / "tools" / "Data").mkdir(parents=True)
    (desk / "tools" / "Data" / "rain.json").write_text(json.dumps(TOOL | {"tool_name": "Rain"}))
    defaults = {"--agent": "oracle", "--queries": "G1_tool.json", "--out": "run"}
    more = [word for name, value in defaults.items() if name not in arguments for word in (name, value)]
    ended = run_here("rollout", *arguments, *more, cwd=desk)
    assert ended.code == code, ended.err
    assert len(ended.err.splitlines()) == 1
    assert re.search(said, ended.err)


def test_tools_that_are_missing_are_named_and_the_others_offered(desk, monkeypatch):
    monkeypatch.setenv("RAPIDAPI_KEY", "secret")
    monkeypatch.syspath_prepend(str(desk))
    entry = weather(1)
    entry["api_list"].append({"category_name": "Data", "tool_name": "Weather", "api_name": "Then"})
    query_file(desk / "G1_tool.json", entry)
    (desk / "tools" / "Data").mkdir(parents=True)
    (desk / "tools" / "Data" / "weather.json").write_text(json.dumps(TOOL))
    with serving(lambda _: (200, "{}")) as server:
        changed = TOOL["api_list"][0] | {"url": f"{server.url}/now"}
        (desk / "tools" / "Data" / "weather.json").write_text(json.dumps(TOOL | {"api_list": [changed]}))
        ended = run_here("rollout", "--agent", "rollout_agents:explorer", "--queries", "G1_tool.json", "--env",
                         "rapidapi", "--set", "rapidapi.tools=tools", "--out", "run", cwd=desk)  # fmt: skip
        assert ended.code == 0, ended.err
        assert "query 1: " in ended.err
        assert "has no 'Then' of 'Weather'; left out" in ended.err
    [rollout] = read_rollouts(desk / "run")
    assert [tool.name for tool in rollout.trajectory.task.tools] == ["now_for_weather"]
    assert "secret" not in (desk / "run" / "rollout.toml").read_text()


@pytest.mark.parametrize(
    ("name", "compat", "kind", "method"),
    [
        ("dfs", None, DepthFirst, "DFS_w2"),
        ("DFS_woFilter_w3", "openbmb", PublishedTree, "DFS_woFilter_w3"),
        ("CoT@2", "alpha-umi", PublishedChain, "CoT@2"),
    ],
)
def test_a_chat_model_ranks_its_own_steps_and_compat_searches_as_published(name, compat, kind, method):
    config = RolloutConfig(
        agent=endpoint_agent("http://127.0.0.1:9/v1", "m"),
        environment=make_config(EnvironmentConfig, {"http": {"url": "http://127.0.0.1:9"}}),
        strategy=name,
        compat=compat,
    )
    explorer = open_explorer(config).explorer
    assert isinstance(explorer.strategy, kind)
    assert explorer.method == method
    assert (getattr(explorer.strategy, "ranker", None) is not None) == (name == "dfs")
    assert open_recorder(config).reference.value == (compat or "openbmb")


# --- one query by hand --------------------------------------------------------------------------------------


SAYS = (
    "I look.\nNext: caller.",
    "Action: now_for_weather\nAction Input: {}",
    "Enough.\nNext: conclusion.",
    "It is 12 C.",
)


def test_a_query_by_hand_is_explored_through_a_tool_service_within_its_limits(desk):
    (desk / "weather.json").write_text(json.dumps(TOOL))
    answer = json.dumps({"error": "", "response": "12 C"})
    says = [Reply(body=chat_reply(text)) for text in (*SAYS, *SAYS)]
    with serving(lambda _: (200, answer)) as tools, models(*says) as model:
        ask = ("ask", "How warm is it?", "--tools", "weather.json", "--base-url", model.url, "--model", "m")
        ended = run_here(*ask, "--env", tools.url, "--strategy", "dfsdt", "--out", "t.jsonl", cwd=desk)
        assert (ended.code, ended.out) == (0, "It is 12 C.\n"), ended.err
        [trajectory] = read_trajectories(desk / "t.jsonl")
        assert [turn.content for turn in trajectory.turns if isinstance(turn, Observation)] == ["12 C"]
        limited = run_here(*ask, "--env", tools.url, "--max-steps", "1", cwd=desk)
        assert (limited.code, "no answer: limit" in limited.err) == (1, True)
        nowhere = run_here(*ask, cwd=desk)
        assert (nowhere.code, "name a service by --env" in nowhere.err) == (2, True)
