"""One page that needs no other file and no network: styles are in it, scripts are not and cannot run."""

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
    """A part of a report."""

    title: str
    body: tuple[Child, ...]
    note: str = ""
    """A sentence or two below the title."""


def write_page(title: str, lead: str, sections: Sequence[Section]) -> str:
    """The whole document."""
    head = join(
        tag("meta", charset="utf-8"),
        tag("meta", http_equiv="Content-Security-Policy", content=_POLICY),
        tag("meta", name="viewport", content="width=device-width, initial-scale=1"),
        tag("meta", name="color-scheme", content="light dark"),
        tag("title", title),
        tag("style", Html(_STYLE.read_text(encoding="utf-8"))),
    )
    body = join(
        tag("header", _themes(), tag("h1", title), tag("p", lead, class_="lead")),
        tag("main", *(_section(section) for section in sections)),
        tag("footer", "Made by alpha-umi. This page holds no script and loads nothing."),
    )
    return f'<!doctype html>\n<html lang="en"><head>{head}</head>\n<body>{body}</body></html>\n'


def _section(section: Section) -> Html:
    note = tag("p", section.note, class_="note") if section.note else None
    return tag("section", tag("h2", section.title), note, *section.body)


def _themes() -> Html:
    """Light, dark, or as the reader's system has it; without a script."""
    choices = (("auto", True), ("light", False), ("dark", False))
    labels = (
        tag("label", tag("input", type="radio", name="theme", id=name, checked=checked), tag("span", name))
        for name, checked in choices
    )
    return tag("fieldset", *labels, class_="themes", aria_label="colours")


# --- tables -------------------------------------------------------------------------------------------------


def write_table(columns: Sequence[str], rows: Sequence[Sequence[Child]]) -> Html:
    """The first column to the left, the others to the right."""
    head = tag("thead", tag("tr", *(tag("th", column) for column in columns)))
    body = tag("tbody", *(tag("tr", *(tag("td", cell) for cell in row)) for row in rows))
    return tag("div", tag("table", head, body), class_="wide")


def write_metric(metric: Metric, *, lower: bool = False) -> Html:
    """A share in percent with its interval, as a number and as a mark on a line from 0 to 100. `lower` is better."""
    if metric.value is None or metric.low is None or metric.high is None:
        return tag("span", "–", class_="none")
    low, high, value = (100 * share for share in (metric.low, metric.high, metric.value))
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
    said = tag("span", f"{low:.1f} to {high:.1f}", class_="between")
    return tag("span", tag("b", f"{value:.1f}"), " ", said, " ", mark, class_="metric")


def write_tile(value: Child, what: str, more: str = "") -> Html:
    """A number that is seen first."""
    return tag("div", tag("b", value), tag("span", what), tag("small", more) if more else None, class_="tile")


def write_tiles(*tiles: Html) -> Html:
    return tag("div", *tiles, class_="tiles")


__all__ = ["Section", "write_metric", "write_page", "write_table", "write_tile", "write_tiles"]
