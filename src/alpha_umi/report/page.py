"""Frame and parts of a self-contained HTML page: sections, tables, metrics with intervals, number tiles.

Styles are in the page; it loads nothing, holds no script, and its policy lets none run.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from alpha_umi.evaluation.metrics import Metric
from alpha_umi.report.markup import Child, Html, join, tag

_STYLE = Path(__file__).with_name("page.css")
_POLICY = "default-src 'none'; style-src 'unsafe-inline'; img-src data:; base-uri 'none'; form-action 'none'"


@dataclass(frozen=True, slots=True, kw_only=True)
class Section:
    """A titled part of a page."""

    title: str
    body: Sequence[Child]
    note: str = ""
    """A sentence or two below the title."""


def write_page(title: str, lead: str, sections: Sequence[Section]) -> str:
    """Write the document. `lead`: a sentence or two below its title."""
    head = join(
        tag("meta", charset="utf-8"),
        tag("meta", http_equiv="Content-Security-Policy", content=_POLICY),
        tag("meta", name="viewport", content="width=device-width, initial-scale=1"),
        tag("meta", name="color-scheme", content="light dark"),
        tag("title", title),
        tag("style", Html(read_style())),
    )
    body = join(
        tag("header", _themes(), tag("h1", title), tag("p", lead, class_="lead")),
        tag("main", *(_section(section) for section in sections)),
        tag("footer", "Made by alpha-umi. This page holds no script and loads nothing."),
    )
    return f'<!doctype html>\n<html lang="en"><head>{head}</head>\n<body>{body}</body></html>\n'


def read_style() -> str:
    """Read the style sheet of all pages."""
    return _STYLE.read_text(encoding="utf-8")


def _section(section: Section) -> Html:
    note = tag("p", section.note, class_="note") if section.note else None
    return tag("section", tag("h2", section.title), note, *section.body)


def _themes() -> Html:
    """The choice of light, dark, or the setting of the system; without a script."""
    choices = (("auto", True), ("light", False), ("dark", False))
    labels = (
        tag("label", tag("input", type="radio", name="theme", id=name, checked=checked), tag("span", name))
        for name, checked in choices
    )
    return tag("fieldset", *labels, class_="themes", aria_label="colours")


# --- tables -------------------------------------------------------------------------------------------------


def write_table(columns: Sequence[str], rows: Sequence[Sequence[Child]]) -> Html:
    """Write a table, its first column aligned to the left, the others to the right."""
    head = tag("thead", tag("tr", *(tag("th", column) for column in columns)))
    body = tag("tbody", *(tag("tr", *(tag("td", cell) for cell in row)) for row in rows))
    return tag("div", tag("table", head, body), class_="wide")


def write_metric(metric: Metric, *, lower: bool = False) -> Html:
    """Write a fraction as percent with its interval, and as a mark on a line from 0 to 100.

    `lower`: less is better, which the mark shows by its colour.
    """
    if metric.value is None or metric.low is None or metric.high is None:
        return tag("span", "–", class_="none")
    low, high, value = (100 * fraction for fraction in (metric.low, metric.high, metric.value))
    mark = tag(
        "svg",
        tag("line", x1=0, x2=100, y1=6, y2=6, class_="track"),
        tag("line", x1=low, x2=high, y1=6, y2=6, class_="interval"),
        tag("circle", cx=value, cy=6, r=3.5),
        viewBox="-4 0 108 12",
        class_="mark lower" if lower else "mark",
        role="img",
        aria_label=f"{value:.1f} percent, from {low:.1f} to {high:.1f}",
    )
    between = tag("span", f"{low:.1f} to {high:.1f}", class_="between")
    return tag("span", tag("b", f"{value:.1f}"), " ", between, " ", mark, class_="metric")


def write_tile(value: Child, name: str, more: str = "") -> Html:
    """Write a headline number with its name and a remark."""
    return tag("div", tag("b", value), tag("span", name), tag("small", more) if more else None, class_="tile")


def write_tiles(*tiles: Html) -> Html:
    """Write tiles beside each other."""
    return tag("div", *tiles, class_="tiles")
