"""Figures by matplotlib in one style: panels, and their output as PNG, as an SVG file, or as SVG inside a page.

The only module that imports the drawing library, and only while it draws. Callers ask `unavailable_reason` first and go
on without figures where it is missing.
"""

from __future__ import annotations

import importlib.util
import io
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from alpha_umi.report.markup import Html, escape

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

INK, SOFT, GRID, PAPER = "#23262b", "#6a7078", "#e5e2dc", "#ffffff"
COLOURS = ("#0f7285", "#b3452b", "#3f7d3a", "#8a3fa0", "#2a55b8", "#7a6a3a")
"""Of lines, in the order in which they are drawn."""
_VARIABLES = ("planner", "failed", "tool", "caller", "summarizer", "user")
_THEME = {
    INK: "ink",
    SOFT: "soft",
    GRID: "line",
    **dict(zip(COLOURS, _VARIABLES, strict=True)),
}
"""Colour of a figure -> variable of the page's style sheet, so that figures follow light and dark."""
_HEAD = re.compile(r"^.*?<svg[^>]*?viewBox=\"(?P<box>[^\"]*)\"[^>]*>", re.DOTALL)
_DROPPED = re.compile(r"<metadata>.*?</metadata>|<style.*?</style>|(?<=<g) id=\"[^\"]*\"|(?<=>)\s+(?=<)", re.DOTALL)
"""Also the names of groups, which the figures of a page would share. Nothing refers to them."""
_FAMILY = re.compile(r"font: (?P<size>[\d.]+)px [^;\"]*|font-family: [^;\"]*;? ?")
_TITLE_HEIGHT = 0.35
"""Of a line above all panels, in inches."""
_PIXELS = 110
"""Per inch, of PNG files."""
_SALT = "alpha-umi"
"""Makes the names inside SVG files the same for the same figure."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Margins:
    """Room around the area of a panel, for its title and its marks, in inches."""

    left: float
    right: float
    above: float
    below: float


def unavailable_reason() -> str:
    """Return a sentence for the reader where matplotlib is missing, else nothing."""
    if importlib.util.find_spec("matplotlib") is not None:
        return ""
    return "Figures are left out: they need matplotlib; in the clone: pip install -e '.[local]'"


def new_panels(
    count: int, *, columns: int, width: float = 4.2, height: float = 3.1, margins: Margins | None = None
) -> tuple[Figure, Sequence[Axes]]:
    """Make a figure of `count` panels in rows of at most `columns`; `width` and `height` of a panel in inches.

    `margins`: None: measured from the texts of the panels, which takes longer than drawing them.
    """
    from matplotlib.figure import Figure

    columns = min(columns, count)
    rows = -(-count // columns)
    size = (width * columns, height * rows)
    if margins is None:
        figure = Figure(figsize=size, layout="constrained")
        return figure, [figure.add_subplot(rows, columns, number + 1) for number in range(count)]
    figure = Figure(figsize=size)
    inner = ((width - margins.left - margins.right) / size[0], (height - margins.above - margins.below) / size[1])
    return figure, [
        figure.add_axes(
            (
                (number % columns * width + margins.left) / size[0],
                ((rows - 1 - number // columns) * height + margins.below) / size[1],
                *inner,
            )
        )
        for number in range(count)
    ]


def style_panel(axes: Axes, title: str, below: str = "", *, logarithmic: bool = False) -> None:
    """Give a panel its title, the label below it and the common style. `logarithmic`: the scale of its values."""
    axes.set_title(title, loc="left", y=1.0, fontsize=10, color=INK, parse_math=False)  # a given y: nothing is measured
    axes.yaxis.set_label_coords(0, 0.5)  # there is no label, so its place is not looked for
    if below:
        axes.set_xlabel(below, fontsize=9, color=SOFT)
    else:
        axes.xaxis.set_label_coords(0.5, 0)
    axes.grid(visible=True, color=GRID, linewidth=0.7)
    axes.set_axisbelow(True)
    axes.patch.set_alpha(0)
    axes.spines[:].set_visible(False)
    if logarithmic:
        _scale_logarithmically(axes)
    axes.tick_params(which="both", labelsize=8, labelcolor=SOFT, left=False, bottom=False)


def _scale_logarithmically(axes: Axes) -> None:
    """Use a logarithmic scale whose marks read as plain numbers, also where the values span less than a decade."""
    from matplotlib.ticker import AutoLocator, FuncFormatter, LogLocator, NullFormatter

    axes.set_yscale("log")
    low, high = axes.get_ylim()
    axes.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5), numticks=12) if high > 5 * low else AutoLocator())
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axes.yaxis.set_minor_formatter(NullFormatter())


def show_legend(axes: Axes) -> None:
    """Name the labelled lines of a panel, if there are any."""
    if axes.get_legend_handles_labels()[1]:
        axes.legend(frameon=False, fontsize=8, labelcolor=INK)


def to_png(figure: Figure, title: str = "") -> bytes:
    """Draw a figure as a PNG file; `title` stands above its panels, whose margins must not be measured then."""
    if title:
        _add_title(figure, title)
    file = io.BytesIO()
    figure.savefig(file, format="png", dpi=_PIXELS)
    return file.getvalue()


def _add_title(figure: Figure, title: str) -> None:
    """Make a figure taller by a line above its panels."""
    width, height = (float(side) for side in figure.get_size_inches())
    taller = height + _TITLE_HEIGHT
    for axes in figure.axes:
        box = axes.get_position()
        axes.set_position((box.x0, box.y0 * height / taller, box.width, box.height * height / taller))
    figure.set_size_inches(width, taller)
    top = 1 - _TITLE_HEIGHT / 4 / taller
    figure.text(0.01, top, title, va="top", fontsize=13, fontweight="bold", color=INK, parse_math=False)


def to_svg(figure: Figure, *, transparent: bool = False) -> str:
    """Draw a figure as an SVG file; the same figure gives the same bytes."""
    import matplotlib as mpl

    settings: Any = {"svg.hashsalt": _SALT, "svg.fonttype": "none"}
    text = io.StringIO()
    with mpl.rc_context(settings):
        figure.savefig(text, format="svg", metadata={"Date": None}, transparent=transparent)
    return text.getvalue()


def to_inline_svg(figure: Figure, label: str) -> Html:
    """Draw a figure as an `svg` element of a page, in the page's font and colours; `label` describes it in words."""
    text = to_svg(figure, transparent=True)
    head = _HEAD.match(text)
    if head is None:
        raise AssertionError("an SVG file of matplotlib begins with an svg element")
    body = _DROPPED.sub("", text[head.end() :])
    body = _FAMILY.sub(lambda found: f"font-size: {found['size']}px" if found["size"] else "", body)
    for colour, name in _THEME.items():
        body = body.replace(colour, f"var(--{name})")
    return Html(f'<svg viewBox="{head["box"]}" role="img" aria-label="{escape(label)}">{body}')
