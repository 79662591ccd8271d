"""Tokenizers read from GGUF files: byte-level BPE with the cut that `tokenizer.ggml.pre` names.

Law: the ids are those of llama.cpp. A tokenizer of another kind, or with a cut that is not known here, is refused by
name: a model that reads other ids than it was trained on is wrong without any error.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

from tokenizers import AddedToken, Tokenizer
from tokenizers.models import BPE

from alpha_umi.errors import CheckpointError
from alpha_umi.models.fast_tokenizer import FastTokenizer
from alpha_umi.models.gguf_pre_tokenizers import PRE_TOKENIZERS, PreTokenizer, write_parts
from alpha_umi.models.gguf_reader import GGUFFile

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerFast

_UNKNOWN, _CONTROL, _USER_DEFINED = 2, 3, 4
"""Types of tokens that are matched as a whole, or are no text at all."""
_ENDINGS = frozenset(
    {"<|im_end|>", "<|eot_id|>", "<|eom_id|>", "<|end_of_text|>", "<|endoftext|>", "<end_of_turn>", "<|end|>", "</s>"}
)
"""Tokens that end a reply in every vocabulary that holds them as control tokens."""


def read_tokenizer(file: GGUFFile) -> PreTrainedTokenizerFast:
    """Make the tokenizer of a GGUF file for transformers. Raises CheckpointError as `read_fast_tokenizer`."""
    from transformers import PreTrainedTokenizerFast

    backend, special = _read(file)
    made = PreTrainedTokenizerFast(tokenizer_object=backend, clean_up_tokenization_spaces=False, **special)
    made.chat_template = file.get("tokenizer.chat_template", str)
    made.name_or_path = str(file.path)
    return made


def read_fast_tokenizer(file: GGUFFile) -> FastTokenizer:
    """Make the tokenizer of a GGUF file, without transformers.

    Raises CheckpointError for a kind or a cut that is not known to be right.
    """
    backend, special = _read(file)
    added = {token.content for token in backend.get_added_tokens_decoder().values()}
    missing = dict.fromkeys(token for token in special.values() if token is not None and token not in added)
    backend.add_tokens([AddedToken(token, special=True) for token in missing])
    return FastTokenizer(
        backend, special=special, chat_template=file.get("tokenizer.chat_template", str), name=str(file.path)
    )


def _read(file: GGUFFile) -> tuple[Tokenizer, dict[str, str | None]]:
    """The tokenizer, and its special tokens by transformers' names of them."""
    tokens, kinds = _read_tokens(file)
    known = _pre_tokenizer(file)
    bos, eos = _special(file, tokens, "bos"), _special(file, tokens, "eos")
    adds_bos = file.get("tokenizer.ggml.add_bos_token", bool, known.adds_bos) and bos is not None
    document: dict[str, Any] = {
        "version": "1.0",
        "truncation": None,
        "padding": None,
        "added_tokens": [],
        "normalizer": None,
        "pre_tokenizer": write_parts(known.cut),
        "post_processor": _begin_with(bos, tokens) if adds_bos and bos is not None else None,
        "decoder": {"type": "ByteLevel", "add_prefix_space": True, "trim_offsets": True, "use_regex": True},
        "model": {"type": "BPE", "vocab": {}, "merges": []},
    }
    vocabulary = {token: number for number, token in enumerate(tokens)}
    merges = [_halves(file, merge) for merge in file.need("tokenizer.ggml.merges", list)]
    try:
        tokenizer = Tokenizer.from_str(json.dumps(document))  # all but what is large, which would be written and parsed
        tokenizer.model = BPE(vocab=vocabulary, merges=merges, ignore_merges=known.ignore_merges)
        tokenizer.add_tokens(list(_added(tokens, kinds)))
    except Exception as error:  # tokenizers raises bare Exception, for merges without a token for example
        raise CheckpointError(f"{file.path}: the tokenizer in this GGUF file is broken: {error}") from None
    padding, unknown = _special(file, tokens, "padding") or eos, _special(file, tokens, "unknown")
    return tokenizer, {"bos_token": bos, "eos_token": eos, "pad_token": padding, "unk_token": unknown}


def end_tokens(file: GGUFFile) -> list[int]:
    """Ids that end a reply: those that the file names, and control tokens with the usual names of an end."""
    tokens, kinds = _read_tokens(file)
    named = [file.get(f"tokenizer.ggml.{kind}_token_id", int) for kind in ("eos", "eot", "eom")]
    usual = [
        at for at, (token, kind) in enumerate(zip(tokens, kinds, strict=True)) if kind == _CONTROL and token in _ENDINGS
    ]
    return list(dict.fromkeys(each for each in (*named, *usual) if each is not None and each < len(tokens)))


def _read_tokens(file: GGUFFile) -> tuple[list[str], list[int]]:
    """Tokens and their types. Raises CheckpointError for a tokenizer that is no byte-level BPE."""
    kind = file.get("tokenizer.ggml.model", str)
    if kind != "gpt2":
        raise CheckpointError(
            f"{file.path}: its tokenizer is of kind {kind!r}; byte-level BPE ('gpt2') is read. Serve the file by "
            "llama.cpp's llama-server and name its address (--base-url), or take the model's Hugging Face folder"
        )
    tokens: list[str] = file.need("tokenizer.ggml.tokens", list)
    kinds: list[int] = file.get("tokenizer.ggml.token_type", list) or [1] * len(tokens)
    if len(kinds) != len(tokens) or not all(isinstance(token, str) for token in tokens):
        raise CheckpointError(f"{file.path}: a broken GGUF file: {len(tokens)} tokens, {len(kinds)} types of tokens")
    return tokens, kinds


def _pre_tokenizer(file: GGUFFile) -> PreTokenizer:
    name = file.get("tokenizer.ggml.pre", str)
    if name not in PRE_TOKENIZERS:
        told = (
            "does not say how its tokenizer cuts text"
            if name is None
            else f"has a tokenizer that cuts text as {name!r}"
        )
        raise CheckpointError(
            f"{file.path}: {told} (tokenizer.ggml.pre); known: {', '.join(PRE_TOKENIZERS)}. Serve the file by "
            "llama.cpp's llama-server and name its address (--base-url), or take the model's Hugging Face folder"
        )
    return PRE_TOKENIZERS[name]


def _special(file: GGUFFile, tokens: Sequence[str], kind: str) -> str | None:
    number: int | None = file.get(f"tokenizer.ggml.{kind}_token_id", int)
    return tokens[number] if number is not None and number < len(tokens) else None


def _added(tokens: Sequence[str], kinds: Sequence[int]) -> Iterator[AddedToken]:
    """Tokens that are found in text as a whole, before it is cut."""
    for token, kind in zip(tokens, kinds, strict=True):
        if kind in (_CONTROL, _USER_DEFINED, _UNKNOWN) and token:
            yield AddedToken(token, normalized=False, special=kind != _USER_DEFINED)


def _begin_with(bos: str, tokens: Sequence[str]) -> dict[str, Any]:
    """Post-processor that puts BOS before a text."""
    first = {"SpecialToken": {"id": bos, "type_id": 0}}
    return {
        "type": "TemplateProcessing",
        "single": [first, {"Sequence": {"id": "A", "type_id": 0}}],
        "pair": [first, {"Sequence": {"id": "A", "type_id": 0}}, {"Sequence": {"id": "B", "type_id": 1}}],
        "special_tokens": {bos: {"id": bos, "ids": [tokens.index(bos)], "tokens": [bos]}},
    }


def _halves(file: GGUFFile, merge: object) -> tuple[str, str]:
    """The two tokens of a merge; a token may begin with a blank, and holds none."""
    if isinstance(merge, str) and (at := merge.find(" ", 1)) > 0:
        return merge[:at], merge[at + 1 :]
    raise CheckpointError(f"{file.path}: a broken GGUF file: {merge!r} is no merge of two tokens")
