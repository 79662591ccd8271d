"""Loading of formats by name: built in, read from a format file, or code (`module:attribute`)."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import cast

from alpha_umi.config import is_code
from alpha_umi.errors import FormatError
from alpha_umi.formats.fingerprint import fingerprint
from alpha_umi.formats.load import BUILTIN, builtin, load_format
from alpha_umi.formats.template import TemplateFormat, Variant
from alpha_umi.loading.code import import_code, make
from alpha_umi.protocols import Format, StoredFormat
from alpha_umi.store import read_json
from alpha_umi.types import Json

_METHODS = "'name', 'end', 'special_tokens', 'role_token', 'render', 'write', 'spans', 'parse' and 'grammar'"


def open_format(name: str) -> Format:
    """Open `shared`, `chat`, a format file, or code; a variant of a template is chosen by `@training` or `@evaluation`.

    Raises FormatError or DataError naming the file and the fault, and ConfigError for faulty code.
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
    if is_code(name):
        return make(name, "format", Format, _METHODS)
    path = Path(name)
    if path.is_dir():
        path = path / "format.json"
    if path.suffix != ".json" and not path.exists():
        return builtin(name)
    document = read_json(path)
    if not isinstance(document, dict):
        raise FormatError(f"{path}: not a format: a JSON object is needed")
    kind = document.get("kind")
    try:
        return _coded(kind, document) if isinstance(kind, str) and is_code(kind) else load_format(document)
    except FormatError as error:
        raise FormatError(f"{path}: {error}") from None


def _coded(kind: str, document: Mapping[str, Json]) -> Format:
    """Format of a document whose kind is code: made by its `from_document` where it has that, else as by name."""
    read = getattr(import_code(kind, "format"), "from_document", None)
    form = read(document) if callable(read) else make(kind, "format", Format, _METHODS)
    if not isinstance(form, Format):
        raise FormatError(f"format {kind!r}: its from_document makes no format")
    return form


def open_stored_format(name: str) -> StoredFormat:
    """Open a format that a run directory can keep. Raises FormatError for code that cannot be opened from its document.

    Such code has `to_document()`, a JSON object with its own name, `module:attribute`, under `kind`.
    """
    form = open_format(name)
    if not is_code(name):
        return cast("StoredFormat", form)
    advice = f"give it to_document(), which returns {{'kind': {name!r}}} and what else it is made of"
    if not hasattr(form, "to_document"):
        raise FormatError(f"format {name!r} cannot be kept with a trained agent; {advice}")
    document = cast("StoredFormat", form).to_document()
    kind = document.get("kind")
    again = _coded(kind, document) if isinstance(kind, str) and is_code(kind) else load_format(document)
    if fingerprint(again) != fingerprint(form):
        raise FormatError(f"format {name!r} is another one when it is opened from its document; {advice}")
    return cast("StoredFormat", form)
