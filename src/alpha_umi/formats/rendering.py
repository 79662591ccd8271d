"""Prompts with their content known, from any format: also from one that returns plain text.

Formats of this package return framed text or messages. What a format of a user's own writes is rendered once more with
stand-ins for all in the task and the turns that could be a control token; where those end up, content is.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import cast
from unicodedata import normalize

from alpha_umi.formats.control_tokens import Veil, changed
from alpha_umi.formats.framed import FramedText
from alpha_umi.protocols import Format
from alpha_umi.types import Answer, Call, Json, Observation, Plan, Prompt, Role, Task, Turn, User

_MARK = r"<[^<>\s]{1,80}>|\[[^\[\]\s]{1,80}\]"
"""Spelling of the control tokens of common tokenizers: `<|end|>`, `<s>`, `[INST]`."""


def render(format: Format, role: Role, task: Task, turns: Sequence[Turn]) -> Prompt:  # noqa: A002
    """Render the prompt that `role` reads after `turns`; of a text, its content is known. Raises as the format does."""
    prompt = format.render(role, task, turns)
    if not isinstance(prompt, str) or isinstance(prompt, FramedText):
        return prompt
    marks = re.compile("|".join((*map(re.escape, format.special_tokens), _MARK)))
    veil = Veil([prompt])

    def hide(text: str) -> str:
        plain = normalize("NFKC", text)
        if plain != text and marks.search(plain):  # a tokenizer may normalise it likewise
            return veil.hide(text)
        return marks.sub(lambda found: veil.hide(found[0]) if found[0] in prompt else found[0], text)

    hidden_task, hidden_turns = _task(task, hide), tuple(_turn(turn, hide) for turn in turns)
    if veil.is_empty:
        return prompt
    framed = veil.lift(cast("str", format.render(role, hidden_task, hidden_turns)))
    return framed if framed == prompt else _declared(prompt, format.special_tokens)


def _declared(prompt: str, special_tokens: Sequence[str]) -> FramedText:
    """Text whose frame is the special tokens of its format alone: nothing else is known of it."""
    reached, content = 0, list[tuple[int, int]]()
    for found in re.finditer("|".join(map(re.escape, special_tokens)) or "(?!)", prompt):
        content.append((reached, found.start()))
        reached = found.end()
    content.append((reached, len(prompt)))
    return FramedText(prompt, tuple((start, stop) for start, stop in content if start < stop))


def _task(task: Task, change: Callable[[str], str]) -> Task:
    tools = tuple(
        replace(
            tool,
            name=change(tool.name),
            description=change(tool.description),
            parameters=cast("dict[str, Json]", changed(dict(tool.parameters), change)),
        )
        for tool in task.tools
    )
    return replace(task, query=change(task.query), tools=tools)


def _turn(turn: Turn, change: Callable[[str], str]) -> Turn:
    match turn:
        case User(text=text) | Answer(text=text):
            return replace(turn, text=change(text))
        case Plan(thought=thought):
            return replace(turn, thought=change(thought))
        case Call(name=name, arguments=arguments):
            return replace(turn, name=change(name), arguments=change(arguments))
        case Observation(content=content):
            return replace(turn, content=change(content))
