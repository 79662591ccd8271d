"""How phrases are written down, between bars and over as many lines as they take, and how they are compared."""

import re


def phrases(text: str) -> tuple[str, ...]:
    return tuple(" ".join(phrase.split()) for phrase in text.split("|") if phrase.strip())


def normalized_words(text: str) -> str:
    """The words without case and punctuation."""
    return " ".join(re.findall(r"\w+", text.casefold()))
