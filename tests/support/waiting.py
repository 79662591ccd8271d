"""Waiting for what comes about by itself: a condition, never a time."""

import time

LONGEST_S = 120.0
"""For what never comes about; a busy machine is to stay far below it."""


def eventually(holds):
    """Wait until a condition holds. Raises AssertionError where it never does."""
    until = time.monotonic() + LONGEST_S
    while not holds():
        assert time.monotonic() < until, "this never came about"
        time.sleep(0.005)
