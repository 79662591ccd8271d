"""Conversations: earlier exchanges are context, replies are streamed, an interrupted one keeps what was said."""

import asyncio

import pytest

import alpha_umi as umi
from alpha_umi.jobs.chat import Piece
from alpha_umi.types import Answer, Observation, Plan, StopReason, User
from support.coded_agents import Echo


def upper(text: str) -> str:
    """Text in capitals."""
    return text.upper()


@pytest.fixture
def agent():
    return Echo()


def test_each_reply_has_the_earlier_exchanges_as_context(agent):
    with umi.chat(agent, tools=[upper]) as chat:
        assert chat.trajectory is None
        assert chat.send("one").answer == "one: ONE"
        whole = chat.send("two")
    assert whole.answer == "one | two: ONE, TWO"
    assert [turn.text for turn in whole.turns if isinstance(turn, User)] == ["one", "two"]
    assert agent.asked[2] == whole.turns[: whole.turns.index(User(text="two")) + 1]
    assert whole == chat.trajectory
    assert whole.usage.completions == 4
    assert [exchange.answer for exchange in chat.exchanges] == ["one: ONE", "one | two: ONE, TWO"]


def test_a_search_over_a_tree_has_the_same_context(agent):
    with umi.chat(agent, tools=[upper], strategy="dfsdt") as chat:
        chat.send("one")
        assert chat.send("two").answer == "one | two: ONE, TWO"


def test_a_stream_yields_every_turn_when_it_is_complete_and_then_the_conversation_has_them(agent):
    with umi.chat(agent, tools=[upper]) as chat:
        kinds = [type(event) for event in chat.stream("one")]
        assert kinds[-3:] == [Observation, Plan, Answer]
        assert User not in kinds
        assert chat.trajectory.answer == "one: ONE"


def test_a_stream_yields_pieces_of_what_a_model_generates():
    with umi.load() as agent, agent.chat(max_completions=1) as chat:
        events = list(chat.stream("What is the weather in Lima?"))
    pieces = [event.text for event in events if isinstance(event, Piece)]
    [plan] = [event for event in events if isinstance(event, Plan)]
    assert len(pieces) > 3
    assert "".join(pieces).startswith(plan.thought.rstrip())


def test_a_stream_that_is_left_keeps_what_was_said():
    with umi.chat(Echo(wait_s=0.01), tools=[upper]) as chat:
        for event in chat.stream("one"):
            if isinstance(event, Observation):
                break
        kept = chat.trajectory
        assert kept.stop is StopReason.CANCELLED
        assert kept.turns[-1] == Observation(content="ONE")
        assert chat.send("two").answer == "one | two: ONE, TWO"


def test_a_conversation_is_awaited_and_streamed_in_a_running_loop(agent):
    async def main():
        async with umi.chat(agent, tools=[upper]) as chat:
            first = await chat.asend("one")
            events = [event async for event in chat.astream("two")]
            return first.answer, events[-1], chat.send("three").answer

    assert asyncio.run(main()) == (
        "one: ONE",
        Answer(text="one | two: ONE, TWO"),
        "one | two | three: ONE, TWO, THREE",
    )


def test_two_messages_at_once_are_refused():
    async def main():
        async with umi.chat(Echo(wait_s=0.05), tools=[upper]) as chat:
            first = asyncio.ensure_future(chat.asend("one"))
            await asyncio.sleep(0)
            with pytest.raises(umi.ConfigError, match="a reply is being generated"):
                await chat.asend("two")
            return (await first).answer

    assert asyncio.run(main()) == "one: ONE"


def test_a_message_of_a_wrong_type_is_refused(agent):
    with umi.chat(agent, tools=[upper]) as chat, pytest.raises(umi.ConfigError, match=r"Chat\.send: text is 5"):
        chat.send(5)
