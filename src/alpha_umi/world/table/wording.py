"""How queries are worded: frames around what is wanted. No wording of a training query stands in a test query."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

from alpha_umi.world.needs import IntentTemplate
from alpha_umi.world.table.sections import load_sections


@dataclass(frozen=True, slots=True, kw_only=True)
class Frames:
    """Ways to ask in one split, training or tests."""

    plain: tuple[str, ...]
    """Around a noun phrase."""
    contexts: tuple[str, ...]
    """What may stand before."""
    conjunctions: tuple[str, ...]
    """Between two noun phrases."""
    whole: int
    """One of so many queries is a whole sentence of its own, where there is one."""


@cache
def load_page_frames() -> tuple[str, ...]:
    """Ways to ask around a noun phrase that stand on pages too."""
    return tuple(load_sections("frames")["pages"])


@cache
def load_frames(*, train: bool) -> Frames:
    """The frames of training queries or of test queries."""
    sections, split = load_sections("frames"), "train" if train else "test"
    plain = tuple(sections[f"{split} frames"])
    return Frames(
        plain=(*load_page_frames(), *plain) if train else plain,
        contexts=tuple(sections[f"{split} contexts"]),
        conjunctions=tuple(line.removeprefix("{x}").removesuffix("{y}") for line in sections[f"{split} conjunctions"]),
        whole=2 if train else 3,
    )


def questions(template: IntentTemplate, *, train: bool) -> tuple[str, ...]:
    """The whole sentences of one split: where the tables have several, the last one is kept for tests."""
    if train:
        return (*page_questions(template), *template.paraphrases)
    return template.questions[-1:] if len(template.questions) > 1 else ()


def page_questions(template: IntentTemplate) -> tuple[str, ...]:
    """Those of training that stand on pages too."""
    return template.questions[:-1] if len(template.questions) > 1 else template.questions
