"""Replies of chat endpoints: text in parts, refusals of long prompts, signs of a server that leaves tools out."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any, cast

from alpha_umi.types import ToolPrompt

_TEXTS = ("text", "output_text", "input_text")
_TOO_LONG = re.compile(
    r"context[ _-]?(?:length|size|window|limit)|maximum (?:context|model|sequence|input) length|max_model_len"
    r"|(?:prompt|input|request|message|messages) (?:is|are|was) too (?:long|large)|too many (?:input |prompt )?tokens"
    r"|reduce the length|exceeds? the (?:maximum|available|model'?s?) [\w ]{0,30}(?:length|context|tokens|size)"
    r"|longer than the (?:model|maximum)|(?:inputs?|prompt)[` ]+tokens? [^.]{0,80}must be",
    re.IGNORECASE,
)
_MOST_CHARACTERS_PER_TOKEN = 12
"""Of a prompt's own text and its tools as JSON; templates that write tools in fewer words stay below it, too."""


def message_text(content: object) -> Any:
    """Text of a message's content: its text parts joined, without reasoning; other content as it is."""
    if not isinstance(content, list):
        return content
    parts = [cast("Any", part) for part in cast("list[object]", content)]
    if not all(isinstance(part, (str, Mapping)) for part in parts):
        return parts
    texts = [
        part if isinstance(part, str) else part.get("text")
        for part in parts
        if isinstance(part, str) or part.get("type", "text") in _TEXTS
    ]
    return "".join(texts) if all(isinstance(text, str) for text in texts) else parts


def is_too_long(status: int, text: str) -> bool:
    """Return True for a refusal because the prompt, with the reply that it leaves room for, exceeds the context."""
    return status == 413 or (status in (400, 422) and _TOO_LONG.search(text) is not None)


def leaves_out_tools(prompt: ToolPrompt, tools: object, prompt_tokens: int) -> bool:
    """Return True if a server counted fewer tokens for a prompt than its messages and tools can have."""
    characters = sum(len(message.content) for message in prompt.messages) + len(json.dumps(tools, ensure_ascii=False))
    return bool(tools) and 0 < prompt_tokens * _MOST_CHARACTERS_PER_TOKEN < characters
