"""Call of a caller in a format of our own, and in any dialect where it is none of ours."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from alpha_umi.formats.dialects.calls import Bare, find_bare, first_marked
from alpha_umi.formats.dialects.reasoning import without_reasoning
from alpha_umi.types import Call, FinishReason


@dataclass(frozen=True, slots=True, kw_only=True)
class OwnCalls:
    """Calls of a format of our own."""

    read: Callable[[str], Call]
    """Reads a completion; total."""
    unread: Callable[[str], Call]
    """Makes a call without a name of a text."""
    after_words: bool
    """True: a call of another dialect counts behind other words, too."""


def read_call_of(text: str, finish: FinishReason, own: OwnCalls) -> Call:
    """Read a caller's completion without its reasoning as the format does; what it cannot read, in a dialect."""
    said = without_reasoning(text)
    if said != text and not said.strip():
        return own.unread(text)
    call = own.read(said)
    if call.name and not _starts_dialect(said):
        return call
    found = first_marked(said, finish) or find_bare(said, Bare.AT_THE_END)
    if found is None or not (own.after_words or not said[: found.start].strip()):
        return call
    return found.calls[0] if found.calls else own.unread(said)


def _starts_dialect(said: str) -> bool:
    found = first_marked(said[:200])
    return found is not None and not said[: found.start].strip()
