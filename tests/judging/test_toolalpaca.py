"""ToolAlpaca: calls of a run against golden ones, with their placeholders and what cannot be compared."""

import json

import pytest

import alpha_umi as umi
from alpha_umi.evaluation.toolalpaca import check_golds
from alpha_umi.store import read_trajectories, write_trajectories
from support.commands import run_here

TOOLS = (umi.ToolSpec(name="find"), umi.ToolSpec(name="book"))


def tried(*calls, id_="1"):
    turns = tuple(umi.Call(name=name, arguments=text) for name, text in calls)
    return umi.Trajectory(task=umi.Task(id=id_, query="q", tools=TOOLS), turns=(umi.User(text="q"), *turns))


def verdict(gold, *made):
    check = check_golds(tried(*made), tried(*gold))
    return check.tools, check.calls


@pytest.mark.parametrize(
    ("gold", "made", "right"),
    [
        ('{"a": 1, "b": ""}', '{"a": "1"}', True),
        ('{"a": "New  York"}', '{"a": "new york"}', True),
        ('{"a": 1}', '{"a": 1.0, "b": null}', True),
        ('{"a": 1}', '{"a": 1, "b": 2}', False),
        ('{"a": 1}', '{"a": 2}', False),
        ('{"a": "${id from find}"}', '{"a": 17}', True),
        ('{"a": "${id from find}"}', '{"a": ""}', False),
        ('{"a": "x-${n}.(z)"}', '{"a": "x-9.(z)"}', True),
        ('{"a": "x-${n}.(z)"}', '{"a": "x-9_(z)"}', False),
        ('{"a": {"b": [1, 2]}}', '{"a": {"b": [1, "2"]}}', True),
        ('{"a": [1, 2]}', '{"a": [1]}', False),
        ('{"a": true}', '{"a": "True"}', True),
        ('{"a": 1}', '{"a": [1]}', False),
        ("no JSON", '{"a": 3}', True),
        ('{"a": 1}', "no JSON", False),
    ],
)
def test_arguments_are_those_of_the_gold_as_far_as_it_is_exact(gold, made, right):
    assert verdict([("find", gold)], ("find", made)) == (True, right)


def test_golden_calls_count_in_their_order_with_others_between_them():
    gold = [("find", "{}"), ("book", '{"id": 1}')]
    assert verdict(gold, ("find", "{}"), ("find", '{"x": 1}'), ("book", '{"id": 1}')) == (True, True)
    assert verdict(gold, ("book", '{"id": 1}'), ("find", "{}")) == (False, False)
    assert verdict(gold, ("find", "{}"), ("book", '{"id": 2}')) == (True, False)
    assert verdict(gold) == (False, False)
    idle = check_golds(None, tried(*gold))
    assert (idle.tools, idle.calls, idle.answered) == (False, False, False)
    odd = check_golds(None, tried(("fly", "{}"), ("book", "{'a"), ("book", '{"a": "${b}"}')))
    assert odd.open == {"no such action", "no JSON", "placeholder"}


def test_a_run_is_scored_over_all_tasks_of_a_file(tmp_path):
    api = {
        "Name": "Trips",
        "NLDocumentation": "",
        "Function_Description": {"find": "Find.\nParameters: {}", "book": "Book.\nParameters: {}"},
        "Instructions": ["Find one.", "Book it.", "Fly."],
        "Golden_Answers": [
            [{"Action": "find", "Action_Input": "{}"}],
            [{"Action": "find", "Action_Input": "{}"}, {"Action": "book", "Action_Input": '{"id": "${id from find}"}'}],
            [{"Action": "fly", "Action_Input": "{}"}],
        ],
    }
    (tmp_path / "eval.json").write_text(json.dumps([api]))
    umi.prepare.toolalpaca([tmp_path / "eval.json"], tmp_path / "tasks.jsonl")
    golds = list(read_trajectories(tmp_path / "tasks.jsonl"))
    assert len(golds) == 3
    write_trajectories(tmp_path / "run.jsonl", golds[:1])
    command = ["evaluate", "toolalpaca", "run.jsonl", "--gold", "eval.json", "--out", "s.json", "--json"]
    found = json.loads(run_here(*command, cwd=tmp_path).out)["sets"]["eval"]
    assert found["figures"]["right calls"]["value"] == 0.5
    exact = found["figures"]["right calls, exact golds"]
    assert (exact["value"], exact["count"]) == (1.0, 1)
    assert found["open"] == {"placeholder": 1, "no such action": 1}
    assert "alpha-UMi 7B" in (tmp_path / "s.md").read_text()
    write_trajectories(tmp_path / "other.jsonl", [tried()])
    done = run_here("evaluate", "toolalpaca", "other.jsonl", "--gold", "eval.json", "--out", "s.json", cwd=tmp_path)
    assert done.code == 3
    assert "none of its tasks is one of eval.json" in done.err
