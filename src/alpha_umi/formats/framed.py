"""Prompt text that tells its frame, which a format writes, from its content, which users, tools and models wrote.

Formats build prompts and completions from both; tokenization (`control_tokens`) reads special tokens in the frame
alone. A framed text is a `str` and equals the plain text: files, endpoints and comparisons see no difference.
"""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from itertools import pairwise

Ranges = tuple[tuple[int, int], ...]


class FramedText(str):
    """Text with the ranges of it that are content. Slices and joins by `cut`, `concat` and `substitute` keep them."""

    __slots__ = ("content",)

    content: Ranges
    """Begin and end of each range of content in characters, in order, none empty, none touching the next."""

    def __new__(cls, text: str, content: Ranges = ()) -> FramedText:
        framed = super().__new__(cls, text)
        framed.content = content
        return framed

    def __reduce__(self) -> tuple[type[FramedText], tuple[str, Ranges]]:
        return FramedText, (str(self), self.content)

    @property
    def frame(self) -> Ranges:
        """Begin and end of each range of frame, in order."""
        found: list[tuple[int, int]] = []
        reached = 0
        for start, stop in self.content:
            if reached < start:
                found.append((reached, start))
            reached = stop
        if reached < len(self):
            found.append((reached, len(self)))
        return tuple(found)


def as_content(text: str) -> FramedText:
    """All of a text as content, whatever it was before."""
    return FramedText(text, ((0, len(text)),) if text else ())


def content_of(text: str) -> Ranges:
    """Ranges of content; plain text has none."""
    return text.content if isinstance(text, FramedText) else ()


def framed(pieces: Iterable[tuple[str, bool]]) -> FramedText:
    """Join texts, each with whether it is content."""
    told: list[str] = []
    ranges: list[tuple[int, int]] = []
    length, open_since = 0, -1
    for text, is_content in pieces:
        if not text:
            continue
        if is_content and open_since < 0:
            open_since = length
        elif not is_content and open_since >= 0:
            ranges.append((open_since, length))
            open_since = -1
        told.append(text)
        length += len(text)
    if open_since >= 0:
        ranges.append((open_since, length))
    return FramedText("".join(told), tuple(ranges))


def concat(pieces: Iterable[str]) -> FramedText:
    """Join texts; plain ones are frame."""
    told = list(pieces)
    ranges: list[tuple[int, int]] = []
    length = reached = 0
    for piece in told:
        if isinstance(piece, FramedText):
            for start, stop in piece.content:
                begin, reached_before, reached = start + length, reached, stop + length
                if ranges and begin == reached_before:
                    ranges[-1] = (ranges[-1][0], reached)
                else:
                    ranges.append((begin, reached))
        length += len(piece)
    return FramedText("".join(told), tuple(ranges))


def split_at(text: FramedText, cuts: Iterable[int]) -> Iterator[FramedText]:
    """Parts of a text that is cut at some characters, with their content; none is empty."""
    waiting = deque(text.content)
    for start, stop in pairwise(sorted({0, *cuts, len(text)})):
        inside: list[tuple[int, int]] = []
        while waiting and waiting[0][0] < stop:
            low, high = waiting.popleft()
            inside.append((max(low, start) - start, min(high, stop) - start))
            if high > stop:
                waiting.appendleft((stop, high))
        yield FramedText(text[start:stop], tuple(inside))


def cut(text: str, start: int, stop: int) -> FramedText:
    """Slice of a text, with its content."""
    inside = ((max(start, low) - start, min(stop, high) - start) for low, high in content_of(text))
    return FramedText(text[start:stop], tuple((low, high) for low, high in inside if low < high))


def substitute(pattern: re.Pattern[str], text: str, value: Callable[[re.Match[str]], str]) -> FramedText:
    """Replace every match of a pattern by a text, as `pattern.sub` does; both sides keep their content."""

    def pieces() -> Iterator[str]:
        reached = 0
        for found in pattern.finditer(text):
            yield cut(text, reached, found.start())
            yield value(found)
            reached = found.end()
        yield cut(text, reached, len(text))

    return concat(pieces())
