"""Pace of the pieces of a streamed completion: beside many others its tokens are sent several at a time."""

from __future__ import annotations

import math
import time


class StreamPace:
    """Pace of the pieces of a stream: of many replies in progress each is woken less often.

    A wake of the event loop, and all that a piece costs behind it, is dear beside a token of a small model.
    """

    EACH_S, LONGEST_S = 0.002, 0.2
    """Pause after a piece: for each reply in progress, and at most."""

    def __init__(self) -> None:
        self._next = 0.0

    def is_due(self) -> bool:
        """True for the first token after the pause. Called by the thread of the engine."""
        if time.monotonic() < self._next:
            return False
        self._next = math.inf  # until the reader has got it
        return True

    def wait(self, replies: int) -> None:
        """Begin the pause after a piece, with so many replies in progress."""
        self._next = time.monotonic() + min(self.EACH_S * replies, self.LONGEST_S)
