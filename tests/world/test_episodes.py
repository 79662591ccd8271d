"""Episodes: one task of the sealed world, played by a program outside."""

import json

import pytest

from alpha_umi.episodes.episode import EMPTY, ENDED, Ending, Episode
from alpha_umi.errors import ConfigError, DataError, explain_missing_library
from alpha_umi.types import Answer, Call, Decision, Plan, Task, ToolStatus, User
from alpha_umi.world import World


def gold_of(episode):
    """The gold trajectory as replies of a model, in the words of the interface."""
    world = World(episode.task.metadata["preset"])
    wired = {own: wire for wire, own in episode.names.items()}
    replies = []
    for turn in world.gold(episode.task).turns[len(world.history(episode.task)) :]:
        match turn:
            case Call():
                replies.append(("", [(wired[turn.name], json.loads(turn.arguments))]))
            case Plan(decision=Decision.GIVE_UP):
                replies.append(("", [("give_up", {})]))
            case Answer():
                replies.append((turn.text, []))
    return replies


@pytest.mark.parametrize("preset", ["tiny", "small", "functions"])
def test_gold_replies_pass_and_without_their_calls_they_do_not(preset):
    for index in range(12):
        replies = gold_of(Episode.open(preset, "train", index))
        assert Episode.open(preset, "train", index).replay(replies).verdict.passed
        calls = [reply for reply in replies if reply[1] and reply[1][0][0] != "give_up"]
        if calls:
            without = [reply for reply in replies if reply not in calls]
            assert not Episode.open(preset, "train", index).replay(without).verdict.passed


def test_arguments_are_the_same_as_an_object_and_as_text():
    episode = Episode.open("small", "train", 0)
    ((_, ((name, arguments),)), *_) = gold_of(episode)
    assert episode.call(name, arguments) == episode.call(name, json.dumps(arguments))
    assert episode.call(name, "no JSON").status is ToolStatus.BAD_ARGUMENTS


def test_a_task_ends_once():
    episode = Episode.open("small", "train", 0)
    assert episode.answer("  <think>It is 5.</think> ").content == EMPTY
    assert not episode.ended
    assert episode.call("give_up", {}).content == ENDED
    before = episode.trajectory
    assert episode.call(episode.tools[0].name, {}).content == ENDED
    assert episode.answer("It is 5.").content == ENDED
    assert episode.trajectory == before


def test_finish_answers_and_gives_up_where_an_interface_knows_calls_alone():
    index = next(at for at in range(9) if gold_of(Episode.open("small", "train", at))[-1][0])
    *calls, (text, _) = gold_of(Episode.open("small", "train", index))
    episode = Episode.open("small", "train", index, ending=Ending.FINISH)
    assert episode.tools[-1].name == "Finish"
    for _, ((name, arguments),) in calls:
        episode.call(name, arguments)
    episode.call("Finish", {"return_type": "give_answer", "final_answer": text})
    assert episode.verdict.passed
    given_up = Episode.open("small", "train", index, ending=Ending.FINISH)
    given_up.call("Finish", {"return_type": "give_up_and_restart"})
    assert given_up.ended
    assert not given_up.verdict.passed


def test_tools_have_names_that_function_calling_allows_and_are_called_by_them():
    episodes = [Episode.open("functions", "train", index) for index in range(40)]
    dotted = next(each for each in episodes if any("." in tool.name for tool in each.task.tools))
    own = next(tool.name for tool in dotted.task.tools if "." in tool.name)
    wire = next(wire for wire, name in dotted.names.items() if name == own)
    assert wire == own.replace(".", "_")
    assert dotted.call(own, {}).status is ToolStatus.UNKNOWN_TOOL
    assert dotted.call(wire, {}).status is not ToolStatus.UNKNOWN_TOOL
    assert wire in {tool["function"]["name"] for tool in dotted.request["tools"]}


def test_a_conversation_begins_with_the_exchanges_before():
    episode = next(each for at in range(60) if (each := Episode.open("functions", "train", at)).trajectory.turns[1:])
    assert [message["role"] for message in episode.request["messages"]].count("user") > 1
    assert episode.trajectory.turns[-1] == User(text=episode.task.query)


def test_faults_of_the_user_are_named():
    with pytest.raises(ConfigError, match="unknown world split"):
        Episode.open("small", "no_such", 0)
    with pytest.raises(DataError, match="no task of the sealed world"):
        Episode(Task(id="x", query="q"))
    with (
        pytest.raises(ConfigError, match="the taskset needs no_such_module: pip install verifiers"),
        explain_missing_library("verifiers", "the taskset"),
    ):
        import no_such_module  # noqa: F401
