"""Retrieval documents of APIs: terms for lexical retrieval, and the text that ToolBench's encoders were trained on."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable

from alpha_umi.formats.tool_json import Api

_WORD = re.compile(r"[^\W_]+")
_HUMP = re.compile(r"(?<=[a-z])(?=[A-Z])")
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
    """Write the terms of an API's document: its names, its descriptions, and those of its parameters."""
    parameters = (
        text for each in (*api.required, *api.optional) for text in (each.get("name"), each.get("description"))
    )
    names = [api.tool, api.name] * _NAMES_COUNT
    told: Iterable[object] = (api.category, *names, api.tool_description, api.description, *parameters)
    return [term for text in told if isinstance(text, str) for term in split_terms(text)]


def split_terms(text: str) -> list[str]:
    """Split a text into lower-case words without plural endings; `getUserName` and `get_user_name` are three."""
    words = _WORD.findall(_HUMP.sub(" ", text).lower())
    return [_singular(word) for word in words if word not in _COMMON]


def _singular(word: str) -> str:
    if len(word) > 4 and word.endswith("ies"):
        return f"{word[:-3]}y"
    return word[:-1] if len(word) > 3 and word.endswith("s") and not word.endswith("ss") else word
