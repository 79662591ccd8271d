"""File names from names that data holds: sets, ids, tools. The only way from such a name to a path.

Laws: a name is one part of a path on every system, of at most 64 bytes; different names have different file names, also
where case and the composition of characters do not count. Names that are file names already stay as they are.
"""

from __future__ import annotations

import hashlib
import re
import unicodedata
from base64 import b32encode

MOST_BYTES = 64
"""Most bytes of a file name that is made of a name: three of them and a suffix are one more."""
_LONGEST = 200
_STEM = 40
_ALSO_PLAIN = frozenset(f"G{group}_{kind}" for group in "123" for kind in ("instruction", "category", "tool"))
"""Names with capitals that stay: ToolBench's test sets."""
_LOWER = frozenset(name.lower() for name in _ALSO_PLAIN)
_FORBIDDEN = re.compile(r'[<>:"/\\|?*\x00-\x1f\x7f-\x9f]')
_DEVICE = re.compile(r"(?:con|prn|aux|nul|conin\$|conout\$|clock\$|(?:com|lpt)[0-9¹²³])(?:\..*)?", re.IGNORECASE)
"""Names that Windows keeps for devices, with any suffix."""


def is_file_name(text: str) -> bool:
    """Return True for a name that can be a file's on every system as it is, with room for a suffix."""
    try:
        size = len(text.encode())
    except UnicodeEncodeError:  # half a character
        return False
    blank = text != text.strip() or text[:1] in ".~" or text[-1:] == "."
    odd = (
        _FORBIDDEN.search(text) or _DEVICE.fullmatch(text) or any(unicodedata.category(sign)[0] == "C" for sign in text)
    )
    return 0 < size <= _LONGEST and not blank and not odd


def file_name(text: str, without: str = "") -> str:
    """File name of a name; `without`: characters that end names there, such as the `_` of `ID_METHOD.json`."""
    plain = is_file_name(text) and len(text.encode()) <= MOST_BYTES and not set("~" + without) & set(text)
    if plain and (text in _ALSO_PLAIN or (text == folded(text) and text not in _LOWER)):
        return text
    digest = hashlib.blake2b(text.encode(errors="surrogatepass"), digest_size=10).digest()
    stem = re.sub(r"[^a-z0-9]+", "-", folded(text[:_STEM])).strip("-")[:_STEM]
    return f"{stem or 'name'}~{b32encode(digest).decode().lower()}"


def folded(text: str) -> str:
    """A text as file systems compare names: one case, one composition of characters."""
    return unicodedata.normalize("NFC", unicodedata.normalize("NFKC", text.upper()).casefold())
