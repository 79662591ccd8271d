"""Frames of queries, by split. No wording of a training query stands in a test query."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cache

from alpha_umi.world.needs import IntentTemplate
from alpha_umi.world.table.sections import load_sections


@dataclass(frozen=True, slots=True, kw_only=True)
class Frames:
    """Frames of one split, training or tests."""

    patterns: tuple[str, ...]
    """Sentences around a noun phrase {x}."""
    contexts: tuple[str, ...]
    """Sentences that may stand before."""
    conjunctions: tuple[str, ...]
    """Text between two noun phrases."""
    sentence_odds: int
    """One query of this many is a whole sentence of its own, where its intent has one."""


@cache
def load_page_frames() -> tuple[str, ...]:
    """Training sentences around a noun phrase that stand on pages for pretraining too."""
    return tuple(load_sections("frames")["pages"])


@cache
def load_frames(*, train: bool) -> Frames:
    """The frames of training queries or of test queries."""
    sections, split = load_sections("frames"), "train" if train else "test"
    patterns = tuple(sections[f"{split} frames"])
    return Frames(
        patterns=(*load_page_frames(), *patterns) if train else patterns,
        contexts=tuple(sections[f"{split} contexts"]),
        conjunctions=tuple(line.removeprefix("{x}").removesuffix("{y}") for line in sections[f"{split} conjunctions"]),
        sentence_odds=2 if train else 3,
    )


def questions(template: IntentTemplate, *, train: bool) -> tuple[str, ...]:
    """The whole sentences of one split. Where a template has several questions, the last one is kept for tests."""
    if train:
        return (*page_questions(template), *template.paraphrases)
    return template.questions[-1:] if len(template.questions) > 1 else ()


def page_questions(template: IntentTemplate) -> tuple[str, ...]:
    """Whole sentences of training that stand on pages for pretraining too."""
    return template.questions[:-1] if len(template.questions) > 1 else template.questions


def normalized_words(text: str) -> str:
    """The words of a text, in lower case and without punctuation."""
    return " ".join(re.findall(r"\w+", text.casefold()))
