"""A chain: every turn is seen as it happens, limits hold, and what is cut off stays valid."""

import asyncio
import time
from dataclasses import dataclass, field

import pytest

from alpha_umi.protocols import Agent, Environment
from alpha_umi.search import Limits, NodeStatus, Tree, explore
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
    Turn,
    Usage,
    User,
)

TASK = Task(id="1", query="what time is it", tools=(ToolSpec(name="clock"),))
PLAN_CALL = Plan(thought="look at the clock", decision=Decision.CALL)
PLAN_ANSWER = Plan(thought="done", decision=Decision.CONCLUDE)
CALL = Call(name="clock", arguments="{}")
NOON = Observation(content="noon")
ANSWER = Answer(text="It is noon.")


@dataclass
class Script:
    """An agent that says its lines, one proposal at a time."""

    lines: list[tuple[Turn, ...]]
    seen: list[tuple[Turn, ...]] = field(default_factory=list)

    async def propose(self, task, turns):
        self.seen.append(tuple(turns))
        return Proposal(turns=self.lines[len(self.seen) - 1], usage=Usage(prompt_tokens=10, completions=1))


class Clock:
    tools = TASK.tools

    async def execute(self, call):
        return NOON

    def fork(self):
        return self


def run(agent, limits=None, strategy=None, environment=None):
    async def gather():
        tree = Tree(task=TASK)
        seen = []
        async for node in explore(agent, environment or Clock(), TASK, limits, strategy):
            tree.add(node)
            seen.append(node)
        return tree, seen

    return asyncio.run(gather())


def test_the_fakes_fit_the_protocols():
    assert isinstance(Script([]), Agent)
    assert isinstance(Clock(), Environment)


@pytest.mark.parametrize(
    "lines",
    [[(PLAN_CALL,), (CALL,), (PLAN_ANSWER,), (ANSWER,)], [(PLAN_CALL, CALL), (PLAN_ANSWER, ANSWER)]],
    ids=["three models", "one model"],
)
def test_a_chain_ends_with_the_answer(lines):
    tree, _ = run(Script(lines))
    assert tree.best.turns == (User(text=TASK.query), PLAN_CALL, CALL, NOON, PLAN_ANSWER, ANSWER)
    assert tree.best.stop is StopReason.ANSWERED
    assert tree.best.usage == Usage(prompt_tokens=10 * len(lines), completions=len(lines))


def test_every_turn_is_seen_when_it_happens():
    _, seen = run(Script([(PLAN_CALL,), (CALL,), (PLAN_ANSWER,), (ANSWER,)]))
    assert [(node.index, len(node.turns), node.status.value) for node in seen] == [
        (0, 1, "done"),
        (1, 1, "open"),
        (1, 2, "open"),
        (1, 3, "done"),
        (2, 1, "open"),
        (2, 2, "answered"),
    ]


def test_a_give_up_ends_the_chain():
    tree, _ = run(Script([(Plan(thought="hopeless", decision=Decision.GIVE_UP),)]))
    assert tree.best.stop is StopReason.GAVE_UP


def test_a_plan_that_names_nobody_is_a_step_after_which_the_planner_goes_on():
    aimless = Plan(thought="hm", decision=Decision.NONE)
    agent = Script([(aimless,), (PLAN_ANSWER,), (ANSWER,)])
    tree, _ = run(agent)
    assert agent.seen[1] == (User(text=TASK.query), aimless)
    assert tree.best.turns[-1] == ANSWER


@pytest.mark.parametrize(
    ("limits", "turns"),
    [
        (Limits(max_steps=3), [PLAN_CALL, CALL, NOON] * 3),
        (Limits(max_completions=5), [*[PLAN_CALL, CALL, NOON] * 2, PLAN_CALL]),
        (Limits(max_tokens=40), [PLAN_CALL, CALL, NOON] * 2),
        (Limits(max_calls=1), [PLAN_CALL, CALL, NOON, PLAN_CALL, CALL]),
        (Limits(max_repeats=2), [PLAN_CALL, CALL, NOON] * 2),
        (Limits(max_steps=0), []),
        (Limits(max_seconds=0.0), []),
    ],
)
def test_nothing_starts_beyond_a_limit(limits, turns):
    tree, _ = run(Script([(PLAN_CALL,), (CALL,)] * 20), limits)
    assert tree.best.turns == (User(text=TASK.query), *turns)
    assert tree.nodes[-1].status is NodeStatus.LIMIT
    assert tree.best.stop is StopReason.LIMIT


def test_a_plan_that_decides_nothing_ends_the_chain_where_it_is_said_again_and_again():
    aimless, other = (Plan(thought=thought, decision=Decision.NONE) for thought in ("hm", "well"))
    tree, _ = run(Script([(aimless,), (other,), *[(aimless,)] * 20]), Limits(max_repeats=3))
    assert tree.best.turns[1:] == (aimless, other, aimless, aimless, aimless)
    assert tree.best.stop is StopReason.LIMIT


@dataclass
class Slow:
    """Tools, or an agent, that do not come back."""

    tools: tuple = TASK.tools

    async def execute(self, call):
        await asyncio.sleep(60)

    async def propose(self, task, turns):
        await asyncio.sleep(60)

    def fork(self):
        return self


@pytest.mark.parametrize("stuck", ["agent", "tools"])
def test_wall_time_holds_while_something_hangs(stuck):
    agent = Slow() if stuck == "agent" else Script([(PLAN_CALL, CALL)])
    started = time.monotonic()
    tree, _ = run(agent, Limits(max_seconds=0.05), environment=Slow())
    assert time.monotonic() - started < 50
    assert tree.best.stop is StopReason.LIMIT


def test_an_agent_that_says_nothing_or_only_plans_ends_at_the_depth_limit():
    for lines in ([()], [(PLAN_CALL,)], [(PLAN_ANSWER,), (PLAN_ANSWER,)]):
        tree, _ = run(Script(lines * 20), Limits(max_steps=3))
        assert tree.best.stop is StopReason.LIMIT
        assert len(tree.nodes) == 4


def test_a_closed_search_leaves_a_valid_tree():
    async def cut():
        tree = Tree(task=TASK)
        search = explore(Script([(PLAN_CALL,), (CALL,)] * 20), Clock(), TASK)
        async for node in search:
            tree.add(node)
            if len(node.turns) == 2:
                break
        await search.aclose()
        return tree

    best = asyncio.run(cut()).best
    assert best.turns == (User(text=TASK.query), PLAN_CALL, CALL)
    assert best.stop is StopReason.UNFINISHED


def test_a_search_goes_on_after_steps_that_are_there():
    async def gather():
        tree, agent = Tree(task=TASK), Script([(PLAN_ANSWER, ANSWER)])
        async for node in explore(agent, Clock(), TASK, history=(User(text="hi"),), begun=(PLAN_CALL, CALL, NOON)):
            tree.add(node)
        return tree, agent

    tree, agent = asyncio.run(gather())
    before = (User(text="hi"), User(text=TASK.query), PLAN_CALL, CALL, NOON)
    assert agent.seen == [before]
    assert tree.best.turns == (*before, PLAN_ANSWER, ANSWER)
