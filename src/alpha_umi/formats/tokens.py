"""Tokenization of prompts and completions, the same for training and for live models.

A completion is always tokenised on its own, never behind its prompt: a tokenizer would merge the space that
ends many prompts into the first word, and a model would then be trained on ids it never meets live. Law:
the ids of a completion decode to the completion.

Text is never control: the control tokens among the ids of a framed text, and of messages, are those that its frame
and the chat template write; in content such a token is spelled out. Plain text is frame throughout: its writer
vouches for it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from functools import lru_cache
from typing import Any, Protocol, cast

from alpha_umi.errors import FormatError
from alpha_umi.formats.chat_templates import NO_SETTINGS, render_chat
from alpha_umi.formats.control_tokens import AddedToken, ControlTokens, Veil, control_tokens
from alpha_umi.formats.framed import FramedText, Ranges, as_content, content_of, split_at
from alpha_umi.formats.marks import joined
from alpha_umi.types import Message, Part, Prompt, Span, ToolPrompt

_RECENT_PROMPTS, _RECENT_PIECES = 64, 256
"""Texts whose ids are at hand: those of a few trajectories."""
_SURROGATE = re.compile("[\ud800-\udfff]")
_ANCHOR = "\n"
"""Stands before a text that goes on after another one, where a tokenizer would begin a text with a space."""


class Tokenizer(Protocol):
    """Protocol of the parts of a Hugging Face tokenizer that are used."""

    @property
    def bos_token_id(self) -> int | None: ...

    @property
    def eos_token_id(self) -> int | None: ...

    def encode(self, text: str, *, add_special_tokens: bool) -> list[int]: ...

    def decode(
        self, token_ids: list[int], *, skip_special_tokens: bool, clean_up_tokenization_spaces: bool
    ) -> str | list[str]: ...

    def apply_chat_template(self, conversation: Any, **options: Any) -> object: ...


def well_formed(text: str) -> str:
    """Replace every lone surrogate (half a character, as a tool may cut one) by U+FFFD: no tokenizer takes it."""
    return _SURROGATE.sub("\ufffd", text)


def _encode(tokenizer: Tokenizer, text: str) -> list[int]:
    return tokenizer.encode(well_formed(text), add_special_tokens=False)


def prompt_ids(tokenizer: Tokenizer, prompt: Prompt, settings: Mapping[str, Any] = NO_SETTINGS) -> list[int]:
    """Token ids of a prompt: text after the tokenizer's own BOS where it has one, or messages by its chat template.

    `settings`: further variables of the template. Raises FormatError for messages when the tokenizer has no usable
    chat template.
    """
    control = control_tokens(tokenizer)
    if isinstance(prompt, str):
        return _own_start(tokenizer) + _text_ids(tokenizer, prompt, control)
    return _text_ids(tokenizer, _chat_text(tokenizer, prompt, settings, control), control)


def completion_ids(tokenizer: Tokenizer, completion: str, end: str) -> list[int]:
    """Token ids of a completion and its end mark, the target of training."""
    return [*_text_ids(tokenizer, completion, control_tokens(tokenizer)), end_ids(tokenizer, end)[0]]


def content_ids(tokenizer: Tokenizer, text: str) -> list[int]:
    """Token ids of a text that is content throughout, after the tokenizer's own BOS where it has one."""
    return _own_start(tokenizer) + _text_ids(tokenizer, as_content(text), control_tokens(tokenizer))


def completion_parts(tokenizer: Tokenizer, spans: Sequence[Span]) -> tuple[list[int], list[Part]]:
    """Token ids of a completion without its end mark, and for each the part in which it begins.

    The completion is tokenised as a whole, so a token may reach from one part into the next.
    """
    text = joined(spans)
    ids, begins = _with_begins(tokenizer, text)
    control = control_tokens(tokenizer)
    if not control.reads_right(text, ids):
        ids, begins = _spelled_out(tokenizer, text, control)
    parts: list[Part] = []
    reached, following = 0, iter(spans)
    part = Part.MARK
    for begin in begins:
        while reached <= begin and (span := next(following, None)) is not None:
            reached, part = reached + len(span[0]), span[1]
        parts.append(part)
    return ids, parts


# --- content that holds control tokens --------------------------------------------------------------------


def _text_ids(tokenizer: Tokenizer, text: str, control: ControlTokens) -> list[int]:
    """Token ids of a text: as a whole, where it is read right."""
    ids = _encode(tokenizer, text)
    if not isinstance(text, FramedText) or control.reads_right(text, ids):
        return ids
    return _spelled_out(tokenizer, text, control)[0]


def _spelled_out(tokenizer: Tokenizer, text: FramedText, control: ControlTokens) -> tuple[list[int], list[int]]:
    """Token ids of a text and the character at which each begins, with control tokens of its content spelled out.

    The text is cut within each of them, and before each of the frame's, and its parts are tokenised one by one.
    """
    own = control.in_frame(text)
    ids: list[int] = []
    begins: list[int] = []
    start = 0
    for part in split_at(text, control.cuts(text) + [start for start, _ in own]):
        told, places = _part(tokenizer, part, starts=start == 0)
        if not control.in_order(part, told):
            told, places = _without_control(tokenizer, part, control, starts=start == 0)
        ids += told
        begins += [start + place for place in places]
        start += len(part)
    return ids, begins


def _without_control(
    tokenizer: Tokenizer, text: FramedText, control: ControlTokens, *, starts: bool
) -> tuple[list[int], list[int]]:
    """Token ids of a text whose tokenizer makes control tokens of other text: these are left out."""
    own = control.in_frame(text)
    ids: list[int] = []
    begins: list[int] = []
    start = 0
    for part in split_at(text, [edge for both in (*own, *text.content) for edge in both]):
        told, places = _part(tokenizer, part, starts=starts and start == 0)
        wrong = frozenset(() if (start, start + len(part)) in own else control.told(told))
        ids += [one for one in told if one not in wrong]
        begins += [start + place for one, place in zip(told, places, strict=True) if one not in wrong]
        start += len(part)
    return ids, begins


def _part(tokenizer: Tokenizer, text: str, *, starts: bool) -> tuple[list[int], list[int]]:
    """Token ids of a part of a text and where they begin; `starts`: nothing stands before it."""
    if not starts:
        anchor = tokenizer.encode(_ANCHOR, add_special_tokens=False)
        ids, begins = _with_begins(tokenizer, _ANCHOR + text)
        if ids[: len(anchor)] == anchor and begins[len(anchor) : len(anchor) + 1] == [len(_ANCHOR)]:
            return ids[len(anchor) :], [begin - len(_ANCHOR) for begin in begins[len(anchor) :]]
    return _with_begins(tokenizer, text)


def _chat_text(
    tokenizer: Tokenizer, prompt: Sequence[Message] | ToolPrompt, settings: Mapping[str, Any], control: ControlTokens
) -> FramedText:
    """Text of messages by the chat template; control tokens in what it is given are content."""
    veil = Veil([repr(prompt)])

    def hide(text: str) -> str:
        if control.normalized and control.told(_encode(tokenizer, text)):
            return veil.hide(text)
        return control.pattern.sub(lambda found: veil.hide(found[0]), text)

    return veil.lift(render_chat(tokenizer, prompt, settings, hide))


# --- where tokens begin -----------------------------------------------------------------------------------


def _with_begins(tokenizer: Tokenizer, text: str) -> tuple[list[int], list[int]]:
    """Token ids of a text, and the character at which each begins."""
    return (_fast_begins if _is_fast(tokenizer) else _slow_begins)(tokenizer, well_formed(text))


def _is_fast(tokenizer: Tokenizer) -> bool:
    return bool(getattr(tokenizer, "is_fast", False))


def _fast_begins(tokenizer: Tokenizer, text: str) -> tuple[list[int], list[int]]:
    """Begin of each token, by offsets.

    They may leave out the space that a token starts with, so a token begins where the one before ends.
    """
    encoded = cast("Any", tokenizer)(text, add_special_tokens=False, return_offsets_mapping=True)
    begins: list[int] = []
    reached = 0
    ids = cast("list[int]", encoded["input_ids"])
    for one, (start, stop) in zip(ids, cast("list[tuple[int, int]]", encoded["offset_mapping"]), strict=True):
        begins.append(min(start, reached))
        if start == stop <= reached:  # a token of blanks alone, all of it left out
            blanks = text[reached : reached + len(decode(tokenizer, [one], ""))]
            reached += len(blanks) - len(blanks.lstrip())
        reached = max(reached, stop)
    return ids, begins


def _slow_begins(tokenizer: Tokenizer, text: str) -> tuple[list[int], list[int]]:
    """Begin of each token, by decoding: the length of the text before it, whole characters only."""
    ids = tokenizer.encode(text, add_special_tokens=False)
    begins: list[int] = []
    for index in range(len(ids)):
        said = tokenizer.decode(ids[:index], skip_special_tokens=False, clean_up_tokenization_spaces=False)
        said = cast("str", said)
        while not text.startswith(said):
            said = said[:-1]
        begins.append(len(said))
    return ids, begins


def end_ids(tokenizer: Tokenizer, end: str) -> tuple[int, ...]:
    """Token ids that end a completion, the one to train on first: `end` if it is one token, then the tokenizer's EOS.

    Raises FormatError when there is neither.
    """
    mark = tokenizer.encode(end, add_special_tokens=False) if end else []
    ids = mark if len(mark) == 1 else []
    if tokenizer.eos_token_id is not None and tokenizer.eos_token_id not in ids:
        ids = [*ids, tokenizer.eos_token_id]
    if not ids:
        raise FormatError(f"the tokenizer has no EOS and {end!r} is not one token of it: nothing can end a completion")
    return tuple(ids)


def decode(tokenizer: Tokenizer, ids: Sequence[int], end: str) -> str:
    """Decode a completion to its exact text; one end mark at its end is removed."""
    kept = list(ids)
    if kept and kept[-1] in end_ids(tokenizer, end):
        kept.pop()
    return cast("str", tokenizer.decode(kept, skip_special_tokens=False, clean_up_tokenization_spaces=False))


def _own_start(tokenizer: Tokenizer) -> list[int]:
    """Token ids that the tokenizer adds before any text; those after it do not belong before a completion."""
    added = tokenizer.encode("", add_special_tokens=True)
    return added[:1] if added and added[0] == tokenizer.bos_token_id else []


# --- many prompts that share most of their text -----------------------------------------------------------


class PromptIds:
    """Cached `prompt_ids`, for prompts that share most of their text.

    Where the format's special tokens cut a text in pieces that the tokenizer treats one by one, each piece is
    tokenised once. Law: the ids are those of `prompt_ids`, always; a tokenizer that could make them differ
    (see `_cuts_at`) is given the whole text.
    """

    def __init__(self, tokenizer: Tokenizer, special_tokens: Sequence[str]) -> None:
        self._tokenizer = tokenizer
        self._start = _own_start(tokenizer)
        self._control = control_tokens(tokenizer)
        cuts = special_tokens and all(_cuts_at(tokenizer, token) for token in special_tokens)
        self._special = re.compile("|".join(map(re.escape, special_tokens))) if cuts else None
        self._ids = lru_cache(maxsize=_RECENT_PIECES if cuts else _RECENT_PROMPTS)(self._encode)

    def __call__(self, prompt: Prompt) -> list[int]:
        if not isinstance(prompt, str):
            return list(self._ids(prompt, ()))
        if self._special is None:
            return [*self._start, *self._ids(str(prompt), content_of(prompt))]
        ids = self._start.copy()
        framed = prompt if isinstance(prompt, FramedText) else FramedText(prompt)
        cuts = [found.start() for low, high in framed.frame for found in self._special.finditer(framed, low, high)]
        for piece in split_at(framed, cuts):
            ids.extend(self._ids(str(piece), piece.content))
        return ids

    def _encode(self, prompt: Prompt, content: Ranges) -> Sequence[int]:
        """Ids of messages, or of a text without its start. `content`: of the text, as texts are equal without it."""
        if not isinstance(prompt, str):
            return prompt_ids(self._tokenizer, prompt)
        return _text_ids(self._tokenizer, FramedText(prompt, content), self._control)


def _cuts_at(tokenizer: Tokenizer, token: str) -> bool:
    """Return True if the tokenizer splits any text at `token` before it does anything else.

    So it is for a fast tokenizer that holds it as an added token, taken literally and without its surroundings,
    if no other added token can begin before it and reach into it, or be it and more.
    """
    if not _is_fast(tokenizer) or getattr(tokenizer, "split_special_tokens", False):
        return False
    added = list(cast("dict[int, AddedToken]", getattr(tokenizer, "added_tokens_decoder", {})).values())
    own = [one for one in added if one.content == token]
    literal = own and not any(one.lstrip or one.rstrip or one.single_word or one.normalized for one in own)
    others = (one.content for one in added if one.content != token)
    return bool(literal) and not any(_reaches_into(other, token) for other in others)


def _reaches_into(other: str, token: str) -> bool:
    return other.startswith(token) or any(rest.startswith(token) or token.startswith(rest) for rest in _ends_of(other))


def _ends_of(text: str) -> Iterator[str]:
    return (text[start:] for start in range(1, len(text)))
