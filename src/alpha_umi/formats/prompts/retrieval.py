"""Retrieval documents of APIs: terms for lexical retrieval, and the text that ToolBench's encoders were trained on."""

from __future__ import annotations

import json
import re
import unicodedata
from collections.abc import Iterable, Iterator
from itertools import groupby

from alpha_umi.formats.tool_json import Api

_WORD = re.compile(r"[^\W_]+")
_HUMP = re.compile(r"(?<=[a-z])(?=[A-Z])")
_GRAMS = (
    (2, "\u1100-\u11ff\u3005-\u3007\u3040-\u312f\u31a0-\u31ff\u3400-\u4dbf\u4e00-\u9fff\ua000-\ua48f\uac00-\ud7ff"),
    (2, "\uf900-\ufaff\U00020000-\U000323af"),
    (3, "\u0e00-\u0fff\u1000-\u109f\u1780-\u17ff\u1950-\u19ff\u1a20-\u1aaf\ua980-\ua9ff\uaa60-\uaadf"),
)
"""Scripts whose words no blank divides, by the length of the character n-grams that stand for words: Han, kana, Hangul
and Yi; Thai, Lao, Tibetan, Burmese, Khmer, Tai, Javanese."""
_RUNS = tuple((length, re.compile(f"[{ranges}]")) for length, ranges in _GRAMS)
_NAMES_COUNT = 2
"""Weight of the terms of an API's and its tool's names."""
_COMMON = frozenset(
    word
    for line in (
        "a an and any are as at be been but by can could do does for from had has have how i if in into is it its",
        "me my no not of on or our please should so some such than that the their them then there these they this to",
        "us was we were what when where which who will with would you your",
    )
    for word in line.split()
)


def write_retrieval_text(api: Api) -> str:
    """Write the document of an API as ToolBench's published encoders were trained to read it."""
    names = ", ".join((api.category, api.tool, api.name, api.description))
    required, optional = json.dumps([dict(each) for each in api.required]), json.dumps([dict(e) for e in api.optional])
    schema = json.dumps("" if api.schema is None else api.schema)
    return f"{names}, required_params: {required}, optional_params: {optional}, return_schema: {schema}"


def write_terms(api: Api) -> list[str]:
    """Write the terms of an API's document: its names, its descriptions, and those of its parameters.

    Text without blanks is there in two lengths of n-grams, so that `split_short_terms` of a query may be found, too.
    """
    parameters = (
        text for each in (*api.required, *api.optional) for text in (each.get("name"), each.get("description"))
    )
    names = [api.tool, api.name] * _NAMES_COUNT
    told: Iterable[object] = (api.category, *names, api.tool_description, api.description, *parameters)
    texts = [text for text in told if isinstance(text, str)]
    return [term for text in texts for term in (*split_terms(text), *split_short_terms(text))]


def split_terms(text: str) -> list[str]:
    """Split a text into lower-case words without plural endings; `getUserName` and `get_user_name` are three.

    Where no blank divides words, their n-grams of characters stand for them.
    """
    terms: list[str] = []
    for length, run in _runs(text):
        if length:
            terms += _ngrams(run, length)
        elif run not in _COMMON:
            terms.append(_singular(run))
    return terms


def split_short_terms(text: str) -> list[str]:
    """Split the parts of a text without blanks into n-grams that are one character shorter than its terms."""
    return [gram for length, run in _runs(text) if length for gram in _ngrams(run, length - 1)]


def _ngrams(run: str, length: int) -> list[str]:
    return [run[at : at + length] for at in range(max(len(run) - length, 0) + 1)]


def _runs(text: str) -> Iterator[tuple[int, str]]:
    """Words (0), and runs of characters that no blank divides (the length of their n-grams)."""
    spread = _HUMP.sub(" ", text)
    if spread.isascii():
        yield from ((0, word) for word in _WORD.findall(spread.lower()))
        return
    for length, characters in groupby(unicodedata.normalize("NFKC", spread).lower(), key=_gram_length):
        if length is not None:
            yield length, "".join(characters)


def _gram_length(character: str) -> int | None:
    """Length of the n-grams of a character's script; 0 where blanks divide words, None for what is in no word."""
    if character.isascii():
        return 0 if character.isalnum() else None
    if unicodedata.category(character)[0] not in "LNM":
        return None
    return next((length for length, script in _RUNS if script.match(character)), 0)


def _singular(word: str) -> str:
    if len(word) > 4 and word.endswith("ies"):
        return f"{word[:-3]}y"
    return word[:-1] if len(word) > 3 and word.endswith("s") and not word.endswith("ss") else word
