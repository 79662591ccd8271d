"""Turns of agents that do not call: a value is missing, no tool fits, or the call is too doubtful."""

from __future__ import annotations

import re
from collections.abc import Sequence

from alpha_umi.types import Answer, Decision, Json, Plan, ToolSpec, Turn

DONE = "That is what was asked for."
NO_TOOL = "No tool does this. I will say so."
_DECLINE = "I cannot do this: none of my tools is made for it."
_HUMP = re.compile(r"(?<=[a-z\d])(?=[A-Z])")


def ask_for(tool: ToolSpec, missing: Sequence[str]) -> tuple[Turn, ...]:
    """Plan and answer that ask for missing arguments, in the tool's own words for them."""
    names = " and ".join(_words(name) for name in missing)
    told = "; ".join(text for name in missing if (text := _about(tool, name)))
    thought = f"{tool.name} fits, but {', '.join(missing)} is missing. I will ask."
    text = f"I cannot do this yet, since I was not told the {names}. Please tell me the {names}"
    return Plan(thought=thought, decision=Decision.CONCLUDE), Answer(text=f"{text} ({told})." if told else f"{text}.")


def plan_call(tool: ToolSpec) -> Plan:
    """Plan to call a tool."""
    return Plan(thought=f"{tool.name} fits.", decision=Decision.CALL)


def decline() -> tuple[Turn, ...]:
    """Plan and answer where no tool fits."""
    return Plan(thought=NO_TOOL, decision=Decision.CONCLUDE), Answer(text=_DECLINE)


def unsure(name: str) -> Plan:
    """Plan that gives up rather than make a call that is too doubtful."""
    return Plan(thought=f"I am not sure enough how to call {name}, so I leave it.", decision=Decision.GIVE_UP)


def _words(name: str) -> str:
    return _HUMP.sub(" ", name).replace("_", " ").lower()


def _about(tool: ToolSpec, name: str) -> str:
    declared = tool.parameters.get("properties")
    about: Json = declared.get(name) if isinstance(declared, dict) else None
    if not isinstance(about, dict):
        return ""
    choices = about.get("enum")
    if isinstance(choices, list):
        return ", ".join(map(str, choices))
    text = about.get("description")
    return text.strip().rstrip(".") if isinstance(text, str) else ""


def tell(results: Sequence[tuple[str, Json]]) -> str:
    """Answer that tells the results of calls as they are."""
    return " ".join(f"{_words(name).capitalize()}: {_shown(value).rstrip('.')}." for name, value in results)


def _shown(value: Json) -> str:
    match value:
        case dict():
            return ", ".join(f"{_words(name)} {_shown(each)}" for name, each in value.items())
        case list():
            return "; ".join(map(_shown, value)) or "nothing"
        case bool():
            return "yes" if value else "no"
        case None:
            return "nothing"
        case _:
            return str(value)
