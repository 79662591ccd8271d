"""HTML and SVG elements from values; everything that is not `Html` is escaped when it is put into an element."""

from __future__ import annotations

import html
import re
from typing import TypeAlias

_UNSEEN = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069\ud800-\udfff\ufffe\uffff]")
"""Control characters, characters that hide or reverse the text beside them, and lone surrogates."""
_VOID = frozenset({"meta", "input", "line", "circle", "path", "rect"})

Child: TypeAlias = "Html | str | int | None"


class Html(str):
    """Markup that may be put into a page unchanged."""

    __slots__ = ()


def escape(text: str) -> Html:
    """Turn untrusted text into markup that shows it."""
    return Html(html.escape(_UNSEEN.sub("�", text), quote=True))


def join(*children: Child, between: str = "") -> Html:
    """Concatenate children; None is left out."""
    shown = (child if isinstance(child, Html) else escape(str(child)) for child in children if child is not None)
    return Html(escape(between).join(shown))


def tag(element: str, *children: Child, **attributes: str | float | bool | None) -> Html:
    """Write an element.

    `class_` is written `class`, `text_anchor` `text-anchor`; True is an attribute without a value, None and False none.
    """
    given = "".join(_attribute(name, value) for name, value in attributes.items())
    if element in _VOID:
        return Html(f"<{element}{given}/>" if element not in ("meta", "input") else f"<{element}{given}>")
    return Html(f"<{element}{given}>{join(*children)}</{element}>")


def _attribute(name: str, value: str | float | bool | None) -> str:
    if value is None or value is False:
        return ""
    written = name.rstrip("_").replace("_", "-")
    if value is True:
        return f" {written}"
    text = f"{value:.2f}".rstrip("0").rstrip(".") if isinstance(value, float) else str(value)
    return f' {written}="{escape(text)}"'
