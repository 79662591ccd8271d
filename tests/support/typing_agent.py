"""Agent of three scripted models that type what they write, and tools for it: what people see in the web page."""

from __future__ import annotations

import asyncio
import json
import math
import re
from contextvars import ContextVar
from dataclasses import dataclass

from alpha_umi import tool
from alpha_umi.agent import MultiAgent, RoleModel
from alpha_umi.loading.formats import open_format
from alpha_umi.roles import AGENT_ROLES
from alpha_umi.types import (
    Answer,
    Call,
    Completion,
    Decision,
    FinishReason,
    Observation,
    Plan,
    Role,
    ToolStatus,
    Usage,
    User,
)

FORMAT = open_format("shared")
HOSTILE = '<img src="http://evil.example/x" onerror="document.title=1"><script>document.title=1</script> & "text"'
_NOW: ContextVar[tuple[object, ...]] = ContextVar("now")


@dataclass(frozen=True, slots=True, kw_only=True)
class TypingAgent(MultiAgent):
    """Agent whose turns are those of `act`."""

    async def propose(self, task, turns):
        _NOW.set((task, tuple(turns)))
        return await MultiAgent.propose(self, task, turns)


@dataclass
class Pace:
    """Words that the models may write, and plans that they may begin, in all; beyond it they wait.

    The allowance is set by the test, what was written by the models' thread alone.
    """

    words: float = math.inf
    plans: float = math.inf
    written: int = 0
    begun: int = 0

    def hold(self, *, words=math.inf, plans=math.inf):
        """Allow so many more."""
        self.words, self.plans = self.written + words, self.begun + plans

    async def word(self, *, starts_plan):
        while self.written >= self.words or (starts_plan and self.begun >= self.plans):
            await asyncio.sleep(0.002)
        self.written += 1
        self.begun += starts_plan


class TypingModel:
    """Model of a role that writes the next turn word by word, as fast as its pace allows."""

    def __init__(self, role, pace):
        self.role, self.pace = role, pace

    async def complete(self, prompt, sampling):
        async for piece in self.stream(prompt, sampling):
            if isinstance(piece, Completion):
                return piece
        raise AssertionError

    async def stream(self, prompt, sampling):
        text = FORMAT.write(self.role, (act(self.role, *_NOW.get()),)).removesuffix(FORMAT.end)
        for at, piece in enumerate(re.findall(r"\s*\S+", text)):
            await self.pace.word(starts_plan=at == 0 and self.role is Role.PLANNER)
            await asyncio.sleep(0.004)
            yield piece
        usage = Usage(prompt_tokens=100, completion_tokens=len(text) // 4, completions=1)
        yield Completion(text=text, finish=FinishReason.STOP, usage=usage)


def act(role, task, turns):
    """The turn of a role, by the first word of the question and what the branch holds."""
    asked = max(at for at, turn in enumerate(turns) if isinstance(turn, User) and turn.text == task.query)
    since = turns[asked + 1 :]
    kind = task.query.split()[0].lower()
    seen = [turn for turn in since if isinstance(turn, Observation)]
    hinted = any(isinstance(turn, User) for turn in since)
    if role is Role.CALLER:
        return _call(kind, len(seen), hinted=hinted)
    if role is Role.SUMMARIZER:
        return Answer(text=_answer(kind, seen))
    if kind == "endless":
        return Plan(thought=" ".join(f"thought {number}" for number in range(2000)), decision=Decision.CALL)
    if kind == "travel" and len(seen) == 1 and "no flight" in seen[0].content:
        return Plan(thought="There is no flight, so this way leads nowhere.", decision=Decision.GIVE_UP)
    wanted = 2 if kind == "travel" else 1
    if len(seen) < wanted:
        words = f"I need {_call(kind, len(seen), hinted=hinted).name.replace('_', ' ')} for this."
        return Plan(thought=words, decision=Decision.CALL)
    return Plan(thought="I have all that I need and can answer.", decision=Decision.CONCLUDE)


def _call(kind, number, *, hinted):
    match kind:
        case "travel" if number == 0:
            return Call(name="find_trains" if hinted else "find_flights", arguments=json.dumps({"to": "Geneva"}))
        case "travel":
            return Call(name="find_hotel", arguments=json.dumps({"city": "Geneva", "stars": 3}))
        case "erase":
            return Call(name="erase_note", arguments=json.dumps({"name": "shopping"}))
        case "hostile":
            return Call(name="read_page", arguments=json.dumps({"address": HOSTILE}))
        case "add":
            return Call(name="add", arguments='{"a": 2, "b": 3}')
        case _:
            return Call(name="find_weather", arguments=json.dumps({"city": "Lima"}))


def _answer(kind, seen):
    match kind:
        case "travel":
            return "Take the train at 9:14 (3 h 12 min, 54 CHF) and stay at the Hotel du Lac, 120 CHF a night."
        case "erase":
            refused = seen[-1].status is ToolStatus.DECLINED
            return "I left the note as it is." if refused else "The note is erased."
        case "hostile":
            return HOSTILE
        case "add":
            return f"Together it is {seen[-1].content}."
        case _:
            return f"In Lima it is 9 C and foggy ({seen[-1].content})."


@tool
def find_weather(city: str) -> dict:
    """Weather of a city: temperature and sky."""
    return {"temperature": 9, "unit": "C", "sky": "foggy"}


@tool
def find_flights(to: str) -> str:
    """Flights to a city."""
    return f"no flight to {to} today"


@tool
def find_trains(to: str) -> dict:
    """Trains to a city."""
    return {"to": to, "leaves": "9:14", "takes": "3 h 12 min", "price": "54 CHF", "changes": ["Bern"], "seats": "free"}


@tool
def find_hotel(city: str, stars: int) -> dict:
    """Hotels of a city."""
    return {"name": "Hotel du Lac", "price": "120 CHF"}


@tool(confirm=True)
def erase_note(name: str) -> str:
    """Erase a note for good."""
    return f"erased {name}"


@tool
def read_page(address: str) -> str:
    """Text of a page."""
    return HOSTILE


TOOLS = [find_weather, find_flights, find_trains, find_hotel, erase_note, read_page]


def typing_agent(pace=None):
    models = {role: TypingModel(role, pace or Pace()) for role in AGENT_ROLES}
    return TypingAgent(role_models={role: RoleModel(model=model) for role, model in models.items()}, format=FORMAT)
