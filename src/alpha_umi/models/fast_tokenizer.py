"""Tokenizer that is all in its tokenizer.json or its GGUF file, run by `tokenizers` without transformers.

Law: ids and texts are those of transformers' tokenizer of the same file. A folder that asks for more than is known
here is left to transformers.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, cast

from tokenizers import AddedToken, Tokenizer

from alpha_umi.errors import DataError
from alpha_umi.text_files import read_json

_NAMED = ("bos_token", "eos_token", "unk_token", "sep_token", "pad_token", "cls_token", "mask_token")
_CLASSES = ("TokenizersBackend", "PreTrainedTokenizerFast")
_WITHOUT_EFFECT = frozenset(
    {"backend", "clean_up_tokenization_spaces", "is_local", "local_files_only", "model_input_names", "model_max_length",
     "padding_side", "tokenizer_class"}
)  # fmt: skip
"""Settings that change no ids of a single text, and no text of ids."""
_OTHER_FILES = ("chat_template.json", "special_tokens_map.json", "added_tokens.json", "additional_chat_templates")
"""Files of older folders, or of several templates."""
_MOST_TOKENS = 100_000
"""Beyond, transformers mends the cut of some vocabularies."""


class FastTokenizer:
    """Tokenizer with the parts of a transformers.PreTrainedTokenizerFast that are used where models run."""

    is_fast = True

    def __init__(
        self,
        backend: Tokenizer,
        *,
        special: Mapping[str, str | None],
        extra: Sequence[str] = (),
        chat_template: str | None = None,
        name: str = "",
    ) -> None:
        """Take over a tokenizer. `special`: tokens by transformers' names of them, such as `bos_token`; `extra`: more.

        All of them must be in the vocabulary.
        """
        self.backend_tokenizer = backend
        self.special_tokens_map = {name: token for name in _NAMED if (token := special.get(name)) is not None}
        self.extra_special_tokens = list(extra)
        self.chat_template = chat_template
        self.name_or_path = name
        backend.no_padding()
        backend.no_truncation()

    def __len__(self) -> int:
        return self.backend_tokenizer.get_vocab_size(with_added_tokens=True)

    def __bool__(self) -> bool:
        return True

    def __call__(self, text: str, *, add_special_tokens: bool, return_offsets_mapping: bool) -> dict[str, Any]:
        """Ids of a text as `input_ids`, and the characters of each as `offset_mapping`."""
        encoded = self.backend_tokenizer.encode(text, add_special_tokens=add_special_tokens)
        return {"input_ids": encoded.ids, **({"offset_mapping": encoded.offsets} if return_offsets_mapping else {})}

    def encode(self, text: str, *, add_special_tokens: bool = True) -> list[int]:
        """Ids of a text."""
        return self.backend_tokenizer.encode(text, add_special_tokens=add_special_tokens).ids

    def decode(
        self,
        token_ids: int | Sequence[int],
        *,
        skip_special_tokens: bool = False,
        clean_up_tokenization_spaces: bool = False,
    ) -> str:
        """Text of ids. `clean_up_tokenization_spaces`: False, for that loses blanks."""
        if clean_up_tokenization_spaces:
            raise ValueError("texts are decoded as they are")
        ids = [token_ids] if isinstance(token_ids, int) else list(token_ids)
        return self.backend_tokenizer.decode(ids, skip_special_tokens=skip_special_tokens)

    def apply_chat_template(
        self,
        conversation: Sequence[Mapping[str, Any]],
        *,
        tokenize: bool,
        add_generation_prompt: bool,
        tools: Sequence[Mapping[str, Any]] | None = None,
        **settings: Any,
    ) -> str:
        """Render messages by the chat template; `tokenize` is False. Raises ValueError where there is none."""
        if self.chat_template is None or tokenize or not conversation:
            raise ValueError("messages are rendered as text, by a chat template")
        from alpha_umi.models.chat_rendering import render_template

        variables = {**self.special_tokens_map, **settings, "add_generation_prompt": add_generation_prompt}
        return render_template(self.chat_template, conversation, tools=tools, **variables)

    def add_special_tokens(self, tokens: Mapping[str, Sequence[str]], *, replace_extra_special_tokens: bool) -> int:
        """Add `extra_special_tokens` to those there are, which are never replaced; returns the number of new ones."""
        if replace_extra_special_tokens:
            raise ValueError("special tokens are added to those that there are")
        before = len(self)
        new = [token for token in tokens["extra_special_tokens"] if token not in self.extra_special_tokens]
        self.extra_special_tokens += new
        self.backend_tokenizer.add_special_tokens([_special(token) for token in new])
        return len(self) - before

    @property
    def all_special_tokens(self) -> list[str]:
        """All special tokens, each once."""
        return list(dict.fromkeys([*self.special_tokens_map.values(), *self.extra_special_tokens]))

    @property
    def all_special_ids(self) -> list[int]:
        """Ids of all special tokens."""
        return [cast("int", self.backend_tokenizer.token_to_id(token)) for token in self.all_special_tokens]

    @property
    def added_tokens_decoder(self) -> dict[int, AddedToken]:
        """Tokens that are found in a text before it is cut, by their ids."""
        return self.backend_tokenizer.get_added_tokens_decoder()

    def get_vocab(self) -> dict[str, int]:
        """Ids of all tokens."""
        return self.backend_tokenizer.get_vocab(with_added_tokens=True)

    @property
    def bos_token_id(self) -> int | None:
        """Id of the token that begins a text."""
        return self._id("bos_token")

    @property
    def eos_token_id(self) -> int | None:
        """Id of the token that ends a text."""
        return self._id("eos_token")

    @property
    def pad_token_id(self) -> int | None:
        """Id of padding."""
        return self._id("pad_token")

    @property
    def unk_token_id(self) -> int | None:
        """Id that stands for characters without a token."""
        return self._id("unk_token")

    def _id(self, name: str) -> int | None:
        token = self.special_tokens_map.get(name)
        return None if token is None else self.backend_tokenizer.token_to_id(token)


def open_tokenizer(folder: Path) -> FastTokenizer | None:
    """Open the tokenizer of a model's folder; None: it is left to transformers."""
    file, settings = folder / "tokenizer.json", folder / "tokenizer_config.json"
    if not (file.is_file() and settings.is_file()) or any((folder / name).exists() for name in _OTHER_FILES):
        return None
    try:
        known = _settings(read_json(settings))
        backend = None if known is None else Tokenizer.from_file(str(file))
    except Exception:  # tokenizers raises bare Exception, and transformers says what is wrong with the files
        return None
    if known is None or backend is None or backend.truncation is not None or backend.padding is not None:
        return None
    special, extra, template = known
    written = folder / "chat_template.jinja"
    template = written.read_text(encoding="utf-8") if written.is_file() else template
    held = all(backend.token_to_id(token) is not None for token in (*special.values(), *extra))
    if not held or backend.get_vocab_size() > _MOST_TOKENS:
        return None
    backend.add_special_tokens([_special(token) for token in dict.fromkeys([*special.values(), *extra])])
    return FastTokenizer(backend, special=special, extra=extra, chat_template=template, name=str(folder))


def _settings(document: object) -> tuple[dict[str, str], list[str], str | None] | None:
    """Special tokens by name, others, and the chat template; None: the settings say more than that."""
    if not isinstance(document, dict):
        raise DataError("no settings of a tokenizer")
    found = cast("dict[str, Any]", document)
    own = {name: value for name, value in found.items() if name not in _WITHOUT_EFFECT}
    extra, template = own.pop("extra_special_tokens", []), own.pop("chat_template", None)
    plain = all(name in _NAMED and isinstance(token, str | None) for name, token in own.items())
    texts = isinstance(extra, list) and all(isinstance(token, str) for token in cast("list[object]", extra))
    if found.get("tokenizer_class") not in _CLASSES or not (plain and texts and isinstance(template, str | None)):
        return None
    return {name: token for name, token in own.items() if token is not None}, cast("list[str]", extra), template


def _special(token: str) -> AddedToken:
    return AddedToken(token, special=True, normalized=False)
