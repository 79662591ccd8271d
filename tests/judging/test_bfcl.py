"""BFCL: questions as tasks, result files as it reads them, and its own checker in an environment of its own."""

import asyncio
import json
import sys
from pathlib import Path

import pytest

import alpha_umi as umi
from alpha_umi.datasets.bfcl import read_bfcl
from alpha_umi.environments.acknowledging import AcknowledgingEnvironment
from alpha_umi.store import read_trajectories, write_trajectories

TOOL = {
    "name": "math.area",
    "description": "Area.",
    "parameters": {"type": "dict", "properties": {"base": {"type": "integer"}}, "required": ["base"]},
}


def question(id_, *contents):
    messages = [{"role": "user", "content": content} for content in contents or ("Area?",)]
    return {"id": id_, "question": [messages], "function": [TOOL]}


def stand_in(folder: Path) -> None:
    """A package of bfcl-eval's shape: what the checker program takes from it, and a checker of names alone."""
    files = {
        "__init__.py": "",
        "constants/__init__.py": "",
        "constants/enums.py": "class Language:\n    PYTHON, JAVA, JAVASCRIPT = 'python', 'java', 'js'\n",
        "constants/model_config.py": "import a_client_that_is_not_installed\n",
        "eval_checker/__init__.py": "",
        "eval_checker/ast_eval/__init__.py": "",
        "eval_checker/ast_eval/ast_checker.py": (
            "from bfcl_eval.constants.model_config import MODEL_CONFIG_MAPPING\n"
            "def ast_checker(functions, calls, golds, language, category, model):\n"
            "    assert MODEL_CONFIG_MAPPING[model].underscore_to_dot is False\n"
            "    assert language == ('java' if category == 'simple_java' else 'python')\n"
            "    same = [set(c) for c in calls] == [set(g) for g in golds]\n"
            "    return {'valid': same, 'error_type': '' if same else 'wrong_name'}\n"
        ),
        "data/BFCL_v4_multiple.json": "\n".join(json.dumps(question(f"multiple_{n}")) for n in range(3)),
        "data/possible_answer/BFCL_v4_multiple.json": "\n".join(
            json.dumps({"id": f"multiple_{n}", "ground_truth": [{"math.area": {"base": [3]}}]}) for n in range(3)
        ),
        "data/BFCL_v4_simple_java.json": json.dumps(question("simple_java_0")),
        "data/possible_answer/BFCL_v4_simple_java.json": json.dumps(
            {"id": "simple_java_0", "ground_truth": [{"math.area": {"base": ["3L"]}}]}
        ),
        "data/BFCL_v4_irrelevance.json": "\n".join(json.dumps(question(f"irrelevance_{n}")) for n in range(2)),
    }
    for name, text in files.items():
        (folder / "bfcl_eval" / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / "bfcl_eval" / name).write_text(text)


def test_questions_become_tasks_with_their_tools_as_declared(tmp_path):
    rows = [question("live_simple_0-1-0", "Be brief.", "Area?"), question("simple_python_7")]
    (tmp_path / "q.json").write_text("\n".join(map(json.dumps, rows)))
    first, second = read_bfcl(tmp_path / "q.json")
    assert (first.id, first.query, first.metadata["category"]) == (
        "live_simple_0-1-0", "Be brief.\n\nArea?", "live_simple",
    )  # fmt: skip
    assert second.tools == (umi.ToolSpec(name="math.area", description="Area.", parameters=TOOL["parameters"]),)
    assert umi.prepare.bfcl([tmp_path / "q.json"], tmp_path / "t.jsonl", limit=1) == 1
    assert [each.task for each in read_trajectories(tmp_path / "t.jsonl")] == [first]


@pytest.mark.parametrize(
    "row", [{"id": "memory_vector_0-customer-0"}, {"id": "web_search_0"}, {"x": 1}, question("multiple")]
)
def test_rows_of_other_categories_are_named(tmp_path, row):
    (tmp_path / "q.json").write_text(json.dumps(row))
    with pytest.raises(umi.DataError, match=r"q\.json:1: no question of BFCL"):
        list(read_bfcl(tmp_path / "q.json"))


def test_functions_of_java_are_shown_as_bfcl_shows_them(tmp_path):
    properties = {
        "ids": {"type": "ArrayList", "items": {"type": "long"}, "description": "Ids."},
        "o": {"type": "any", "description": "An object."},
    }
    tool = {"name": "f", "description": "F.", "parameters": {"type": "dict", "properties": properties, "required": []}}
    (tmp_path / "q.json").write_text(json.dumps({**question("simple_java_0"), "function": [tool]}))
    (task,) = read_bfcl(tmp_path / "q.json")
    (spec,) = task.tools
    assert spec.description == "F. Note that the provided function is in Java 8 SDK syntax."
    assert spec.parameters["properties"] == {
        "ids": {
            "type": "string",
            "description": "Ids. This is Java ArrayList type parameter in string representation. The list elements are "
            "of type long; they are not in string representation.",
        },
        "o": {
            "type": "string",
            "description": "An object. This parameter can be of any type of Java object in string representation.",
        },
    }


def test_calls_of_offered_tools_are_acknowledged():
    place = AcknowledgingEnvironment(umi.Task(id="1", query="q", tools=(umi.ToolSpec(name="f"),)))
    assert asyncio.run(place.execute(umi.Call(name="f", arguments="{"))).content == '{"status": "done"}'
    assert asyncio.run(place.execute(umi.Call(name="g", arguments="{}"))).status is umi.ToolStatus.UNKNOWN_TOOL


def test_a_run_is_checked_by_the_other_environment_and_counted_by_category(tmp_path, monkeypatch):
    stand_in(tmp_path)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    calls = {
        "multiple_0": umi.Call(name="math.area", arguments='{"base": 3}'),
        "multiple_1": umi.Call(name="other", arguments="{}"),
        "multiple_2": umi.Call(name="math.area", arguments='{"base": '),
        "irrelevance_0": umi.Answer(text="No tool fits."),
        "irrelevance_1": umi.Call(name="math.area", arguments="{}"),
        "multiple_9": umi.Answer(text="?"),
        "simple_java_0": umi.Call(name="math.area", arguments='{"base": "3L"}'),
        "mine": umi.Answer(text="not of BFCL"),
    }
    tried = [umi.Trajectory(task=umi.Task(id=id_, query="q"), turns=(turn,)) for id_, turn in calls.items()]
    failed = umi.Trajectory(task=umi.Task(id="irrelevance_1", query="q"), turns=(umi.User(text="q"),))
    write_trajectories(tmp_path / "failed.jsonl", [failed])
    report = umi.evaluate.bfcl(tmp_path / "failed.jsonl", tmp_path / "s.json", python=Path(sys.executable))
    assert report.to_json()["wrong"] == {"irrelevance_1": "no reply"}
    write_trajectories(tmp_path / "run.jsonl", tried)
    report = umi.evaluate.bfcl(tmp_path / "run.jsonl", tmp_path / "s.json", python=Path(sys.executable))
    assert {name: (report.accuracy(name).value, report.accuracy(name).count) for name in report.categories} == {
        "simple_java": (1.0, 1), "multiple": (0.25, 4), "irrelevance": (0.5, 2),
    }  # fmt: skip
    assert report.to_json()["wrong"] == {
        "multiple_1": "wrong_name",
        "multiple_2": "arguments that are no JSON",
        "multiple_9": "bfcl-eval has no such question",
        "irrelevance_1": "a call where no tool fits",
    }
    lines = (tmp_path / "BFCL_v4_irrelevance_result.json").read_text().splitlines()
    assert [json.loads(line)["result"] for line in lines] == ["No tool fits.", [{"math.area": "{}"}]]
    assert "80.0" in (tmp_path / "s.md").read_text()


def test_an_environment_without_bfcl_says_what_to_install(tmp_path):
    write_trajectories(tmp_path / "run.jsonl", [umi.Trajectory(task=umi.Task(id="multiple_0", query="q"), turns=())])
    with pytest.raises(umi.ConfigError, match="No module named 'bfcl_eval'; there: pip install --no-deps bfcl-eval"):
        umi.evaluate.bfcl(tmp_path / "run.jsonl", tmp_path / "s.json", python=Path(sys.executable))
    with pytest.raises(umi.ConfigError, match="cannot be run"):
        umi.evaluate.bfcl(tmp_path / "run.jsonl", tmp_path / "s.json", python=tmp_path / "python")
    write_trajectories(tmp_path / "none.jsonl", [umi.Trajectory(task=umi.Task(id="x", query="q"), turns=())])
    with pytest.raises(umi.DataError, match="none of its tasks is a question of BFCL"):
        umi.evaluate.bfcl(tmp_path / "none.jsonl", tmp_path / "s.json", python=Path(sys.executable))
