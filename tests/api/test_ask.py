"""One query from Python: tools as functions, inside a running event loop too, and what is refused in words."""

import asyncio
import threading
from pathlib import Path

import pytest

import alpha_umi as umi
from alpha_umi.loading.agents import LoadedAgent, read_agent
from alpha_umi.types import Answer, Call, StopReason, Task, ToolSpec
from support.coded_agents import Echo


def upper(text: str) -> str:
    """Text in capitals."""
    return text.upper()


def test_a_plain_function_is_a_tool():
    trajectory = umi.ask("hello", tools=[upper], agent=Echo())
    assert trajectory.answer == "hello: HELLO"
    assert trajectory.calls == (Call(name="upper", arguments='{"text": "hello"}'),)
    assert trajectory.stop is StopReason.ANSWERED
    assert [tool.name for tool in trajectory.task.tools] == ["upper"]


def test_asking_works_inside_a_running_event_loop_and_with_async_tools():
    async def shout(text: str) -> str:
        await asyncio.sleep(0)
        return text + "!"

    async def notebook():
        return umi.ask("hello", tools=[shout], agent=Echo()).answer

    assert asyncio.run(notebook()) == "hello: hello!"


def test_an_awaited_query_runs_its_tools_in_the_callers_loop():
    async def main():
        loop = asyncio.get_running_loop()

        async def where(text: str) -> str:
            return str(asyncio.get_running_loop() is loop)

        return (await umi.aask("hello", tools=[where], agent=Echo())).answer

    assert asyncio.run(main()) == "hello: True"


def test_an_agent_answers_several_queries_from_several_threads():
    with umi.load(Echo()) as agent:
        answers = []
        threads = [
            threading.Thread(target=lambda text=text: answers.append(agent.ask(text, tools=[upper]).answer))
            for text in ("a", "b", "c")
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert sorted(answers) == ["a: A", "b: B", "c: C"]


def test_a_search_is_explored_node_by_node():
    async def main():
        nodes = [node async for node in umi.explore(Echo(), "hello", tools=[upper], strategy="dfsdt")]
        return nodes[-1].turns[-1]

    assert asyncio.run(main()) == Answer(text="hello: HELLO")


def test_a_query_is_explored_in_the_world_of_a_loaded_agent():
    agent = umi.Agent(LoadedAgent(agent=Echo()), read_agent(Path("umi-tiny")))

    async def main():
        return [node async for node in umi.explore(agent, "What is the weather in Lima?")][-1].status

    assert asyncio.run(main()) is umi.NodeStatus.ANSWERED


def test_a_query_to_an_object_leaves_no_thread_behind():
    before = threading.active_count()
    for _ in range(3):
        umi.ask("hello", tools=[upper], agent=Echo())
    assert threading.active_count() == before


def test_a_task_of_the_sealed_world_needs_no_tools():
    from alpha_umi.world import World

    async def main():
        task = World("tiny").task("train", 0)
        return [node async for node in umi.explore("oracle", task)][-1].status

    assert asyncio.run(main()) is umi.NodeStatus.ANSWERED


def test_a_task_without_anything_to_run_its_tools_is_refused():
    with pytest.raises(umi.ConfigError, match="nothing runs its tools"):
        umi.explore(Echo(), Task(id="1", query="hello", tools=(ToolSpec(name="upper"),)))


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"query": 5}, "ask: query is 5, but must be text"),
        ({"query": "x", "tools": 5}, "tools is 5, but must be of type Environment or a list or a path"),
        ({"query": "x", "tools": [1]}, r"tools\[0\] is 1, but must be a function"),
        ({"query": "x", "tols": []}, "unknown argument 'tols'; did you mean 'tools'"),
        ({"query": "x", "tools": [], "max_steps": 0}, "max_steps is 0, but must be at least 1"),
        ({"query": "x", "tools": [], "max_tokens": "many"}, "max_tokens is 'many', but must be a whole number"),
        ({"query": "x", "tools": [], "strategy": "best"}, "no strategy 'best'; known: chain"),
        ({"query": "x", "agent": 3}, "agent is 3, but must be of type Agent or text or a path"),
        ({"query": "x", "agent": Echo(), "model": "m"}, "is loaded already"),
        (
            {"query": "x", "base_url": "http://localhost:1"},
            "an instruct model by --model, at an endpoint by --base-url",
        ),
        (
            {"query": "x", "agent": "umi-tiny", "model": "m"},
            "an instruct model by --model, at an endpoint by --base-url",
        ),
        ({"query": "x", "agent": Echo()}, "which tools may be used"),
        ({"query": "x", "agent": ""}, "agent '' is no name"),
        ({}, "say what to do"),
        ({"query": " "}, "say what to do"),
    ],
)
def test_wrong_arguments_are_refused_in_words_before_anything_is_loaded(arguments, words):
    with pytest.raises(umi.ConfigError, match=words):
        umi.ask(**arguments)


def test_wrong_arguments_of_a_method_are_refused_under_its_name():
    with umi.load(Echo()) as agent, pytest.raises(umi.ConfigError, match=r"^Agent\.ask: tools is 5"):
        agent.ask("x", tools=5)


def test_wrong_arguments_of_an_awaited_query_are_refused_in_the_same_words():
    with pytest.raises(umi.ConfigError, match="aask: query is 5, but must be text"):
        asyncio.run(umi.aask(5))


def test_an_agent_that_is_not_there_is_a_checkpoint_error():
    with pytest.raises(umi.CheckpointError, match="nowhere"):
        umi.load("nowhere")
