"""Call of a completion in progress as its reader sees it: the tool's name, and the arguments so far."""

from __future__ import annotations

import re

from alpha_umi.protocols import Format
from alpha_umi.types import Call, FinishReason, Role

_READS = 64
"""A text is read again when it has grown by this part of its length, so that long ones take linear time."""

_OPENED = re.compile(r"<\\*\Z")
"""What may become an escaped `<|`, which is read with a backslash less."""


class LiveCall:
    """Call of a caller's completion in progress, whose arguments are a JSON object written as such.

    Law: the pieces joined are the arguments of the whole call, or a beginning of them. Where a format writes arguments
    otherwise than they are read, as `shared` does with `<|`, there are no pieces from there on.
    """

    def __init__(self, format: Format) -> None:  # noqa: A002
        self._format = format
        self._written, self._read_at = "", 0
        self.name, self.shown = "", ""
        """Name of the tool, known with the first piece, and the pieces so far."""

    def feed(self, piece: str) -> str:
        """Add a piece of the completion; the arguments that it makes certain, often empty."""
        self._written += piece
        if len(self._written) - self._read_at < len(self._written) // _READS:
            return ""
        self._read_at = len(self._written)
        turns = self._format.parse(Role.CALLER, self._written, FinishReason.LENGTH)
        call = next((turn for turn in turns if isinstance(turn, Call)), None)
        if call is None or not call.name or not call.arguments.startswith("{"):
            return ""
        return self._show(call) if call.arguments in self._written and self.begins(call) else ""

    def begins(self, call: Call) -> bool:
        """True for a call that the pieces so far, of which there may be none, can grow to."""
        return self.name in ("", call.name) and call.arguments.startswith(self.shown)

    def _show(self, call: Call) -> str:
        certain = call.arguments[: _end_of_object(call.arguments)]
        if (opened := _OPENED.search(certain)) is not None:
            certain = certain[: opened.start()]
        self.name = call.name
        piece, self.shown = certain[len(self.shown) :], max(certain, self.shown, key=len)
        return piece


def _end_of_object(text: str) -> int:
    """Index behind the object that a text begins with; the text's length where it is not whole."""
    depth, in_string, escaped = 0, False, False
    for at, character in enumerate(text):
        if in_string:
            in_string = escaped or character != '"'
            escaped = character == "\\" and not escaped
        elif character == '"':
            in_string = True
        elif character in "{[":
            depth += 1
        elif character in "}]":
            depth -= 1
            if depth == 0:
                return at + 1
    return len(text)
