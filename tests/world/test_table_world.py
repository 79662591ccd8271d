"""The table presets: many tools by tables, test sets that training never sees, and a verifier that cannot be fooled."""

import dataclasses
import hashlib
import json
import re
from collections import Counter, defaultdict
from itertools import combinations, pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from alpha_umi.formats.tool_json import read_api, write_spec, write_trained_spec
from alpha_umi.store import decode_trajectory, dump_line, encode_trajectory
from alpha_umi.types import Answer, Call, Decision, Plan, StopReason, ToolStatus, User
from alpha_umi.world import PRESETS, Perturbation, Seen, World, find_query, query_id
from alpha_umi.world.table import wording
from alpha_umi.world.table.names import load_ordinary_names, load_proper_names
from alpha_umi.world.verifier import judge
from support.examples import examples
from support.table_tasks import NAMES_OF_PRESETS, SETS, WORLDS, catalogue, problems

DIGESTS = {
    ("small", "4"): "0ceacae7701a4b684fd4eaa55ceaa7431e76cca814c940a49c40d7a66247ff07",
    ("full", "4"): "56f1ce45165e418c88f737cb230a29157697d359770456afa72fa2d7ee2d90d3",
}
"""Preset and version -> what its first tasks look like."""


@pytest.fixture(params=NAMES_OF_PRESETS)
def preset(request):
    return request.param


# --- the tables -------------------------------------------------------------------------------------------


def test_the_full_world_is_wide():
    tools = catalogue("full").tools.values()
    assert len({(tool.category, tool.provider) for tool in tools}) >= 60
    assert len({tool.category for tool in tools}) >= 12
    assert {tool.category for tool in catalogue("small").tools.values()} < {tool.category for tool in tools}
    held_out = {tool.category for tool in tools if tool.seen is Seen.NO_CATEGORY}
    assert len(held_out) >= 2
    assert all(tool.seen is Seen.NO_CATEGORY for tool in tools if tool.category in held_out)
    for category in {tool.category for tool in tools} - held_out:
        assert {tool.seen for tool in tools if tool.category == category} == {Seen.YES, Seen.NO}


def test_every_need_has_providers_that_write_it_differently():
    for need, tools in catalogue("full").providers.items():
        assert len(tools) > 1, need
        for one, other in combinations(tools, 2):
            assert one.spec.name != other.spec.name
        assert len({(tuple(tool.arguments.items()), tuple(tool.results.items())) for tool in tools}) > 1, need
        for tool in tools:
            assert set(tool.arguments) == set(tool.served_need.inputs), tool.spec.name
            values = {part.value for template in tool.served_need.templates for part in template.answer_parts}
            units = {part.unit for template in tool.served_need.templates for part in template.answer_parts} & set(
                tool.served_need.outputs
            )
            assert values | units | set(tool.served_need.references) <= set(tool.results), tool.spec.name


def test_names_are_told_apart():
    owners = defaultdict(set)
    for domain, names in {**load_proper_names(), **load_ordinary_names()}.items():
        for name in names:
            owners[name.casefold()].add(domain)
        assert len({name.casefold() for name in names}) == len(names)
    assert {name: domains for name, domains in owners.items() if len(domains) > 1} == {}


def test_every_need_is_worded_in_twenty_ways_on_each_side():
    for need in catalogue("full").needs.values():
        for train in (True, False):
            frames = wording.load_frames(train=train)
            ways = {
                frame.format(x=noun)
                for frame in frames.patterns
                for template in need.templates
                for noun in template.nouns
            }
            ways |= {question for template in need.templates for question in wording.questions(template, train=train)}
            assert len(ways) >= (20 if train else 12), need.name
        together = [
            {*wording.questions(template, train=True)} & {*wording.questions(template, train=False)}
            for template in need.templates
        ]
        assert not any(together)
    for frames in ("patterns", "contexts", "conjunctions"):
        assert set(getattr(wording.load_frames(train=True), frames)).isdisjoint(
            getattr(wording.load_frames(train=False), frames)
        )


def test_a_tool_is_told_of_as_its_tool_json_says(preset):
    world = WORLDS[preset]
    apis = [
        read_api(entry, document, category)
        for (category, _), document in world.documents.items()
        for entry in document["api_list"]
    ]
    specs = {spec.name: spec for spec in world.tools}
    assert len(apis) == len(specs)
    for api in apis:
        spec = write_trained_spec(api)
        assert specs[spec.name] == spec == write_spec(api)
        assert api.name not in api.description, "ToolBench's rules would put the whole name there"
        assert spec.name == f"{api.name}_for_{api.tool.lower()}"


def test_arguments_read_back_as_they_were_meant(preset):
    for made in problems(preset, 40):
        if not made.solvable:
            continue
        for request in made.solution().requests:
            for tool in (*catalogue(preset).providers[request.need], *made.providers(request.need)):
                inputs = dict(request.inputs)
                assert tool.inputs(tool.write(inputs)) == inputs
                reply = tool.run(made.facts, json.dumps(tool.write(inputs)))
                assert reply.status is ToolStatus.OK
                assert tool.outputs(reply.content) is not None


def test_providers_of_a_need_say_the_same_in_their_own_words():
    for made in problems("full", 10, ["train"]):
        for request in made.solution().requests if made.solvable else ():
            replies = [
                tool.outputs(tool.run(made.facts, json.dumps(tool.write(dict(request.inputs)))).content)
                for tool in (*catalogue("full").providers[request.need], *made.providers(request.need))
            ]
            for one, other in pairwise(replies):
                assert all(one[name] == other[name] for name in one.keys() & other.keys())


def test_what_one_tool_finds_the_others_know():
    world = WORLDS["full"]

    def call(tool, **arguments):
        observation = world.execute(Call(name=tool, arguments=json.dumps(arguments)))
        assert observation.status is ToolStatus.OK, observation.content
        return json.loads(observation.content)

    team = call("fanbase_for_sportika", fan="Ana")["team"]
    coach = call("squad_for_goalline", side=team)["trainer"]
    parcel = call("receiver_for_shipwise", name=coach)["id"]
    city = call("trace_for_shipwise", is_id=parcel)["location"]
    assert call("current_for_meteolab", location=city, scale="fahrenheit", when="1")["scale"] == "F"
    country = call("find_city_for_atlasia", city=city)["country"]
    currency = call("find_nation_for_atlasia", country=country)["currency"]
    assert call("exchange_for_moneta", value=7, have=currency.lower(), want="usd")["currency"] == "USD"


@given(
    name=st.sampled_from(sorted(catalogue("full").tools)),
    value=st.recursive(st.none() | st.booleans() | st.floats() | st.text() | st.just("A" + "9" * 5000), st.lists),
)
@settings(max_examples=examples(20), deadline=None)
def test_no_arguments_make_a_tool_raise(name, value):
    arguments = dict.fromkeys(catalogue("full").tools[name].arguments.values(), value)
    WORLDS["full"].execute(Call(name=name, arguments=json.dumps(arguments)))
    WORLDS["full"].execute(Call(name=name, arguments=str(value)))


@pytest.mark.parametrize(
    ("name", "arguments", "words"),
    [
        ("current_for_meteolab", {"location": "Lima", "scale": "kelvin"}, "kelvin is unknown"),
        ("current_for_meteolab", {"location": "Calcutta"}, "Calcutta is now Kolkata"),
        ("fare_for_nomado", {"route": "LIM"}, "LIM is not of the form origin/destination"),
        ("rates_for_shipwise", {"start": "Lima"}, "'end' is missing"),
        ("inventory_for_shopster", {"code": "A1"}, "A1 is unknown"),
        ("fx_for_coinflow", {"amount": "5", "source": "EUR", "target": "USD"}, "'amount' must be an integer"),
        ("fx_for_coinflow", {"amount": -5, "source": "EUR", "target": "USD"}, "-5 is no sum of money"),
        ("exchange_for_moneta", {"value": 5, "have": "EUR", "want": "usd"}, "EUR is unknown"),
    ],
)
def test_a_wrong_call_is_told_what_is_wrong(name, arguments, words):
    observation = WORLDS["full"].execute(Call(name=name, arguments=json.dumps(arguments)))
    assert observation.status is ToolStatus.BAD_ARGUMENTS
    assert words in observation.content


# --- tasks and test sets ----------------------------------------------------------------------------------


def test_a_version_always_makes_the_same_tasks(preset):
    golds = (WORLDS[preset].gold(made.task) for made in problems(preset, 25))
    digest = hashlib.sha256("".join(dump_line(encode_trajectory(gold)) for gold in golds).encode()).hexdigest()
    key = preset, PRESETS[preset].version
    assert digest == DIGESTS[key], "tasks changed: give the preset a new version and pin its digest"


def test_a_task_depends_on_its_index_alone(preset):
    backwards = [WORLDS[preset].task("train", index) for index in reversed(range(30))]
    assert [World(preset).task("train", index) for index in range(30)] == backwards[::-1]
    assert World(preset).task("train", 10**9) == World(preset).task("train", 10**9)
    assert World(preset, seed=1).task("train", 0) != World(preset).task("train", 0)


def test_query_ids_are_unique_and_lead_back(preset):
    pairs = [(made.task.metadata["split"], made.task.metadata["index"]) for made in problems(preset, 20)]
    ids = [made.task.metadata["query_id"] for made in problems(preset, 20)]
    assert len(set(ids)) == len(ids)
    assert [find_query(number) for number in ids] == pairs
    assert [query_id(*pair) for pair in pairs] == ids


def test_training_never_meets_held_out_tools_or_categories(preset):
    offered = {
        split: {
            made.catalogue.tools[spec.name].seen for made in problems(preset, 80, [split]) for spec in made.task.tools
        }
        for split in ("train", *SETS)
    }
    for split in ("train", "G1_instruction", "G2_instruction", "G3_instruction"):
        assert offered[split] == {Seen.YES}
    assert offered["G1_tool"] == {Seen.YES, Seen.NO}
    assert offered["G1_category"] == offered["G2_category"] == {Seen.YES, Seen.NO_CATEGORY}
    for split, seen in (("G1_tool", Seen.NO), ("G1_category", Seen.NO_CATEGORY), ("G2_category", Seen.NO_CATEGORY)):
        for made in problems(preset, 60, [split]):
            needs = {step.need for step in made.kind.steps}
            if made.perturbation is Perturbation.NO_TOOL:
                continue
            for need in needs:
                assert seen in {tool.seen for tool in made.providers(need)}


def frame_of(made):
    """The query with its names blanked out: how it is worded."""
    text = made.task.query
    for value in sorted((str(value) for value in made.slots.values()), key=len, reverse=True):
        text = re.sub(rf"(?<!\w){re.escape(value)}(?!\w)", "_", text)
    return text


def what_is_asked(made):
    """What is asked about whom, in whatever order and by whatever names: the calls, and which of their values count."""
    calls = sorted((call.need, call.inputs) for call in made.solution().requests)
    return repr((calls, sorted(part.value.rpartition("_")[0] for part in made.kind.answer_parts)))


def test_test_queries_are_new_in_words_and_in_what_they_ask(preset):
    train = problems(preset, 1500, ["train"])
    queries = {made.task.query for made in train}
    frames = {frame_of(made) for made in train}
    queries = {what_is_asked(made) for made in train if made.solvable}
    for split in SETS:
        for made in problems(preset, 80, [split]):
            assert made.task.query not in queries
            assert frame_of(made) not in frames, made.task.query
            assert not made.solvable or what_is_asked(made) not in queries, made.task.query


def test_a_test_query_has_one_reading_and_does_not_name_what_it_asks_for(preset):
    for made in problems(preset, 150, SETS):
        if made.solvable:
            known = made.solution().known
            assert not any(
                str(known[part.value]) in made.task.query for part in made.kind.answer_parts if not part.unit
            )
        days = [step.inputs.get("day") for step in made.kind.steps if "day" in made.catalogue.needs[step.need].inputs]
        needs = {step.need for step in made.kind.steps}
        assert len(set(days)) < 2 or len(needs) == 1 or None not in days, made.task.query


def test_an_unseen_tool_has_no_seen_one_beside_it_that_works(preset):
    for made in problems(preset, 200, ["G1_tool"]):
        if made.solvable and made.perturbation is not Perturbation.FALLBACK:
            for step in made.kind.steps:
                seen = {tool.seen for tool in made.providers(step.need)}
                assert Seen.YES not in seen or len(made.providers(step.need)) == 1


def test_groups_need_one_tool_several_or_several_categories(preset):
    for made in problems(preset, 60):
        if made.perturbation is Perturbation.NO_TOOL:
            continue
        group, tools = made.task.metadata["group"], made.catalogue.tools
        document = WORLDS[preset].query(made.task)
        relevant = [tools[f"{api}_for_{tool.lower()}"] for tool, api in document["relevant APIs"]]
        providers, categories = {tool.provider for tool in relevant}, {tool.category for tool in relevant}
        match group:
            case "G1" if made.perturbation not in (Perturbation.FALLBACK, Perturbation.DOWN):
                assert len(providers) == 1
            case "G2":
                assert len(categories) == 1
                assert len({tool.provider for step in made.kind.steps for tool in made.providers(step.need)}) > 1
            case "G3":
                assert len(categories) > 1
            case _:
                pass


def test_tasks_are_short_and_long_and_meet_every_perturbation():
    full = problems("full", 300, ["train", "G3_instruction"])
    assert {made.task.metadata["calls"] for made in full} == {1, 2, 3, 4, 5, 6}
    assert {made.perturbation for made in full} == set(Perturbation)
    assert {made.task.metadata["group"] for made in full} == {"G1", "G2", "G3"}
    assert any(depth(made) == 6 for made in full), "no task has six calls of which each rests on the one before"
    small = problems("small", 300, ["train"])
    assert {made.task.metadata["calls"] for made in small} == {1, 2, 3}
    assert all(3 <= len(made.task.tools) <= 9 for made in full)
    assert all(len(made.task.tools) <= 5 for made in small)


def depth(made):
    """How many calls rest on each other."""
    deep = {}
    for step in made.kind.steps:
        below = max((deep.get(source, 0) for source in step.inputs.values()), default=0)
        deep |= dict.fromkeys(step.keep.values(), below + 1)
    return max(deep.values())


def test_distractors_do_nothing_that_the_task_needs(preset):
    for made in problems(preset, 40):
        needs = {step.need for step in made.kind.steps}
        tools = [made.catalogue.tools[spec.name] for spec in made.task.tools]
        assert len({tool.spec.name for tool in tools}) == len(tools)
        idle = [tool for tool in tools if tool.need not in needs]
        assert len(idle) >= len(tools) - 2 * len(needs)


# --- the oracle -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("split", ["train", *SETS])
def test_every_gold_trajectory_passes(preset, split):
    world = WORLDS[preset]
    for made in problems(preset, 60, [split]):
        gold = world.gold(made.task)
        assert judge(made, gold).reasons == (), made.task.query
        assert gold.turns[0] == User(text=made.task.query)
        assert (gold.stop is StopReason.GAVE_UP) is (not made.solvable)
        for call, observation in pairwise(gold.turns):
            if isinstance(call, Call):
                assert made.execute(call) == observation
        assert decode_trajectory(json.loads(dump_line(encode_trajectory(gold)))) == gold


@pytest.mark.slow
@pytest.mark.parametrize("split", ["train", *SETS])
def test_every_gold_trajectory_passes_far_away_too(preset, split):
    world = World(preset, seed=3)
    for index in range(10**6, 10**6 + 200):
        task = world.task(split, index)
        assert world.verify(task, world.gold(task)).reasons == (), task.query


def test_gold_goes_round_a_dead_provider():
    statuses = Counter()
    for made in problems("full", 300, ["train"]):
        if made.perturbation is not Perturbation.FALLBACK:
            continue
        gold = WORLDS["full"].gold(made.task)
        assert gold.stop is StopReason.ANSWERED
        statuses.update(observation.status for observation in made.down.values())
        called = [turn.name for turn in gold.turns if isinstance(turn, Call)]
        assert made.hinted is (not set(called) & set(made.down))
    assert set(statuses) == {ToolStatus.ERROR, ToolStatus.RATE_LIMITED, ToolStatus.TIMEOUT, ToolStatus.OK}


def test_an_empty_reply_supports_no_answer():
    made = next(
        made
        for made in problems("full", 300, ["train"])
        if made.perturbation is Perturbation.FALLBACK
        and next(iter(made.down.values())).status is ToolStatus.OK
        and not made.hinted
    )
    gold, tools = WORLDS["full"].gold(made.task), made.catalogue.tools
    need = tools[next(iter(made.down))].need
    calls = [turn if isinstance(turn, Call) and tools[turn.name].need == need else None for turn in gold.turns]
    works = next(number for number, call in enumerate(calls) if call is not None and call.name not in made.down)
    shorter = (*gold.turns[: works - 1], *gold.turns[works + 2 :])
    assert judge(made, gold).passed
    assert not judge(made, dataclasses.replace(gold, turns=shorter)).supported


def test_a_hint_tells_of_the_branch_that_failed():
    hinted = [made for made in problems("full", 300, ["train"]) if made.hinted]
    assert hinted
    for made in hinted:
        turns = WORLDS["full"].gold(made.task).turns
        hints = [turn.text for turn in turns[1:] if isinstance(turn, User)]
        assert len(hints) == 1
        assert all(name in hints[0] and reply.content in hints[0] for name, reply in made.down.items())


def test_a_hint_describes_a_failed_branch():
    failed_branch = [made for made in problems("small", 400, ["train"]) if made.failed_branch]
    assert {made.failed_branch[1] == "" for made in failed_branch} == {True, False}
    heard = 0
    for made in failed_branch:
        gold = WORLDS["small"].gold(made.task)
        assert WORLDS["small"].verify(made.task, gold).passed
        hints = [turn.text for turn in gold.turns[1:] if isinstance(turn, User)]
        if not hints:  # it was given up before that step
            assert not made.solvable
            continue
        heard += 1
        place, name = made.failed_branch
        assert (f"Call of {name} with" if name else "You gave up.") in hints[0]
        if name:
            assert made.catalogue.tools[name].need not in {step.need for step in made.kind.steps}
            assert name not in [turn.name for turn in gold.turns if isinstance(turn, Call)]
        before = gold.turns[: next(at for at, turn in enumerate(gold.turns) if at and isinstance(turn, User))]
        assert (place == 0) is (len(before) == 1)
    assert heard > 10
    assert not any(made.failed_branch for split in SETS for made in problems("small", 60, [split]))


def test_what_cannot_be_done_is_given_up_and_answers_to_it_are_wrong(preset):
    unsolvable = [made for made in problems(preset, 120) if not made.solvable]
    assert {made.perturbation for made in unsolvable} == {
        Perturbation.UNKNOWN_ENTITY,
        Perturbation.DOWN,
        Perturbation.NO_TOOL,
        Perturbation.MISSING,
    }
    for made in unsolvable:
        gold = WORLDS[preset].gold(made.task)
        assert gold.turns[-1].decision is Decision.GIVE_UP
        answered = dataclasses.replace(gold, turns=(*gold.turns[:-1], Answer(text="It is 21 C in Lima.")))
        assert not judge(made, answered).passed
        at_once = dataclasses.replace(gold, turns=(gold.turns[0], gold.turns[-1]))
        assert judge(made, at_once).passed is (made.perturbation in (Perturbation.NO_TOOL, Perturbation.MISSING))


def test_a_query_that_leaves_something_out_names_it_nowhere(preset):
    left_out = [made for made in problems(preset, 200) if made.perturbation is Perturbation.MISSING]
    assert left_out
    for made in left_out:
        named = [
            value
            for value in made.slots.values()
            if re.search(rf"(?<!\w){re.escape(str(value))}(?!\w)", made.task.query)
        ]
        assert len(named) == len(made.slots) - 1, made.task.query


def test_giving_up_what_can_be_done_and_guessing_are_wrong(preset):
    for made in [made for made in problems(preset, 10) if made.solvable]:
        gold = WORLDS[preset].gold(made.task)
        given_up = (*gold.turns[:-2], Plan(thought="I give up. ", decision=Decision.GIVE_UP))
        assert not judge(made, dataclasses.replace(gold, turns=given_up)).passed
        guessed = judge(made, dataclasses.replace(gold, turns=(gold.turns[0], gold.turns[-1])))
        assert (guessed.right, guessed.supported) == (True, False)
        for end in range(len(gold.turns)):
            assert not judge(made, dataclasses.replace(gold, turns=gold.turns[:end])).passed
