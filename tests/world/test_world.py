"""The world keeps its promises: everything is reproducible, gold passes, wrong answers do not."""

import dataclasses
import hashlib
import json
import re
from collections import Counter
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from alpha_umi.errors import ConfigError, DataError
from alpha_umi.formats.documents import read_document, write_document
from alpha_umi.store import decode_trajectory, dump_line, encode_trajectory
from alpha_umi.types import (
    Answer,
    Call,
    Decision,
    Observation,
    Plan,
    StopReason,
    ToolStatus,
    Trajectory,
    User,
)
from alpha_umi.world import PRESETS, TOOLS, VERSION, Perturbation, Seen, Split, World, answer_document
from alpha_umi.world.oracle import write_gold
from alpha_umi.world.problems import Problem
from alpha_umi.world.tiny.names import TERMS
from alpha_umi.world.verifier import judge
from support.examples import examples

WORLD = World("tiny", seed=0)
MIXED = [(split, index) for split in Split for index in range(75)]

DIGESTS = {"1": "b764179d5c3d07af2cf6b594a037a0a52c4abe924b41bcb12892ebdca3223ca0"}
"""World version -> what its first tasks look like."""


def problem_of(split: Split, index: int) -> Problem:
    return PRESETS["tiny"].draw(0, split, index)


def solvable(count: int) -> list[Problem]:
    problems = [problem_of(split, index) for split, index in MIXED]
    return [problem for problem in problems if problem.solvable][:count]


def answered_by(gold: Trajectory, text: str) -> Trajectory:
    """The gold calls under another answer."""
    return dataclasses.replace(gold, turns=(*gold.turns[:-1], Answer(text=text)))


# --- the world --------------------------------------------------------------------------------------------


def test_there_are_enough_tools_categories_and_alternatives():
    assert len(TOOLS) >= 16
    assert len({tool.category for tool in TOOLS.values()}) >= 5
    assert all(name.endswith(f"_for_{tool.provider}") for name, tool in TOOLS.items())
    providers = Counter(tool.need for tool in TOOLS.values() if tool.seen is Seen.YES)
    replaceable = [need for need, number in providers.items() if number > 1]
    assert len(replaceable) >= 2
    for need in replaceable:
        alternatives = [tool for tool in TOOLS.values() if tool.need == need]
        assert len({tuple(tool.arguments.values()) for tool in alternatives}) > 1


def test_every_tool_survives_its_toolbench_document():
    for spec in WORLD.tools:
        document = write_document(spec)
        assert write_document(read_document(document)) == document
        assert list(document["input"]) == list(spec.parameters["properties"])


def test_a_version_of_the_world_always_makes_the_same_tasks():
    lines = (dump_line(encode_trajectory(WORLD.gold(WORLD.task(split, index)))) for split, index in MIXED)
    digest = hashlib.sha256("".join(lines).encode()).hexdigest()
    assert digest == DIGESTS[VERSION], "tasks changed: give the world a new VERSION and pin its digest"


def test_seeds_give_other_tasks_and_other_facts():
    other = World("tiny", seed=1)
    assert [other.task("train", i).query for i in range(20)] != [WORLD.task("train", i).query for i in range(20)]
    calls = [Call(name="share_for_tickerly", arguments=json.dumps({"company": name})) for name in TERMS["company"]]
    assert [other.execute(call) for call in calls] != [WORLD.execute(call) for call in calls]


def test_what_one_tool_finds_the_others_know():
    found = WORLD.execute(Call(name="item_for_shopster", arguments='{"item": "lamp"}'))
    other = WORLD.execute(Call(name="product_for_bargain", arguments='{"product": "lamp"}'))
    item = json.loads(found.content)
    assert list(item.values()) == list(json.loads(other.content).values())
    stock = WORLD.execute(Call(name="stock_for_shopster", arguments=json.dumps({"code": item["code"]})))
    assert stock.status is ToolStatus.OK
    place = json.loads(WORLD.execute(Call(name="city_for_peoplebook", arguments='{"name": "Ana"}')).content)
    weather = Call(name="weather_for_skycast", arguments=json.dumps({"city": place["city"], "unit": "F"}))
    assert json.loads(WORLD.execute(weather).content)["unit"] == "F"


@pytest.mark.parametrize(
    ("name", "arguments", "status", "words"),
    [
        ("nothing_for_nobody", "{}", ToolStatus.UNKNOWN_TOOL, "nothing_for_nobody"),
        ("weather_for_skycast", "", ToolStatus.BAD_ARGUMENTS, "not JSON"),
        ("weather_for_skycast", "[]", ToolStatus.BAD_ARGUMENTS, "a JSON object"),
        ("weather_for_skycast", "{}", ToolStatus.BAD_ARGUMENTS, "'city' is missing"),
        ("weather_for_skycast", '{"city": 7}', ToolStatus.BAD_ARGUMENTS, "'city' must be a string"),
        ("weather_for_skycast", '{"city": "Lima", "unit": "K"}', ToolStatus.BAD_ARGUMENTS, "C or F"),
        ("weather_for_skycast", '{"city": "Lima", "day": 1}', ToolStatus.BAD_ARGUMENTS, "'day' is unknown"),
        ("weather_for_skycast", '{"city": "Nowhere"}', ToolStatus.BAD_ARGUMENTS, "Nowhere is unknown"),
        (
            "current_for_meteolab",
            '{"location": "Bombay"}',
            ToolStatus.BAD_ARGUMENTS,
            "'location' is invalid: Bombay is",
        ),
        (
            "convert_for_coinflow",
            '{"amount": 1e999, "source": "EUR", "target": "USD"}',
            ToolStatus.BAD_ARGUMENTS,
            "1e999",
        ),
        (
            "convert_for_coinflow",
            '{"amount": true, "source": "EUR", "target": "USD"}',
            ToolStatus.BAD_ARGUMENTS,
            "'amount'",
        ),
    ],
)
def test_a_wrong_call_is_an_observation_that_names_what_is_wrong(name, arguments, status, words):
    observation = WORLD.execute(Call(name=name, arguments=arguments))
    assert observation.status is status
    assert words in observation.content
    assert len(observation.content) <= 120


@given(
    name=st.sampled_from(sorted(TOOLS)),
    value=st.recursive(st.none() | st.booleans() | st.floats() | st.text(), st.lists),
)
@settings(max_examples=examples(25), deadline=None)
def test_no_arguments_make_a_tool_raise(name, value):
    arguments = dict.fromkeys(TOOLS[name].arguments.values(), value)
    WORLD.execute(Call(name=name, arguments=json.dumps(arguments)))
    WORLD.execute(Call(name=name, arguments=str(value)))


# --- tasks ------------------------------------------------------------------------------------------------


def test_train_and_test_queries_are_disjoint():
    train = {WORLD.task(Split.TRAIN, index).query for index in range(1500)}
    for split in (Split.TEST, Split.UNSEEN_TOOL, Split.UNSEEN_CATEGORY):
        assert train.isdisjoint(WORLD.task(split, index).query for index in range(150))


def test_held_out_tools_are_offered_only_where_they_belong():
    offered = {split: set[Seen]() for split in Split}
    for split, index in MIXED:
        seen = {TOOLS[spec.name].seen for spec in WORLD.task(split, index).tools}
        offered[split] |= seen
        assert split is not Split.UNSEEN_TOOL or Seen.NO in seen or not WORLD.task(split, index).metadata["solvable"]
    assert offered[Split.TRAIN] == offered[Split.TEST] == {Seen.YES}
    assert offered[Split.UNSEEN_TOOL] == {Seen.YES, Seen.NO}
    assert offered[Split.UNSEEN_CATEGORY] == {Seen.YES, Seen.NO_CATEGORY}


def test_tasks_need_one_to_four_calls_meet_every_perturbation_and_offer_few_tools():
    golds = [WORLD.gold(WORLD.task(Split.TRAIN, index)) for index in range(300)]
    plain = [gold for gold in golds if gold.task.metadata["trouble"] == Perturbation.NONE]
    assert {sum(isinstance(turn, Call) for turn in gold.turns) for gold in plain} == {1, 2, 3, 4}
    assert {gold.task.metadata["trouble"] for gold in golds} == set(Perturbation) - {Perturbation.MISSING}
    assert all(3 <= len(gold.task.tools) <= 6 for gold in golds)
    assert all(len(turn.content) <= 120 for gold in golds for turn in gold.turns if isinstance(turn, Observation))


def test_gold_recovers_from_failures_by_a_fallback_or_a_corrected_name():
    for perturbation in (Perturbation.FALLBACK, Perturbation.FORMER_NAME):
        problems = [problem for problem in solvable(300) if problem.perturbation is perturbation]
        assert problems
        for problem in problems:
            gold = WORLD.gold(problem.task)
            statuses = [turn.status for turn in gold.turns if isinstance(turn, Observation)]
            assert gold.stop is StopReason.ANSWERED
            assert statuses.count(ToolStatus.OK) == len(statuses) - 1 == len(problem.kind.steps)


# --- the oracle and the verifier --------------------------------------------------------------------------


@pytest.mark.parametrize("split", list(Split))
def test_every_gold_trajectory_passes_and_shows_what_the_world_answers(split):
    for index in range(100):
        task = WORLD.task(split, index)
        gold = WORLD.gold(task)
        assert WORLD.verify(task, gold).reasons == ()
        assert gold.turns[0] == User(text=task.query)
        assert (gold.stop is StopReason.GAVE_UP) is (not task.metadata["solvable"])
        for call, observation in pairwise(gold.turns):
            if isinstance(call, Call):
                assert WORLD.execute(call, task) == observation
                assert call.arguments == json.dumps(json.loads(call.arguments))


def test_a_gold_trajectory_read_from_a_file_still_passes():
    for index in range(20):
        gold = WORLD.gold(WORLD.task(Split.TEST, index))
        read = decode_trajectory(json.loads(dump_line(encode_trajectory(gold))))
        assert read == gold
        assert WORLD.verify(read.task, read).passed


def test_thoughts_name_the_tool_and_the_values_that_the_call_copies():
    for split, index in MIXED:
        turns = WORLD.gold(WORLD.task(split, index)).turns
        for plan, call in pairwise(turns):
            if isinstance(plan, Plan) and isinstance(call, Call):
                words = re.findall(r"[\w/.-]*\w", plan.thought)
                assert call.name in words
                assert {str(value) for value in json.loads(call.arguments).values()} <= set(words)


def owed_texts(problem: Problem) -> list[tuple[str, str]]:
    """(value, unit) of each part, as the gold answer writes them."""
    known = problem.solution().known
    units = (
        part.unit[1:] if part.unit.startswith("=") else known.get(part.unit, "") for part in problem.kind.answer_parts
    )
    return [(str(known[part.value]), str(unit)) for part, unit in zip(problem.kind.answer_parts, units, strict=True)]


def wrong_answers(problem: Problem, text: str):
    """Answers made wrong in one place each."""
    for number in re.finditer(r"-?\b\d+\b", text):
        for wrong in (int(number[0]) + 1, int(number[0]) * 10 + 3, -int(number[0]) - 1):
            yield text[: number.start()] + str(wrong) + text[number.end() :]
    for value, unit in owed_texts(problem):
        part = f"{value} {unit}".strip()
        yield re.sub(rf"(?<!\w){re.escape(part)}(?!\w)", "so much", text)
        if unit:
            yield text.replace(part, value)
            for other in {"C", "F", "km/h", "EUR", "USD", "days", "pieces"} - {unit}:
                yield text.replace(part, f"{value} {other}")
        for terms in TERMS.values():
            if value in terms:
                others = [term for term in terms if term != value][:3]
                yield from (re.sub(rf"\b{value}\b", other, text) for other in others)
                yield from (f"{text} Or is it {other}?" for other in others if other not in text)
    yield text.replace(" is ", " is not ").replace(" costs ", " does not cost ")
    yield "I do not know."
    yield ""


def test_answers_made_wrong_are_rejected():
    count = 0
    for problem in solvable(150):
        gold = WORLD.gold(problem.task)
        right = gold.turns[-1].text
        for wrong in {*wrong_answers(problem, right)} - {right}:
            assert judge(problem, answered_by(gold, wrong)).right is False, (problem.task.query, right, wrong)
            count += 1
    assert count > 1000


SPELLINGS = {"C": "degrees Celsius", "F": "°F", "USD": "US dollars", "EUR": "euros", "km/h": "kilometers per hour"}


def right_answers(problem: Problem):
    parts = owed_texts(problem)
    plain = [f"{value} {unit}".strip() for value, unit in parts]
    spelt = [f"{value} {SPELLINGS.get(unit, unit)}".strip() for value, unit in parts]
    grouped = [re.sub(r"^(\d{1,3})(\d{3}) ", r"\1,\2 ", part) for part in plain]
    yield f"Sure! Here you are: {', '.join(plain)}."
    yield f"I found {' and '.join(reversed(spelt))}, as you wanted."
    yield "\n".join(f"- **{part}**" for part in grouped)
    yield f"You asked: {problem.task.query} It is {' with '.join(plain)}".upper()


def test_right_answers_in_other_words_are_accepted():
    for problem in solvable(150):
        for right in right_answers(problem):
            reasons = WORLD.verify(problem.task, answered_by(WORLD.gold(problem.task), right)).reasons
            assert reasons == (), (problem.task.query, right)


def test_an_answer_without_the_calls_for_it_is_right_but_not_supported():
    for problem in solvable(30):
        gold = WORLD.gold(problem.task)
        guessed = dataclasses.replace(gold, turns=(gold.turns[0], gold.turns[-1]))
        verdict = WORLD.verify(problem.task, guessed)
        assert (verdict.right, verdict.supported, verdict.passed) == (True, False, False)


def test_invented_observations_do_not_support_an_answer():
    problem = solvable(1)[0]
    gold = WORLD.gold(problem.task)
    turns = tuple(
        dataclasses.replace(turn, content=turn.content.replace("{", "{ ")) if isinstance(turn, Observation) else turn
        for turn in gold.turns
    )
    assert not WORLD.verify(problem.task, dataclasses.replace(gold, turns=turns)).supported


def test_a_task_without_solution_is_passed_by_giving_up_after_seeing_why():
    problems = [problem_of(split, index) for split, index in MIXED]
    unsolvable = [problem for problem in problems if not problem.solvable]
    assert {problem.perturbation for problem in unsolvable} == {
        Perturbation.UNKNOWN_ENTITY,
        Perturbation.DOWN,
        Perturbation.NO_TOOL,
    }
    for problem in unsolvable:
        gold = WORLD.gold(problem.task)
        assert gold.turns[-1].decision is Decision.GIVE_UP
        answered = dataclasses.replace(gold, turns=(*gold.turns, Answer(text="It is 21 C.")))
        assert not WORLD.verify(problem.task, answered).passed
        at_once = dataclasses.replace(gold, turns=(gold.turns[0], gold.turns[-1]))
        assert WORLD.verify(problem.task, at_once).passed is (problem.perturbation is Perturbation.NO_TOOL)


def test_giving_up_what_can_be_done_and_stopping_midway_are_wrong():
    for problem in solvable(30):
        gold = WORLD.gold(problem.task)
        given_up = (*gold.turns[:-2], Plan(thought="I give up. ", decision=Decision.GIVE_UP))
        assert not WORLD.verify(problem.task, dataclasses.replace(gold, turns=given_up)).passed
        for end in range(len(gold.turns)):
            assert not WORLD.verify(problem.task, dataclasses.replace(gold, turns=gold.turns[:end])).passed


def test_another_way_than_the_gold_one_passes_when_its_calls_hold():
    """The alternative is asked although the first provider works, and a needless call is made."""
    for index in range(400):
        problem = problem_of(Split.TRAIN, index)
        needed = {step.need for step in problem.kind.steps}
        if problem.perturbation is not Perturbation.NONE or not any(
            len(problem.providers(need)) > 1 for need in needed
        ):
            continue
        flipped = dataclasses.replace(problem.task, tools=problem.task.tools[::-1])
        gold = WORLD.gold(problem.task)
        other = write_gold(dataclasses.replace(problem, task=flipped))
        assert [turn for turn in other.turns if isinstance(turn, Call)] != [
            turn for turn in gold.turns if isinstance(turn, Call)
        ]
        assert WORLD.verify(problem.task, other).passed
        return
    pytest.fail("no task offers two working alternatives")


# --- raw answers ------------------------------------------------------------------------------------------


def test_a_raw_answer_holds_the_trajectory():
    for split, index in MIXED[::3]:
        gold = WORLD.gold(WORLD.task(split, index))
        document = json.loads(json.dumps(answer_document(gold)))
        generation = document["answer_generation"]
        assert document["win"] is (gold.stop is StopReason.ANSWERED)
        assert [function["name"] for function in generation["function"]] == [
            *(tool.name for tool in gold.task.tools),
            "Finish",
        ]
        *_, messages = generation["train_messages"]
        assert len(generation["train_messages"]) == generation["query_count"]
        assert [message["role"] for message in messages[:2]] == ["system", "user"]
        assert read_turns(messages[1:]) == [turn_text(turn) for turn in gold.turns]


def turn_text(turn):
    match turn:
        case Plan(thought=thought):
            return thought.strip()
        case Call(name=name, arguments=arguments):
            return name, arguments
        case Observation(content=content):
            return content
        case User(text=text) | Answer(text=text):
            return text


def read_turns(messages):
    """What the conversation says, read by the rules of the published data."""
    turns = []
    for message in messages:
        if message["role"] == "function":
            held = json.loads(message["content"])
            turns.append(held["error"] or held["response"])
            continue
        turns.append(message["content"])
        call = message.get("function_call")
        if call and call["name"] != "Finish":
            turns.append((call["name"], call["arguments"]))
        elif call and "final_answer" in json.loads(call["arguments"]):
            turns.append(json.loads(call["arguments"])["final_answer"])
    return turns


# --- what a user can get wrong ----------------------------------------------------------------------------


def test_unknown_presets_and_splits_name_the_known_ones():
    with pytest.raises(ConfigError, match=r"'huge'.*tiny"):
        World("huge")
    with pytest.raises(ConfigError, match=r"'G9'.*train"):
        WORLD.task("G9", 0)
    with pytest.raises(ConfigError, match="below 0"):
        WORLD.task("train", -1)


@pytest.mark.parametrize(
    ("key", "value"), [("world", "0"), ("preset", "full"), ("seed", 9), ("index", None), ("index", 5)]
)
def test_a_task_of_another_world_is_refused(key, value):
    task = WORLD.task("test", 3)
    other = dataclasses.replace(task, metadata={**task.metadata, key: value})
    with pytest.raises(DataError, match=task.id):
        WORLD.verify(other, Trajectory(task=other, turns=()))
