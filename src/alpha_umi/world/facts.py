"""Facts of the world, the same for every tool.

Two sorts: facts that never change (a city, its country, currency and airport: those are real), and facts that do
(weather, prices, the city of a person: those are invented). A task has a moment of its own, for which the changing
facts are drawn afresh, so that no model can know them by heart: it has to read the replies of tools.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from alpha_umi.world.random_streams import random_bits, random_choice, random_integer


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """Facts of a seed at one moment, each a hash of its own key."""

    seed: int
    moment: str

    def between(self, low: int, high: int, *key: str) -> int:
        """An integer from `low` to `high`, both included."""
        return random_integer(low, high, self.seed, self.moment, *key)

    def pick(self, options: Sequence[str], *key: str) -> str:
        """One of the options."""
        return random_choice(options, self.seed, self.moment, *key)

    def any(self, *key: str) -> int:
        """A number of 64 random bits."""
        return random_bits(self.seed, self.moment, *key)
