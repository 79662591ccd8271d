"""A cautious agent gives up rather than make a call of which it is less sure than its threshold."""

import asyncio
import math

import pytest

import alpha_umi as umi
from alpha_umi.agent import undrafted
from alpha_umi.caution import CautiousAgent
from alpha_umi.config.agents import AgentConfig
from alpha_umi.errors import ConfigError
from alpha_umi.types import Call, Decision, Plan, Proposal, Task, Usage, User


class Draft:
    def __init__(self, confidence):
        self.call = Call(name="send", arguments="{}", confidence=confidence)

    async def propose(self, task, turns):
        return Proposal(turns=(Plan(thought="", decision=Decision.CALL), self.call), usage=Usage(prompt_tokens=7))


def proposed(confidence, threshold):
    agent = CautiousAgent(drafter=Draft(confidence), threshold=threshold)
    return asyncio.run(agent.propose(Task(id="0", query="Send it."), (User(text="Send it."),)))


@pytest.mark.parametrize("confidence", [math.log(0.6), None, 0.0])
def test_a_call_that_is_sure_enough_or_of_unknown_confidence_is_made(confidence):
    assert isinstance(proposed(confidence, 0.5).turns[-1], Call)


def test_a_doubtful_call_is_given_up_and_what_it_cost_is_counted():
    proposal = proposed(math.log(0.4), 0.5)
    assert [turn.decision for turn in proposal.turns] == [Decision.GIVE_UP]
    assert "send" in proposal.turns[0].thought
    assert proposal.usage.prompt_tokens == 7


def test_who_decides_the_calls_himself_asks_the_agent_underneath():
    draft = Draft(None)
    assert undrafted(CautiousAgent(drafter=draft, threshold=0.5)) is draft


@pytest.mark.parametrize("threshold", [-0.1, 1.5])
def test_a_threshold_is_a_probability(threshold):
    with pytest.raises(ConfigError, match="threshold"):
        umi.load("umi-tiny", threshold=threshold)
    with pytest.raises(ValueError, match="threshold"):
        AgentConfig(format="shared", roles={}, threshold=threshold)


@pytest.mark.slow
def test_the_bundled_agent_gives_up_under_a_threshold_that_nothing_reaches():
    with umi.load("umi-tiny", threshold=1.0) as agent:
        told = agent.ask("What is the population of the capital?", world="small")
    assert told.answer is None
