"""The functions world: invented tools, gold trajectories that pass, a verifier that is not fooled, state per branch."""

import asyncio
import dataclasses
import functools
import hashlib
import itertools
import json
from collections import Counter
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from alpha_umi.environments.world import WorldEnvironment
from alpha_umi.errors import ConfigError
from alpha_umi.jobs.world_query import free_query
from alpha_umi.preparation.world_files import Choice
from alpha_umi.preparation.world_files import write_gold as write_gold_files
from alpha_umi.search import Chain, DepthFirst, Limits, Tree
from alpha_umi.search.solve import solve
from alpha_umi.store import decode_trajectory, encode_trajectory, read_trajectories
from alpha_umi.types import Answer, Call, Decision, Observation, Plan, ToolStatus, Trajectory, User
from alpha_umi.world import World
from alpha_umi.world.functions.library import CODE_VERSION, SplitDomains, load_library
from alpha_umi.world.functions.needs import read_domain
from alpha_umi.world.functions.oracle import write_gold
from alpha_umi.world.functions.problems import End, Kind
from alpha_umi.world.functions.splits import Split
from alpha_umi.world.functions.tasks import draw_in, draw_problem
from alpha_umi.world.functions.verifier import judge
from alpha_umi.world.oracle_agent import OracleAgent
from alpha_umi.world.random_streams import RandomStream
from support.examples import examples

WORLD = World("functions")
MANY = 250


def golds(split, count=MANY, kind=None):
    found = (gold(split, index) for index in range(count))
    return ((each.task, each) for each in found if kind is None or each.task.metadata["kind"] == kind)


@functools.cache
def gold(split, index):
    return WORLD.gold(WORLD.task(split, index))


def gold_of(kind, split="train"):
    return next(golds(split, 2000, kind))


@pytest.fixture(params=list(Split))
def split(request):
    return request.param


# --- gold -------------------------------------------------------------------------------------------------


def test_every_gold_trajectory_passes(split):
    for task, gold in golds(split):
        assert WORLD.verify(task, gold).reasons == (), task.id


@pytest.mark.slow
def test_thousands_of_gold_trajectories_pass(split):
    for task, gold in golds(split, 4000):
        assert WORLD.verify(task, gold).reasons == (), task.id


def test_all_kinds_of_tasks_occur():
    kinds = Counter(WORLD.task("train", index).metadata["kind"] for index in range(600))
    assert set(kinds) == set(Kind)


def test_a_task_is_a_function_of_its_index(split):
    other = World("functions")
    for index in (0, 7, 3):
        task = other.task(split, index)
        assert task == WORLD.task(split, index)
        assert other.gold(task) == WORLD.gold(task)
        assert World("functions", 1).task(split, index).query != task.query


def test_arguments_and_records_survive_a_file(split):
    for task, gold in golds(split, 40):
        read = decode_trajectory(json.loads(json.dumps(encode_trajectory(gold))))
        assert read == gold
        assert WORLD.verify(read.task, read).passed, task.id


def test_tool_names_within_an_offer_are_unique_and_calls_are_to_offered_tools(split):
    for task, gold in golds(split):
        names = [tool.name for tool in task.tools]
        assert len({*names}) == len(names) >= 1
        assert {call.name for call in gold.calls} <= {*names}


def test_no_call_where_no_tool_fits_or_an_argument_is_missing():
    for kind in (Kind.NONE, Kind.ASK):
        for _, gold in golds("train", kind=kind):
            assert gold.calls == ()
            assert isinstance(gold.turns[-1], Answer)


def test_the_tool_of_a_need_is_not_offered_where_none_fits():
    for index in range(400):
        problem = draw_problem(0, "train", index)
        if problem.kind is Kind.NONE:
            offered = {f"{tool.domain}.{tool.need.id}" for tool in problem.tools.values()}
            assert not offered & {*problem.task.metadata["needs"]}
            if not problem.task.metadata["needs"]:  # outside a domain, perhaps inside another one
                assert len({tool.domain for tool in problem.tools.values()}) == 1


# --- splits -----------------------------------------------------------------------------------------------


def test_domains_of_unseen_needs_are_never_met_in_training():
    train, unseen = (load_library().of_split(each) for each in (Split.TRAIN, Split.UNSEEN_NEEDS))
    assert unseen.domains
    assert not {*train.domains} & {*unseen.domains}
    for index in range(MANY):
        met = {tool.domain for tool in draw_problem(0, "train", index).tools.values()}
        assert not met & {*unseen.domains}


def test_wordings_kept_back_word_no_training_request():
    train, unseen = (load_library().of_split(each) for each in (Split.TRAIN, Split.UNSEEN_WORDING))
    assert {*train.domains} == {*unseen.domains}
    for _, need in train.needs:
        for templates in (need.queries, need.several, *need.missing.values()):
            seen, kept_back = train.templates(templates), unseen.templates(templates)
            assert not {each.text for each in seen} & {each.text for each in kept_back}
            assert {*seen, *kept_back} == {*templates}


# --- wrong trajectories -----------------------------------------------------------------------------------


def replaced(gold, at, turn):
    at %= len(gold.turns)
    return dataclasses.replace(gold, turns=(*gold.turns[:at], turn, *gold.turns[at + 1 :]))


def rejected(task, trajectory):
    return not WORLD.verify(task, trajectory).passed


def last_exchange(gold):
    return max(at for at, turn in enumerate(gold.turns) if isinstance(turn, User))


def test_an_answer_without_the_results_is_rejected():
    for task, gold in golds("train"):
        if task.metadata["kind"] not in (Kind.NONE, Kind.ASK, Kind.FAILED):
            assert rejected(task, replaced(gold, -1, Answer(text="All is done."))), task.id


def test_a_wrong_number_in_the_answer_is_rejected():
    tried = 0
    for task, gold in golds("train", kind=Kind.SINGLE):
        assert rejected(task, replaced(gold, -1, Answer(text=f"{gold.answer} Or 918273645."))), task.id
        tried += 1
    assert tried > 20


def test_a_call_with_another_argument_is_rejected():
    tried = 0
    for task, gold in golds("train"):
        for at in range(last_exchange(gold), len(gold.turns)):
            call = gold.turns[at]
            if not isinstance(call, Call) or task.metadata["kind"] == Kind.FALLBACK:
                continue
            arguments = json.loads(call.arguments)
            for name, value in arguments.items():
                wrong = {**arguments, name: _other(value)}
                made = Call(name=call.name, arguments=json.dumps(wrong))
                earlier = [turn for turn in gold.turns[:at] if isinstance(turn, Call)]
                observation = WORLD.execute(made, task, earlier)
                changed = replaced(replaced(gold, at, made), at + 1, observation)
                assert rejected(task, changed), (task.id, name, value)
                tried += 1
    assert tried > 100


def _other(value):
    match value:
        case bool():
            return not value
        case int() | float():
            return value + 1
        case str():
            return f"{value}x"
        case list():
            return value[:-1]
        case dict():
            return {name: _other(each) for name, each in value.items()}


def test_equal_arguments_in_another_form_pass():
    for task, gold in golds("train", kind=Kind.CHOOSE):
        at = next(at for at, turn in enumerate(gold.turns) if isinstance(turn, Call))
        arguments = json.loads(gold.turns[at].arguments)
        reordered = {name: _float(arguments[name]) for name in reversed(arguments)}
        tool = next(tool for tool in task.tools if tool.name == gold.turns[at].name)
        properties = tool.parameters["properties"]
        for name, schema in properties.items():
            if name not in reordered and "default" in schema:
                reordered[name] = schema["default"]
        made = Call(name=tool.name, arguments=json.dumps(reordered, indent=1))
        assert WORLD.execute(made, task) == gold.turns[at + 1]
        assert WORLD.verify(task, replaced(gold, at, made)).reasons == (), task.id


def _float(value):
    return float(value) if isinstance(value, int) and not isinstance(value, bool) else value


def test_a_call_left_out_is_rejected():
    for task, gold in golds("train"):
        start = last_exchange(gold)
        for at in range(start, len(gold.turns)):
            if isinstance(gold.turns[at], Call):
                turns = (*gold.turns[: at - 1], *gold.turns[at + 2 :])
                if task.metadata["kind"] != Kind.FALLBACK:
                    assert rejected(task, dataclasses.replace(gold, turns=turns)), task.id


def test_an_observation_that_no_tool_gave_is_rejected():
    for task, gold in golds("train"):
        places = [at for at, turn in enumerate(gold.turns) if isinstance(turn, Observation)]
        if places:
            assert rejected(task, replaced(gold, places[-1], Observation(content='{"made": "up"}'))), task.id


def test_calls_where_none_is_right_are_rejected():
    tried = 0
    for kind in (Kind.NONE, Kind.ASK):
        for task, gold in golds("train", 600, kind):
            for tool in task.tools:
                made = _guess(tool)
                observation = WORLD.execute(made, task)
                if observation.status is ToolStatus.OK:
                    turns = (
                        gold.turns[0],
                        Plan(thought="", decision=Decision.CALL),
                        made,
                        observation,
                        *gold.turns[1:],
                    )
                    assert rejected(task, dataclasses.replace(gold, turns=turns)), task.id
                    tried += 1
    assert tried > 20


def _guess(tool):
    def value(schema):
        if "enum" in schema:
            return schema["enum"][0]
        match schema["type"]:
            case "integer" | "number":
                return 5
            case "boolean":
                return True
            case "array":
                return [value(schema["items"])]
            case "object":
                return {name: value(each) for name, each in schema["properties"].items()}
            case _:
                return "2027-05-03"

    properties, required = tool.parameters["properties"], tool.parameters["required"]
    return Call(name=tool.name, arguments=json.dumps({name: value(properties[name]) for name in required}))


def test_an_invented_answer_is_rejected_where_none_is_possible():
    for kind in (Kind.NONE, Kind.ASK, Kind.FAILED):
        for task, gold in golds("train", kind=kind):
            assert rejected(task, replaced(gold, -1, Answer(text="It is 17 degrees."))), task.id


def test_giving_up_passes_where_nothing_can_be_done_and_nowhere_else():
    for task, gold in golds("train"):
        turns = (*gold.turns[:-2], Plan(thought="I give up.", decision=Decision.GIVE_UP))
        passed = WORLD.verify(task, dataclasses.replace(gold, turns=turns)).passed
        assert passed is (task.metadata["kind"] in (Kind.NONE, Kind.FAILED)), task.id


def test_a_thing_created_twice_is_rejected():
    tried = 0
    for index in range(3000):
        problem = draw_problem(0, "train", index)
        effects = {name: tool.need.effect.value for name, tool in problem.tools.items()}
        if problem.kind is not Kind.SINGLE or problem.exchanges[0].steps[0].tools[0].need.effect.value != "create":
            continue
        gold = WORLD.gold(problem.task)
        assert effects[gold.calls[0].name] == "create"
        again = WORLD.execute(gold.calls[0], problem.task, gold.calls)
        turns = (*gold.turns[:4], *gold.turns[1:3], again, *gold.turns[4:])
        assert rejected(problem.task, dataclasses.replace(gold, turns=turns))
        tried += 1
        if tried == 5:
            break
    assert tried


# --- state ------------------------------------------------------------------------------------------------


def _creating_and_changing():
    """A task with a chain of creating a record and changing it."""
    for split, index in itertools.product(Split, range(2000)):
        problem = draw_problem(0, split, index)
        steps = [step for exchange in problem.exchanges for step in exchange.steps]
        if (
            problem.kind is Kind.CHAIN
            and steps[0].tools[0].need.effect.value == "create"
            and steps[0].tools[0].need.store
        ):
            return problem
    raise AssertionError("no such task")


def test_later_calls_of_a_branch_see_what_earlier_ones_changed_and_forks_do_not():
    problem = _creating_and_changing()
    create, change = WORLD.gold(problem.task).calls

    async def run():
        environment = WorldEnvironment(WORLD, problem.task)
        before = environment.fork()
        created = await environment.execute(create)
        after = environment.fork()
        same = await before.execute(create)
        again = await environment.execute(create)
        return created, same, again, await after.execute(change), await environment.execute(change)

    created, same, again, changed, _ = asyncio.run(run())
    assert created == same
    assert created != again  # a second record
    assert changed.status is ToolStatus.OK


def test_a_cancelled_record_is_gone_on_its_branch_alone():
    for split, index in itertools.product(Split, range(2000)):
        problem = draw_problem(0, split, index)
        steps = problem.exchanges[-1].steps
        if problem.exchanges[-1].end is End.ANSWER and problem.kind is Kind.SINGLE:
            need = steps[0].tools[0].need
            if need.effect.value == "cancel" and need.store:
                (call,) = WORLD.gold(problem.task).calls
                assert WORLD.execute(call, problem.task).status is ToolStatus.OK
                assert WORLD.execute(call, problem.task, [call]).status is ToolStatus.ERROR
                return
    raise AssertionError("no task cancels anything")


def test_a_conversation_goes_on_after_its_earlier_exchanges():
    task, gold = gold_of(Kind.TURNS)
    history = WORLD.history(task)
    assert gold.turns[: len(history)] == history
    assert gold.turns[len(history)] == User(text=task.query)
    alone = Trajectory(task=task, turns=gold.turns[len(history) :], stop=gold.stop)
    assert rejected(task, alone)


# --- data -------------------------------------------------------------------------------------------------


WORKSHOP = read_domain(Path(__file__).parents[1] / "data" / "functions" / "workshop.toml")
"""A domain of odd shapes."""
DIGESTS = {"4": "a229c888a12cbb4d645047ecc6cc196ad5ca4c539b8dfa296ea089aae879a64a"}
"""Version of the code -> what its tasks of that domain look like. Another digest needs another version."""


@pytest.mark.parametrize("domain", [*load_library().domains.values(), WORKSHOP], ids=lambda domain: domain.name)
def test_every_need_and_chain_of_a_domain_can_be_drawn(domain):
    source = SplitDomains(Split.UNSEEN_NEEDS, {domain.name: domain})
    met = set()
    for index in range(120):
        problem = draw_in(source, RandomStream("domain", domain.name, index), 0, index)
        verdict = judge(problem, write_gold(problem))
        assert verdict.reasons == (), (problem.kind, problem.task.query)
        met |= {*problem.task.metadata["needs"]}
    assert len(met) > len(source.needs) / 2


# --- in use -----------------------------------------------------------------------------------------------


def test_any_call_is_answered():
    @settings(max_examples=examples(150), deadline=None)
    @given(
        st.integers(0, 60),
        st.text(max_size=60)
        | st.recursive(
            st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
            lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
            max_leaves=8,
        ).map(json.dumps),
        st.data(),
    )
    def check(index, arguments, data):
        task = WORLD.task("train", index)
        call = Call(
            name=data.draw(st.sampled_from([*(tool.name for tool in task.tools), "", "x"])), arguments=arguments
        )
        assert isinstance(WORLD.execute(call, task, [call]), Observation)

    check()


def test_values_of_any_kind_under_the_right_names_are_answered():
    @settings(max_examples=examples(150), deadline=None)
    @given(st.integers(0, 80), st.data())
    def check(index, data):
        task = WORLD.task("train", index)
        tool = data.draw(st.sampled_from(task.tools))
        values = (
            st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5) | st.just([]) | st.just({})
        )
        arguments = {name: data.draw(values) for name in tool.parameters["properties"]}
        call = Call(name=tool.name, arguments=json.dumps(arguments))
        assert isinstance(WORLD.execute(call, task, [call]), Observation)

    check()


@pytest.mark.parametrize("strategy", [Chain(), DepthFirst()])
@pytest.mark.parametrize("kind", [Kind.TURNS, Kind.SUPPLIED, Kind.CHAIN, Kind.PARALLEL, Kind.FALLBACK])
def test_a_search_goes_on_after_the_history_of_a_task(kind, strategy):
    task, right = gold_of(kind)
    tree, environment = Tree(task=task), WorldEnvironment(WORLD, task)
    history = WORLD.history(task)
    asyncio.run(solve(tree, OracleAgent(), environment, Limits(), strategy, history=history))
    assert tree.best.turns == right.turns
    assert WORLD.verify(task, tree.best).passed


def test_raw_answers_are_written_for_single_queries_alone(tmp_path):
    written = write_gold_files(tmp_path, Choice(split="train", count=40, preset="functions"))
    read = list(read_trajectories(written.trajectories))
    assert len(read) == 40
    single = [each for each in read if not WORLD.history(each.task)]
    assert len(list(written.answers.rglob("*.json"))) == len(single) < 40


def test_a_free_query_is_refused_in_words():
    with pytest.raises(ConfigError, match="--world-task"):
        free_query("functions", "What is the weather in Lima?")


def test_a_changed_loan_is_read_as_it_was_changed():
    source = SplitDomains(Split.UNSEEN_NEEDS, {"workshop": WORKSHOP})
    for index in range(600):
        problem = draw_in(source, RandomStream("loan", index), 0, index)
        if problem.kind is Kind.CHAIN and len(problem.exchanges[0].steps) == 3:
            _, (lend, extend, look) = next(problem.solution())
            assert look.results["due"] == extend.values["due"] != lend.results["due"]
            assert extend.results["old_due"] == lend.results["due"]
            assert look.results["item"] == lend.values["item"]
            return
    raise AssertionError("no such chain")


def test_tasks_change_with_the_version_alone():
    source = SplitDomains(Split.UNSEEN_NEEDS, {"workshop": WORKSHOP})
    digest = hashlib.sha256()
    for index in range(150):
        problem = draw_in(source, RandomStream("digest", index), 0, index)
        tools = [[tool.name, tool.description, tool.parameters] for tool in problem.task.tools]
        row = encode_trajectory(write_gold(problem))["turns"]
        digest.update(json.dumps([problem.task.query, tools, row], sort_keys=True).encode())
    assert DIGESTS[CODE_VERSION] == digest.hexdigest()
