"""Formats by name: built in, or read from a format file.

Raises FormatError or DataError saying what is wrong with which file.
"""

from __future__ import annotations

from pathlib import Path

from alpha_umi.errors import FormatError
from alpha_umi.formats.load import BUILTIN, builtin, load_format
from alpha_umi.formats.template import TemplateFormat, Variant
from alpha_umi.protocols import Format
from alpha_umi.store import read_json


def open_format(name: str) -> Format:
    """`shared`, `chat`, or a format file, with `@training` or `@evaluation` behind it to choose a variant.

    Raises FormatError or DataError saying what is wrong with which file.
    """
    path, at, variant = name.rpartition("@")
    if not at or variant not in list(Variant):
        return _open_format(name)
    chosen = _open_format(path)
    if not isinstance(chosen, TemplateFormat):
        raise FormatError(f"{path}: format {chosen.name!r} has no variants; leave out @{variant}")
    return chosen.using(variant=Variant(variant))


def _open_format(name: str) -> Format:
    if name in BUILTIN:
        return builtin(name)
    path = Path(name)
    if path.is_dir():
        path = path / "format.json"
    if path.suffix != ".json" and not path.exists():
        return builtin(name)
    document = read_json(path)
    if not isinstance(document, dict):
        raise FormatError(f"{path}: not a format: a JSON object is needed")
    try:
        return load_format(document)
    except FormatError as error:
        raise FormatError(f"{path}: {error}") from None
