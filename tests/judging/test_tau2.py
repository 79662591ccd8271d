"""tau2-bench's domains: a scripted user, tools over a database in another interpreter, and the check of end states."""

import asyncio
import json
import re
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

import alpha_umi as umi
from alpha_umi.config import BfclConfig, EnvironmentConfig, Tau2Config
from alpha_umi.datasets.queries import Query
from alpha_umi.datasets.tau2 import CONSENT, in_first_person, read_task
from alpha_umi.environments.simulators import Simulator, SimulatorEnvironment
from alpha_umi.environments.tau2.environment import PROGRAM
from alpha_umi.loading.environments import open_environment
from alpha_umi.rollouts.runner import read_rollouts
from alpha_umi.store import read_trajectories, write_trajectories
from alpha_umi.types import Answer, Call, Observation, Plan, ToolStatus, User
from support.commands import run_here

MESSAGE = """
class ToolCall:
    def __init__(self, name, arguments):
        self.name, self.arguments = name, arguments
"""
DOMAIN = """
from types import SimpleNamespace as Some
from tau2.data_model.message import ToolCall
class Database:
    def __init__(self, total):
        self.total = total
    def model_copy(self, deep):
        return Database(self.total)
class Tool:
    openai_schema = {"type": "function", "function": {"name": "add", "parameters": {"type": "object", "properties": {
        "n": {"type": "integer"}}, "required": ["n"]}}}
class Environment:
    def __init__(self, db):
        self.tools = Some(db=db)
    def get_tools(self):
        return [Tool]
    def get_policy(self):
        return "Add what you are told."
    def get_db_hash(self):
        return str(self.tools.db.total)
    def make_tool_call(self, name, requestor, n):
        if n == 13:
            raise ValueError("unlucky")
        self.tools.db.total += n
        return str(self.tools.db.total)
    def get_response(self, call):
        print("noise")
        try:
            return Some(content=self.make_tool_call(call.name, "assistant", **call.arguments))
        except Exception as error:
            return Some(content=f"Error: {error}")
def get_environment(db=None):
    return Environment(db or Database(1))
def action(n):
    return Some(name="add", requestor="assistant", arguments={"n": n})
class Task:
    def __init__(self, id, reason, known, actions, told):
        self.id, self.reason, self.known = id, reason, known
        self.evaluation_criteria = Some(actions=actions, communicate_info=told)
    def model_dump(self, mode):
        return {"id": self.id, "user_scenario": {"instructions": {"reason_for_call": self.reason,
            "known_info": self.known, "unknown_info": None, "task_instructions": "."}}}
def get_tasks():
    return [
        Task("0", "You want 2 added.", "You are Ada. Add 3.", [action(2), action(13), action(4)], ["1006"]),
        Task("1", "You want nothing.", "", None, None),
    ]
"""


@pytest.fixture
def tau2(tmp_path, monkeypatch):
    """A package of tau2's shape, whose `__init__` cannot be imported."""
    files = {
        "__init__.py": "raise ImportError('clients of language models')",
        "data_model/__init__.py": "",
        "data_model/message.py": MESSAGE,
        "domains/__init__.py": "",
        "domains/retail/__init__.py": "",
        "domains/retail/environment.py": DOMAIN,
    }
    for name, text in files.items():
        path = tmp_path / "tau2" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    return tmp_path / "tau2"


@pytest.fixture
def tasks(tau2, tmp_path):
    assert umi.prepare.tau2(["retail"], tmp_path / "tasks.jsonl", python=Path(sys.executable)) == 2
    return [each.task for each in read_trajectories(tmp_path / "tasks.jsonl")]


def add(n):
    return Call(name="add", arguments=json.dumps({"n": n}))


def evaluated(tmp_path, task, *turns):
    write_trajectories(tmp_path / "run.jsonl", [umi.Trajectory(task=task, turns=turns)])
    (check,) = umi.evaluate.tau2(tmp_path / "run.jsonl", tmp_path / "s.json", python=Path(sys.executable)).checks
    return check.right, check.right_without, check.told


def test_the_users_instructions_are_put_into_the_first_person_one_after_the_other(tasks):
    adding, nothing = tasks
    assert adding.query == "I want 2 added."
    assert adding.metadata["followups"] == [{"user": "I am Ada. Add 3."}, {"user": CONSENT}]
    assert nothing.metadata["followups"] == [{"user": CONSENT}]
    assert [tool.name for tool in adding.tools] == ["add"]
    said = in_first_person(
        "You're sure your money is yours; if the agent tells you no, you'd ask it yourself. Are you Ada?"
    )
    assert said == "I'm sure my money is mine; if the agent tells me no, I'd ask it myself. Am I Ada?"


@given(
    st.lists(
        st.sampled_from(["you", "Your", "YOURS", "yourself", "you're", "are", "to", "tells", ".", ", ", "\n", "x"])
    )
)
def test_nobody_is_addressed_in_the_users_words(words):
    assert not re.search(r"\byou", in_first_person(" ".join(words)), re.IGNORECASE)


def test_the_database_after_the_calls_is_compared_with_that_after_the_golden_actions(tasks, tmp_path):
    adding, nothing = tasks
    told = Answer(text="That makes 1,006.")
    assert evaluated(tmp_path, adding, add(2), add(4), told) == (True, False, True)
    assert evaluated(tmp_path, adding, add(6), add(13), Call(name="add", arguments="[")) == (True, False, False)
    assert evaluated(tmp_path, adding, add(2), told) == (False, False, True)
    assert evaluated(tmp_path, nothing) == (True, True, True)
    assert evaluated(tmp_path, nothing, add(1)) == (False, True, True)
    figures = json.loads((tmp_path / "s.json").read_text())["domains"]["retail"]["figures"]
    assert {key: each["value"] for key, each in figures.items()} == {
        "right": 0.0, "right and told": 0.0, "changing": None, "nothing done": 1.0,
    }  # fmt: skip


def test_sessions_are_apart_and_outlive_the_room_for_them(tasks):
    async def main():
        simulator = Simulator(Path(sys.executable), PROGRAM)
        places = [SimulatorEnvironment(tasks[0], simulator) for _ in range(12)]
        for number, place in enumerate(places):
            assert (await place.execute(add(number))).content == str(1 + number)
        for number, place in enumerate(places):
            assert (await place.execute(add(100))).content == str(101 + number)
        fork = places[3].fork()
        assert (await fork.execute(add(1000))).content == "1104"
        assert (await places[3].execute(add(0))).content == "104"
        odd = [await places[0].execute(each) for each in (add(13), add("a"), Call(name="sub", arguments="{}"))]
        assert [each.status for each in odd] == [ToolStatus.ERROR, ToolStatus.ERROR, ToolStatus.UNKNOWN_TOOL]
        assert odd[0].content == "Error: unlucky"
        await simulator.aclose()

    asyncio.run(main())


def test_a_rollout_reads_the_policy_and_goes_on_with_the_scripted_user(tasks, tmp_path):
    command = ["rollout", "--queries", "tasks.jsonl", "--env", "tau2", "--set", f"tau2.python={sys.executable}"]
    done = run_here(*command, "--agent", "rollout_agents:adder", "--limit", "1", "--out", "run", cwd=tmp_path)
    assert done.code == 0, done.err
    (rollout,) = read_rollouts(tmp_path / "run")
    turns = rollout.trajectory.turns
    assert [turn.content for turn in turns if isinstance(turn, Observation)] == ["3", "6", "7"]
    texts = [turn.text for turn in turns if type(turn) is User]
    assert texts == ["Add what you are told.\n\nI want 2 added.", "I am Ada. Add 3.", CONSENT]
    assert any(isinstance(turn, Plan) for turn in turns)
    report = umi.evaluate.tau2(tmp_path / "run", tmp_path / "s.json", python=Path(sys.executable))
    assert report.figures("retail")["right"].value == 1.0


def test_what_is_mended_elsewhere_is_refused_here_where_calls_are_judged_as_they_were_written(tasks):
    async def main():
        async with open_environment(EnvironmentConfig(tau2=Tau2Config(python=sys.executable))) as opened:
            place = opened.open(Query(task=tasks[0]))
            seen = await place.execute(Call(name="add", arguments="{'n': 2}"))
            assert seen.status is ToolStatus.BAD_ARGUMENTS

    asyncio.run(main())


def test_what_is_missing_is_said(tasks, tau2, tmp_path):
    with pytest.raises(umi.DataError, match="of another shape: KeyError"):
        read_task({"id": "1"}, "retail", ())
    with pytest.raises(umi.ConfigError, match="name one of them"):
        open_environment(EnvironmentConfig(bfcl=BfclConfig(), tau2=Tau2Config(python="python")))
    other = Query(task=umi.Task(id="x", query="q"))
    with pytest.raises(umi.DataError, match="task x is none of tau2-bench; make its tasks by 'umi prepare tau2'"):
        open_environment(EnvironmentConfig(tau2=Tau2Config(python=sys.executable))).open(other)
    write_trajectories(tmp_path / "none.jsonl", [umi.Trajectory(task=other.task, turns=())])
    with pytest.raises(umi.DataError, match="none of its tasks is one of tau2-bench"):
        umi.evaluate.tau2(tmp_path / "none.jsonl", tmp_path / "s.json", python=Path(sys.executable))
    (tau2 / "domains/retail/environment.py").unlink()
    with pytest.raises(umi.ConfigError, match=r"No module named .*; there: git clone"):
        umi.prepare.tau2(["retail"], tmp_path / "t.jsonl", python=Path(sys.executable))
