"""ROUGE-L of two texts, with the results of the package `rouge` 1.0.1, at any length.

Summary level: a text is a list of sentences (split at every full stop), a sentence a list of words (split at white
space). For each pair of sentences one longest common subsequence is found, and what counts is the *set* of all
words found. Which of several longest ones is taken matters therefore; it is the one met when walking back from both
ends and, without a match, dropping a reference word only if that alone keeps the length.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

_EPSILON = 1e-8


@dataclass(frozen=True, slots=True, kw_only=True)
class RougeL:
    """Precision, recall and F1 over distinct words, 0 to 1. A perfect `f` is 0.999999995, for an epsilon."""

    precision: float = 0.0
    recall: float = 0.0
    f: float = 0.0


def rouge_l(prediction: str, reference: str) -> RougeL:
    """Compute ROUGE-L (beta 1). All zero where a text has no sentence: it is empty, or nothing but full stops."""
    predicted, expected = sentences(prediction), sentences(reference)
    if not predicted or not expected:
        return RougeL()
    vocabularies = [frozenset(words) for words in predicted]
    found: set[str] = set()
    for words in expected:
        vocabulary = frozenset(words)
        if words in predicted:
            found |= vocabulary
            continue
        for candidate, candidates in zip(predicted, vocabularies, strict=True):
            if (vocabulary & candidates) - found:  # else this pair can add nothing
                found.update(common_words(words, candidate)[0])
    precision = len(found) / len(frozenset[str]().union(*vocabularies))
    recall = len(found) / len({word for words in expected for word in words})
    f = 2.0 * ((precision * recall) / (precision + recall + _EPSILON))
    return RougeL(precision=precision, recall=recall, f=f)


def sentences(text: str) -> list[list[str]]:
    """Split a text into sentences of words. A sentence of white space alone is one empty word, as in `rouge`."""
    return [part.split() or [""] for part in text.split(".") if part]


def common_words(reference: Sequence[str], prediction: Sequence[str]) -> tuple[list[str], int]:
    """Longest common subsequence of words, last word first, and the number of steps of the walk back.

    Bit-parallel (Hyyrö 2004): bit j of row i is 0 where prediction word j lengthens the subsequence with the first
    i reference words. O(n) operations on integers of m bits.
    """
    where: dict[str, int] = {}
    for j, word in enumerate(prediction):
        where[word] = where.get(word, 0) | 1 << j
    row = mask = (1 << len(prediction)) - 1
    rows: list[int] = []
    for word in reference:
        matches = row & where.get(word, 0)
        if matches:
            row = (row + matches | row - matches) & mask
        rows.append(row)
    words: list[str] = []
    steps, i, j = 0, len(reference), len(prediction)
    while i and j:
        steps += 1
        if reference[i - 1] == prediction[j - 1]:
            words.append(reference[i - 1])
            i, j = i - 1, j - 1
        elif rows[i - 1] >> (j - 1) & 1:
            j -= 1
        else:
            i -= 1
    return words, steps
