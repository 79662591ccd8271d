"""Pace of the pieces of a streamed completion: beside many others its tokens are sent several at a time."""

from __future__ import annotations

import time

_REPLIES_PER_TOKEN, _MOST_TOKENS, _LONGEST_S = 8, 8, 1.0


class StreamPace:
    """Pace of one stream: the first token at once, then a piece of as many tokens as the replies in progress suggest.

    A wake of the event loop, and all that a piece costs behind it, is dear beside a token of a small model.
    """

    def __init__(self) -> None:
        self._tokens, self._wanted, self._sent_at = 0, 1, 0.0

    def is_due(self) -> bool:
        """Count a token; True where a piece is to be sent. Called by the thread of the engine."""
        self._tokens += 1
        now = time.monotonic()
        if self._tokens < self._wanted and now - self._sent_at < _LONGEST_S:
            return False
        self._tokens, self._sent_at = 0, now
        return True

    def expect(self, replies: int) -> None:
        """Set the length of the next piece, with so many replies in progress."""
        self._wanted = min(1 + replies // _REPLIES_PER_TOKEN, _MOST_TOKENS)
