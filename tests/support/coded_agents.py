"""Agents that are code, for tests of what surrounds an agent: they need no model and say what they were asked."""

from __future__ import annotations

import asyncio
import json

from alpha_umi.types import Answer, Call, Decision, Observation, Plan, Proposal, Usage, User


class Echo:
    """Calls the first tool with the last message, then answers with every message and what the tool said."""

    def __init__(self, wait_s: float = 0.0) -> None:
        self.wait_s = wait_s
        self.asked: list[tuple[object, ...]] = []

    async def propose(self, task, turns):
        self.asked.append(tuple(turns))
        await asyncio.sleep(self.wait_s)
        match turns[-1]:
            case User(text=text) if task.tools:
                arguments = dict.fromkeys([*task.tools[0].parameters.get("properties", ())][:1], text)
                plan = Plan(thought="Use the tool.", decision=Decision.CALL)
                said = plan, Call(name=task.tools[0].name, arguments=json.dumps(arguments))
            case _:
                messages = " | ".join(turn.text for turn in turns if isinstance(turn, User))
                seen = [turn.content for turn in turns if isinstance(turn, Observation)]
                plan = Plan(thought="Done.", decision=Decision.CONCLUDE)
                said = plan, Answer(text=f"{messages}: {', '.join(seen)}")
        return Proposal(turns=said, usage=Usage(completions=1))


class Scripted:
    """Calls and answers what it is given, one after the other, whatever it sees."""

    def __init__(self, *turns: Call | Answer) -> None:
        self._turns = turns
        self.tools: list[tuple[str, ...]] = []
        """Names of the tools that each proposal was offered."""

    async def propose(self, task, turns):
        self.tools.append(tuple(tool.name for tool in task.tools))
        said = self._turns[sum(isinstance(turn, Call) for turn in turns)]
        decision = Decision.CALL if isinstance(said, Call) else Decision.CONCLUDE
        return Proposal(turns=(Plan(thought="", decision=decision), said), usage=Usage(completions=1))
