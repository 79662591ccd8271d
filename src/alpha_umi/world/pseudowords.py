"""Pseudowords: pronounceable words without meaning."""

from __future__ import annotations

from alpha_umi.world.chance import Draws

_VOWELS = "aeiouy"
_CONSONANTS = "bcdfghjklmnprstvwxz"


def draw_pseudoword(draws: Draws) -> str:
    """Draw a pseudoword of one to four syllables, in lower case."""
    return "".join(_syllable(draws) for _ in range(draws.between(1, 4)))


def _syllable(draws: Draws) -> str:
    end = draws.pick(_CONSONANTS) if draws.below(3) == 0 else ""
    return draws.pick(_CONSONANTS) + draws.pick(_VOWELS) + end
