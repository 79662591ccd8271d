"""Strict JSON, JSON as models miswrite it (Python literals, trailing commas), and JSON as models read it (unescaped).

`read_loosely` reads what has one meaning alone and names what it mended; a text that could mean several things, such
as an unquoted word or a missing bracket, stays unread. All take time in proportion to the text.
"""

from __future__ import annotations

import json
import re
import unicodedata
from typing import NoReturn

from alpha_umi.literals import Loose, UnreadableError, read_literal
from alpha_umi.types import Json


def decode_json(text: str) -> Json:
    """Return the value of a JSON text. Raises ValueError for any other, NaN and numbers without bounds included."""
    try:
        return _DECODER.decode(text)
    except RecursionError:
        raise ValueError("it is nested too deeply") from None


def read_loosely(text: str) -> Loose:
    """Return the value of a JSON text or of one that means the same. Raises ValueError as `decode_json` does."""
    try:
        return Loose(value=decode_json(text))
    except ValueError:
        try:
            return read_literal(text)
        except UnreadableError:
            pass
        raise


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not a JSON value")


def _finite(text: str) -> float:
    value = float(text)
    if value in (float("inf"), float("-inf")):
        raise ValueError(f"{text[:40]} is too large a number")
    return value


_DECODER = json.JSONDecoder(parse_constant=_refuse_constant, parse_float=_finite)


# --- readable JSON ----------------------------------------------------------------------------------------

_ESCAPE = re.compile(r"\\u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}|\\u[0-9a-fA-F]{4}|\\.", re.DOTALL)
_SHOWN_AS_CODES = ("Cc", "Cs", "Cf", "Cn", "Co", "Zl", "Zp")
_JOINERS = "\u200c\u200d"


def readable_json(text: str) -> str:
    """Return a JSON text with its characters in place of their codes; any other text as it is.

    ASCII, control and format characters, and halves of surrogate pairs keep their codes. Law: the value is the same.
    """
    if "\\u" not in text:
        return text
    try:
        decode_json(text)
    except ValueError:
        return text
    return _ESCAPE.sub(_unescaped, text)


def _unescaped(found: re.Match[str]) -> str:
    escape = found[0]
    if escape[1] != "u":
        return escape
    character: str = json.loads(f'"{escape}"')
    hidden = unicodedata.category(character) in _SHOWN_AS_CODES and character not in _JOINERS
    return escape if character.isascii() or hidden else character
