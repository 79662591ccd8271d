"""Reasoning in replies: the marks around it by family, and a reply without it.

Law: what stands between such marks, or behind one that nothing closes, is not part of what was said. A mark that closes
what nothing opened (the prompt did) ends reasoning that began with the reply. Marks within the arguments of a call, and
those in quotes, are text.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from alpha_umi.formats.dialects.calls import MARK, OPAQUE, QUOTES, skip_call

_TAGS = r"(?:\w{1,20}[:|])?(?:think(?:ing)?|thoughts?|reason(?:ing)?|reflection|scratchpad|analysis)"
_WORDS = r"(?:thinking|think|thought|reasoning)"


@dataclass(frozen=True, slots=True, kw_only=True)
class Family:
    """Marks around reasoning, as patterns."""

    opens: str
    closes: str
    alone: bool = True
    """The closing mark counts without an opening one, too."""


FAMILIES: Mapping[str, Family] = {
    "tags": Family(opens=rf"<{_TAGS}(?:\s[^<>]{{0,100}})?>", closes=rf"</{_TAGS}>"),
    "tokens": Family(
        opens=rf"<\|(?:(?:start|begin)_(?:of_)?{_WORDS}|{_WORDS}_(?:start|begin)|think)\|>",
        closes=rf"<\|(?:end_(?:of_)?{_WORDS}|{_WORDS}_end|/think)\|>",
    ),
    "mistral": Family(opens=r"\[THINK\]", closes=r"\[/THINK\]"),
    "kimi": Family(opens="◁think▷", closes="◁/think▷"),
    "kimi_k3": Family(opens=r"<\|open\|>think<\|sep\|>", closes=r"<\|close\|>think<\|sep\|>"),
    "apertus": Family(opens=r"<\|inner_prefix\|>", closes=r"<\|inner_suffix\|>"),
    "gemma": Family(opens=r"<\|channel>\s*thought|<unused94>\s*thought", closes=r"<channel\|>|<unused95>"),
    "pangu": Family(opens=r"\[unused16\]", closes=r"\[unused17\]"),
    "granite": Family(
        opens=r"\bHere(?:'s| is) my thought process:", closes=r"Here(?:'s| is) my response:\s*", alone=False
    ),
    "harmony": Family(
        opens=r"(?:<\|start\|>\s*assistant\s*)?<\|channel\|>\s*analysis(?!\s*to=functions)",
        closes=r"<\|end\|>|<\|return\|>|<\|call\|>|(?=<\|start\|>|<\|channel\|>(?!\s*analysis))",
        alone=False,
    ),
    "harmony_without_tokens": Family(
        opens=r"\A\s*(?-i:analysis(?=[A-Z\"']))", closes=r"(?=(?-i:assistant)(?:final|commentary))", alone=False
    ),
}
"""By who writes them."""
_FLAGS = re.IGNORECASE | re.MULTILINE
_OPENS = "|".join(f"(?P<{name}>{family.opens})" for name, family in FAMILIES.items())
_CLOSES = "|".join(family.closes for family in FAMILIES.values() if family.alone)
_ANY = re.compile(f"{_OPENS}|{_CLOSES}", _FLAGS)
_SCANNED = re.compile(f"{_OPENS}|(?P<close>{_CLOSES})|(?P<call>{MARK})|(?P<opaque>{OPAQUE})", _FLAGS)
_CLOSERS = {name: re.compile(family.closes, _FLAGS) for name, family in FAMILIES.items()}
_FRAME = re.compile(
    r"(?:<\|(?:START_RESPONSE|END_RESPONSE|END_OF_TURN_TOKEN|(?:begin|end)_of_solution|im_end|eot_id|eom_id|return|end"
    r"|end_of_text|endoftext)\|>|<end_of_turn>|<｜end▁of▁sentence｜>|<\|(?:open|close)\|>(?:response|message)<\|sep\|>"
    r"|(?:<\|start\|>\s*assistant\s*)?<\|channel\|>\s*(?:final|commentary)\s*(?:<\|constrain\|>\s*\w+\s*)?<\|message\|>"
    r"|<\|start\|>\s*assistant\b|\Aassistantfinal)+"
)
_FRAMED = re.compile(f"(?P<call>{MARK})|(?P<opaque>{OPAQUE})|(?P<frame>{_FRAME.pattern})", _FLAGS)
_FINAL = re.compile(r"<\|channel\|>\s*final\b")
_WRAPPED = re.compile(r"\s*<(?P<tag>answer|response|output)>(?P<text>.*)</(?P=tag)>\s*", re.DOTALL)
_MOST_TRIES = 200
"""Calls and objects whose end is looked for in one reply."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Reasoning:
    """Pieces of a text that are reasoning."""

    spans: tuple[tuple[int, int], ...] = ()
    """Start and end of each."""
    is_open: bool = False
    """True: the text ends within the last one."""


def find_reasoning(text: str) -> Reasoning:
    """Find the reasoning in a text."""
    if _ANY.search(text) is None:
        return Reasoning()
    spans: list[tuple[int, int]] = []
    at = tries = 0
    while found := _SCANNED.search(text, at):
        start, at = found.start(), max(found.end(), found.start() + 1)
        kind = str(found.lastgroup)
        if kind in ("call", "opaque"):
            tries += 1
            at = skip_call(text, found) if tries <= _MOST_TRIES else at
        elif start and text[start - 1] in QUOTES:
            continue
        elif kind == "close":
            spans = [(0, at)]
        elif closed := _CLOSERS[kind].search(text, found.end()):
            at = max(closed.end(), at)
            spans.append((start, closed.end()))
        else:
            return Reasoning(spans=(*spans, (start, len(text))), is_open=True)
    return Reasoning(spans=tuple(spans))


def masked(text: str) -> str:
    """Return the text with NUL in place of reasoning, so that every index stays what it was."""
    parts: list[str] = []
    at = 0
    for start, end in find_reasoning(text).spans:
        parts += [text[at:start], "\0" * (end - start)]
        at = end
    return "".join((*parts, text[at:])) if parts else text


def without_reasoning(text: str) -> str:
    """Return what was said; a text without reasoning as it is."""
    spans = find_reasoning(text).spans
    if not spans:
        return text
    starts, ends = [start for start, _ in spans], [end for _, end in spans]
    parts = [text[end:start] for end, start in zip((0, *ends), (*starts, len(text)), strict=True)]
    said = "".join(parts)
    if find_reasoning(said).spans:  # pieces that a block parted are no mark together
        said = "\n".join(parts)
    said = said if parts[0].strip() else said.lstrip()
    wrapped = _WRAPPED.fullmatch(said)
    return wrapped["text"].strip() if wrapped else said


def without_open_reasoning(text: str, marks: Sequence[str]) -> str:
    """Return a constrained completion without reasoning that its forced ending cut off.

    A grammar put one of `marks` behind the reasoning: the text ends with it, or it is the first one there is.
    """
    reasoning = find_reasoning(text)
    if not reasoning.is_open:
        return text
    start = reasoning.spans[-1][0]
    ends = [len(text) - len(mark) for mark in marks if mark and text.endswith(mark)]
    found = ends or [at for mark in marks if mark and (at := text.find(mark, start)) >= 0]
    return f"{text[:start]}\n{text[min(found) :]}" if found else text


def without_frame(text: str) -> str:
    """Return a reply without the tokens by which chat templates and channels frame it; those in arguments are text."""
    if _FRAME.search(text) is None:
        return text
    parts: list[str] = []
    start = at = tries = 0
    while found := _FRAMED.search(text, at):
        if found.lastgroup == "frame":
            parts.append(text[start : found.start()])
            start = at = found.end()
            continue
        tries += 1
        at = skip_call(text, found) if tries <= _MOST_TRIES else found.start() + 1
    return "\n".join((*parts, text[start:])).strip() if parts else text


def is_final(text: str) -> bool:
    """Return True for a reply in the channel of answers (gpt-oss), where an object is no call."""
    return _FINAL.search(text) is not None
