"""The verifier in single cases: how values are read, what takes an answer back, what supports giving up."""

import asyncio
import dataclasses
import json
from decimal import Decimal

import pytest

from alpha_umi.environments.world import WorldEnvironment
from alpha_umi.errors import DataError
from alpha_umi.search import Tree, explore
from alpha_umi.store import decode_task, dump_line, encode_task
from alpha_umi.types import Observation, User
from alpha_umi.world import Perturbation, Split, World
from alpha_umi.world.oracle_agent import OracleAgent
from alpha_umi.world.reading import Quantity, is_hedged, is_retraction, normalize, sentences
from alpha_umi.world.table.names import load_ordinary_names, load_proper_names
from alpha_umi.world.tiny.names import TERMS
from alpha_umi.world.verifier import judge, judge_answer
from support.table_tasks import NAMES_OF_PRESETS, WORLDS, catalogue, problems

READER = catalogue("full").reader


def read(text):
    return list(READER.quantities(normalize(text)))


def quantity(value, unit=""):
    return Quantity(value=Decimal(value), unit=unit)


# --- quantities and times ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "text",
    ["-7 C", "minus 7 C", "Minus 7 °C", "negative 7 degrees C", "7 C below zero", "7 degrees Celsius below 0.",
     "It is - 7 C", "Oslo: - 7 C", "–7 C", "\u22127 C", "**-7** C", "**minus 7 C**"],
)  # fmt: skip
def test_a_sign_is_a_sign_however_it_is_written(text):
    assert read(text) == [quantity(-7, "C")]


@pytest.mark.parametrize(
    "text",
    ["7 C", "+7 C", "7 C above zero", "**7** C", "__7__ C", "`7 C`", "7-C", "- 7 C", "Here:\n- 7 C", "is—7 C",
     "the Oslo weather – 7 C", "only 7 C", "just 7 C", "exactly 7 C"],
)  # fmt: skip
def test_marks_and_dashes_that_are_no_sign_change_nothing(text):
    assert read(text) == [quantity(7, "C")]


@pytest.mark.parametrize(
    "text",
    ["less than 43 minutes", "more than the 43 minutes", "at least 43 minutes", "about 43 minutes", "almost 43 minutes",
     "approximately 43 minutes", "approx. 43 minutes", "twice 43 minutes", "half of 43 minutes", "half the 43 minutes",
     "no 43 minutes", "~43 minutes", "up to **43** minutes", "43 minutes or more", "43 minutes at most", "43+ minutes",
     "43 minutes (approximately)", "nearly EUR 43", "above €43", "43 thousand USD", "about 43"],
)  # fmt: skip
def test_words_beside_a_number_that_make_it_another(text):
    [found] = read(text)
    assert found.value == 43
    assert found.qualifier


@pytest.mark.parametrize("text", ["number 3", "no 3", "No. 3", "rank 3", "3, or so they say"])
def test_a_number_without_unit_may_be_called_a_number(text):
    assert read(text)[0] == quantity(3)


@pytest.mark.parametrize(
    ("text", "time"),
    [
        ("05:45", "05:45"), ("5:45", "05:45"), ("5:45 am", "05:45"), ("5.45 a.m.", "05:45"), ("05:45 pm", "17:45"),
        ("8:10 pm", "20:10"), ("8.10 P.M.", "20:10"), ("20:10 pm", "20:10"), ("8:10 in the evening", "20:10"),
        ("8:10 at night", "20:10"), ("2:10 at night", "02:10"), ("8 pm", "20:00"), ("12:10 am", "00:10"),
        ("12:10 pm", "12:10"), ("12:10 at night", "00:10"), ("**8:10** pm", "20:10"),
    ],
)  # fmt: skip
def test_times_are_read_by_the_clock_of_24_hours(text, time):
    assert READER.terms(normalize(f"It leaves at {text}.")) == {time}
    assert read(text) == []


@pytest.mark.parametrize(
    "text", ["20:10 am", "0:10 pm", "about 20:10", "before 20:10", "after 20:10", "20:10 or later"]
)
def test_what_is_no_time_or_not_that_one_is_none(text):
    assert READER.terms(normalize(text)).isdisjoint({"20:10", "00:10"})


def test_reading_plain_text_again_changes_nothing():
    for made in problems("full", 20):
        for text in (made.task.query, made.kind.answer, "20:10 am, minus 7 C, 5:45 pm, 7 C below 0"):
            assert normalize(normalize(text)) == normalize(text)


# --- what an answer says of itself ------------------------------------------------------------------------


def asking(need, value):
    """A problem that owes one value of a need, and what that need gives."""
    for made in problems("full", 150):
        last = made.kind.steps[-1]
        if (
            made.solvable
            and last.need == need
            and [part.value for part in made.kind.answer_parts] == [last.keep[value]]
        ):
            return made, made.solution().outputs[-1]
    raise AssertionError(f"no task asks for {value} of {need}")


@pytest.fixture(scope="module")
def wind():
    made, known = asking("wind", "speed")
    assert judge_answer(made, f"The wind is {known['speed']} km/h.") == []
    return made, f"{known['speed']} km/h"


@pytest.mark.parametrize(
    "words",
    ["It is false that the wind is {x}.", "The wind is {x}. That is wrong.", "None of this is true: it is {x}.",
     "No. It is {x}.",
     "No, it is {x}.", "Hardly: {x}.", "I doubt that it is {x}.", "I am unsure, but it is {x}.", "Probably {x}.",
     "I guess: {x}.", "The wind is not {x}.", "It isn't {x}.", "It is not\n{x}", "The following is not true:\n- {x}",
     "It is {x}. I am not sure.", "It is {x}. I made no call, so I do not know.", "It is {x}. It is only a guess.",
     "It is {x}. I doubt it.", "It is {x}. Or maybe not.", "It is {x}. Well, it isn't.", "It is {x}. Perhaps.",
     "It is {x}, if I am not wrong.", "Dr. No says it is {x}. This is a lie.", "It may be {x}.", "I think it is {x}."],
)  # fmt: skip
def test_what_denies_or_doubts_its_values_is_no_answer(wind, words):
    made, value = wind
    assert judge_answer(made, words.format(x=value))


@pytest.mark.parametrize(
    "words",
    ["The wind is {x}. Do not hesitate to ask.", "It is {x}! Perhaps this helps.", "It is {x}.\nNever mind the rain.",
     "{x} (no doubt). Don't forget your coat!", "It is {x}. If anything is wrong, tell me.", "It is {x}. No problem!",
     "It is {x}. Not sure what else to ask?", "It is {x}. Let me know if this is not what you wanted.",
     "**{x}**\n\nMaybe you would like to know more.", "Without doubt it is {x}."],
)  # fmt: skip
def test_polite_words_do_no_harm(wind, words):
    made, value = wind
    assert judge_answer(made, words.format(x=value)) == []


@pytest.mark.parametrize("names", [*load_proper_names().values(), *load_ordinary_names().values(), *TERMS.values()])
def test_no_name_of_the_world_bends_or_denies(names):
    for name in names:
        assert read(f"{name} 43 minutes, {name}") == [quantity(43, "minutes")]
        assert not is_hedged(name)
        assert not is_retraction(name)
        assert list(sentences(f"It is {name} today.")) == [f"It is {name} today."]
        assert normalize(name) == name


# --- what counts as told ----------------------------------------------------------------------------------


@pytest.mark.parametrize("preset", NAMES_OF_PRESETS)
def test_the_query_alone_is_no_answer(preset):
    for made in [made for made in problems(preset, 50) if made.solvable]:
        for echo in (made.task.query, f"You asked: {made.task.query}", f"{made.task.query} {made.task.query.upper()}"):
            assert judge_answer(made, echo), made.task.query


def test_a_number_of_a_reply_has_only_the_unit_that_it_is_told_with():
    made, known = asking("visa", "days")
    days, fee, currency = known["days"], known["fee"], known["currency"]
    text = f"A visa takes {days} days."
    assert judge_answer(made, f"{text} It costs {fee} {currency}.") == []
    assert judge_answer(made, f"{text} It costs {days} {currency}.")
    assert judge_answer(made, f"{text} It costs {fee} days.")


# --- giving up --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("preset", NAMES_OF_PRESETS)
def test_a_malformed_call_or_another_name_does_not_show_that_a_name_is_unknown(preset):
    unknown = [made for made in problems(preset, 150) if made.perturbation is Perturbation.UNKNOWN_ENTITY]
    assert unknown
    for made in unknown:
        gold = WORLDS[preset].gold(made.task)
        *before, call, _, end = gold.turns
        assert judge(made, gold).passed
        arguments = json.loads(call.arguments)
        for wrong in ({**arguments, "bogus": 1}, dict.fromkeys(arguments, "Nowhere")):
            other = dataclasses.replace(call, arguments=json.dumps(wrong))
            turns = (*before, other, made.execute(other), end)
            assert "is unknown" in made.execute(other).content or "must be" in made.execute(other).content
            verdict = judge(made, dataclasses.replace(gold, turns=turns))
            assert verdict.reasons == ("no call shows that a name is unknown",)


# --- the oracle as an agent -------------------------------------------------------------------------------


async def play(world, task):
    tree = Tree(task=task)
    async for node in explore(OracleAgent(), WorldEnvironment(world, task), task):
        tree.add(node)
    return tree.best


def test_the_oracle_makes_each_turn_once_also_where_its_gold_hears_a_hint():
    made = [made for made in problems("full", 400, ["train"]) if made.hinted or made.failed_branch]
    assert {each.hinted for each in made} == {True, False}
    for each in made:
        best = asyncio.run(play(WORLDS["full"], each.task))
        assert best.turns == tuple(
            turn for at, turn in enumerate(WORLDS["full"].gold(each.task).turns) if not (at and isinstance(turn, User))
        )
        assert judge(each, best).passed
        pairs = zip(best.turns, best.turns[1:], strict=False)
        assert not any(isinstance(one, Observation) and isinstance(other, Observation) for one, other in pairs)


# --- tasks that were changed ------------------------------------------------------------------------------


@pytest.mark.parametrize("preset", ["tiny", *NAMES_OF_PRESETS])
def test_a_task_with_other_tools_is_refused_and_one_from_a_file_is_not(preset):
    world = World(preset)
    for index in range(10):
        task = world.task(Split.TRAIN, index)
        read_back = decode_task(json.loads(dump_line(encode_task(task))))
        world.check(read_back)
        WorldEnvironment(world, read_back)
        one, *others = task.tools
        told = dataclasses.replace(one, description="does everything")
        for tools in (task.tools[:1], (), (*task.tools, one), (told, *others)):
            with pytest.raises(DataError, match=rf"{task.id}.*{one.name}"):
                WorldEnvironment(world, dataclasses.replace(task, tools=tools))


def test_an_environment_may_add_tools_to_those_of_the_world():
    """A rollout's task tells all that may be called; what was done with the world's is judged all the same."""
    world = WORLDS["small"]
    task = world.task(Split.TRAIN, 0)
    more = dataclasses.replace(task, tools=(*task.tools, dataclasses.replace(task.tools[0], name="calculator")))
    assert world.verify(more, world.gold(task)).passed
