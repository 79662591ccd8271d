"""Function names as endpoints allow them: at most 64 Latin letters, digits, `_` and `-`.

Laws: an allowed name stays as it is; letters of other scripts are written by the sounds in their Unicode names, with a
digest of the whole name behind them, so that such a name is the same in every request and another name's is another.
"""

from __future__ import annotations

import hashlib
import re
import unicodedata
from base64 import b32encode
from collections.abc import Iterable

_ALLOWED = re.compile(r"[A-Za-z0-9_-]{1,64}")
_LONGEST = 64
_NO_LETTERS = "tool"
_OTHER = re.compile(r"[^A-Za-z0-9_-]")
_SOUND = re.compile(
    r"(?:LETTER|SYLLABLE|CHARACTER|VOWEL SIGN)(?: (?:FINAL|SMALL|SARA|SHORT|SHARP|DOTLESS|ARCHAIC))* (?!MAI\b)([A-Z]+)"
)
_NAMES_OF_LETTERS = ("GREEK", "CYRILLIC", "HEBREW", "ARABIC", "ARMENIAN", "GEORGIAN", "SYRIAC", "COPTIC")
"""Scripts whose letters Unicode calls by names (ALPHA, MEEM) and not by their sounds."""
_FIRST_SOUND = re.compile(r"E(?=[FLMNRS]$)|(?P<sound>[BCDFGHJKLMNPQRSTVWXYZ]+|[AEIOU]+)")


def wire_names(names: Iterable[str]) -> dict[str, str]:
    """Map names to allowed ones, all different: themselves, or stand-ins, numbered where another has the same."""
    given = list(dict.fromkeys(names))
    wired = {name: name for name in given if _ALLOWED.fullmatch(name)}
    for name in given:
        if name not in wired:
            wired[name] = _free(stand_in(name), set(wired.values()))
    return wired


def is_readable(name: str) -> bool:
    """Return True for a name whose letters are all Latin, which its stand-in shows."""
    kinds = [
        unicodedata.name(letter, "").startswith("LATIN") for letter in name if unicodedata.category(letter)[0] in "LM"
    ]
    return bool(kinds) and all(kinds)


def stand_in(name: str) -> str:
    """Allowed name in place of another: letters without their accents, or in Latin ones and with a digest."""
    composed = unicodedata.normalize("NFKC", name)
    plain = _OTHER.sub("_", "".join(map(_latin, composed)))
    if is_readable(composed):
        return plain[:_LONGEST]
    digest = b32encode(hashlib.blake2b(name.encode(errors="surrogatepass"), digest_size=5).digest()).decode().lower()
    words = re.sub("__+", "_", plain).strip("_-") or _NO_LETTERS
    return f"{words[: _LONGEST - len(digest) - 1].rstrip('_-')}_{digest}"


def _latin(character: str) -> str:
    """Sound of a letter in Latin letters; a mark without one is left out, anything else stays."""
    if character.isascii() or unicodedata.category(character)[0] not in "LM":
        return character
    name = unicodedata.name(character, "")
    found = _SOUND.search(name)
    if found is None:
        return f"u{ord(character):x}" if "IDEOGRAPH" in name else ""
    sound = found[1]
    if name.startswith(_NAMES_OF_LETTERS) and (first := _FIRST_SOUND.match(sound)):
        sound = first["sound"] or sound[1:]
    return sound if character.isupper() else sound.lower()


def _free(name: str, taken: set[str]) -> str:
    """The name with the first number that makes it one of its own."""
    number, free = 1, name
    while free in taken:
        number += 1
        free = f"{name[: _LONGEST - len(str(number)) - 1]}_{number}"
    return free
