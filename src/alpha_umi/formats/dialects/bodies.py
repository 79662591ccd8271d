"""Readers of what stands behind the mark of a call: objects, Python's notation, XML elements, a name and arguments.

Each reader takes a text and an index, and returns the calls there with their end, or None. So any mark may come with
any body: dialects differ in their marks far more than in their bodies.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import dataclass
from html import unescape

from alpha_umi.formats.dialects.objects import calls_of, write_arguments
from alpha_umi.literals import COMBINING, UnreadableError, read_notation, read_value, write_value
from alpha_umi.types import Call, Json

_MOST = 100
"""Calls or parameters behind one mark."""
_FENCE = re.compile(r"\s*`{3,}[ \t]*[\w-]*[ \t]*\n?\s*")
_FENCE_END = re.compile(r"\s*`{3,}")
_BETWEEN = re.compile(r"[\s,;]*")
_BAR = "[|｜]"
CLOSER = re.compile(
    rf"""\s*(?:</(?:[\w]+:|{_BAR}DSML{_BAR}[ ]?|longcat_)?
        (?:tool_?calls?|function_?calls?|tool_use|tools|tool|invoke|function|calls|action)>
    |<{_BAR}(?:/?tool[_▁]calls?(?:[_▁](?:section[_▁])?end)?|tool_calls_end|action_end|END_ACTION|tools_suffix|python_end
        |call|end|return|eom_id|eot_id|im_end|/?function_call){_BAR}>
    |<tool_call\|>|<end_function_call>|\[/TOOL_CALLS\]|\[END_TOOL_REQUEST\]|<\|close\|>(?:call|tools|message)<\|sep\|>
    |`{{3,}}|</s>)""",
    re.VERBOSE | re.IGNORECASE,
)
_XML = re.compile(
    rf"""<(?P<space>{_BAR}DSML{_BAR}[ ]?|\w+:)?(?:function|invoke|tool|function_call|call)
    (?:=\s*|\s+(?:name|tool)\s*=\s*)(?P<quote>["']?)(?P<name>[^"'<>\n]{{1,200}})(?P=quote)(?:\s[^<>]{{0,200}}?)?(?P<empty>/)?>""",
    re.VERBOSE,
)
_PARAMETER = re.compile(
    rf"""\s*<(?P<space>{_BAR}DSML{_BAR}[ ]?|\w+:)?(?P<tag>parameter|param|argument|arg)
    (?:(?P<equals>=)\s*|\s+(?:name|key)\s*=\s*)(?P<quote>["']?)(?P<key>[^"'<>\n]{{1,200}})(?P=quote)(?P<more>[^<>]{{0,200}})>""",
    re.VERBOSE,
)
_TYPED = re.compile(r"""\b(?:string\s*=\s*["'](?P<string>true|false)["']|type\s*=\s*["'](?P<type>\w+)["'])""")
_ELEMENT_END = re.compile(rf"\s*</(?:{_BAR}DSML{_BAR}[ ]?|\w+:)?(?:function|invoke|tool|function_call|call)>")
_AFTER_VALUE = re.compile(rf"\s*(?:<(?:/|{_BAR})*[ ]?\w|\Z)")
_PAIR = re.compile(r"\s*<arg_key>(?P<key>.{1,200}?)</arg_key>\s*<arg_value>", re.DOTALL)
_K3_CALL = re.compile(r"""call\s+tool="(?P<name>[^"]{1,200})"[^<]{0,100}<\|sep\|>""")
_K3_ARGUMENT = re.compile(r"""\s*<\|open\|>argument\s+key="(?P<key>[^"]{1,200})"(?P<more>[^<]{0,100})<\|sep\|>""")
_NAME = re.compile(
    rf"""\s*+(?:function\s*<{_BAR}tool[_▁]sep{_BAR}>|(?:call|name)\s*:\s*+|✿FUNCTION✿\s*:\s*+|functions\.)?
    (?P<name>\w[\w{COMBINING}.\-/]{{0,200}}+)(?:\:\d+)?""",
    re.VERBOSE,
)
_TO_ARGUMENTS = re.compile(
    rf"""\s*(?:(?:<\|channel\|>\s*\w+\s*)?(?:<\|constrain\|>\s*\w+\s*|\b(?:json|code)\s*)?<\|message\|>
    |<\|constrain\|>\s*\w+|(?:\[CALL_ID\][\w-]{{0,50}}\s*)?\[ARGS\]|<\|tool_call_argument_begin\|>|<{_BAR}tool[_▁]sep{_BAR}>|<tool_sep>
    |✿ARGS✿\s*:|<\|content\|>|\bjson(?=\s*\{{))\s*""",
    re.VERBOSE,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Body:
    """Calls at some place of a text."""

    calls: tuple[Call, ...]
    end: int
    """Behind the calls and the marks that close them."""
    closed: bool
    """False: only the end of the text says that nothing more belongs to them."""


Reader = Callable[[str, int], "Body | None"]


def read_body(text: str, at: int) -> Body | None:
    """Read the calls behind a mark that ends at `at`; None where there is none to read."""
    fence = _FENCE.match(text, at)
    for start in (fence.end(), at) if fence else (at,):
        for read in _READERS:
            if body := read(text, start):
                return _closed(text, body)
    return None


def _closed(text: str, body: Body) -> Body:
    end, closed = body.end, body.closed
    for _ in range(4):
        closer = CLOSER.match(text, end)
        if closer is None:
            break
        end, closed = closer.end(), True
    return Body(calls=body.calls, end=end, closed=closed)


# --- objects and notation -----------------------------------------------------------------------------


def read_objects(text: str, at: int, *, marked: bool = True) -> Body | None:
    """Read `{"name": ...}`, a list of them, or one after the other with blanks, commas or semicolons between."""
    calls: list[Call] = []
    end, start = at, _skip(text, at)
    while len(calls) < _MOST and text[start : start + 1] in ("{", "["):
        try:
            value, after = read_value(text, start)
        except UnreadableError:
            break
        found = calls_of(value, marked=marked)
        if not found:
            break
        calls += found
        end, start = after, _skip(text, after, _BETWEEN)
    return Body(calls=tuple(calls), end=end, closed=True) if calls else None


def read_python(text: str, at: int) -> Body | None:
    """Read `[f(a=1), g()]`, `f(a=1)`, or several calls on lines of their own."""
    calls: list[Call] = []
    end, start = at, _skip(text, at)
    while len(calls) < _MOST:
        try:
            found, after = read_notation(text, start)
        except UnreadableError:
            break
        calls += [Call(name=_plain(name), arguments=write_value(given)) for name, given in found]
        end, start = after, _skip(text, after, _BETWEEN)
    return Body(calls=tuple(calls), end=end, closed=True) if calls else None


# --- elements -----------------------------------------------------------------------------------------


def read_elements(text: str, at: int) -> Body | None:
    """Read `<function=NAME>` or `<invoke name="NAME">` with parameters, or with one object, inside."""
    calls: list[Call] = []
    start, end, closed = _skip(text, at), at, False
    while len(calls) < _MOST and (element := _XML.match(text, start)):
        read = ("{}", element.end()) if element["empty"] else _read_parameters(text, element.end())
        ended = _ELEMENT_END.match(text, read[1]) if read else None
        if read is None or not (ended or element["empty"] or _ends(text, read[1])):
            break
        calls.append(Call(name=element["name"].strip(), arguments=read[0]))
        closed = bool(ended or element["empty"])
        end = ended.end() if ended else read[1]
        start = _skip(text, end)
    return Body(calls=tuple(calls), end=end, closed=closed) if calls else None


def _read_parameters(text: str, at: int) -> tuple[str, int] | None:
    start = _skip(text, at)
    if text.startswith("{", start):
        return _read_object(text, start)
    given: dict[str, str] = {}
    while len(given) < _MOST and (opened := _PARAMETER.match(text, at)):
        read = _read_until(text, opened.end(), f"</{opened['space'] or ''}{opened['tag']}>", "</function>")
        if read is None:
            return None
        value, at = read
        if opened["equals"]:
            value = value.removeprefix("\n").removesuffix("\n")
        elif not opened["more"].strip() and value.startswith("\n") and value.endswith("\n"):
            value = value[1:-1]
        given[opened["key"].strip()] = _value_text(value, opened["more"])
    return _object_text(given), at


def _read_until(text: str, at: int, closer: str, outer: str) -> tuple[str, int] | None:
    """Text up to a closer that another mark, or nothing, follows, since a value may hold the closer itself.

    Where the closer is missing, the value ends before the mark that closes the call, `outer`.
    """
    end = text.find(closer, at)
    for _ in range(20):
        if end < 0 or _AFTER_VALUE.match(text, end + len(closer)):
            break
        end = text.find(closer, end + 1)
    if end >= 0:
        return text[at:end], end + len(closer)
    end = text.find(outer, at)
    return (text[at:end], end) if end >= 0 else None


def read_pairs(text: str, at: int) -> Body | None:
    """Read GLM's `NAME` with `<arg_key>` and `<arg_value>`."""
    named = _NAME.match(text, at)
    if named is None:
        return None
    end, given = named.end(), dict[str, str]()
    separator = _TO_ARGUMENTS.match(text, end)
    end = separator.end() if separator else end
    while len(given) < _MOST and (pair := _PAIR.match(text, end)):
        read = _read_until(text, pair.end(), "</arg_value>", "</tool_call>")
        if read is None:
            return None
        value, end = read
        given[pair["key"].strip()] = _value_text(value)
    if not given or not (_ends(text, end) or CLOSER.match(text, end)):
        return None
    return Body(calls=(Call(name=named["name"], arguments=_object_text(given)),), end=end, closed=False)


def read_kimi(text: str, at: int) -> Body | None:
    """Read Kimi K3's `call tool="NAME"` with typed arguments."""
    opened = _K3_CALL.match(text, at)
    if opened is None:
        return None
    end, given = opened.end(), dict[str, str]()
    while len(given) < _MOST and (argument := _K3_ARGUMENT.match(text, end)):
        read = _read_until(text, argument.end(), "<|close|>argument<|sep|>", "<|close|>call<|sep|>")
        if read is None:
            return None
        value, end = read
        given[unescape(argument["key"])] = _value_text(value, argument["more"])
    if not (_ends(text, end) or CLOSER.match(text, end)):
        return None
    return Body(calls=(Call(name=opened["name"], arguments=_object_text(given)),), end=end, closed=False)


# --- a name, then arguments ---------------------------------------------------------------------------


def read_named(text: str, at: int) -> Body | None:
    """Read a name with one object of arguments behind it, or with none: `NAME[ARGS]{...}`, `NAME{...}`, `NAME`."""
    calls: list[Call] = []
    end, closed = at, False
    while len(calls) < _MOST and (named := _NAME.match(text, end)):
        separator = _TO_ARGUMENTS.match(text, named.end())
        start = separator.end() if separator else named.end()
        fence = _FENCE.match(text, start)
        start = _skip(text, fence.end() if fence else start)
        if text.startswith("{", start):
            read = _read_object(text, start)
            if read is None:
                break
            arguments, end = read
            fenced = _FENCE_END.match(text, end) if fence else None
            end, closed = fenced.end() if fenced else end, True
        elif not calls and not fence and (_ends(text, named.end()) or CLOSER.match(text, named.end())):
            arguments, end = "{}", named.end()
        else:
            break
        calls.append(Call(name=named["name"], arguments=arguments))
    return Body(calls=tuple(calls), end=end, closed=closed) if calls else None


def _read_object(text: str, at: int) -> tuple[str, int] | None:
    try:
        value, end = read_value(text, at)
    except UnreadableError:
        return None
    return (write_arguments(value), end) if isinstance(value, dict) else None


_READERS: tuple[Reader, ...] = (read_objects, read_elements, read_python, read_kimi, read_pairs, read_named)


# --- values that are text -----------------------------------------------------------------------------


def _value_text(text: str, attributes: str = "") -> str:
    """JSON text of a value that no quotes tell the type of.

    What reads as JSON is JSON, a number only where it is written as JSON writes it, so that it can be told back.
    """
    typed = _TYPED.search(attributes)
    if typed and (typed["string"] == "true" or typed["type"] == "string"):
        return write_value(text)
    try:
        value: Json = json.loads(text, strict=False)
    except (ValueError, RecursionError):
        return write_value(_constant(text))
    if isinstance(value, str):
        return write_value(value if typed else text)
    if (
        isinstance(value, int | float)
        and not isinstance(value, bool)
        and not typed
        and write_value(value) != text.strip()
    ):
        return write_value(text)
    return text.strip()


def _constant(text: str) -> Json:
    if text in ("True", "False"):
        return text == "True"
    if text == "None":
        return None
    if text[:1] in ("{", "[") and len(text) > 2:
        try:
            value, end = read_value(text, 0)
        except UnreadableError:
            return text
        return value if end == len(text) else text
    return text


def _object_text(given: dict[str, str]) -> str:
    return "{" + ", ".join(f"{write_value(key)}: {value}" for key, value in given.items()) + "}"


def _plain(name: str) -> str:
    """Name of a called function, without the method of Llama's built-in tools."""
    return name.removesuffix(".call").removeprefix("functions.")


def _skip(text: str, at: int, blank: re.Pattern[str] = re.compile(r"\s*")) -> int:
    found = blank.match(text, at)
    return found.end() if found else at


def _ends(text: str, at: int) -> bool:
    return _skip(text, at) == len(text)
