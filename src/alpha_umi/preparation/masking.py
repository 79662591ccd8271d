"""Function masking: augmentation that renames tools, so that a model learns to read documents instead of tool names.

In a masked trajectory every tool and argument has another name: in the documents, the calls, and wherever a
thought, a hint or a reply mentions it. Descriptions and values stay. Some words of the names are pseudowords, most are
words that other tools use: were all of them pseudowords, a model would read strange names and memorise familiar ones.
Known from models for function calling that must work with tools unseen in training (Lin et al., "Hammer", 2024, where
descriptions stay as well).
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace

from alpha_umi.formats.tool_json import own_words
from alpha_umi.types import Answer, Call, Json, Observation, Plan, ToolSpec, Trajectory, Turn, User
from alpha_umi.world.pseudowords import draw_pseudoword
from alpha_umi.world.random_streams import RandomStream, random_bits

_KEPT = "for"
_PERCENT = 100
_INVENTED = 35
"""Percentage of words that are pseudowords."""
_LONGEST = 12
"""Most letters of a word in a name."""


def collect_words(trajectories: Iterable[Trajectory]) -> tuple[str, ...]:
    """Collect the words in names and descriptions of the tools, each once, in alphabetic order."""
    tools = {tool for trajectory in trajectories for tool in map(_told, trajectory.task.tools)}
    found = {word for text in tools for word in re.findall(r"[a-z]+", text.lower())}
    return tuple(sorted(word for word in found if 1 < len(word) <= _LONGEST and word != _KEPT))


def mask_some(
    trajectories: Iterable[Trajectory], share: float, words: Sequence[str] = (), seed: int = 0
) -> Iterator[Trajectory]:
    """Mask about the fraction `share` of the trajectories; yields all of them in order.

    The choice, and the words of each, are a function of (seed, task id, index).
    """
    for place, trajectory in enumerate(trajectories):
        key = "mask", seed, trajectory.task.id, place
        masked = random_bits(*key) % _PERCENT < round(share * _PERCENT)
        yield mask(trajectory, RandomStream(*key), words) if masked else trajectory


def mask(trajectory: Trajectory, rng: RandomStream, words: Sequence[str] = ()) -> Trajectory:
    """Rename all tools and arguments of one trajectory, with names made of `words` and of pseudowords."""
    names: dict[str, str] = {}
    arguments: dict[str, dict[str, str]] = {}
    tools: list[ToolSpec] = []
    for tool in trajectory.task.tools:
        names[tool.name] = _name(tool.name, rng, words, names.values())
        arguments[tool.name] = _keys(tool.parameters, rng, words)
        parameters = _rename(tool.parameters, arguments[tool.name])
        tools.append(ToolSpec(name=names[tool.name], description=tool.description, parameters=parameters))
    tools = [replace(tool, description=_mention(tool.description, names)) for tool in tools]
    return replace(
        trajectory,
        task=replace(trajectory.task, tools=tuple(tools), metadata={**trajectory.task.metadata, "masked": True}),
        turns=tuple(_masked_turns(trajectory.turns, names, arguments)),
    )


def _masked_turns(
    turns: Iterable[Turn], names: Mapping[str, str], arguments: Mapping[str, Mapping[str, str]]
) -> Iterator[Turn]:
    called = ""
    for turn in turns:
        match turn:
            case Plan():
                yield replace(turn, thought=_mention(turn.thought, names))
            case Call():
                called = turn.name
                keys = arguments.get(called, {})
                yield Call(name=names.get(called, called), arguments=_rename_text(turn.arguments, keys))
            case Observation():
                content = _mention(turn.content, names)
                for old, new in arguments.get(called, {}).items():
                    content = content.replace(f"'{old}'", f"'{new}'")
                yield replace(turn, content=content)
            case User() | Answer():
                yield replace(turn, text=_mention(turn.text, names))


def _told(tool: ToolSpec) -> str:
    return f"{tool.name.replace('_', ' ')} {own_words(tool.description)}"


def _name(name: str, rng: RandomStream, words: Sequence[str], taken: Iterable[str]) -> str:
    """Make another name with the same number of words."""
    used = {name, *taken}
    while True:
        made = "_".join(word if word == _KEPT else _word(rng, words) for word in name.split("_"))
        if made not in used:
            return made


def _word(rng: RandomStream, words: Sequence[str]) -> str:
    if not words or rng.below(_PERCENT) < _INVENTED:
        return draw_pseudoword(rng)
    return rng.pick(words)


def _keys(parameters: Mapping[str, Json], rng: RandomStream, words: Sequence[str]) -> dict[str, str]:
    properties = parameters.get("properties")
    keys: dict[str, str] = {}
    for key in properties if isinstance(properties, dict) else ():
        keys[key] = _name(key, rng, words, keys.values())
    return keys


def _rename(parameters: Mapping[str, Json], keys: Mapping[str, str]) -> dict[str, Json]:
    """Rename the top-level properties of a schema."""
    renamed = dict(parameters)
    for place, held in parameters.items():
        if place == "properties" and isinstance(held, dict):
            renamed[place] = {keys[key]: schema for key, schema in held.items()}
        elif isinstance(held, list):
            renamed[place] = [keys.get(key, key) if isinstance(key, str) else key for key in held]
    return renamed


def _rename_text(text: str, keys: Mapping[str, str]) -> str:
    """Rename the keys of arguments in JSON text; text that is no object stays as it is."""
    try:
        held: Json = json.loads(text)
    except (ValueError, RecursionError):
        return text
    if not isinstance(held, dict):
        return text
    return json.dumps({keys.get(key, key): value for key, value in held.items()}, ensure_ascii=False)


def _mention(text: str, names: Mapping[str, str]) -> str:
    """Replace the names of tools that a text mentions."""
    if not names:
        return text
    known = "|".join(re.escape(name) for name in sorted(names, key=len, reverse=True))
    return re.sub(rf"(?<![\w.-])({known})(?![\w-])", lambda found: names[found[1]], text)
