"""Function masking: the same trajectory under invented names."""

import json
from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from alpha_umi.arguments import Fault, read_arguments
from alpha_umi.preparation.masking import collect_words, mask, mask_some
from alpha_umi.training.data.examples import count_targets
from alpha_umi.types import Answer, Call, Observation, Plan, Task, ToolSpec, Trajectory
from alpha_umi.world.random_streams import RandomStream
from support.table_tasks import WORLDS

SMALL = WORLDS["small"]


def gold(index):
    return SMALL.gold(SMALL.task("train", index))


@given(index=st.integers(0, 3000), seed=st.integers(0, 99))
def test_a_masked_trajectory_is_the_same_but_for_names(index, seed):
    plain = gold(index)
    masked = mask(plain, RandomStream(seed), WORDS)
    assert [type(turn) for turn in masked.turns] == [type(turn) for turn in plain.turns]
    assert count_targets(masked) == count_targets(plain)
    assert masked.task.query == plain.task.query
    specs = {tool.name: tool for tool in masked.task.tools}
    assert len(specs) == len(plain.task.tools)
    assert all(before.name != after.name for before, after in zip(plain.task.tools, masked.task.tools, strict=True))
    for before, after in zip(plain.turns, masked.turns, strict=True):
        if isinstance(before, Call):
            given_before = json.loads(before.arguments)
            given_after = read_arguments(specs[after.name], after.arguments)
            assert not isinstance(given_after, Fault)
            assert list(given_after.values()) == list(given_before.values())


WORDS = collect_words(gold(index) for index in range(100))


def test_thoughts_replies_and_errors_speak_of_the_new_names():
    tool = ToolSpec(
        name="find_city",
        description="Like find_city_2.",
        parameters={"type": "object", "properties": {"q": {"type": "string"}}, "required": ["q"], "optional": []},
    )
    turns = (
        Plan(thought="find_city it is, not find_city_2.", decision="call"),
        Call(name="find_city", arguments='{"q": "Rome", "x": 1}'),
        Observation(content="find_city: argument 'q' is unknown"),
        Answer(text="Asked find_city."),
    )
    masked = mask(Trajectory(task=Task(id="t", query="?", tools=(tool,)), turns=turns), RandomStream(1))
    name = masked.task.tools[0].name
    key = masked.task.tools[0].parameters["required"][0]
    assert (name, key) != ("find_city", "q")
    assert masked.task.tools[0].description == "Like find_city_2."
    assert [*masked.task.tools[0].parameters["properties"]] == [key]
    assert masked.turns[0].thought == f"{name} it is, not find_city_2."
    assert json.loads(masked.turns[1].arguments) == {key: "Rome", "x": 1}
    assert masked.turns[2].content == f"{name}: argument '{key}' is unknown"
    assert masked.turns[3].text == f"Asked {name}."


def test_names_are_made_of_words_of_other_tools_and_of_invented_ones():
    made = [mask(gold(index), RandomStream(index), WORDS) for index in range(60)]
    parts = {part for one in made for tool in one.task.tools for part in tool.name.split("_")} - {"for"}
    assert len(parts & set(WORDS)) > len(parts) / 4
    assert len(parts - set(WORDS)) > len(parts) / 4
    assert "for" not in WORDS
    assert "airport" in WORDS


def test_arguments_that_are_no_object_stay():
    plain = gold(0)
    broken = [replace(turn, arguments="{") if isinstance(turn, Call) else turn for turn in plain.turns]
    masked = mask(replace(plain, turns=tuple(broken)), RandomStream(0))
    assert {turn.arguments for turn in masked.turns if isinstance(turn, Call)} == {"{"}


def test_about_the_share_is_masked_and_always_the_same_ones():
    plain = [gold(index) for index in range(300)]
    once, again = [list(mask_some(plain, 0.3, seed)) for seed in (0, 0)]
    assert once == again
    assert 0.2 < sum(one != other for one, other in zip(once, plain, strict=True)) / 300 < 0.4
    assert list(mask_some(plain, 0)) == plain
    assert list(mask_some(plain, 1, WORDS)) != list(mask_some(plain, 1, WORDS, seed=1))
