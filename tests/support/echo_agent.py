"""Agents by `module:attribute` for the command line."""

import asyncio

from alpha_umi.types import Answer, Decision, Plan, Proposal
from support.coded_agents import Echo


class Hesitating(Echo):
    """Takes a minute over messages that ask it to wait, after its first step."""

    async def propose(self, task, turns):
        if len(self.asked) and "wait" in turns[0].text and len(turns) == 4:
            await asyncio.sleep(60)
        return await super().propose(task, turns)


class Ending:
    """Ends at once: the word of the message says how."""

    async def propose(self, task, turns):
        said = turns[-1].text
        if said == "give_up":
            return Proposal(turns=(Plan(thought="", decision=Decision.GIVE_UP),))
        answer = Answer(text="" if said == "empty" else said)
        return Proposal(turns=(Plan(thought="", decision=Decision.CONCLUDE), answer))


ECHO = Echo()
ENDING = Ending()
HESITATING = Hesitating()
