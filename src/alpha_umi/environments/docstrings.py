"""Docstrings read for tools: the summary, and the description of each parameter, in Google, numpy or Sphinx style."""

from __future__ import annotations

import re
from collections.abc import Iterator

_PARAMETERS = ("args", "arguments", "parameters", "params", "keyword args", "keyword arguments", "other parameters")
_GOOGLE = re.compile(
    r"^[ \t]*(?P<title>(?:Keyword )?(?:Args|Arguments)|(?:Other )?Parameters|Params|Returns?|Yields?|Raises|Examples?"
    r"|Notes?|Warnings?|See Also|Attributes|Todo):[ \t]*$",
    re.MULTILINE | re.IGNORECASE,
)
_NUMPY = re.compile(r"^[ \t]*(?P<title>[A-Za-z][A-Za-z ]*)\n[ \t]*-{3,}[ \t]*$", re.MULTILINE)
_SPHINX = re.compile(r"^[ \t]*:(?P<title>[a-z]+)(?P<rest>(?:[ \t][^:\n]*)?):", re.MULTILINE)
_GOOGLE_ENTRY = re.compile(r"^(?P<indent>[ \t]+)(?P<names>\*{0,2}\w+)[ \t]*(?:\(.*?\))?:(?:[ \t]+(?P<text>.*))?$")
_NUMPY_ENTRY = re.compile(
    r"^(?P<indent>[ \t]*)(?P<names>\*{0,2}\w+(?:[ \t]*,[ \t]*\*{0,2}\w+)*)[ \t]*(?::(?P<type>.*))?$"
)
_FIELD_END = re.compile(r"\n(?=[ \t]*\n|\S)")
_SPHINX_PARAMETERS = ("param", "parameter", "arg", "argument", "key", "keyword")


def read_docstring(text: str) -> tuple[str, dict[str, str]]:
    """Return the first paragraph on one line, and the description of each parameter on one line. Total over strings.

    `text` is dedented, as by inspect.getdoc. The style is that of the heading or field that stands first.
    """
    starts = [(match.start(), style) for style in (_GOOGLE, _NUMPY, _SPHINX) if (match := style.search(text))]
    if not starts:
        return _summary(text), {}
    begin, style = min(starts, key=lambda start: start[0])
    entries = _fields(text[begin:]) if style is _SPHINX else _sections(text[begin:], style)
    return _summary(text[:begin]), {name: words for name, words in entries if words}


def _summary(text: str) -> str:
    return _on_one_line(re.split(r"\n[ \t]*\n", text.strip())[0])


def _sections(text: str, style: re.Pattern[str]) -> Iterator[tuple[str, str]]:
    """The entries of the sections that describe parameters."""
    headings = list(style.finditer(text))
    ends = [heading.start() for heading in headings[1:]] + [len(text)]
    entry = _GOOGLE_ENTRY if style is _GOOGLE else _NUMPY_ENTRY
    for heading, end in zip(headings, ends, strict=True):
        if heading["title"].strip().casefold() in _PARAMETERS:
            yield from _entries(text[heading.end() : end], entry)


def _entries(text: str, entry: re.Pattern[str]) -> Iterator[tuple[str, str]]:
    """Names with the lines below them, to the first line outside; an entry is indented as far as the first one."""
    indent: str | None = None
    names: list[str] = []
    lines: list[str] = []
    for line in text.splitlines():
        found = entry.match(line) if line.strip() else None
        if indent is not None and _is_outside(line, indent, lines, is_entry=found is not None):
            break
        if found and (indent is None or len(found["indent"]) <= len(indent)):
            yield from ((name, _on_one_line(" ".join(lines))) for name in names)
            indent = found["indent"]
            names = [name.strip().lstrip("*") for name in found["names"].split(",")]
            lines = [found.groupdict().get("text") or ""]
        else:
            lines.append(line)
    yield from ((name, _on_one_line(" ".join(lines))) for name in names)


def _is_outside(line: str, indent: str, before: list[str], *, is_entry: bool) -> bool:
    """A line further left than the entries; or as far left, no entry, and after an empty line."""
    depth = len(line) - len(line.lstrip())
    after_gap = bool(before) and not before[-1].strip()
    return bool(line.strip()) and (depth < len(indent) or (depth == len(indent) and not is_entry and after_gap))


def _fields(text: str) -> Iterator[tuple[str, str]]:
    """The `:param name:` and `:param type name:` fields."""
    fields = list(_SPHINX.finditer(text))
    ends = [field.start() for field in fields[1:]] + [len(text)]
    for field, end in zip(fields, ends, strict=True):
        words = field["rest"].split()
        if field["title"] in _SPHINX_PARAMETERS and words:
            yield words[-1].lstrip("*"), _on_one_line(_FIELD_END.split(text[field.end() : end])[0])


def _on_one_line(text: str) -> str:
    return " ".join(text.split())
