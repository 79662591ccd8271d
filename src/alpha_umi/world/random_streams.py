"""Random streams that are the same on every machine and every Python version: pure functions of a key.

The standard library promises that for the floats of its generator alone, not for choices and shuffles.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from hashlib import blake2b
from typing import TypeVar

Value = TypeVar("Value")
_MASK = (1 << 64) - 1


def random_bits(*key: str | int) -> int:
    """64 random bits as a number: a hash of `key`."""
    text = "\x1f".join(str(part) for part in key)
    return int.from_bytes(blake2b(text.encode(), digest_size=8).digest(), "big")


def random_choice(options: Sequence[Value], *key: str | int) -> Value:
    """One of the options by the hash of `key`."""
    return options[random_bits(*key) % len(options)]


def random_integer(low: int, high: int, *key: str | int) -> int:
    """An integer from `low` to `high`, both included, by the hash of `key`."""
    return low + random_bits(*key) % (high - low + 1)


class RandomStream:
    """Random number generator (splitmix64), seeded by a key."""

    def __init__(self, *key: str | int) -> None:
        self._state = random_bits(*key)

    def below(self, bound: int) -> int:
        """The next number from 0 to `bound` - 1."""
        self._state = (self._state + 0x9E3779B97F4A7C15) & _MASK
        mixed = self._state
        mixed = ((mixed ^ (mixed >> 30)) * 0xBF58476D1CE4E5B9) & _MASK
        mixed = ((mixed ^ (mixed >> 27)) * 0x94D049BB133111EB) & _MASK
        return (mixed ^ (mixed >> 31)) % bound

    def between(self, low: int, high: int) -> int:
        """The next number from `low` to `high`, both included."""
        return low + self.below(high - low + 1)

    def pick(self, options: Sequence[Value]) -> Value:
        """One of the options, all with the same probability."""
        return options[self.below(len(options))]

    def weighted(self, weights: Mapping[Value, int]) -> Value:
        """One of the keys, with probabilities in proportion to the weights."""
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
