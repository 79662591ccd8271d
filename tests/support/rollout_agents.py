"""Scripted agents, named on the command line as `rollout_agents:NAME`; what they do is a function of what they see."""

import asyncio
import hashlib
import json
import os
from dataclasses import replace
from pathlib import Path

from alpha_umi.demo.choices import FIRST
from alpha_umi.errors import ModelError
from alpha_umi.types import Answer, Call, Decision, Observation, Plan, Proposal, Usage, User
from alpha_umi.world.oracle_agent import OracleAgent

HELD_FROM = 6
USAGE = Usage(prompt_tokens=10, completion_tokens=5, completions=1)


def share(*told):
    """A number in [0, 1) that is always the same for the same things."""
    return int(hashlib.sha256(json.dumps(told).encode()).hexdigest()[:12], 16) / 16**12


class Explorer:
    """Calls tools and gives up now and then; `faults` is the share of proposals that fail, in every way there is."""

    def __init__(self, faults=0.0, seconds=0.0):
        self._faults, self._seconds = faults, seconds

    async def propose(self, task, turns):
        told = (task.id, [str(turn) for turn in turns])
        if self._seconds:
            await asyncio.sleep(self._seconds * share("wait", *told))
        if share("fault", *told) < self._faults:
            self._fail(share("kind", *told))
        depth = sum(isinstance(turn, Call) for turn in turns)
        if depth >= 3 and share("end", *told) < 0.4:
            return Proposal(turns=(Plan(thought="so", decision=Decision.CONCLUDE), Answer(text=task.id)), usage=USAGE)
        if depth >= 3 or share("stop", *told) < 0.1:
            return Proposal(turns=(Plan(thought="no", decision=Decision.GIVE_UP),), usage=USAGE)
        tool = task.tools[int(share("tool", *told) * len(task.tools))]
        arguments = json.dumps({"task": task.id, "hints": sum(isinstance(turn, User) for turn in turns)})
        return Proposal(
            turns=(Plan(thought="on", decision=Decision.CALL), Call(name=tool.name, arguments=arguments)), usage=USAGE
        )

    def _fail(self, kind):
        raise (
            ModelError("the endpoint is busy"),
            RuntimeError("a bug"),
            TimeoutError(),
            asyncio.CancelledError(),
            RecursionError("too deep"),
            MemoryError(),
            SystemExit(3),
        )[int(kind * 7)]


class Slow(OracleAgent):
    """The oracle, with time to lose a node in."""

    async def propose(self, task, turns):
        await asyncio.sleep(float(os.environ.get("SLOW_S", "0.02")))
        return await super().propose(task, turns)


class Held(OracleAgent):
    """The oracle, which goes on with no task beyond the first HELD_FROM while there is a file named `hold`."""

    async def propose(self, task, turns):
        while task.metadata["index"] >= HELD_FROM and Path("hold").exists():
            await asyncio.sleep(0.01)
        return await super().propose(task, turns)


class Shy(OracleAgent):
    """Gives up at first; where a search tells it of that, it does as the oracle."""

    async def propose(self, task, turns):
        if len(turns) == 1:
            return Proposal(turns=(Plan(thought="no", decision=Decision.GIVE_UP),), usage=USAGE)
        rest = [turn for turn in turns if not isinstance(turn, User)]
        return await super().propose(task, (turns[0], *rest))


class Stumbling(OracleAgent):
    """The oracle in words of its own, which fails at the second task that is measured where it reads these."""

    async def propose(self, task, turns):
        own = Plan(thought="mine", decision=Decision.CALL)
        if task.metadata["index"] == FIRST + 1 and task.metadata["split"] != "G3_instruction" and own in turns:
            raise RuntimeError("a bug\nin many lines")
        proposal = await super().propose(task, turns)
        plan = proposal.turns[0]
        return replace(proposal, turns=(replace(plan, thought="mine"), *proposal.turns[1:]))


class Tiring(OracleAgent):
    """The oracle for so many proposals, and nobody afterwards."""

    def __init__(self, proposals):
        self._left = proposals

    async def propose(self, task, turns):
        self._left -= 1
        if self._left < 0:
            raise ModelError("the endpoint is busy")
        return await super().propose(task, turns)


def tiring():
    return Tiring(30)


def faulty():
    return Explorer(faults=0.06, seconds=0.005)


explorer = Explorer()
slow = Slow()
held = Held()
shy = Shy()
stumbling = Stumbling()
nothing = object()


class Reader:
    """Agent that calls the last tool that it reads, then answers with all that it reads."""

    async def propose(self, task, turns):
        read = " ".join(tool.name for tool in task.tools)
        match turns[-1]:
            case Observation():
                return Proposal(turns=(Plan(thought="done", decision=Decision.CONCLUDE), Answer(text=read)))
            case Plan():
                return Proposal(turns=(Call(name=task.tools[-1].name, arguments="{}"),))
            case _:
                return Proposal(turns=(Plan(thought="stocks", decision=Decision.CALL),))


reader = Reader()


class Adder:
    """Agent that adds what the user names, 1 where no number is named, and answers with the sum."""

    async def propose(self, task, turns):
        match turns[-1]:
            case Observation(content=content):
                return Proposal(turns=(Plan(thought="so", decision=Decision.CONCLUDE), Answer(text=content)))
            case _:
                number = next((int(each) for each in turns[-1].text if each.isdecimal()), 1)
                read = Plan(thought=" ".join(tool.name for tool in task.tools), decision=Decision.CALL)
                return Proposal(turns=(read, Call(name="add", arguments=json.dumps({"n": number}))))


adder = Adder()


class Noter:
    """Notes each message of a conversation, and answers a question with the text above it that has the notes."""

    async def propose(self, task, turns):
        (at, said), *_ = [(at, turn) for at, turn in reversed(list(enumerate(turns))) if isinstance(turn, User)]
        if task.metadata["simulation"]["scored"] or len(turns) > at + 1:
            return Proposal(turns=(Plan(thought="", decision=Decision.CONCLUDE), Answer(text=said.text)))
        call = Call(name="memory_append", arguments=json.dumps({"text": said.text.split("\n\n")[-1]}))
        return Proposal(turns=(Plan(thought="", decision=Decision.CALL), call))


noter = Noter()
