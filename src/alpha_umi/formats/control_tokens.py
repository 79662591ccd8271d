"""Control tokens of a tokenizer, and the places where content would be read as one.

Control tokens are the special tokens, and added tokens that the chat template writes or that are spelled as marks
(`<|fim_prefix|>`): whoever writes one speaks for the system. Only a prompt's frame may; in content they are text.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from itertools import groupby
from typing import Any, Protocol, cast
from weakref import WeakKeyDictionary

from alpha_umi.formats.framed import FramedText, as_content, substitute
from alpha_umi.types import Json

_SPELLED_AS_MARK = re.compile(r"<[|｜].*[|｜]>", re.DOTALL)


class AddedToken(Protocol):
    """Protocol of the attributes of an added token that are used."""

    content: str
    lstrip: bool
    rstrip: bool
    single_word: bool
    normalized: bool
    special: bool


@dataclass(frozen=True, slots=True)
class ControlTokens:
    """Control tokens of one tokenizer."""

    ids: Mapping[str, int]
    numbers: frozenset[int]
    """Ids that no text leads to but a control token itself: not that of unknown characters."""
    normalized: bool
    """True: some are looked for in normalized text, so that another spelling can be read as one."""
    pattern: re.Pattern[str]
    """Matches the longest control token at a place; nothing where there is none."""
    overlapping: re.Pattern[str]
    """Matches before every control token, within others too; group 1 is the token."""

    @classmethod
    def of(cls, ids: Mapping[str, int], *, unknown: int | None = None, normalized: bool) -> ControlTokens:
        """Make them of their texts. `unknown`: the token that stands for characters without one."""
        words = _any_of(ids) or "(?!)"
        return cls(
            ids, frozenset(ids.values()) - {unknown}, normalized, re.compile(words), re.compile(f"(?=({words}))")
        )

    def told(self, ids: Iterable[int]) -> list[int]:
        """Control tokens among token ids, in order."""
        return [one for one in ids if one in self.numbers]

    def in_frame(self, text: FramedText) -> list[tuple[int, int]]:
        """Begin and end of each control token that the frame of a text writes."""
        return [found.span() for start, stop in text.frame for found in self.pattern.finditer(text, start, stop)]

    def in_content(self, text: FramedText) -> bool:
        """Return True if the content of a text spells a control token."""
        return any(self.pattern.search(text, start, stop) for start, stop in text.content)

    def reads_right(self, text: FramedText, ids: Sequence[int]) -> bool:
        """Return True if the ids of a text have no control token that its content wrote."""
        return not text.content or (not self.in_content(text) and self.in_order(text, ids))

    def in_order(self, text: FramedText, ids: Sequence[int]) -> bool:
        """Return True if the control tokens among the ids of a text are some of its frame's, in their order."""
        told = self.told(ids)
        written = iter([self.ids[text[start:stop]] for start, stop in self.in_frame(text)] if told else ())
        return all(one in written for one in told)

    def cuts(self, text: FramedText) -> list[int]:
        """Offsets at which to cut a text so that no control token is whole but those of the frame."""
        frame, own = text.frame, self.in_frame(text)
        found = [(match.start(1), match.end(1)) for match in self.overlapping.finditer(text)]
        wrong = [start + 1 for start, stop in found if not any(low <= start and stop <= high for low, high in frame)]
        return [at for at in wrong if not any(start < at < stop for start, stop in own)]


_KNOWN: WeakKeyDictionary[Any, tuple[tuple[int, object], ControlTokens]] = WeakKeyDictionary()


def control_tokens(tokenizer: object) -> ControlTokens:
    """Return the control tokens of a tokenizer as it is now."""
    added = cast("dict[int, AddedToken]", getattr(tokenizer, "added_tokens_decoder", {}))
    template = getattr(tokenizer, "chat_template", None)
    state = (len(added), repr(template))
    try:
        known, found = _KNOWN[tokenizer]
    except (KeyError, TypeError):
        known = found = None
    if found is None or known != state:
        found = _find(added, repr(template), tokenizer)
        with suppress(TypeError):  # a tokenizer that no weak reference can point to
            _KNOWN[tokenizer] = state, found
    return found


def _find(added: Mapping[int, AddedToken], template: str, tokenizer: object) -> ControlTokens:
    def controls(token: AddedToken) -> bool:
        text = token.content
        spelled = _SPELLED_AS_MARK.fullmatch(text) or (_bracketed(text) and text in template)
        return bool(text) and (token.special or bool(spelled))

    chosen = {number: token for number, token in added.items() if controls(token)}
    ids = {token.content: number for number, token in chosen.items()}
    special = cast("Sequence[str]", getattr(tokenizer, "all_special_tokens", ()))
    numbers = cast("Sequence[int]", getattr(tokenizer, "all_special_ids", ()))
    ids = {**{text: number for text, number in zip(special, numbers, strict=False) if text}, **ids}
    unknown = cast("int | None", getattr(tokenizer, "unk_token_id", None))
    return ControlTokens.of(ids, unknown=unknown, normalized=any(token.normalized for token in chosen.values()))


def _bracketed(text: str) -> bool:
    """Return True for text between signs, such as `<tool_call>` or `[INST]`; words and blanks are no marks."""
    return len(text) > 2 and not any(sign.isalnum() or sign.isspace() for sign in (text[0], text[-1]))


def _any_of(words: Iterable[str]) -> str:
    """Regular expression of any of some words, the longest one first; words share their beginnings."""
    return "|".join(_branches(sorted(set(words))))


def _branches(words: Sequence[str]) -> Iterator[str]:
    for _, group in groupby(words, key=lambda word: word[0]):
        alike = list(group)
        width = next(
            (at for at, (one, other) in enumerate(zip(alike[0], alike[-1], strict=False)) if one != other), None
        )
        start = alike[0][:width]
        rests = [word[len(start) :] for word in alike]
        longer = _any_of(rest for rest in rests if rest)
        optional = "?" if "" in rests else ""
        yield re.escape(start) + (f"(?:{longer}){optional}" if longer else "")


# --- texts that go through somebody else's template -------------------------------------------------------


class Veil:
    """Stand-ins for parts of texts that go through a template: letters and digits, which templates leave as they are.

    So a chat template can neither see nor move a control token that content holds, and after it the content is known.
    """

    def __init__(self, texts: Iterable[str]) -> None:
        digest = hashlib.blake2b("\0".join(texts).encode(errors="surrogatepass"), digest_size=12).hexdigest()
        self._name = f"umi{digest}"  # no text can hold its own digest
        self._hidden: list[str] = []

    @property
    def is_empty(self) -> bool:
        return not self._hidden

    def hide(self, text: str) -> str:
        """Return a stand-in for a text."""
        self._hidden.append(text)
        return f"{self._name}x{len(self._hidden) - 1}x"

    def lift(self, text: str) -> FramedText:
        """Put the hidden texts back, as content; all else is frame."""
        stand_in = re.compile(f"{self._name}x([0-9]+)x", re.IGNORECASE)
        return substitute(stand_in, text, lambda found: as_content(self._hidden[int(found[1])]))


def changed(value: Json, change: Callable[[str], str]) -> Json:
    """A JSON value with all its texts changed, its keys too."""
    if isinstance(value, str):
        return change(value)
    if isinstance(value, list):
        return [changed(each, change) for each in value]
    if isinstance(value, dict):
        return {change(key): changed(each, change) for key, each in value.items()}
    return value
