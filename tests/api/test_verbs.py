"""Verbs from Python: the arguments of the command line, and results as JSON."""

import asyncio
import json

import pytest

import alpha_umi as umi
from alpha_umi.store import write_trajectories
from alpha_umi.world import World
from support.commands import run_here


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    """Tasks of the tiny world, rolled out by the oracle."""
    folder = tmp_path_factory.mktemp("home")
    world = World("tiny")
    write_trajectories(folder / "tasks.jsonl", [world.gold(world.task("test", index)) for index in range(3)])
    umi.rollout(folder / "tasks.jsonl", folder / "run", "world", agent="oracle")
    return folder


def test_a_rollout_is_counted_by_set_and_all(home, tmp_path):
    seen = []
    done = umi.rollout(
        str(home / "tasks.jsonl"), str(tmp_path / "run"), "world", agent="oracle", limit=2, on_progress=seen.append
    )
    told = done.to_json()
    assert (told["tasks"], told["all"]["passed"], told["sets"]["tasks"]["answered"]) == (2, 2, 2)
    assert json.loads(json.dumps(told)) == told
    assert seen


def test_a_rollout_works_inside_a_running_loop(home, tmp_path):
    async def notebook():
        return umi.rollout(home / "tasks.jsonl", tmp_path / "run", "world", agent="oracle", limit=1).all.passed

    assert asyncio.run(notebook()) == 1


def test_rollouts_are_converted_and_judged_and_reported(home, tmp_path):
    converted = umi.judge.convert(home / "run", tmp_path / "answers")
    assert {path.name: count for path, count in converted.files.items()} == {"tasks.json": 3}
    run = umi.judge("pass", tmp_path / "answers", tmp_path / "passes", world=True, name="oracle")
    [row] = run.rates
    assert (row["system"], row["set"], row["pass rate"]["value"]) == ("oracle", "tasks", 1.0)
    assert run.to_json()["out"] == str(tmp_path / "passes")
    assert umi.judge.report([tmp_path / "passes"]).document["Pass rate"] == [row]


def test_rollouts_become_training_trajectories(home, tmp_path):
    done = umi.prepare("rollouts", [home / "run"], tmp_path / "train.jsonl")
    assert (done.read, done.kept) == (3, 3)
    assert umi.prepare.mask([tmp_path / "train.jsonl"], tmp_path / "masked.jsonl", share=1.0).kept == 3


def test_a_run_is_planned_without_training(home, tmp_path):
    overrides = [f"data.train={home / 'tasks.jsonl'}", f"out={tmp_path / 'run'}"]
    plan = umi.train("tiny", overrides, plan=True, device_memory=8, rate=1000.0)
    assert plan.estimate.seconds > 0
    assert next(stage.step.name for stage in plan.estimate.stages) == "backbone"
    assert "backbone" in str(plan)
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: umi.rollout("t.jsonl", "run", "world", limit="many"), "rollout: limit is 'many', but must be a whole"),
        (lambda: umi.rollout("t.jsonl", "run"), "Name an environment by --env"),
        (lambda: umi.rollout("t.jsonl", "run", "world", agnet="oracle"), "'agnet'; did you mean 'agent'"),
        (lambda: umi.rollout("t.jsonl", "run", "world"), "name an agent by --agent"),
        (lambda: umi.predict("umi-tiny", 3, "out.json"), "predict: data is 3, but must be a path"),
        (lambda: umi.predict("oracle", "t.jsonl", "out.json"), "'oracle' is code; a prediction needs"),
        (lambda: umi.train("tiny", sample=3), "sample would change nothing; add plan=True"),
        (lambda: umi.train("tiny", plan=True, mfu=2), "mfu is 2, but must be at most 1"),
        (lambda: umi.train(3), "train: config is 3, but must be text or a path"),
        (lambda: umi.train("tiny", "a.b=c"), "overrides is 'a.b=c', but must be a list"),
        (lambda: umi.judge("pas"), "no verb 'pas'; did you mean 'pass'"),
        (lambda: umi.judge("pass", "a", "b", votes=0), "votes is 0, but must be at least 1"),
        (lambda: umi.judge.win("a", "b", "c", compat="other"), "compat is 'other', but must be one of 'alpha-umi'"),
        (lambda: umi.prepare("mask", ["t.jsonl"], "o.jsonl", share=2), "share is 2, but must be at most 1"),
        (lambda: umi.prepare.toolbench("answers", "out.jsonl", compat=True), "compat is True"),
        (lambda: umi.evaluate.static("p.json", "o.json", shape="round"), "shape is 'round', but must be one of"),
        (lambda: umi.retrieve("weather", k=0, tools="t"), "k is 0, but must be at least 1"),
    ],
)
def test_wrong_arguments_are_config_errors_in_words(call, words):
    with pytest.raises(umi.ConfigError, match=words):
        call()


# --- the command line's JSON ------------------------------------------------------------------------------


def printed(ended, code=0):
    assert ended.code == code, ended.err
    [line] = ended.out.splitlines()
    return json.loads(line)


def test_rollout_and_judge_print_one_json_object(home, tmp_path):
    queries = home / "tasks.jsonl"
    told = printed(
        run_here(
            "rollout", "--queries", queries, "--out", tmp_path / "run", "--env", "world", "--agent", "oracle", "--json"
        )
    )
    assert (told["out"], told["all"]["passed"]) == (str(tmp_path / "run"), 3)
    told = printed(run_here("judge", "convert", tmp_path / "run", "--out", tmp_path / "answers", "--json"))
    assert told["files"] == {str(tmp_path / "answers" / "tasks.json"): 3}
    for name in ("one", "two"):
        passes = ("judge", "pass", tmp_path / "answers", "--out", tmp_path / name, "--world", "--name", name, "--json")
        assert printed(run_here(*passes))["rates"][0]["pass rate"]["value"] == 1.0
    win = ("judge", "win", tmp_path / "one", tmp_path / "two", "--out", tmp_path / "win", "--world", "--json")
    assert printed(run_here(*win))["rates"][0]["tie"]["value"] == 1.0
    assert "Pass rate" in printed(run_here("judge", "report", tmp_path / "one", "--json"))


def test_predictions_retrieval_and_their_scores_print_one_json_object(home, tmp_path):
    world = run_here("world", "write", "--out", tmp_path / "w", "--preset", "small", "--set", "G1_tool", "--count", "2")
    assert world.code == 0, world.err
    told = printed(run_here("retrieve", "weather in Graz", "--tools", tmp_path / "w" / "tools", "--k", "2", "--json"))
    assert len(told["hits"]) == 2
    queries = tmp_path / "w" / "queries" / "G1_tool.json"
    assert printed(run_here("evaluate", "retrieval", "--queries", queries, "--json"))["apis"] > 0
    steps = [{"tools": [], "reference": "a</s>", "predictions": "a</s>"}]
    (tmp_path / "steps.json").write_text(json.dumps(steps))
    score = ("evaluate", "static", tmp_path / "steps.json", "--out", tmp_path / "scores.json", "--json")
    assert printed(run_here(*score)) == json.loads((tmp_path / "scores.json").read_text())
