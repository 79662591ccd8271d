"""Scores of rollouts of a sealed world's tasks by kind."""

from dataclasses import replace

import pytest

from alpha_umi.errors import DataError
from alpha_umi.jobs.world_scores import evaluate_world
from alpha_umi.rollouts.runner import ROLLOUTS, Rollout, encode_rollout
from alpha_umi.store import dump_line
from alpha_umi.types import Call, Task, Trajectory
from alpha_umi.world import World

COUNT = 40


@pytest.fixture(scope="module")
def golds():
    world = World("functions")
    return [world.gold(world.task("unseen_needs", index)) for index in range(COUNT)]


def scores_of(trajectories, folder):
    rollouts = [Rollout(set="s", trajectory=each, nodes=(), method="CoT@1") for each in trajectories]
    (folder / ROLLOUTS).write_text("".join(dump_line(encode_rollout(each)) for each in rollouts))
    return evaluate_world(folder)


def share(scores, name, kind="all"):
    return scores.rows()[kind][name].value


def with_calls(trajectory, change):
    turns = tuple(change(turn) if isinstance(turn, Call) else turn for turn in trajectory.turns)
    return replace(trajectory, turns=turns)


def test_gold_trajectories_score_full_marks_in_every_kind(golds, tmp_path):
    scores = scores_of(golds, tmp_path)
    kinds = {each.task.metadata["kind"] for each in golds}
    assert list(scores.rows()) == [*sorted(kinds), "all"]
    for row in scores.rows().values():
        assert row["right"].value == row["calls"].value == row["first_tool"].value == 1.0
    assert share(scores, "invented") == 0.0
    assert scores.to_markdown().count("\n") == len(kinds) + 2


def test_calls_of_a_tool_that_is_not_there_are_invented_names(golds, tmp_path):
    alone = [each for each in golds if each.task.metadata["kind"] == "single"]
    scores = scores_of([with_calls(each, lambda call: replace(call, name="nope")) for each in alone], tmp_path)
    assert share(scores, "invented") == 1.0
    assert share(scores, "right") == share(scores, "first_tool") == 0.0


def test_wrong_arguments_spoil_the_calls_and_not_the_tool(golds, tmp_path):
    alone = [each for each in golds if each.task.metadata["kind"] == "single"]
    scores = scores_of([with_calls(each, lambda call: replace(call, arguments='{"x": 1}')) for each in alone], tmp_path)
    assert share(scores, "first_tool") == 1.0
    assert share(scores, "calls") == share(scores, "right") == 0.0


def test_a_task_of_no_world_is_refused(tmp_path):
    with pytest.raises(DataError, match="of no sealed world"):
        scores_of([Trajectory(task=Task(id="t", query="q"), turns=())], tmp_path)


def test_calls_with_confidences_have_a_table_of_their_own(golds, tmp_path):
    sure = [with_calls(each, lambda call: replace(call, confidence=-0.1)) for each in golds]
    scores = scores_of(sure, tmp_path)
    called = sum(any(isinstance(turn, Call) for turn in each.turns) for each in golds)
    assert len(scores.reliability.pairs) == called
    assert "| at least 0.9 " in scores.to_markdown()
    assert scores.to_json()["reliability"]["bins"][0][:3] == [pytest.approx(0.9048, abs=1e-4)] * 2 + [1.0]
    assert "reliability" not in scores_of(golds, tmp_path).to_json()
