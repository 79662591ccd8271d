"""Overlap of texts with foreign ones in n-grams of words: shows that no item of a benchmark stands in training data."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

from alpha_umi.world.functions.needs import DomainNeeds

_WORD = re.compile(r"\w+")


def overlapping_ngrams(texts: Iterable[str], foreign: Iterable[str], n: int = 8) -> list[str]:
    """N-grams of lower-case words that stand in `texts` and in `foreign`, each once, in the order of `texts`."""
    known = {ngram for text in foreign for ngram in ngrams(text, n)}
    return list(dict.fromkeys(ngram for text in texts for ngram in ngrams(text, n) if ngram in known))


def ngrams(text: str, n: int = 8) -> Iterator[str]:
    """Generate the runs of `n` lower-case words of a text."""
    words = _WORD.findall(text.lower())
    for start in range(len(words) - n + 1):
        yield " ".join(words[start : start + n])


def texts_of(domain: DomainNeeds) -> Iterator[str]:
    """All texts of a domain that a person wrote: requests, descriptions, answers."""
    yield from domain.outside
    for need in domain.needs.values():
        yield from need.docs
        for templates in (need.queries, need.several, need.answers, *need.missing.values()):
            yield from (template.text for template in templates)
    for chain in domain.chains:
        yield from (template.text for texts in (*chain.queries, chain.answers) for template in texts)
