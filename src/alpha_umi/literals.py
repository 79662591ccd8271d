"""Reader of values in model text: JSON, Python literals, and calls in Python's notation, with the end of each.

The standard parser reads JSON. What it refuses is read here, by hand and bounded in depth: single quotes, trailing
commas, `True` and `None`, bare keys, strings between other delimiters. Nothing is evaluated. (`ast.literal_eval` needs
the end beforehand, warns of unknown escapes and knows neither `true` nor calls.) `read_literal` says what it mended,
and refuses what only a guess can read.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable, Generator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import NoReturn, TypeVar

from alpha_umi.types import Json

_Item = TypeVar("_Item")

PYTHON = "written as a Python literal"
COMMA = "written with a trailing comma"
CONTROL = "written with raw line breaks or control codes"
BLANK = "written with blanks that JSON does not know"

COMBINING = (
    r"\u0300-\u036f\u0483-\u0489\u0591-\u05bd\u05bf\u05c1-\u05c7\u0610-\u061a\u064b-\u065f\u0670\u06d6-\u06ed\u0711-\u0963"
    r"\u0981-\u0df3\u0e31-\u0e3a\u0e47-\u0e4e\u0eb1-\u0fc6\u102b-\u109d\u135d-\u135f\u1712-\u17d3\u180b-\u1cff\u1dc0-\u1dff"
    r"\u302a-\u302f\u3099\u309a\ua802-\uabed\ufe00-\ufe0f"
)
"""Ranges of the marks in words of Thai, Hindi and other scripts, which `\\w` leaves out, for a set of characters."""
_MOST_DEPTH = 60
"""Lists and objects within each other."""
_DECODER = json.JSONDecoder(strict=False)
_BLANK = re.compile(r"\s*")
_JSON_BLANKS, _CONTROLS = " \t\r\n", re.compile(r"[\x00-\x1f]")
_JSON_ESCAPES = re.compile(r'(?:[^\\]|\\(?:["\\/bfnrt]|u[0-9a-fA-F]{4}))*+', re.DOTALL)
_JSON_NUMBER = re.compile(r"-?(?:0|[1-9]\d*)(?:\.\d+)?(?:[eE][+-]?\d+)?")
_STRING = re.compile(
    r"""[rRuU]?(?:'''(?P<a>(?:[^'\\]++|\\.|'(?!''))*+)'''|\"""(?P<b>(?:[^"\\]++|\\.|"(?!""))*+)\"""
    |'(?P<c>(?:[^'\\]++|\\.)*+)'|"(?P<d>(?:[^"\\]++|\\.)*+)")""",
    re.DOTALL | re.VERBOSE,
)
_VERBATIM = ('<|"|>', "<escape>")
"""Delimiters of strings without escapes (Gemma)."""
_NUMBER = re.compile(r"[+-]?(?:\d{1,400}(?P<fraction>\.\d*)?|\.\d+)(?P<exponent>[eE][+-]?\d{1,4})?(?![\w.])")
_WORD = re.compile(rf"[^\W\d][\w{COMBINING}]*")
_BARE_KEY = re.compile(r"[^\s\"'{}\[\](),:<>][^\"'{}\[\](),:<>\n]{0,100}?(?=\s*:)")
_CALLED = re.compile(rf"(?P<name>[^\W\d][\w{COMBINING}.\-/]*(?: [\w{COMBINING}.\-/]+){{0,5}})\s*\(")
_NAMED = re.compile(rf"(?P<name>[^\W\d][\w{COMBINING}]*)\s*=(?!=)")
_PYTHON_NUMBER = re.compile(r"-?(?:(?:0+|[1-9]\d*)(?:\.\d*)?|\d*\.\d+)(?:[eE][+-]?\d+)?")
_JSON_WORDS, _PYTHON_WORDS = ("true", "false", "null"), ("True", "False", "None")
_CONSTANTS: dict[str, Json] = {"true": True, "false": False, "null": None, "none": None, "undefined": None}
_ESCAPE = re.compile(
    r"\\(?:u([dD][89abAB][0-9a-fA-F]{2})\\u([dD][c-fC-F][0-9a-fA-F]{2})"
    r"|u([0-9a-fA-F]{4})|U(000[0-9a-fA-F]{5}|0010[0-9a-fA-F]{4})|x([0-9a-fA-F]{2})|(\n)|([abfnrtv0\\'\"/]))"
)
_ESCAPED = {"a": "\a", "b": "\b", "f": "\f", "n": "\n", "r": "\r", "t": "\t", "v": "\v", "0": "\0"}
_SURROGATE = re.compile("[\ud800-\udfff]")


class UnreadableError(ValueError):
    """Text that holds no value where one is asked for. A model wrote it, so every caller catches it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Loose:
    """Value of a text, with what had to be mended to read it."""

    value: Json
    mends: tuple[str, ...] = ()


def read_literal(text: str) -> Loose:
    """Return the value that a whole text means where JSON refuses it, in time that grows with its length alone.

    Raises UnreadableError for a text that means nothing, or more than one thing: unquoted words, other spellings of
    the constants, numbers without bounds, brackets that are missing.
    """
    reader = _Literals(text, 0)
    with _bounded(0):
        value = reader.value()
        reader.skip()
    if reader.is_guess or reader.at < len(text):
        raise UnreadableError("only a guess reads it")
    return Loose(value=value, mends=tuple(reader.mends))


def read_value(text: str, at: int) -> tuple[Json, int]:
    """Return the value that starts at `at`, and its end. Raises UnreadableError."""
    try:
        return _DECODER.raw_decode(text, at)
    except (ValueError, RecursionError):
        pass
    reader = _Literals(text, at)
    with _bounded(at):
        return reader.value(), reader.at


def read_notation(text: str, at: int) -> tuple[list[tuple[str, Json]], int]:
    """Return the calls, names with arguments, of `f(a=1)` or `[f(a=1), g()]` at `at`, and their end.

    Arguments without a name are a list, but for a single object. Raises UnreadableError.
    """
    reader = _Literals(text, at)
    with _bounded(at):
        return reader.calls(), reader.at


@contextmanager
def _bounded(at: int) -> Generator[None]:
    try:
        yield
    except (RecursionError, OverflowError) as error:
        raise UnreadableError(f"{type(error).__name__} at {at}") from None


def write_value(value: Json) -> str:
    """Write a value as JSON text that every encoding can hold."""
    text = json.dumps(value, ensure_ascii=False)
    return json.dumps(value) if _SURROGATE.search(text) else text


class _Literals:
    """Cursor over a text; every method reads from `at` and moves it on."""

    def __init__(self, text: str, at: int) -> None:
        self.text, self.at = text, at
        self.mends: dict[str, None] = {}
        """Ways in which what was read is not JSON."""
        self.is_guess = False
        """True: what was read could mean something else."""

    def value(self, depth: int = 0) -> Json:
        self.skip()
        if depth > _MOST_DEPTH:
            self._fail()
        match self.text[self.at : self.at + 1]:
            case "{":
                return self._object(depth)
            case "[":
                return self._items("[", "]", lambda: self.value(depth + 1))[0]
            case "(":
                items, comma = self._items("(", ")", lambda: self.value(depth + 1))
                self.mends[PYTHON] = None
                return items[0] if len(items) == 1 and not comma else items
            case _:
                return self._scalar()

    def calls(self) -> list[tuple[str, Json]]:
        self.skip()
        if self.text.startswith("[", self.at):
            return self._items("[", "]", self._call)[0] or self._fail()
        return [self._call()]

    def _call(self) -> tuple[str, Json]:
        self.skip()
        called = _CALLED.match(self.text, self.at) or self._fail()
        self.at = called.end() - 1
        given = self._items("(", ")", self._argument)[0]
        named: dict[str, Json] = {name: value for name, value in given if name}
        unnamed = [value for name, value in given if not name]
        if len(unnamed) == 1 and isinstance(unnamed[0], dict) and not named:
            return called["name"], unnamed[0]
        return called["name"], named if not unnamed else [value for _, value in given]

    def _argument(self) -> tuple[str, Json]:
        self.skip()
        named = _NAMED.match(self.text, self.at)
        if named is None:
            self.at += 2 * self.text.startswith("**", self.at)
            return "", self.value(1)
        self.at = named.end()
        return named["name"], self.value(1)

    def _object(self, depth: int) -> Json:
        def pair() -> tuple[str, Json]:
            self.skip()
            bare = _BARE_KEY.match(self.text, self.at)
            key: Json = bare[0] if bare else self._scalar()
            self.is_guess |= bare is not None or not isinstance(key, str)
            self.at = bare.end() if bare else self.at
            self.skip()
            if not self.text.startswith(":", self.at):
                self._fail()
            self.at += 1
            return key if isinstance(key, str) else json.dumps(key), self.value(depth + 1)

        return dict(self._items("{", "}", pair)[0])

    def _items(self, opens: str, closes: str, read: Callable[[], _Item]) -> tuple[list[_Item], bool]:
        """Items between brackets, and whether a comma follows the last one."""
        self.at += len(opens)
        items: list[_Item] = []
        comma = False
        while True:
            self.skip()
            if self.text.startswith(closes, self.at):
                self.at += len(closes)
                if comma and closes != ")":
                    self.mends[COMMA] = None
                return items, comma
            if items and not comma:
                self._fail()
            items.append(read())
            self.skip()
            comma = self.text.startswith(",", self.at)
            self.at += comma

    def _scalar(self) -> Json:
        text = self.text
        for mark in _VERBATIM:
            if text.startswith(mark, self.at):
                end = text.find(mark, self.at + len(mark))
                start, self.at = self.at + len(mark), end + len(mark) if end >= 0 else self._fail()
                self.is_guess = True
                return text[start:end]
        if string := _STRING.match(text, self.at):
            return self._string(string)
        if number := _NUMBER.match(text, self.at):
            return self._number(number)
        word = _WORD.match(text, self.at) or self._fail()
        if word[0].lower() not in _CONSTANTS:
            self._fail()
        self.at = word.end()
        if word[0] not in _JSON_WORDS:
            self.mends[PYTHON] = None
            self.is_guess |= word[0] not in _PYTHON_WORDS
        return _CONSTANTS[word[0].lower()]

    def _string(self, string: re.Match[str]) -> str:
        self.at = string.end()
        body = next(group for group in string.groups() if group is not None)
        if string["d"] is None or string[0][0] != '"' or not _JSON_ESCAPES.fullmatch(body):
            self.mends[PYTHON] = None
        if _CONTROLS.search(body):
            self.mends[CONTROL] = None
        return body if string[0][0] in "rR" else _ESCAPE.sub(_unescaped, body)

    def _number(self, number: re.Match[str]) -> int | float:
        self.at = number.end()
        if not _JSON_NUMBER.fullmatch(number[0]):
            self.mends[PYTHON] = None
            self.is_guess |= not _PYTHON_NUMBER.fullmatch(number[0])
        if number["fraction"] is None and number["exponent"] is None and "." not in number[0]:
            return int(number[0])
        value = float(number[0])
        self.is_guess |= math.isinf(value)
        return value

    def skip(self) -> None:
        """Move on behind blanks."""
        blank = _BLANK.match(self.text, self.at)
        if blank is None or not blank[0]:
            return
        if blank[0].strip(_JSON_BLANKS):
            self.mends[BLANK] = None
        self.at = blank.end()

    def _fail(self) -> NoReturn:
        raise UnreadableError(f"no value at {self.at}")


def _unescaped(found: re.Match[str]) -> str:
    high, low, *codes, line_break, letter = found.groups()
    if high:
        return chr(0x10000 + ((int(high, 16) - 0xD800) << 10) + (int(low, 16) - 0xDC00))
    for code in codes:
        if code:
            return chr(int(code, 16))
    return "" if line_break else _ESCAPED.get(letter, letter)
