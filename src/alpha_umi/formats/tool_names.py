"""Names of tools from several servers, each its own, in whatever script they are written.

Law: a name of letters, digits, `_` and `-` that no other tool has stays as it is.
"""

from __future__ import annotations

import hashlib
import re
import unicodedata
from collections import Counter
from collections.abc import Iterable

from alpha_umi.formats.finish import FINISH
from alpha_umi.formats.tool_json import NAME_LENGTH

_NO_LETTERS = "tool"


def unique_names(tools: Iterable[tuple[str, str]]) -> list[str]:
    """Names of tools given as pairs of server and tool, in their order, all different.

    Where several tools share one, the server's name follows, as in ToolBench (`search_for_books`); then a number.
    """
    pairs = list(tools)
    plain = [plain_name(tool) for _, tool in pairs]
    shared = Counter([FINISH, *plain])
    taken = {FINISH, *(name for name in plain if shared[name] == 1)}
    named: list[str] = []
    for (server, _), name in zip(pairs, plain, strict=True):
        if shared[name] > 1:
            name = _free(_cut(f"{name}_for_{plain_name(server)}"), taken)
            taken.add(name)
        named.append(name)
    return named


def plain_name(name: str) -> str:
    """Return a name in its own letters, with `_` for what is no letter, no digit and none of `_` and `-`."""
    composed = unicodedata.normalize("NFC", name)
    kept = "".join(sign if sign in "_-" or unicodedata.category(sign)[0] in "LMN" else " " for sign in composed)
    text = re.sub(" +", "_", kept.strip(" "))
    return _cut(text) if any(unicodedata.category(sign)[0] in "LN" for sign in text) else _NO_LETTERS


def _cut(name: str) -> str:
    if len(name) <= NAME_LENGTH:
        return name
    digest = hashlib.blake2b(name.encode(errors="surrogatepass"), digest_size=4).hexdigest()
    return f"{name[: NAME_LENGTH - len(digest) - 1]}_{digest}"


def _free(name: str, taken: set[str]) -> str:
    number, free = 1, name
    while free in taken:
        number += 1
        free = f"{name[: NAME_LENGTH - len(str(number)) - 1]}_{number}"
    return free
