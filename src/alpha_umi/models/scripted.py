"""Scripted model that replays replies and records its requests: for tests, demos and dry runs.

Replies are returned as they are; the sampling changes nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import TypeAlias, cast

from alpha_umi.errors import ModelError
from alpha_umi.types import Completion, FinishReason, Prompt, Sampling, ToolPrompt, Usage

Reply: TypeAlias = str | Completion
"""A completion, or its text: that stopped by itself and counts no tokens."""
Script: TypeAlias = Iterable[Reply] | Mapping[Prompt, Reply] | Callable[[Prompt], Reply]


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """A recorded request."""

    prompt: Prompt
    sampling: Sampling


class ScriptedModel:
    """Model that follows a script (protocols.Model): replies in order, read lazily, or by prompt."""

    def __init__(self, script: Script) -> None:
        """Raises TypeError for a string, which would be read as replies of one letter."""
        if isinstance(script, str):
            raise TypeError("a script is several replies; for a single one write [reply]")
        self.requests: list[Request] = []
        self._reply = _replier(script)

    @property
    def prompts(self) -> list[Prompt]:
        """The prompts of all requests, in order."""
        return [request.prompt for request in self.requests]

    async def complete(self, prompt: Prompt, sampling: Sampling) -> Completion:
        """The next reply, or the one for this prompt. Raises ModelError where the script has none."""
        self.requests.append(Request(prompt=prompt, sampling=sampling))
        reply = self._reply(prompt)
        if isinstance(reply, Completion):
            return reply
        return Completion(text=reply, finish=FinishReason.STOP, usage=Usage(completions=1))


def _replier(script: Script) -> Callable[[Prompt], Reply]:
    if isinstance(script, Mapping):
        by_prompt = cast("Mapping[Prompt, Reply]", script)
        return lambda prompt: _look_up(by_prompt, prompt)
    if callable(script):
        return script
    replies = enumerate(script)
    given = 0

    def following(_: Prompt) -> Reply:
        nonlocal given
        for number, reply in replies:
            given = number + 1
            return reply
        raise ModelError(f"the script has run out: it gave {given} replies and was asked for one more")

    return following


def _look_up(script: Mapping[Prompt, Reply], prompt: Prompt) -> Reply:
    if prompt not in script:
        messages = prompt.messages if isinstance(prompt, ToolPrompt) else prompt
        shown = messages if isinstance(messages, str) else messages[-1].content if messages else ""
        raise ModelError(f"the script has {len(script)} replies and none for the prompt that ends {shown[-80:]!r}")
    return script[prompt]
