"""Answers in texts: the last box, what follows "the answer is", or the last number. Pure."""

from __future__ import annotations

import re
from fractions import Fraction

_BOX = re.compile(r"\\(?:boxed|fbox)\s*(?=\{)|\\boxed\s+([^\s$]+)")
_ANSWER_IS = re.compile(r"answer\s+is\s*:?\s*(.+?)\s*(?:\.\s|\.?$|\n)", re.IGNORECASE | re.DOTALL)
_NUMBER = re.compile(r"-?\d+(?:,\d{3})+(?:\.\d+)?|-?\d+(?:\.\d+)?|-?\.\d+")
_WORD = re.compile(r"(?<!\\)\b[A-Za-z]{3,}\b")


def extract_answer(text: str) -> str:
    """Extract the answer that a text ends with; empty where it has none.

    The last `\\boxed{...}`; else what follows the last `####`, then the last "answer is"; else a text without words as
    it is; else its last number.
    """
    boxed = last_box(text)
    if boxed is not None:
        return boxed
    if "####" in text:
        return text.rpartition("####")[2].strip()
    start = text.lower().rfind("answer is")
    found = _ANSWER_IS.match(text, start) if start >= 0 else None
    if found is not None:
        return _strip_dollars(found[1])
    plain = text.strip().rstrip(".")
    if plain and "\n" not in plain and _WORD.search(plain) is None:
        return _strip_dollars(plain)
    numbers = _NUMBER.findall(text)
    return numbers[-1] if numbers else ""


def last_box(text: str) -> str | None:
    """Return the content of the last box that is closed; None where there is none."""
    content = None
    for found in _BOX.finditer(text):
        if found[1] is not None:
            content = found[1]
            continue
        end = _closing(text, found.end())
        if end is not None:
            content = text[found.end() + 1 : end]
    return None if content is None else content.strip()


def _closing(text: str, start: int) -> int | None:
    """Position of the brace that closes the one at `start`; a brace behind a backslash is text."""
    depth = 0
    for place in range(start, len(text)):
        if text[place] in "{}" and text[place - 1] != "\\":
            depth += 1 if text[place] == "{" else -1
            if depth == 0:
                return place
    return None


def read_number(text: str) -> Fraction | None:
    """Read the number of an answer such as `$1,234`, `18 dollars` or `72.00`; None where it has none, or several."""
    found = _NUMBER.findall(text.replace("\\$", "").replace("{,}", ",").replace("\\!", ""))
    return Fraction(found[0].replace(",", "")) if len(found) == 1 else None


def _strip_dollars(text: str) -> str:
    """Remove the dollar signs around a formula."""
    return text[1:-1].strip() if len(text) > 1 and text.startswith("$") and text.endswith("$") else text
