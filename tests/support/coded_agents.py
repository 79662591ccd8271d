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
                [name, *_] = task.tools[0].parameters["properties"]
                plan = Plan(thought="Use the tool.", decision=Decision.CALL)
                said = plan, Call(name=task.tools[0].name, arguments=json.dumps({name: text}))
            case _:
                messages = " | ".join(turn.text for turn in turns if isinstance(turn, User))
                seen = [turn.content for turn in turns if isinstance(turn, Observation)]
                plan = Plan(thought="Done.", decision=Decision.CONCLUDE)
                said = plan, Answer(text=f"{messages}: {', '.join(seen)}")
        return Proposal(turns=said, usage=Usage(completions=1))
