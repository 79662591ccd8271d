"""Strict JSON, JSON as models miswrite it (Python literals, trailing commas), and JSON as models read it (unescaped).

`read_loosely` reads what has one meaning alone and names what it mended; a text that could mean several things, such
as an unquoted word or a missing bracket, stays unread. All take time in proportion to the text.
"""

from __future__ import annotations

import json
import re
import unicodedata
from dataclasses import dataclass
from typing import NoReturn

from alpha_umi.types import Json

PYTHON = "written as a Python literal"
COMMA = "written with a trailing comma"
CONTROL = "written with raw line breaks or control codes"

_TOKEN = re.compile(
    r"""[ \t\r\n]*(?:
      (?P<mark>[{}\[\],:])
    | (?P<word>true|false|null|True|False|None)\b
    | (?P<number>-?[0-9][0-9.eE+-]*)
    | (?P<double>"(?:[^"\\]|\\.)*")
    | (?P<single>'(?:[^'\\]|\\.)*')
    )[ \t\r\n]*""",
    re.VERBOSE | re.DOTALL,
)
_WORDS = {"True": "true", "False": "false", "None": "null"}
_IN_STRING = re.compile(r'\\(u[0-9a-fA-F]{4}|U[0-9a-fA-F]{8}|x[0-9a-fA-F]{2}|.)|["\x00-\x1f]', re.DOTALL)
_ESCAPES = {"'": "'", "a": r"\u0007", "v": r"\u000b", "\n": ""}
"""Python's escapes that JSON does not have; a backslash before any other character is one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Loose:
    """Value of a text, with what had to be mended to read it."""

    value: Json
    mends: tuple[str, ...] = ()


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
        mended, mends = _mend(text)
        if not mends:
            raise
        return Loose(value=decode_json(mended), mends=mends)


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not a JSON value")


def _finite(text: str) -> float:
    value = float(text)
    if value in (float("inf"), float("-inf")):
        raise ValueError(f"{text[:40]} is too large a number")
    return value


_DECODER = json.JSONDecoder(parse_constant=_refuse_constant, parse_float=_finite)


def _mend(text: str) -> tuple[str, tuple[str, ...]]:
    """JSON of the same meaning, and what was changed for it; nothing is changed where a token is unknown."""
    tokens: list[str] = []
    mends: dict[str, None] = {}
    at = 0
    while at < len(text):
        found = _TOKEN.match(text, at)
        if found is None:
            return text, ()
        at = found.end()
        token = found["mark"] or found["number"] or _WORDS.get(found["word"] or "", found["word"])
        if found["word"] in _WORDS or found["single"] is not None:
            mends[PYTHON] = None
        if token is None:
            written = found["double"] or found["single"]
            token = _string(written)
            if re.search(r"[\x00-\x1f]", written):
                mends[CONTROL] = None
            elif found["double"] is not None and token != written:
                mends[PYTHON] = None
        if token in ("}", "]") and tokens[-1:] == [","] and tokens[-2:-1] and tokens[-2] not in ("{", "[", ",", ":"):
            tokens.pop()
            mends[COMMA] = None
        tokens.append(token)
    return " ".join(tokens), tuple(mends)


def _string(written: str) -> str:
    """A JSON string of a quoted text with Python's or JSON's escapes."""
    return f'"{_IN_STRING.sub(_escaped, written[1:-1])}"'


def _escaped(found: re.Match[str]) -> str:
    escape = found[1]
    if escape is None:
        return r"\"" if found[0] == '"' else f"\\u{ord(found[0]):04x}"
    if escape[0] == "x" and len(escape) == 3:
        return f"\\u00{escape[1:]}"
    if escape[0] == "U" and len(escape) == 9 and int(escape[1:], 16) < 0x110000:
        return json.dumps(chr(int(escape[1:], 16)))[1:-1]
    if escape in _ESCAPES:
        return _ESCAPES[escape]
    return found[0] if escape[0] in '"\\/bfnrt' or len(escape) == 5 else rf"\\{escape}"


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
