"""What is learned from data prepared as published is what the published role files hold."""

from dataclasses import replace
from itertools import islice

import pytest

from alpha_umi.config.study import StudyWorldConfig
from alpha_umi.datasets.reference import published_examples
from alpha_umi.datasets.toolbench import HALLUCINATED, Skip
from alpha_umi.formats.shared import SharedFormat
from alpha_umi.preparation.answers import AnswerOptions, prepare_answers
from alpha_umi.preparation.reference_targets import prepare_published, published_targets
from alpha_umi.preparation.world_files import Choice, write_gold
from alpha_umi.roles import FORMAT_ROLES, LEARN
from alpha_umi.store import read_trajectories
from alpha_umi.study.changes import changing
from alpha_umi.training.data.examples import count_targets, make_examples
from alpha_umi.types import Answer, Call, Decision, Observation, Plan, Role, Task, ToolSpec, Trajectory, User
from alpha_umi.world import World

FORMAT = SharedFormat()


@pytest.fixture(scope="module")
def raw(tmp_path_factory):
    """Raw answers of 80 tasks, a third of which hold a call of a tool that is not there."""
    folder = tmp_path_factory.mktemp("raw")
    change = changing(StudyWorldConfig(preset="tiny", train=80, hallucinated=0.35))
    return write_gold(folder, Choice(split="train", count=80), change).answers


@pytest.fixture(scope="module")
def learned(raw):
    """What is learned, and the same answers prepared as published, for the role files."""
    out, plain = raw.parent / "published.jsonl", raw.parent / "plain.jsonl"
    prepare_published(raw, out)
    prepare_answers(raw, plain, AnswerOptions(compat=True))
    assert not list(raw.parent.glob(".*"))
    return list(read_trajectories(out)), list(read_trajectories(plain))


def targets_of_formats(trajectory):
    return {role: count for role, count in count_targets(trajectory).items() if role in FORMAT_ROLES}


def examples(trajectories, role):
    return [row for each in trajectories for row in make_examples(each, role, FORMAT).rows]


def role_file(plain, role):
    return [row for row in published_examples(plain, role, FORMAT) if not isinstance(row, Skip)]


def test_the_backbone_learns_the_rows_of_its_role_file(learned):
    """Prompts and completions: its give-ups behind the wrong prompts, and the calls of tools that are not there."""
    rows = sorted((row["input"], row["target"]) for row in role_file(learned[1], Role.BACKBONE))
    assert sorted((row.prompt, row.completion) for row in examples(learned[0], Role.BACKBONE)) == rows
    assert sum(HALLUCINATED in target for _, target in rows) > 5


@pytest.mark.parametrize("role", [Role.PLANNER, Role.SUMMARIZER])
def test_the_others_learn_behind_the_prompts_of_their_role_files(learned, role):
    prompts = [row["input"] for row in role_file(learned[1], role)]
    assert [row.prompt for row in examples(learned[0], role)] == prompts


def test_the_caller_learns_the_calls_of_its_role_file(learned):
    """Its history there lacks the calls that are left out, which no trajectory can say."""
    calls = examples(learned[0], Role.CALLER)
    assert len(calls) == len(role_file(learned[1], Role.CALLER))
    assert not any(HALLUCINATED in row.completion for row in calls)


def test_what_we_prepare_pairs_give_ups_with_their_own_prompts_and_no_role_learns_such_calls(raw, learned):
    prepare_answers(raw, raw.parent / "ours.jsonl")
    ours = list(read_trajectories(raw.parent / "ours.jsonl"))
    mine, theirs = (
        {(row.prompt, row.completion) for row in examples(one, Role.BACKBONE)} for one in (ours, learned[0])
    )
    gave_up = [prompt for prompt, said in mine if "give up" in said.lower() and prompt not in dict(theirs)]
    assert gave_up
    assert not any(HALLUCINATED in said for _, said in mine)


def test_counts_are_those_of_the_examples(learned):
    for trajectory in learned[0]:
        counted = count_targets(trajectory)
        assert counted == {role: len(make_examples(trajectory, role, FORMAT).rows) for role in Role}


def test_a_give_up_before_any_prompt_is_left_out_of_the_backbone():
    tool = ToolSpec(name="find")
    alone = Trajectory(
        task=Task(id="a", query="q", tools=(tool,)),
        turns=(User(text="q"), Plan(thought="no", decision=Decision.GIVE_UP)),
    )
    [kept] = published_targets([alone])
    assert targets_of_formats(kept) == {Role.PLANNER: 1, Role.CALLER: 0, Role.SUMMARIZER: 0, Role.BACKBONE: 0}
    called = replace(
        alone,
        turns=(
            User(text="q"),
            Plan(thought="go", decision=Decision.CALL),
            Call(name="find", arguments="{}"),
            Observation(content="x"),
            Plan(thought="done", decision=Decision.CONCLUDE),
            Answer(text="x"),
        ),
    )
    assert [count_targets(one)[Role.BACKBONE] for one in published_targets([called, alone])] == [2, 0, 1]


@pytest.mark.parametrize("said", [{"planner": [99, -1, "x", 0]}, {"planner": 3}, {}, {"planner": [2]}])
def test_a_trajectory_that_names_no_step_there_is_nothing_to_learn_from(learned, said):
    trajectory = next(one for one in learned[0] if count_targets(one)[Role.PLANNER])
    task = replace(trajectory.task, metadata={LEARN: said})
    assert count_targets(replace(trajectory, task=task))[Role.PLANNER] == 0


def test_a_hallucination_stands_before_the_first_call_and_is_the_same_every_time():
    world = World("small")
    change = changing(StudyWorldConfig(preset="small", train=20, seed=0, hallucinated=1.0))
    for place in range(20):
        gold = world.gold(world.task("train", place))
        changed = change(place, gold)
        assert changed == change(place, gold)
        calls = [turn for turn in gold.turns if isinstance(turn, Call)]
        if not calls:
            assert changed == gold
            continue
        first, *others = (turn for turn in changed.turns if isinstance(turn, Call))
        assert (first.name, others) == (HALLUCINATED, calls)
        at = changed.turns.index(first)
        assert changed.turns[at + 2 :] == gold.turns[at - 1 :]
        assert all(calls[0].name not in turn.thought for turn in islice(changed.turns, at - 1, at))


def test_masked_trajectories_are_masked_before_anything_is_hallucinated():
    world = World("small")
    change = changing(StudyWorldConfig(preset="small", train=20, masked=0.5, hallucinated=0.5))
    changed = [change(place, world.gold(world.task("train", place))) for place in range(40)]
    masked = [one for one in changed if "masked" in one.task.metadata]
    assert 10 < len(masked) < 30
    for one in changed:
        offered = {tool.name for tool in one.task.tools}
        assert {turn.name for turn in one.turns if isinstance(turn, Call)} <= {*offered, HALLUCINATED}
