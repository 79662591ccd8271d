"""Prompts and completions as token ids, for training and for live models alike.

A completion is always tokenised on its own, never behind its prompt: a tokenizer would merge the space that
ends many prompts into the first word, and a model would then be trained on ids it never meets live. Law:
the ids of a completion decode to the completion.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol, cast

from alpha_umi.errors import FormatError
from alpha_umi.types import Prompt


class Tokenizer(Protocol):
    """What is needed of a Hugging Face tokenizer."""

    @property
    def bos_token_id(self) -> int | None: ...

    @property
    def eos_token_id(self) -> int | None: ...

    def encode(self, text: str, *, add_special_tokens: bool) -> list[int]: ...

    def decode(
        self, token_ids: list[int], *, skip_special_tokens: bool, clean_up_tokenization_spaces: bool
    ) -> str | list[str]: ...

    def apply_chat_template(
        self, conversation: list[dict[str, str]], *, add_generation_prompt: bool, tokenize: bool
    ) -> object: ...


def prompt_ids(tokenizer: Tokenizer, prompt: Prompt) -> list[int]:
    """What a model reads: text behind the tokenizer's own BOS where it has one, or messages by its chat template.

    Raises FormatError for messages when the tokenizer has no usable chat template.
    """
    if isinstance(prompt, str):
        return _own_start(tokenizer) + tokenizer.encode(prompt, add_special_tokens=False)
    conversation = [{"role": message.role, "content": message.content} for message in prompt]
    try:
        text = tokenizer.apply_chat_template(conversation, add_generation_prompt=True, tokenize=False)
    except Exception as error:  # templates are programs of the checkpoint's author and raise whatever they like
        raise FormatError(f"the model's chat template cannot render these messages: {error}") from error
    return tokenizer.encode(cast("str", text), add_special_tokens=False)


def completion_ids(tokenizer: Tokenizer, completion: str, end: str) -> list[int]:
    """What a model is taught to write: the completion and the mark that ends it."""
    return [*tokenizer.encode(completion, add_special_tokens=False), end_ids(tokenizer, end)[0]]


def end_ids(tokenizer: Tokenizer, end: str) -> tuple[int, ...]:
    """The ids that end a completion, the one to teach first: `end` if it is one token, then the tokenizer's EOS.

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
    """The text of a completion, every character as it was written; one end mark at its end is taken off."""
    kept = list(ids)
    if kept and kept[-1] in end_ids(tokenizer, end):
        kept.pop()
    return cast("str", tokenizer.decode(kept, skip_special_tokens=False, clean_up_tokenization_spaces=False))


def _own_start(tokenizer: Tokenizer) -> list[int]:
    """What the tokenizer puts before any text; what it may put behind is not wanted before a completion."""
    added = tokenizer.encode("", add_special_tokens=True)
    return added[:1] if added and added[0] == tokenizer.bos_token_id else []
