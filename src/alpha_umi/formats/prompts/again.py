"""Second request to a model whose reply could not be read."""

from __future__ import annotations

from collections.abc import Sequence

from alpha_umi.types import Message

_SAID_BEFORE = 2000
"""Characters of the unreadable reply that are repeated."""


def ask_again(prompt: Sequence[Message], said: str, words: str) -> tuple[Message, ...]:
    """Add an unreadable reply to the prompt, with words that say what was wrong and what is wanted."""
    return (
        *prompt,
        Message(role="assistant", content=said[:_SAID_BEFORE]),
        Message(role="user", content=words),
    )
