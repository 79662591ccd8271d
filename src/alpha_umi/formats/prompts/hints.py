"""Prompts of tree search: the hint about earlier attempts, and the pairwise comparison of two continuations."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from enum import StrEnum

from alpha_umi.types import Answer, Call, Decision, Message, Observation, Plan, Task, Turn, User

_HINT = """\
You have stood at this point before. From here you already tried:
{tried}
That has not settled the request. Do not repeat any of it: think about why it fell short, then take another way, \
with another tool or other arguments."""

_JUDGE = """\
You compare two ways to go on with a user's request and say which is more likely to end in a complete, correct answer. \
Reply with one letter, A or B, and nothing else."""

_QUESTION = """\
Request:
{query}

Done so far:
{before}

Way A:
{first}

Way B:
{second}

Which way is better, A or B?"""

_LETTERS = re.compile(r"\b[AB]\b")


class Preference(StrEnum):
    """Preference between two continuations; NEITHER: equal, or the reply does not say."""

    FIRST = "first"
    SECOND = "second"
    NEITHER = "neither"


def write_hint(tried: Sequence[Sequence[Turn]]) -> str:
    """Write the hint for a further child of a step; `tried`: the turns of the earlier ones, empty if none."""
    if not tried:
        return ""
    listed = (f"{number}. {_tell(turns)}" for number, turns in enumerate(tried, 1))
    return _HINT.format(tried="\n".join(listed))


def write_comparison(
    task: Task, before: Sequence[Turn], first: Sequence[Turn], second: Sequence[Turn]
) -> tuple[Message, ...]:
    """Write the comparison of two continuations of `before`, A being the first."""
    asked = _QUESTION.format(
        query=task.query, before=_tell(before) or "Nothing.", first=_tell(first), second=_tell(second)
    )
    return Message(role="system", content=_JUDGE), Message(role="user", content=asked)


def read_preference(reply: str) -> Preference:
    """Read the preference in a reply: the letter it names, if it names one of them alone. Total over all strings."""
    letters = set(_LETTERS.findall(reply.upper() if len(reply.strip()) == 1 else reply))
    if len(letters) != 1:
        return Preference.NEITHER
    return Preference.FIRST if letters == {"A"} else Preference.SECOND


def _tell(turns: Iterable[Turn]) -> str:
    return " ".join(text for turn in turns if (text := _tell_turn(turn)))


def _tell_turn(turn: Turn) -> str:
    match turn:
        case User():
            return ""
        case Plan(thought=thought, decision=Decision.GIVE_UP):
            return f"{thought.strip()} You gave up."
        case Plan(thought=thought):
            return thought.strip()
        case Call(name=name, arguments=arguments):
            return f"Call of {name} with {arguments}."
        case Observation(content=content):
            return f"Observation: {content}"
        case Answer(text=text):
            return f"Answer: {text}"
