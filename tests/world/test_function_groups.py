"""Groups of tasks that share their tools."""

from collections import Counter

import pytest

from alpha_umi.errors import ConfigError
from alpha_umi.preparation.world_files import Choice, write_shared
from alpha_umi.store import read_trajectories
from alpha_umi.training.data.examples import count_targets
from alpha_umi.types import Answer, Call, Role
from alpha_umi.world.functions.groups import group, is_plain, write_groups
from alpha_umi.world.functions.library import might_serve
from alpha_umi.world.functions.oracle import write_gold
from alpha_umi.world.functions.problems import End
from alpha_umi.world.functions.tasks import draw_problem
from alpha_umi.world.functions.verifier import judge
from alpha_umi.world.random_streams import RandomStream

PROBLEMS = [draw_problem(0, "train", index) for index in range(150)]
WRITTEN = [*write_groups(0, "train", 0, 150)]
CHOICES = [one for members in WRITTEN for one in members if one.task.metadata["kind"] == "choice"]
SOLVED = [one for members in WRITTEN for one in members if one.task.metadata["kind"] != "choice"]


def test_every_problem_is_in_one_group_and_most_groups_have_several():
    groups = [*group(RandomStream("test"), PROBLEMS)]
    assert Counter(one.task.id for members in groups for one in members) == Counter(one.task.id for one in PROBLEMS)
    assert sum(len(members) for members in groups if len(members) > 1) > 75
    written = [one.task.id for one in SOLVED]
    assert len(written) == len({*written})
    assert {*written} <= {one.task.id for one in PROBLEMS}


def test_most_requests_share_words_with_their_tools_and_all_that_ask_or_decline_are_kept():
    written = {one.task.id for one in SOLVED}
    plain = {one.task.id for one in PROBLEMS if is_plain(one)}
    others = {one.task.id for one in PROBLEMS} - plain
    assert plain <= written
    assert 0 < len(others & written) < len(others) / 2
    assert {one.task.id for one in PROBLEMS if not any(each.steps for each in one.exchanges)} <= plain


def test_the_tools_of_a_group_are_the_same_and_every_call_is_of_one_of_them():
    for members in WRITTEN:
        assert len({tuple(tool.name for tool in one.task.tools) for one in members}) == 1
        assert len({one.task.metadata["group"] for one in members}) == 1
        names = {tool.name for tool in members[0].task.tools}
        assert all(turn.name in names for one in members for turn in one.turns if isinstance(turn, Call))


def test_no_tool_of_another_request_serves_one_that_asks_or_declines():
    for members in group(RandomStream("test"), PROBLEMS):
        for one in members:
            beside = [tool for other in members if other is not one for tool in other.tools.values()]
            wanted = [each.wanted for each in one.exchanges if each.end is End.DECLINE and each.wanted is not None]
            assert not any(might_serve(tool.need, need) for need in wanted for tool in beside if tool.need is not need)
            assert not any(tool.need is need for need in wanted for tool in beside)


def test_a_gold_trajectory_is_still_right_among_the_tools_of_the_others():
    from alpha_umi.world.functions.groups import _sharing

    for number, members in enumerate(group(RandomStream("test"), PROBLEMS[:60])):
        for problem in _sharing(RandomStream("order"), members, str(number)):
            assert judge(problem, write_gold(problem)).passed, problem.task.id


def test_most_trajectories_of_one_call_end_at_it_and_few_of_several():
    def ends(kinds):
        found = [one for one in SOLVED if one.task.metadata["kind"] in kinds]
        return sum(isinstance(one.turns[-1], Call) for one in found) / len(found)

    assert 0.5 < ends({"single", "choose"}) < 0.8
    assert 0.15 < ends({"parallel", "joined", "chain"}) < 0.5
    assert ends({"turns", "succession", "none", "ask"}) == 0


def test_of_a_choice_the_plan_alone_is_learned_and_it_names_the_tool_that_is_called():
    assert len(CHOICES) > 2 * len(SOLVED)
    assert len({one.task.id for one in CHOICES}) == len(CHOICES)
    for one in CHOICES:
        user, plan, last = one.turns
        assert user.text == one.task.query
        assert count_targets(one) | {Role.PLANNER: 1} == dict.fromkeys(Role, 0) | {Role.PLANNER: 1}
        assert not isinstance(last, Call) or plan.thought.startswith(f"{last.name} fits")


def test_choices_are_calls_and_declines_and_questions():
    ends = Counter(type(one.turns[-1]) for one in CHOICES)
    assert 0.7 < ends[Call] / len(CHOICES) < 0.9
    asked = [one for one in CHOICES if "is missing" in one.turns[1].thought]
    declined = [one for one in CHOICES if one.turns[1].thought.startswith("No tool does this")]
    assert asked
    assert 0.1 < len(declined) / len(CHOICES) < 0.25
    assert len(asked) + len(declined) == ends[Answer]


def test_they_are_written_in_order_and_another_world_is_refused(tmp_path):
    path, written = write_shared(tmp_path, Choice(split="train", count=30, preset="functions"))
    groups = [one.task.metadata["group"] for one in read_trajectories(path)]
    assert len(groups) == written
    assert len([at for at in range(written) if at == 0 or groups[at] != groups[at - 1]]) == len(set(groups))
    with pytest.raises(ConfigError, match="--preset functions"):
        write_shared(tmp_path, Choice(split="train", count=1, preset="tiny"))
