"""Lookup of formats: by a JSON document or by the name of a built-in one."""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module
from typing import Protocol, cast

from alpha_umi.errors import FormatError
from alpha_umi.formats.native import Ending, NativeFormat
from alpha_umi.formats.react import ReActFormat
from alpha_umi.formats.shared import SharedFormat
from alpha_umi.formats.template import TemplateFormat
from alpha_umi.protocols import Format
from alpha_umi.types import Json

BUILTIN = ("shared", "chat", "zero-shot", "native", "native-finish", "react")
_KINDS = "shared, chat, zero-shot, native, react"


def load_format(document: Mapping[str, Json]) -> Format:
    """Load the format that a document describes. Raises FormatError when it describes none."""
    match document.get("kind"):
        case "shared":
            return SharedFormat.from_document(document)
        case "chat":
            return _lazily("chat", "ChatFormat").from_document(document)
        case "zero-shot":
            return _lazily("zero_shot", "ZeroShotFormat").from_document(document)
        case "native":
            return NativeFormat.from_document(document)
        case "react":
            return ReActFormat.from_document(document)
        case None | "template" if "templates" in document:
            return TemplateFormat.from_document(document)
        case None:
            raise FormatError(f"not a format: a document needs 'templates', or one of these under 'kind': {_KINDS}")
        case kind:
            raise FormatError(f"unknown kind of format {kind!r}; known: {_KINDS}, template (with 'templates')")


def builtin(name: str) -> Format:
    """Return the built-in format of a name. Raises FormatError listing the known names."""
    match name:
        case "shared":
            return SharedFormat()
        case "chat":
            return _lazily("chat", "ChatFormat")()
        case "zero-shot":
            return _lazily("zero_shot", "ZeroShotFormat")()
        case "native":
            return NativeFormat()
        case "native-finish":
            return NativeFormat(name=name, ending=Ending.FINISH)
        case "react":
            return ReActFormat()
        case _:
            raise FormatError(f"unknown format {name!r}; known: {', '.join(BUILTIN)}, or a format file (.json)")


class _FormatType(Protocol):
    def __call__(self) -> Format: ...

    def from_document(self, document: Mapping[str, Json]) -> Format: ...


def _lazily(module: str, name: str) -> _FormatType:
    """Format class of a module that other formats do without."""
    return cast("_FormatType", getattr(import_module(f"alpha_umi.formats.{module}"), name))
