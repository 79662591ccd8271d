"""Agents by `module:attribute` for the command line."""

import asyncio

from support.coded_agents import Echo


class Hesitating(Echo):
    """Takes a minute over messages that ask it to wait, after its first step."""

    async def propose(self, task, turns):
        if len(self.asked) and "wait" in turns[0].text and len(turns) in (4, 5):
            await asyncio.sleep(60)
        return await super().propose(task, turns)


ECHO = Echo()
HESITATING = Hesitating()
