"""Draws that are the same on every machine and every Python: a stream is a pure function of its key.

The standard generator promises that for its floats only, not for choices and shuffles.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from hashlib import blake2b
from typing import TypeVar

Value = TypeVar("Value")
_MASK = (1 << 64) - 1


def drawn(*key: str | int) -> int:
    """64 bits that depend on all of `key` and on nothing else."""
    text = "\x1f".join(str(part) for part in key)
    return int.from_bytes(blake2b(text.encode(), digest_size=8).digest(), "big")


def drawn_from(options: Sequence[Value], *key: str | int) -> Value:
    return options[drawn(*key) % len(options)]


def drawn_between(low: int, high: int, *key: str | int) -> int:
    """An integer of `low` to `high`, both included."""
    return low + drawn(*key) % (high - low + 1)


class Draws:
    """A stream of draws (splitmix64) for what is decided one after the other."""

    def __init__(self, *key: str | int) -> None:
        self._state = drawn(*key)

    def below(self, bound: int) -> int:
        self._state = (self._state + 0x9E3779B97F4A7C15) & _MASK
        mixed = self._state
        mixed = ((mixed ^ (mixed >> 30)) * 0xBF58476D1CE4E5B9) & _MASK
        mixed = ((mixed ^ (mixed >> 27)) * 0x94D049BB133111EB) & _MASK
        return (mixed ^ (mixed >> 31)) % bound

    def between(self, low: int, high: int) -> int:
        return low + self.below(high - low + 1)

    def pick(self, options: Sequence[Value]) -> Value:
        return options[self.below(len(options))]

    def weighted(self, weights: Mapping[Value, int]) -> Value:
        left = self.below(sum(weights.values()))
        for value, weight in weights.items():
            left -= weight
            if left < 0:
                return value
        raise AssertionError("weights are positive")

    def sample(self, options: Sequence[Value], count: int) -> list[Value]:
        """`count` different options in a random order; fewer where there are fewer."""
        rest = list(options)
        return [rest.pop(self.below(len(rest))) for _ in range(min(count, len(rest)))]
