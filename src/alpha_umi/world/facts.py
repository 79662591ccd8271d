"""What is true in the world. Every tool reads the same facts, so what one tool finds the others know.

Two sorts: facts that hold for ever (a city, its country, currency and airport: those are real), and facts that
change (weather, prices, where somebody is: those are invented). A task has its own moment, and the changing facts
are drawn anew for it, so that no model can know them by heart: it has to read what the tools say.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from alpha_umi.world.random_streams import random_bits, random_choice, random_integer


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """The world of one seed at one moment. Each fact is drawn from its own key, when it is asked for."""

    seed: int
    moment: str

    def between(self, low: int, high: int, *key: str) -> int:
        return random_integer(low, high, self.seed, self.moment, *key)

    def pick(self, options: Sequence[str], *key: str) -> str:
        return random_choice(options, self.seed, self.moment, *key)

    def any(self, *key: str) -> int:
        """64 bits."""
        return random_bits(self.seed, self.moment, *key)
