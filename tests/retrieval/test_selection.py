"""Selection of tools: what an agent reads at each step, in which order, and what of it is recorded."""

import asyncio
import json

from hypothesis import given, settings
from hypothesis import strategies as st

import alpha_umi as umi
from alpha_umi.retrieval.selection import RetrieveAt, ToolSelection
from alpha_umi.rollouts.runner import read_rollouts
from alpha_umi.types import Answer, Call, Decision, Observation, Plan, Task, ToolSpec, User
from support.commands import run_here
from support.rollout_agents import Reader

TOPICS = ("weather", "trains", "hotels", "recipes", "stocks", "music", "films", "chess")
TASK = Task(
    id="1",
    query="Weather today?",
    tools=tuple(ToolSpec(name=f"get_{topic}", description=f"Tells of {topic}.") for topic in TOPICS),
)


def plan(thought):
    return Plan(thought=thought, decision=Decision.CALL)


def names(tools):
    return [tool.name.removeprefix("get_") for tool in tools]


def test_a_caller_reads_the_tools_of_the_thought_and_the_called_ones_stay():
    selection = ToolSelection(k=2)
    asked = (User(text=TASK.query),)
    first = (*asked, plan("the weather"), Call(name="get_weather", arguments="{}"), Observation(content="rain"))
    assert names(selection.view(TASK, asked)) == ["weather", "trains"]
    assert names(selection.view(TASK, first)) == ["weather", "trains"]
    assert names(selection.view(TASK, (*first, plan("stocks, stocks, chess, chess")))) == ["weather", "stocks", "chess"]
    assert names(selection.view(TASK, (*first, Plan(thought="stocks", decision=Decision.CONCLUDE)))) == [
        "weather", "trains",
    ]  # fmt: skip
    once = ToolSelection(k=2, at=RetrieveAt.QUERY)
    assert names(once.view(TASK, (*first, plan("stocks, stocks, chess, chess")))) == ["weather", "trains"]


def test_thoughts_of_earlier_exchanges_do_not_count_but_their_calls_do():
    past = (User(text="Chess?"), plan("chess"), Call(name="get_chess", arguments="{}"), Answer(text="no"))
    assert names(ToolSelection(k=1).view(TASK, (*past, User(text=TASK.query)))) == ["chess", "weather"]


WORDS = st.sampled_from([*TOPICS, "nothing", ""])
TURN = st.one_of(
    st.builds(plan, WORDS),
    st.builds(lambda name: Call(name=f"get_{name}", arguments="{}"), WORDS),
    st.builds(lambda text: User(text=text), WORDS),
)


@settings(max_examples=50, deadline=None)
@given(turns=st.lists(TURN, max_size=6), k=st.integers(1, 8))
def test_a_view_is_of_k_offered_tools_and_the_called_ones_and_grows_at_its_end(turns, k):
    selection = ToolSelection(k=k)
    before = selection.view(TASK, ())
    for at in range(len(turns) + 1):
        view = selection.view(TASK, turns[:at])
        called = {turn.name for turn in turns[:at] if isinstance(turn, Call)}
        assert len({tool.name for tool in view if tool in TASK.tools}) == len(view)
        assert k <= len(view) <= k + len(called)
        kept = [tool.name for tool in before if tool in view]
        assert [tool.name for tool in view][: len(kept)] == kept
        before = view


def weather():
    """Weather of today."""


def trains():
    """When trains leave."""


def stocks():
    """Prices of shares."""


def test_an_agent_in_python_reads_what_each_step_needs_and_its_record_keeps_that():
    tools = [trains, weather, stocks]
    done = umi.ask("weather?", tools=tools, agent=Reader(), retrieve=1, retrieve_at="step")
    assert [call.name for call in done.calls] == ["stocks"]
    assert done.answer == "stocks"
    assert [tool.name for tool in done.task.tools] == ["weather", "stocks"]
    assert umi.ask("weather?", tools=tools, agent=Reader(), retrieve=1).answer == "weather"

    async def explored():
        nodes = umi.explore(Reader(), "weather?", tools=tools, retrieve=1, retrieve_at="step")
        return [node async for node in nodes][-1].turns[-1]

    assert asyncio.run(explored()) == Answer(text="stocks")


def test_a_rollout_finds_tools_of_a_corpus_at_each_step(tmp_path):
    functions = [
        f'@tool\ndef {name}():\n    """{text}"""\n    return 1\n'
        for name, text in (("weather", "Weather."), ("stocks", "Prices of stocks."), ("trains", "Trains."))
    ]
    (tmp_path / "tools.py").write_text("\n".join(["from alpha_umi import tool", *functions]))
    (tmp_path / "q.jsonl").write_text(json.dumps({"id": "1", "query": "weather?", "tools": []}) + "\n")
    command = ["rollout", "--queries", "q.jsonl", "--env", "tools.py", "--agent", "rollout_agents:reader"]
    for moment, called in (("step", "stocks"), ("query", "weather")):
        found = run_here(*command, "--retrieve", "1", "--retrieve-at", moment, "--out", moment, cwd=tmp_path)
        assert found.code == 0, found.err
        (rollout,) = read_rollouts(tmp_path / moment)
        assert [call.name for call in rollout.trajectory.calls] == [called]
        assert called in {tool.name for tool in rollout.trajectory.task.tools} <= {"weather", "stocks"}
    wrong = run_here(*command, "--retrieve-at", "turn", "--out", "x", cwd=tmp_path)
    assert wrong.code == 2
    assert "retrieve_at" in wrong.err
