"""Tokenizers in GGUF files, as llama.cpp reads them.

llama.cpp has a fixed list of ways to split text before bytes are merged and takes no other one, so a tokenizer
is written only where its way is on that list (or cannot matter). Others are refused by name: a model that is served
with ids it was not trained on is wrong without any error.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, cast

from transformers import PreTrainedTokenizerBase, PreTrainedTokenizerFast

from alpha_umi.errors import CheckpointError
from alpha_umi.models.gguf_pre_tokenizers import name_of, read_parts


def write_vocabulary(writer: Any, tokenizer: PreTrainedTokenizerBase, vocabulary: int, end: str) -> None:
    """Add the tokenizer of a model with `vocabulary` rows to a GGUFWriter. `end`: the format's end mark.

    Raises CheckpointError for a tokenizer that llama.cpp would read differently.
    """
    from gguf import TokenType

    name = tokenizer.name_or_path or "the tokenizer"
    document = _document(name, tokenizer)
    pre = _pre(name, document)
    added = tokenizer.added_tokens_decoder
    texts = {number: text for text, number in tokenizer.get_vocab().items()}
    if len(texts) and max(texts) >= vocabulary:
        raise CheckpointError(f"{name}: the tokenizer has more tokens than the model has rows ({vocabulary})")
    tokens, kinds = list[str](), list[int]()
    for number in range(vocabulary):
        tokens.append(texts.get(number, f"[PAD{number}]"))
        kind = TokenType.NORMAL if number in texts else TokenType.UNUSED
        if number in added:
            kind = TokenType.CONTROL if added[number].special else TokenType.USER_DEFINED
        kinds.append(int(kind))
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre(pre)
    writer.add_token_list(tokens)
    writer.add_token_types(kinds)
    writer.add_token_merges([merge if isinstance(merge, str) else " ".join(merge) for merge in document["merges"]])
    _write_special(writer, tokenizer, end)


def _write_special(writer: Any, tokenizer: PreTrainedTokenizerBase, end: str) -> None:
    for kind in ("bos", "eos", "pad", "unk"):
        number = getattr(tokenizer, f"{kind}_token_id")
        if number is not None:
            getattr(writer, f"add_{kind}_token_id")(number)
    mark = tokenizer.encode(end, add_special_tokens=False) if end else []
    if len(mark) == 1 and mark[0] != tokenizer.eos_token_id:
        writer.add_eot_token_id(mark[0])
    around = tokenizer.encode("", add_special_tokens=True)
    writer.add_add_bos_token(bool(around) and around[0] == tokenizer.bos_token_id)
    writer.add_add_eos_token(bool(around) and around[-1] == tokenizer.eos_token_id)
    if isinstance(template := tokenizer.chat_template, str):
        writer.add_chat_template(template)


def _document(name: str, tokenizer: PreTrainedTokenizerBase) -> dict[str, Any]:
    """The byte-level BPE of a fast tokenizer: pre-tokenizer parts, normalizer, merges."""
    if not isinstance(tokenizer, PreTrainedTokenizerFast):
        raise _unknown(name, "it is not a fast tokenizer")
    whole = json.loads(tokenizer.backend_tokenizer.to_str())
    model = whole["model"]
    byte_level = any(part.get("type") == "ByteLevel" for part in _parts(whole.get("decoder")))
    if model.get("type") != "BPE" or not byte_level or model.get("byte_fallback"):
        raise _unknown(name, "it is no byte-level BPE")
    return {
        "pre": _parts(whole.get("pre_tokenizer")),
        "normal": whole.get("normalizer"),
        "merges": model["merges"],
        "ignore_merges": bool(model.get("ignore_merges")),
    }


def _parts(node: Any) -> list[dict[str, Any]]:
    if not isinstance(node, dict):
        return []
    found = cast("dict[str, Any]", node)
    inner = found.get("pretokenizers") or found.get("decoders")
    return cast("list[dict[str, Any]]", inner) if inner else [found]


def _pre(name: str, document: Mapping[str, Any]) -> str:
    """llama.cpp's name of the tokenizer's pre-tokenizer."""
    parts = document["pre"]
    if document["normal"] not in (None, {"type": "NFC"}) or any(part.get("add_prefix_space") for part in parts):
        raise _unknown(name, "it changes text before cutting it")
    cut = read_parts(parts)
    known = None if cut is None else name_of(cut, ignore_merges=document["ignore_merges"])
    if known is None:
        told = sorted({str(part.get("type")) for part in parts}) if cut is None else cut
        raise _unknown(name, f"how it cuts text is not on our list ({', '.join(told)})")
    return known


def _unknown(name: str, reason: str) -> CheckpointError:
    return CheckpointError(
        f"{name}: this tokenizer is not known to be read alike by llama.cpp: {reason}; convert the model by "
        "llama.cpp's own convert_hf_to_gguf.py and export the adapters with --adapters-only"
    )
