"""Check of a loaded tokenizer against its own `tokenizer.json`, on a fixed list of odd strings.

The class that a folder's settings name may cut text otherwise than that file says, without an error; a model then
reads ids that it was not trained on.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, cast

from tokenizers import Tokenizer

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

_FILE = "tokenizer.json"
ODD_STRINGS = (
    "Hi  12\n 34\t5", "12345678901 1,234.56", "don't I'LL we'Re", " \n\n\r\n x", "\t\t7\n8", "a1b2_c3.d4-e5",
    "Ünïcödé e\u0301 ﬁ ½ ②", "日本語 中文123 한국어", "привет שלום مرحبا ١٢٣", "👍🏽 👩‍👩‍👧",
    "\u00a0x\u200by\u3000z\ufeff",
    '{"city": "Zürich", "n": [1, -2.5e-3]}', "    def f(x):\n\t\treturn x\n", "!!??..--==__~~", "  lead and trail  ",
)  # fmt: skip
"""Blanks, digits, case, scripts, marks and code: where ways to cut text differ."""


def differs_from_file(tokenizer: PreTrainedTokenizerBase, name: str) -> str | None:
    """Describe how the tokenizer of a folder or hub id differs from its `tokenizer.json`; None: it does not."""
    path = _find(name)
    if path is None:
        return None
    try:
        own = Tokenizer.from_file(str(path))
    except Exception:  # tokenizers raises bare Exception; what loaded the file itself has said what it thinks of it
        return None
    for text in ODD_STRINGS:
        wanted = own.encode(text, add_special_tokens=False).ids
        if tokenizer.encode(text, add_special_tokens=False) != wanted:
            return (
                f"the tokenizer reads {text!r} otherwise than its {_FILE} says ({type(tokenizer).__name__} cuts text "
                "in another way); the model may read ids that it was not trained on"
            )
    return None


def _find(name: str) -> Path | None:
    """The file of a folder, or of a hub id in the local cache, where a tokenizer that was just loaded lies."""
    if Path(name).is_dir():
        return Path(name, _FILE) if Path(name, _FILE).is_file() else None
    from huggingface_hub import try_to_load_from_cache

    found = try_to_load_from_cache(name, _FILE)
    return Path(cast("str", found)) if isinstance(found, str) else None
