"""BFCL's questions about a memory: conversations that fill it come before them, in their order."""

import json
import sys
from pathlib import Path

import pytest

import alpha_umi as umi
from alpha_umi.datasets.bfcl import read_bfcl
from alpha_umi.rollouts.runner import read_rollouts
from alpha_umi.store import write_trajectories
from support.commands import run_here

BACKEND = """
from bfcl_eval.eval_checker.multi_turn_eval.func_source_code.memory_api_metaclass import MemoryAPI
def execute_multi_turn_func_call(calls, config, classes, model, id, long_context, is_evaL_run=False):
    name = f"{model}_{id}_{classes[0]}_instance"
    if name not in globals():
        globals()[name] = MemoryAPI()
        globals()[name]._prepare_snapshot(config)
    memory = globals()[name]
    return [str(eval(call, {"memory_append": memory.memory_append})) for call in calls], {classes[0]: memory}
"""
MEMORY = """
class MemoryAPI:
    def __init__(self):
        self.memory = []
    def _prepare_snapshot(self, config):
        raise AssertionError("reads files")
    def memory_append(self, text):
        self.memory.append(text)
    def _dump_core_memory_to_context(self):
        return "; ".join(self.memory) or "nothing"
"""
PROMPTS = """
MEMORY_AGENT_SETTINGS = {"shop": "A shop."}
MEMORY_BACKEND_INSTRUCTION_UNIFIED = "{scenario_setting} One text: {memory_content}"
MEMORY_BACKEND_INSTRUCTION_CORE_ARCHIVAL = "{scenario_setting} Core: {memory_content}"
ADDITIONAL_SYSTEM_PROMPT_FOR_AGENTIC_RESPONSE_FORMAT = "Be short."
"""
CHECKER = """
def agentic_checker(text, golds):
    return {"valid": any(gold in text for gold in golds)}
"""


def said(*texts):
    return [[{"role": "user", "content": text}] for text in texts]


def rows(*entries):
    return "\n".join(map(json.dumps, entries))


@pytest.fixture
def bfcl(tmp_path, monkeypatch):
    """A folder with a package of bfcl-eval's shape whose questions are about a memory."""
    document = {"name": "memory_append", "description": "Appends.", "parameters": {"type": "dict", "properties": {}}}
    turns = "eval_checker/multi_turn_eval"
    files = {
        "constants/enums.py": "class Language:\n    PYTHON = 'python'\n",
        "constants/model_config.py": "MODEL_CONFIG_MAPPING = {}\n",
        "constants/default_prompts.py": PROMPTS,
        "eval_checker/ast_eval/ast_checker.py": "ast_checker = None\n",
        "eval_checker/agentic_eval/agentic_checker.py": CHECKER,
        f"{turns}/multi_turn_utils.py": BACKEND,
        f"{turns}/func_source_code/memory_api_metaclass.py": MEMORY,
        "data/BFCL_v4_memory.json": rows(
            {"id": "memory_0-shop-0", "question": said("My name?"), "scenario": "shop"},
            {"id": "memory_1-shop-1", "question": said("My dog?"), "scenario": "shop"},
        ),
        "data/possible_answer/BFCL_v4_memory.json": rows(
            {"id": "memory_0-shop-0", "ground_truth": ["Ada"]}, {"id": "memory_1-shop-1", "ground_truth": ["Rex"]}
        ),
        "data/memory_prereq_conversation/memory_shop.json": rows(
            {"id": "memory_prereq_0-shop-0", "question": said("I am Ada.", "I am 35.")},
            {"id": "memory_prereq_1-shop-1", "question": said("I moved.")},
        ),
        "data/multi_turn_func_doc/memory_kv.json": rows(document),
        "data/multi_turn_func_doc/memory_rec_sum.json": rows(document),
    }
    for name, text in files.items():
        path = tmp_path / "bfcl_eval" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    for folder in (tmp_path / "bfcl_eval").glob("**/"):
        (folder / "__init__.py").touch()
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    return tmp_path / "bfcl_eval" / "data"


@pytest.mark.slow
def test_conversations_fill_the_memory_of_the_questions_after_them_also_where_a_run_goes_on(bfcl, tmp_path):
    assert umi.prepare.bfcl([bfcl / "BFCL_v4_memory.json"], tmp_path / "q.jsonl") == 8
    command = ["rollout", "--queries", "q.jsonl", "--env", "bfcl", "--set", f"bfcl.python={sys.executable}"]
    command += ["--agent", "rollout_agents:noter", "--out", "run"]
    assert run_here(*command, cwd=tmp_path).code == 0
    path = tmp_path / "run" / "rollouts.jsonl"
    whole = {each.trajectory.task.id: each.trajectory for each in read_rollouts(tmp_path / "run")}
    assert whole["memory_rec_sum_1-shop-1"].answer == (
        "A shop. One text: I am Ada.; I am 35.; I moved.\n\nBe short.\n\nMy dog?"
    )
    assert whole["memory_kv_prereq_1-shop-1"].turns[0] == umi.User(text="A shop. Core: I am Ada.; I am 35.\n\nI moved.")
    lines = path.read_text().splitlines()
    path.write_text("".join(line + "\n" for line in lines if json.loads(line)["task"]["id"][-9:-2] != "_1-shop"))
    assert run_here(*command, "--resume", cwd=tmp_path).code == 0
    assert {each.trajectory.task.id: each.trajectory for each in read_rollouts(tmp_path / "run")} == whole
    report = umi.evaluate.bfcl(tmp_path / "run", tmp_path / "s.json", python=Path(sys.executable))
    assert {name: report.accuracy(name).value for name in report.categories} == {
        "memory_kv": 0.5,
        "memory_rec_sum": 0.5,
    }
    assert report.to_json()["wrong"] == dict.fromkeys(
        ("memory_kv_1-shop-1", "memory_rec_sum_1-shop-1"), "agentic:answer_not_found"
    )


def test_a_limit_counts_questions_and_a_task_before_the_one_it_goes_on_after_is_refused(bfcl, tmp_path):
    tasks = list(read_bfcl(bfcl / "BFCL_v4_memory.json", limit=1))
    assert [task.id for task in tasks[:3]] == [
        "memory_kv_prereq_0-shop-0",
        "memory_kv_prereq_1-shop-1",
        "memory_kv_0-shop-0",
    ]
    assert len(tasks) == 6
    write_trajectories(tmp_path / "q.jsonl", [umi.Trajectory(task=task, turns=()) for task in reversed(tasks)])
    done = run_here(
        "rollout", "--queries", "q.jsonl", "--env", "bfcl", "--set", f"bfcl.python={sys.executable}",
        "--agent", "rollout_agents:noter", "--out", "run", cwd=tmp_path,
    )  # fmt: skip
    assert done.code != 0
    assert "must stand before it in the same file" in done.err
