"""Marks by which models say that a call follows, and the search for the calls of a reply."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import Enum

from alpha_umi.formats.dialects.bodies import Body, read_body, read_named, read_objects, read_python
from alpha_umi.literals import COMBINING, UnreadableError, read_value
from alpha_umi.types import Call, FinishReason

_B = "[|｜]"
MARKS: Mapping[str, str] = {
    "elements (Qwen-Coder, MiniMax, Seed, Step, DeepSeek 3.2, Llama 3.1, Functionary 3.1)": (
        rf"(?=<(?:{_B}DSML{_B}[ ]?|\w{{1,20}}:)?(?:function|invoke|function_call|call)(?:\s*=|\s+(?:name|tool)\s*=))"
    ),
    "tags (Hermes, Qwen, GLM, Granite, Hunyuan, Jamba, Nemotron, OLMo, MiniMax M1, LongCat)": (
        rf"<(?:{_B}DSML{_B}[ ]?|\w{{1,20}}:|longcat_)?(?:tool_?calls?|function_?calls?|tool_use|tools|calls)"
        r"(?:\s[^<>]{0,100})?>"
    ),
    "tokens (Granite, LFM2, Gemma 4, Phi, Kimi K2, DeepSeek, InternLM, Cohere, Apertus, Llama 3 and 4)": (
        rf"<{_B}(?:tool[_▁]calls?(?:[_▁](?:section[_▁])?(?:begin|start))?|tool_calls_begin|action_start|START_ACTION"
        rf"|plugin|tools_prefix|python_tag|python_start|function_call){_B}>|<\|tool_call>|<start_function_call>"
    ),
    "brackets (Mistral, LM Studio)": r"\[(?:TOOL_CALLS?|TOOL_REQUEST|FUNCTION_CALLS?)\]",
    "fences (Gemma 3)": r"```(?:tool|function)[_-]?(?:calls?|code|use)[ \t]*\n",
    "recipients (gpt-oss)": (
        r"(?:<\|start\|>\s{0,3}assistant\s{0,3})?(?:<\|channel\|>\s{0,3}(?:commentary|analysis)\s{0,3}"
        r"|(?-i:assistant)?(?-i:commentary|analysis)\s{0,3})?\bto=functions\.(?=[\w.\-])"
    ),
    "words (Phi, FireFunction, Functionary, Qwen-Agent, GigaChat, Kimi K3, HyperCLOVA)": (
        r"functools(?=\[)|>>>(?=[\w" + COMBINING + r".\-]{1,100}\s*\n\s*\{)|<\|recipient\|>(?!\s*all)|(?=✿FUNCTION✿)"
        r"|function call<\|role_sep\|>|<\|open\|>tools<\|sep\|>|<\|open\|>(?=call\s+tool=)| -> tool/function_call\n"
    ),
}
"""By the dialects that use them. Any body may follow any mark."""
MARK = "|".join(MARKS.values())
OPAQUE = rf"(?:^|[:：][*_]{{0,2}}|\()[ \t]*(?=\{{|\[\s{{0,20}}\{{|\[[^\W\d][\w{COMBINING}.\-]{{0,200}}\()"
"""Where an object or a list of calls may start: marks within it are text."""
_SCANNED = re.compile(f"(?P<mark>{MARK})|(?P<opaque>{OPAQUE})", re.IGNORECASE | re.MULTILINE)
_ANY_MARK = re.compile(rf"\s*+(?:{MARK}|function\s*<{_B}tool[_▁]sep{_B}>)", re.IGNORECASE)
_BARE = re.compile(r"\{\s*[\"']|\[\s*\{|\[\s*[^\W\d][\w" + COMBINING + r".\-]*\s*\(")
_FENCE_BEFORE = re.compile(r"`{3,}[ \t]*[\w-]{0,20}\s*\Z")
_LINE_FENCE = re.compile(r"\s*`{3,}[ \t]*[\w-]*\s*")
QUOTES = "`'\"“‘«"
_MOST_TRIES = 200
"""Marks and objects that are tried in one reply, so that the work grows with its length alone."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FoundCall:
    """Place in a reply that holds calls; without any where what is marked as a call cannot be read."""

    start: int
    """Of the mark, or of the code fence around it."""
    end: int
    calls: tuple[Call, ...]


def find_marked(text: str, finish: FinishReason = FinishReason.STOP) -> Iterator[FoundCall]:
    """Find what is marked as a call, in order. A call that LENGTH cut off cannot be read."""
    at = 0
    for _ in range(_MOST_TRIES):
        found = _SCANNED.search(text, at)
        if found is None:
            return
        if found["mark"] is None:
            at = _behind_object(text, found.end())
            continue
        start, at = found.start(), _behind_marks(text, found)
        body = read_body(text, at)
        if body is not None and not _is_cut(text, body, finish):
            yield FoundCall(start=_fence_start(text, start), end=body.end, calls=body.calls)
            at = body.end
        elif not _is_mention(text, start, at):
            yield FoundCall(start=_fence_start(text, start), end=len(text), calls=())
        at = max(at, start + 1)


def first_marked(text: str, finish: FinishReason = FinishReason.STOP) -> FoundCall | None:
    """Return the first marked call that can be read, else the first that cannot."""
    unreadable: FoundCall | None = None
    for found in find_marked(text, finish):
        if found.calls:
            return found
        unreadable = unreadable or found
    return unreadable


class Bare(Enum):
    """Place where an object without a mark is taken for a call."""

    ANYWHERE = "anywhere"
    """The reply is meant to be a call."""
    AT_THE_END = "at the end"
    """Of the reply, on a line or in a code fence of its own."""


def find_bare(text: str, place: Bare, *, name_alone: bool = True) -> FoundCall | None:
    """Find a call without a mark: objects with a name and arguments, or a list in Python's notation.

    `name_alone`: an object without arguments is a call where it is all that is said.
    """
    for tries, candidate in enumerate(_BARE.finditer(text)):
        at = candidate.start()
        if tries == _MOST_TRIES:
            break
        first = not text[:at].strip(" \t\r\n`") or _LINE_FENCE.fullmatch(text[:at]) is not None
        if place is Bare.AT_THE_END and not first and not _starts_line(text, at):
            continue
        whole = read_objects(text, at) if first and name_alone else None
        bodies = (read_objects(text, at, marked=False), _notation(text, at), whole)
        for body, must_end in zip(bodies, (place is Bare.AT_THE_END,) * 2 + (True,), strict=True):
            if body is not None and not (must_end and text[body.end :].strip("` \t\r\n;")):
                return FoundCall(start=_fence_start(text, at), end=body.end, calls=body.calls)
    return None


def find_named(text: str) -> FoundCall | None:
    """Read a reply that is a call and nothing else: `NAME {...}`, `NAME(a=1)`, a name and an object on two lines."""
    for read in (read_named, read_python):
        body = read(text, 0)
        if body is not None and re.search(r"[{(]", text[: body.end]) and not text[body.end :].strip("` \t\r\n.;"):
            return FoundCall(start=0, end=body.end, calls=body.calls)
    return None


def skip_call(text: str, found: re.Match[str]) -> int:
    """Return the index behind the call or the object that a mark announces, or behind the mark's first character."""
    if found["call"] is None:
        return _behind_object(text, found.end())
    body = read_body(text, _behind_marks(text, found))
    return body.end if body else found.start() + 1


def _behind_object(text: str, at: int) -> int:
    try:
        return read_value(text, at)[1]
    except UnreadableError:
        body = _notation(text, at)
        return body.end if body else at + 1


def _fence_start(text: str, start: int) -> int:
    fence = _FENCE_BEFORE.search(text, max(0, start - 40), start)
    return fence.start() if fence else start


def _is_mention(text: str, start: int, at: int) -> bool:
    """Return True for a mark that is spoken of: within quotes, or with plain words and no other mark behind it."""
    if start and text[start - 1] in QUOTES:
        return True
    words = re.match(r"[ \t]*[^\W\d]", text[at : at + 40])
    return words is not None and all(text.find(mark, at) < 0 for mark in ("</", "|>", "｜>", "[/"))


def _starts_line(text: str, at: int) -> bool:
    line = text[max(0, text.rfind("\n", 0, at)) : at]
    return not line.strip(" \t\r\n`>*-")


def _notation(text: str, at: int) -> Body | None:
    return read_python(text, at) if text.startswith("[", at) else None


def _behind_marks(text: str, found: re.Match[str]) -> int:
    """End of a mark and of those that follow it at once, as a section's is followed by a call's."""
    at = found.end()
    for _ in range(5):
        after = _ANY_MARK.match(text, at)
        if after is None or after.end() == at or not after[0].strip():
            break
        at = after.end()
    return at


def _is_cut(text: str, body: Body, finish: FinishReason) -> bool:
    return finish is FinishReason.LENGTH and not body.closed and not text[body.end :].strip()
