"""Pseudowords: pronounceable words without meaning."""

from __future__ import annotations

from alpha_umi.world.random_streams import RandomStream

_VOWELS = "aeiouy"
_CONSONANTS = "bcdfghjklmnprstvwxz"


def draw_pseudoword(rng: RandomStream) -> str:
    """Draw a pseudoword of one to four syllables, in lower case."""
    return "".join(_syllable(rng) for _ in range(rng.between(1, 4)))


def _syllable(rng: RandomStream) -> str:
    end = rng.pick(_CONSONANTS) if rng.below(3) == 0 else ""
    return rng.pick(_CONSONANTS) + rng.pick(_VOWELS) + end
