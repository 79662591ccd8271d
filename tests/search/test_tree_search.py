"""Searches that branch: order, hints, back-up, ranking, forks, limits under random agents."""

import asyncio
import json
from contextlib import aclosing
from dataclasses import dataclass, field

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from alpha_umi.environments.python import PythonEnvironment, tool
from alpha_umi.errors import ConfigError, ModelError
from alpha_umi.formats.prompts.hints import Preference, read_preference, write_comparison, write_hint
from alpha_umi.models.scripted import ScriptedModel
from alpha_umi.search import (
    Chain,
    Comparison,
    DepthFirst,
    Limits,
    ModelRanker,
    NodeStatus,
    PublishedTree,
    Tree,
    explore,
    method_name,
    open_published,
    open_strategy,
)
from alpha_umi.search.record import Recorder
from alpha_umi.types import (
    Answer,
    Call,
    Decision,
    Observation,
    Plan,
    Proposal,
    StopReason,
    Task,
    ToolSpec,
    Usage,
    User,
)
from support.examples import examples

TASK = Task(id="1", query="find the way", tools=(ToolSpec(name="go"),))
USAGE = Usage(prompt_tokens=3, completion_tokens=2, completions=1)


def go(where):
    return (Plan(thought=f"to {where}", decision=Decision.CALL), Call(name="go", arguments=json.dumps({"to": where})))


GIVE_UP = (Plan(thought="no way", decision=Decision.GIVE_UP),)


def answer(text="found"):
    return (Plan(thought="there", decision=Decision.CONCLUDE), Answer(text=text))


@dataclass
class Map:
    """An agent that knows what to say at each place, first, second, ...; where it has been is all it sees."""

    says: dict
    asked: list = field(default_factory=list)

    async def propose(self, task, turns):
        place = "".join(json.loads(turn.arguments)["to"] for turn in turns if isinstance(turn, Call))
        visit = sum(place == before for before, _ in self.asked)
        self.asked.append((place, turns))
        lines = self.says.get(place, [GIVE_UP])
        return Proposal(turns=lines[min(visit, len(lines) - 1)], usage=USAGE)


@dataclass
class Road:
    """Keeps the places that this branch has been to."""

    been: tuple = ()
    tools: tuple = TASK.tools

    async def execute(self, call):
        self.been = (*self.been, json.loads(call.arguments)["to"])
        return Observation(content="-".join(self.been))

    def fork(self):
        return Road(been=self.been)


def run(agent, strategy, limits=None, environment=None):
    async def gather():
        tree = Tree(task=TASK)
        async with aclosing(explore(agent, environment or Road(), TASK, limits, strategy)) as nodes:
            async for node in nodes:
                tree.add(node)
        return tree

    return asyncio.run(gather())


def places(agent):
    return [place for place, _ in agent.asked]


def test_children_are_followed_in_pre_order():
    agent = Map({"": [go("a"), go("b")], "a": [go("c"), go("d")], "b": [go("e"), answer()]})
    tree = run(agent, DepthFirst(width=2), Limits(max_steps=2))
    assert places(agent) == ["", "a", "a", "", "b", "b"]
    assert tree.best.stop is StopReason.ANSWERED
    assert [turn.content for turn in tree.best.turns if isinstance(turn, Observation)] == ["b"]


def test_a_give_up_backs_up_two_steps():
    agent = Map({"": [go("a"), answer()], "a": [go("b")], "ab": [GIVE_UP, answer("never asked")]})
    run(agent, DepthFirst(width=2))
    # Not "ab" again but "a", where another "b" is tried.
    assert places(agent)[:4] == ["", "a", "ab", "a"]


class Deaf(Road):
    """Says the same whatever is called."""

    async def execute(self, call):
        return Observation(content="nothing")

    def fork(self):
        return Deaf()


def test_a_branch_that_repeats_a_call_in_vain_is_left_for_another():
    agent = Map({"": [go("a")], "a": [go("a"), go("b")], "aa": [answer("never asked")], "ab": [answer()]})
    tree = run(agent, DepthFirst(width=2), Limits(max_repeats=2), Deaf())
    assert places(agent) == ["", "a", "a", "ab"]
    assert tree.best.turns[-1] == answer()[-1]


def test_a_give_up_at_the_query_does_not_end_the_search():
    agent = Map({"": [GIVE_UP, answer()]})
    assert run(agent, DepthFirst(width=2)).best.stop is StopReason.ANSWERED
    agent = Map({"": [GIVE_UP, answer()]})
    assert run(agent, PublishedTree(width=2)).best.stop is StopReason.GAVE_UP


@pytest.mark.parametrize(("give_ups", "asked"), [(2, 4), (3, 7), (None, 7)])
def test_who_gives_up_again_after_a_hint_means_it_and_the_first_time_counts(give_ups, asked):
    says = {"": [go("a"), go("b")], "a": [go("c"), GIVE_UP], "ac": [GIVE_UP], "b": [go("d")], "bd": [answer("lucky")]}
    agent = Map(says)
    tree = run(agent, DepthFirst(width=2, give_ups=give_ups))
    assert len(agent.asked) == asked
    if give_ups == 2:
        assert tree.best.stop is StopReason.GAVE_UP
        assert [turn.content for turn in tree.best.turns if isinstance(turn, Observation)] == ["a", "a-c"]
        written = Recorder(strategy=DepthFirst()).write(tree)["answer_generation"]
        assert (written["finish_type"], "a-c" in json.dumps(written["train_messages"])) == ("give_up", True)
    else:
        assert tree.best.turns[-1] == Answer(text="lucky")


def test_the_hint_is_heard_in_its_own_step_and_in_no_later_one():
    agent = Map({"": [go("a"), go("b")], "a": [GIVE_UP], "b": [answer()]})
    tree = run(agent, DepthFirst(width=2))
    hinted = [turns[-1].text for place, turns in agent.asked if place == "" and len(turns) > 1]
    assert hinted == [tree.nodes[3].hint]
    assert '{"to": "a"}' in hinted[0]
    assert [type(turn) for turn in agent.asked[-1][1]] == [User, Plan, Call, Observation]
    assert hinted[0] not in [turn.text for turn in tree.best.turns if isinstance(turn, User)]


def test_every_child_has_its_own_environment():
    agent = Map({"": [go("a"), go("b")], "a": [go("c"), go("d")]})
    tree = run(agent, DepthFirst(width=2), Limits(max_steps=2))
    seen = [node.turns[-1].content for node in tree.nodes if isinstance(node.turns[-1], Observation)]
    assert seen == ["a", "a-c", "a-d", "b"]


class Fixed(Road):
    """Cannot be copied."""

    def fork(self):
        raise ConfigError("this environment cannot be forked; use a chain")


@pytest.mark.parametrize("strategy", [DepthFirst(), PublishedTree(), Chain(attempts=2)])
def test_an_environment_that_cannot_fork_is_refused_before_a_model_is_asked(strategy):
    agent = Map({"": [answer()]})
    with pytest.raises(ConfigError, match="cannot be forked"):
        run(agent, strategy, environment=Fixed())
    assert agent.asked == []
    assert run(agent, Chain(), environment=Fixed()).best.stop is StopReason.ANSWERED


def test_chains_are_tried_until_one_answers():
    agent = Map({"": [GIVE_UP, go("a"), answer()], "a": [GIVE_UP]})
    tree = run(agent, Chain(attempts=5))
    assert places(agent) == ["", "", "a", ""]
    assert tree.best.turns == (User(text=TASK.query), *answer())
    assert [node.parent for node in tree.nodes[1:]] == [0, 0, 2, 0]


def test_more_answers_than_one_can_be_asked_for_and_the_first_is_best():
    agent = Map({"": [answer("one"), answer("two"), answer("three")]})
    tree = run(agent, DepthFirst(width=3, answers=2))
    assert [node.status for node in tree.nodes[1:]] == [NodeStatus.ANSWERED] * 2
    assert tree.best.turns[-1] == Answer(text="one")


# --- ranking ----------------------------------------------------------------------------------------------


@dataclass
class Likes:
    """Prefers the child that goes to the later letter."""

    async def compare(self, task, before, first, second):
        preference = Preference.FIRST if first[0].thought > second[0].thought else Preference.SECOND
        return Comparison(preference=preference, usage=USAGE)


def test_the_best_ranked_child_is_followed_first_and_comparisons_are_paid_for():
    agent = Map({"": [go("a"), go("c"), go("b")], "c": [answer()]})
    tree = run(agent, DepthFirst(width=3, ranker=Likes()))
    assert places(agent) == ["", "", "", "c"]
    assert tree.nodes[0].usage == Usage(prompt_tokens=18, completion_tokens=12, completions=6)
    assert tree.usage.completions == 10


def test_an_answer_among_ranked_children_ends_the_search_at_once():
    agent = Map({"": [answer()]})
    assert run(agent, DepthFirst(width=3, ranker=Likes())).usage.completions == 1


def test_no_comparison_starts_beyond_a_limit():
    agent = Map({"": [go("a"), go("b"), go("c")]})
    tree = run(agent, DepthFirst(width=3, ranker=Likes()), Limits(max_completions=5))
    assert tree.usage.completions == 5
    assert tree.best.stop is StopReason.LIMIT


def test_a_model_ranks_in_both_orders():
    model = ScriptedModel(["B", "A", "B"])
    agent = Map({"": [go("a"), go("b")], "b": [answer()]})
    tree = run(agent, DepthFirst(width=2, ranker=ModelRanker(model=model)))
    assert places(agent)[-1] == "b"
    first, second = (prompt[-1].content for prompt in model.prompts)
    assert first.index("to a") < first.index("to b")
    assert second.index("to b") < second.index("to a")
    assert tree.best.stop is StopReason.ANSWERED


@pytest.mark.parametrize(
    ("reply", "preference"),
    [
        ("A", "first"),
        (" b\n", "second"),
        ("**B**", "second"),
        ("Way A.", "first"),
        ("A or B", "neither"),
        ("", "neither"),
    ],
)
def test_a_preference_is_the_one_letter_that_a_reply_names(reply, preference):
    assert read_preference(reply) == preference


def test_hints_and_comparisons_tell_what_was_done():
    assert write_hint([]) == ""
    hint = write_hint([(*go("a"), Observation(content="a wall")), GIVE_UP, answer("42")])
    for words in ('1. to a Call of go with {"to": "a"}. Observation: a wall', "2. no way You gave up.", "Answer: 42"):
        assert words in hint
    asked = write_comparison(TASK, (User(text="find the way"),), go("a"), GIVE_UP)
    assert "find the way" in asked[-1].content


# --- cutting off, and whatever comes ----------------------------------------------------------------------


@pytest.mark.parametrize("strategy", [Chain(attempts=2), DepthFirst(width=2), PublishedTree(width=2)])
def test_a_search_cancelled_at_any_await_leaves_a_valid_tree(strategy):
    async def cancelled_after(turns):
        tree = Tree(task=TASK)
        agent = Map({"": [go("a"), go("b")], "a": [go("c"), GIVE_UP], "b": [go("d")], "ac": [GIVE_UP]})
        waits = 0

        @dataclass
        class Counting:
            async def propose(self, task, history):
                nonlocal waits
                waits += 1
                if waits > turns:
                    await asyncio.sleep(60)
                return await agent.propose(task, history)

        async def consume():
            async with aclosing(explore(Counting(), Road(), TASK, Limits(max_steps=3), strategy)) as nodes:
                async for node in nodes:
                    tree.add(node)

        running = asyncio.create_task(consume())
        for _ in range(200):
            await asyncio.sleep(0)
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
        return tree

    for turns in range(8):
        tree = asyncio.run(cancelled_after(turns))
        check(tree)
        assert tree.best.turns[0] == User(text=TASK.query)


def check(tree):
    """What holds of every tree, whole or cut off."""
    assert [node.index for node in tree.nodes] == list(range(len(tree.nodes)))
    assert all(node.parent is not None and node.parent < node.index for node in tree.nodes[1:])
    assert all(tree.nodes[node.parent].status in (NodeStatus.DONE, NodeStatus.LIMIT) for node in tree.nodes[1:])


TURNS = st.one_of(
    st.builds(Plan, thought=st.text(max_size=5), decision=st.sampled_from(Decision)),
    st.builds(Call, name=st.text(max_size=5), arguments=st.text(max_size=5)),
    st.builds(Answer, text=st.text(max_size=5)),
    st.builds(User, text=st.text(max_size=5)),
    st.builds(Observation, content=st.text(max_size=5)),
)
REPLIES = st.lists(st.lists(TURNS, max_size=3).map(tuple), min_size=1, max_size=8)
STRATEGIES = st.sampled_from(
    [
        Chain(attempts=2),
        DepthFirst(width=2),
        DepthFirst(width=3, answers=2, ranker=Likes()),
        PublishedTree(max_queries=9),
    ]
)


class Anything(Road):
    """Counts what it executes, in all forks together."""

    def __init__(self, count=None):
        self.count = [0] if count is None else count

    async def execute(self, call):
        self.count[0] += 1
        return Observation(content=call.arguments)

    def fork(self):
        return Anything(self.count)


class Even:
    async def compare(self, task, before, first, second):
        return Comparison(preference=Preference.NEITHER, usage=USAGE)


@settings(max_examples=examples(150), deadline=None)
@given(replies=REPLIES, strategy=STRATEGIES, limit=st.integers(0, 12), calls=st.integers(0, 5), depth=st.integers(0, 4))
def test_no_agent_breaks_a_search_or_a_limit(replies, strategy, limit, calls, depth):
    if isinstance(strategy, DepthFirst) and strategy.ranker:
        strategy = DepthFirst(width=3, answers=2, ranker=Even())

    @dataclass
    class Babble:
        said: int = 0

        async def propose(self, task, turns):
            self.said += 1
            return Proposal(turns=replies[self.said % len(replies)], usage=USAGE)

    limits = Limits(max_steps=depth, max_completions=limit, max_calls=calls)
    environment = Anything()
    tree = run(Babble(), strategy, limits, environment)
    check(tree)
    assert tree.usage.completions <= limit
    assert environment.count[0] <= calls
    if not isinstance(strategy, PublishedTree):
        assert max(len(tree.path(node)) for node in tree.nodes) - 1 <= depth
    json.dumps(Recorder(strategy=strategy).write(tree))


class Down(Map):
    """Fails at first, `failures` times."""

    failures = 1

    async def propose(self, task, turns):
        if self.failures:
            self.failures -= 1
            raise ModelError("the endpoint is down")
        return await super().propose(task, turns)


@pytest.mark.parametrize("strategy", [DepthFirst(), PublishedTree()])
def test_a_model_that_fails_ends_its_branch_alone(strategy):
    tree = run(Down({"": [answer()]}), strategy)
    assert [node.status for node in tree.nodes[1:]] == [NodeStatus.FAILED, NodeStatus.ANSWERED]
    assert tree.best.stop is StopReason.ANSWERED
    assert tree.nodes[2].hint == ""


@pytest.mark.parametrize("strategy", [Chain(), DepthFirst()])
def test_a_model_that_always_fails_is_an_error(strategy):
    agent = Down({})
    agent.failures = 99
    with pytest.raises(ModelError, match="is down"):
        run(agent, strategy)


def test_real_tools_are_searched():
    @tool
    def add(to: str) -> str:
        """Goes there."""
        return f"at {to}"

    agent = Map({"": [(go("a")[0], Call(name="add", arguments='{"to": "a"}'))], "a": [answer()]})
    tree = run(agent, DepthFirst(), environment=PythonEnvironment([add]))
    assert tree.best.turns[3] == Observation(content="at a")


# --- names ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "method"),
    [
        ("chain", "CoT@1"),
        ("CoT@5", "CoT@5"),
        ("dfsdt", "DFS_woFilter_w2"),
        ("DFS_woFilter_w3", "DFS_woFilter_w3"),
        ("dfs", "DFS_w2"),
    ],
)
def test_strategies_have_names_of_ours_and_toolbenchs(name, method):
    assert method_name(open_strategy(name, ranker=Likes())) == method
    published = open_published(name, Limits(max_steps=4, max_completions=9), ranker=Likes())
    assert method_name(published) == method
    assert published.max_nodes == 12


@pytest.mark.parametrize(("name", "words"), [("dsfdt", "known: chain"), ("CoT@0", "known"), ("DFS_w2", "with a model")])
def test_a_strategy_that_cannot_be_opened_is_named(name, words):
    with pytest.raises(ConfigError, match=words):
        open_strategy(name)
