"""Pre-tokenizers by llama.cpp's names (`tokenizer.ggml.pre`): how text is cut before bytes are merged.

A cut is a tuple of regular expressions that are applied one after the other, each to the pieces that the one before
left. llama.cpp takes these names and no other description, so a name that is not on this list is refused. Law, proven
by a test against llama.cpp's own server: both sides make the same ids of the same text.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

Cut = tuple[str, ...]

DIGIT = r"\p{N}"
GPT2 = r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+"
_LLAMA3 = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*"
    r"|\s*[\r\n]+|\s+(?!\S)|\s+"
)
_QWEN2 = _LLAMA3.replace("{1,3}", "")
_QWEN35 = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?[\p{L}\p{M}]+|\p{N}| ?[^\s\p{L}\p{M}\p{N}]+[\r\n]*"
    r"|\s*[\r\n]+|\s+(?!\S)|\s+"
)
_DEEPSEEK3 = (
    r"\p{N}{1,3}",
    r"[一-龥぀-ゟ゠-ヿ]+",
    r"[!\"#$%&'()*+,\-./:;<=>?@\[\\\]^_`{|}~][A-Za-z]+|[^\r\n\p{L}\p{P}\p{S}]?[\p{L}\p{M}]+| ?[\p{P}\p{S}]+[\r\n]*"
    r"|\s*[\r\n]+|\s+(?!\S)|\s+",
)
_CASED = (
    r"[^\r\n\p{L}\p{N}]?((?=\p{L})[^a-z])*((?=\p{L})[^A-Z])+{0}"
    r"|[^\r\n\p{L}\p{N}]?((?=\p{L})[^a-z])+((?=\p{L})[^A-Z])*{0}"
)
_REST = r"| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+"
_TEKKEN = _CASED.replace("{0}", "") + r"|\p{N}" + _REST
_GPT4O = _CASED.replace("{0}", "(?i:'s|'t|'re|'ve|'m|'ll|'d)?") + r"|\p{N}{1,3}" + _REST
_SEED = _QWEN2.replace(r"[^\s\p{L}\p{N}]+[\r\n]*", r"[^\s\p{L}\p{N}\r\n]+")
_DEEPSEEK_CODER = (r"[\r\n]", r"\s?\p{L}+", r"\s?\p{P}+", r"[一-龥ࠀ-一가-퟿]+", DIGIT)
_PORO = r" ?[^(\s|.,!?…。，、।۔،)]+"
LEARNED = r"[\p{L}\p{M}]+|\s|."
"""How tokenizers of `training.tokenizer` cut."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PreTokenizer:
    """A way to cut text, and the flags that llama.cpp ties to its name."""

    cut: Cut
    ignore_merges: bool = False
    """True: a piece that is a token is that token, whatever the merges."""
    adds_bos: bool = False
    """Where the file does not say it."""


_GPT2_NAMES = ("gpt-2", "mpt", "olmo", "phi-2", "exaone4", "granite-docling", "trillion", "a.x-4.0", "mellum", "jais")
_DIGIT_NAMES = ("smollm", "starcoder", "refact", "command-r", "codeshell", "exaone", "minerva-7b")
_LLAMA3_NAMES = ("llama-bpe", "llama3", "llama-v3", "falcon3", "pixtral", "lfm2")
_QWEN2_NAMES = ("qwen2", "deepseek-r1-qwen", "megrez", "stablelm2", "hunyuan")

PRE_TOKENIZERS: Mapping[str, PreTokenizer] = MappingProxyType(
    {
        **dict.fromkeys(_GPT2_NAMES, PreTokenizer(cut=(GPT2,))),
        **dict.fromkeys(_DIGIT_NAMES, PreTokenizer(cut=(DIGIT, GPT2))),
        **dict.fromkeys(_LLAMA3_NAMES, PreTokenizer(cut=(_LLAMA3,), ignore_merges=True, adds_bos=True)),
        **dict.fromkeys(("smaug-bpe", "dbrx", "glm4", "chatglm-bpe"), PreTokenizer(cut=(_LLAMA3,))),
        **dict.fromkeys(_QWEN2_NAMES, PreTokenizer(cut=(_QWEN2,))),
        "qwen35": PreTokenizer(cut=(_QWEN35,)),
        "deepseek-v3": PreTokenizer(cut=_DEEPSEEK3),
        "deepseek-coder": PreTokenizer(cut=_DEEPSEEK_CODER),
        "seed-coder": PreTokenizer(cut=(_SEED,)),
        "tekken": PreTokenizer(cut=(_TEKKEN,), ignore_merges=True, adds_bos=True),
        **dict.fromkeys(("gpt-4o", "llama4"), PreTokenizer(cut=(_GPT4O,))),
        "poro-chat": PreTokenizer(cut=(_PORO,)),
    }
)
"""By llama.cpp's name; of names that cut alike the first is written."""


def name_of(cut: Cut, *, ignore_merges: bool) -> str | None:
    """llama.cpp's name of a cut; None for one that it is not known to take.

    Tokenizers learned here never merge across a letter's neighbours, so a coarser cut gives the same ids.
    """
    if cut == (LEARNED,) and not ignore_merges:
        return "poro-chat"
    named = (name for name, known in PRE_TOKENIZERS.items() if (known.cut, known.ignore_merges) == (cut, ignore_merges))
    return next(named, None)


def write_parts(cut: Cut) -> dict[str, Any]:
    """The pre-tokenizer of a cut as `tokenizer.json` has it, over bytes."""
    *first, last = cut
    own = last == GPT2
    split = first if own else cut
    parts: list[dict[str, Any]] = [
        {"type": "Digits", "individual_digits": True}
        if regex == DIGIT
        else {"type": "Split", "pattern": {"Regex": regex}, "behavior": "Isolated", "invert": False}
        for regex in split
    ]
    parts.append({"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": own})
    return {"type": "Sequence", "pretokenizers": parts}


def read_parts(parts: Sequence[Mapping[str, Any]]) -> Cut | None:
    """The cut of a `tokenizer.json`'s pre-tokenizers; None for one that is no such cut."""
    cut: list[str] = []
    for part in parts:
        match part:
            case {"type": "Split", "pattern": {"Regex": str(regex)}, "behavior": "Isolated"} if not part.get("invert"):
                cut.append(regex)
            case {"type": "Split", "pattern": {"Regex": str(regex)}, "behavior": "Removed", "invert": True}:
                cut.append(regex)
            case {"type": "Digits", "individual_digits": True}:
                cut.append(DIGIT)
            case {"type": "ByteLevel"} if not part.get("add_prefix_space"):
                cut += [GPT2] if part.get("use_regex", True) else []
            case _:
                return None
    return tuple(cut)
