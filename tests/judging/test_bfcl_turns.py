"""BFCL's questions of several turns: simulated classes in another interpreter, a scripted user, results by turn."""

import asyncio
import json
import sys
from pathlib import Path

import pytest

import alpha_umi as umi
from alpha_umi.config import BfclConfig, EnvironmentConfig
from alpha_umi.datasets.bfcl import read_bfcl, write_result
from alpha_umi.datasets.queries import Query
from alpha_umi.environments.bfcl.environment import PROGRAM
from alpha_umi.environments.simulators import Simulator, SimulatorEnvironment
from alpha_umi.loading.environments import open_environment
from alpha_umi.rollouts.runner import read_rollouts
from alpha_umi.store import write_trajectories
from alpha_umi.types import Call, Observation, Plan, ToolStatus
from support.commands import run_here

NAMES = ("add", "wait")
QUESTION = {
    "id": "multi_turn_miss_func_0",
    "question": [[{"role": "user", "content": "Add 2."}], [], [{"role": "user", "content": "Add 3."}]],
    "initial_config": {"MathAPI": {"total": 1}},
    "involved_classes": ["MathAPI"],
    "missed_function": {"1": ["wait"]},
}
BACKEND = """
import time
def execute_multi_turn_func_call(calls, config, classes, model, id, long_context, is_evaL_run=False):
    name = f"{model}_{id}_MathAPI_instance"
    if name not in globals():
        globals()[name] = [config["MathAPI"]["total"]]
    state = globals()[name]
    def add(n):
        state[0] += n
        return str(state[0])
    def wait(n):
        time.sleep(n)
    results = []
    for call in calls:
        print("noise")
        try:
            results.append(eval(call))
        except Exception as error:
            results.append(f"Error during execution: {error}")
    return results, {"MathAPI": state}
"""
CHECKER = """
from bfcl_eval.eval_checker.multi_turn_eval import multi_turn_utils as backend
def multi_turn_checker(turns, gold, entry, category, model):
    calls = [call for turn in turns for step in turn for call in step]
    backend.execute_multi_turn_func_call(calls, entry["initial_config"], [], model, "x", False)
    same = [[call for step in turn for call in step] for turn in turns] == gold
    return {"valid": same, "error_type": "multi_turn:instance_state_mismatch"}
"""


@pytest.fixture
def bfcl(tmp_path, monkeypatch):
    """A folder with a package of bfcl-eval's shape, and its questions."""
    row = {"id": QUESTION["id"], "ground_truth": [["add(n=2)"], ["add(n=1)"], ["add(n=3)"]]}
    documents = [
        {"name": name, "description": name, "parameters": {"type": "dict", "properties": {}}} for name in NAMES
    ]
    package = "eval_checker/multi_turn_eval"
    files = {
        "__init__.py": "",
        "constants/__init__.py": "",
        "constants/enums.py": "class Language:\n    PYTHON = 'python'\n",
        "constants/model_config.py": "MODEL_CONFIG_MAPPING = {}\n",
        "eval_checker/__init__.py": "",
        "eval_checker/ast_eval/__init__.py": "",
        "eval_checker/ast_eval/ast_checker.py": "ast_checker = None\n",
        f"{package}/__init__.py": "",
        f"{package}/multi_turn_utils.py": BACKEND,
        f"{package}/multi_turn_checker.py": CHECKER,
        "data/BFCL_v4_multi_turn_miss_func.json": json.dumps(QUESTION),
        "data/possible_answer/BFCL_v4_multi_turn_miss_func.json": json.dumps(row),
        "data/multi_turn_func_doc/math_api.json": "\n".join(map(json.dumps, documents)),
    }
    for name, text in files.items():
        path = tmp_path / "bfcl_eval" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    return tmp_path / "bfcl_eval" / "data"


def question(bfcl):
    return next(read_bfcl(bfcl / "BFCL_v4_multi_turn_miss_func.json"))


def call(name, **arguments):
    return Call(name=name, arguments=json.dumps(arguments))


def test_a_fork_takes_the_state_along_and_what_takes_too_long_ends_alone(bfcl, monkeypatch):
    async def main():
        simulator = Simulator(Path(sys.executable), PROGRAM)
        place = SimulatorEnvironment(question(bfcl), simulator)
        assert (await place.execute(call("add", n=2))).content == "3"
        fork = place.fork()
        assert (await fork.execute(call("add", n=10))).content == "13"
        assert (await place.execute(call("add", n=1))).content == "4"
        monkeypatch.setattr("alpha_umi.environments.simulators._TIMEOUT_S", 0.3)
        slow = await place.execute(call("wait", n=60))
        monkeypatch.undo()
        assert slow.status is ToolStatus.TIMEOUT
        monkeypatch.setenv("PYTHONPATH", str(bfcl.parents[1]))
        assert [(await each.execute(call("add", n=1))).content for each in (place, fork)] == ["5", "14"]
        wrong = [
            (await place.execute(each)).status
            for each in (
                call("sub", n=1),
                Call(name="add", arguments="[1]"),
                Call(name="add", arguments='{"n": "a" '),
                Call(name="add", arguments='{"n=__import__(1)or 2, m": 1}'),
            )
        ]
        assert wrong == [
            ToolStatus.UNKNOWN_TOOL, ToolStatus.BAD_ARGUMENTS, ToolStatus.BAD_ARGUMENTS, ToolStatus.ERROR,
        ]  # fmt: skip
        assert (await place.execute(call("add", n=1))).content == "6"
        await simulator.aclose()

    asyncio.run(main())


def test_a_scripted_user_asks_on_in_the_same_state_and_its_turns_are_checked(bfcl, tmp_path):
    assert umi.prepare.bfcl([bfcl / "BFCL_v4_multi_turn_miss_func.json"], tmp_path / "q.jsonl") == 1
    command = ["rollout", "--queries", "q.jsonl", "--env", "bfcl", "--set", f"bfcl.python={sys.executable}"]
    for strategy in ("chain", "dfsdt"):
        out = tmp_path / strategy
        done = run_here(
            *command, "--agent", "rollout_agents:adder", "--strategy", strategy, "--out", strategy, cwd=tmp_path
        )
        assert done.code == 0, done.err
        (rollout,) = read_rollouts(out)
        seen = [turn.content for turn in rollout.trajectory.turns if isinstance(turn, Observation)]
        assert seen == ["3", "4", "7"]
        texts = [turn.text for turn in rollout.trajectory.turns if type(turn) is umi.User]
        assert texts == ["Add 2.", "I have updated some more functions you can choose from. What about now?", "Add 3."]
        read = [turn.thought for turn in rollout.trajectory.turns if isinstance(turn, Plan)]
        assert [read[0], read[-2]] == ["add", "add wait"]
        assert write_result(rollout.trajectory)["result"][0] == [[{"add": '{"n": 2}'}], "3"]
        report = umi.evaluate.bfcl(out, tmp_path / "s.json", python=Path(sys.executable))
        assert report.accuracy("multi_turn_miss_func").value == 1.0


def test_results_that_lack_a_turn_are_wrong_and_calls_that_are_no_python_are_none(bfcl, tmp_path):
    odd = umi.Trajectory(
        task=question(bfcl),
        turns=(
            umi.User(text="a"),
            Call(name="add", arguments='{"n=2)or(1": 1}'),
            umi.User(text="b"),
            Call(name="add", arguments="["),
            umi.User(text="c"),
        ),
    )
    for turns, fault in (
        (odd.turns, "multi_turn:instance_state_mismatch"),
        (odd.turns[:3], "multi_turn:force_terminated"),
    ):
        write_trajectories(tmp_path / "run.jsonl", [umi.Trajectory(task=odd.task, turns=turns)])
        report = umi.evaluate.bfcl(tmp_path / "run.jsonl", tmp_path / "s.json", python=Path(sys.executable))
        assert report.to_json()["wrong"] == {odd.task.id: fault}


def test_what_a_simulation_lacks_is_said(bfcl, tmp_path):
    query = Query(task=question(bfcl))
    with pytest.raises(umi.DataError, match=r"name a Python that has it by --set bfcl\.python"):
        open_environment(EnvironmentConfig(bfcl=BfclConfig())).open(query)
    (bfcl / "multi_turn_func_doc" / "math_api.json").unlink()
    with pytest.raises(umi.DataError, match=r"math_api\.json: no such file"):
        question(bfcl)

    async def without() -> None:
        simulator = Simulator(Path(sys.executable), PROGRAM)
        (bfcl.parent / "eval_checker/multi_turn_eval/multi_turn_utils.py").unlink()
        await SimulatorEnvironment(query.task, simulator).execute(call("add", n=1))

    with pytest.raises(umi.ConfigError, match=r"No module named .*; there: pip install --no-deps bfcl-eval"):
        asyncio.run(without())
