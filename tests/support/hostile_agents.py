"""Agents and environments of foreign code that do what no protocol allows, named by the query that they read."""

import asyncio
import time

from alpha_umi.errors import ModelError
from alpha_umi.types import Answer, Call, Decision, Observation, Plan, Proposal, Task, ToolSpec, Usage

BLOCKED_S = 0.2


class UnreadableError(Exception):
    def __str__(self):
        raise KeyboardInterrupt

    __repr__ = __str__


class Own(BaseException):
    """Of no class that anybody catches by name."""


def answer(text="fine", usage=None):
    turns = (Plan(thought="so", decision=Decision.CONCLUDE), Answer(text=text))
    return Proposal(turns=turns, usage=Usage(completions=1) if usage is None else usage)


def altered(value, **fields):
    """A value of ours with fields that its type would refuse."""
    for name, field in fields.items():
        object.__setattr__(value, name, field)
    return value


def fail(error):
    raise error


async def leave():
    raise SystemExit(9)


def start_what_exits():
    asyncio.get_running_loop().create_task(leave()).add_done_callback(lambda done: done.exception())
    return answer()


PROPOSALS = {
    "fine": answer,
    "exit": lambda: fail(SystemExit(3)),
    "interrupt": lambda: fail(KeyboardInterrupt()),
    "cancelled": lambda: fail(asyncio.CancelledError()),
    "generator": lambda: fail(GeneratorExit()),
    "own": lambda: fail(Own("words")),
    "unreadable": lambda: fail(UnreadableError()),
    "model": lambda: fail(ModelError("busy")),
    "stop": lambda: fail(StopIteration()),
    "itself": lambda: (asyncio.current_task().cancel(), answer())[1],
    "background": start_what_exits,
    "nothing": lambda: None,
    "no turns": lambda: altered(answer(), turns=None),
    "list": lambda: altered(answer(), turns=[*answer().turns]),
    "turns of none": lambda: altered(answer(), turns=(None,)),
    "number": lambda: answer(text=5),
    "bytes": lambda: answer(text=b"x"),
    "no usage": lambda: altered(answer(), usage=None),
    "negative": lambda: answer(usage=Usage(prompt_tokens=-1)),
    "huge": lambda: answer(usage=Usage(prompt_tokens=10**5000)),
    "sneaked": lambda: answer(usage=altered(Usage(), prompt_tokens=10**5000)),
    "float": lambda: answer(usage=Usage(prompt_tokens=float("nan"))),
    "large": lambda: answer(usage=Usage(prompt_tokens=Usage.most)),
    "surrogate": lambda: answer(text="\ud800"),
    "blocks": lambda: (time.sleep(BLOCKED_S), answer())[1],
}
"""By query, what an agent proposes."""


class Hostile:
    """Does as its query says."""

    async def propose(self, task, turns):
        if task.query == "stays":
            while True:
                try:
                    await asyncio.sleep(60)
                except asyncio.CancelledError:
                    continue
        if task.query.startswith("call "):
            if isinstance(turns[-1], Observation):
                return answer(turns[-1].content)
            call = Call(name="do", arguments=task.query.removeprefix("call "))
            return Proposal(turns=(Plan(thought="", decision=Decision.CALL), call))
        return PROPOSALS[task.query]()


OBSERVATIONS = {
    "fine": lambda: Observation(content="seen"),
    "nothing": lambda: None,
    "text": lambda: "seen",
    "number": lambda: Observation(content=5),
    "status": lambda: Observation(content="seen", status="ok"),
    "exit": lambda: fail(SystemExit(3)),
    "interrupt": lambda: fail(KeyboardInterrupt()),
    "own": lambda: fail(Own("words")),
}
"""By arguments of a call, what an environment returns."""


class HostileEnvironment:
    """Does as its calls say."""

    tools = (ToolSpec(name="do"),)

    async def execute(self, call):
        return OBSERVATIONS[call.arguments]()

    def fork(self):
        return self


HOSTILE, HOSTILE_ENVIRONMENT = Hostile(), HostileEnvironment()
QUERIES = (*PROPOSALS, *(f"call {arguments}" for arguments in OBSERVATIONS))
WELL = {"fine", "background", "large", "sneaked", "surrogate", "blocks", "call fine", "call nothing", "call text",
        "call number", "call status"}  # fmt: skip
"""Queries whose tasks end with an answer."""


def tasks(queries=QUERIES):
    return [Task(id=f"{number}", query=query) for number, query in enumerate(queries)]
