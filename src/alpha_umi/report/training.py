"""Report on a training run from its history files: figures of every stage, and one HTML page.

A history is JSONL, one file per stage: `step`, `loss`, and what else was measured at that step. The report is rewritten
while the run goes on, at most once in a while; each file is written beside its place and renamed into it.
"""

from __future__ import annotations

import json
import math
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias, cast

from alpha_umi.report.figures import (
    COLOURS,
    Margins,
    new_panels,
    show_legend,
    style_panel,
    to_inline_svg,
    to_png,
    unavailable_reason,
)
from alpha_umi.report.markup import Html, tag
from alpha_umi.report.page import Section, write_page, write_table
from alpha_umi.store import write_bytes, write_text

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

HISTORY, CURVES, PAGE = "history", "curves", "report.html"
Lines: TypeAlias = Sequence[Mapping[str, Any]]
"""Of a history."""
_EVERY_S = 30.0
_NOT_DRAWN = frozenset({"step", "epoch", "tokens", "seconds", "loss", "validation_loss"})
_TITLES = {
    "grad_norm": "norm of the gradient",
    "learning_rate": "learning rate",
    "muon_learning_rate": "learning rate under Muon",
}
_KEPT = 0.75
"""Of the smoothed loss, from one step to the next."""
_MARGINS = Margins(left=0.68, right=0.15, above=0.32, below=0.3)
"""Of a panel; measured ones would take most of the time that training of tiny models takes."""
_FEW = 12
"""Values at most that are drawn as points."""


class RunReport:
    """Figures and page of one run directory, brought up to date at little cost: only stages that changed are drawn."""

    def __init__(self, out: Path, *, every_s: float = _EVERY_S) -> None:
        """`every_s`: seconds that pass at least between two updates that are not forced."""
        self._out, self._every = out, every_s
        self._last = -every_s
        self._drawn: dict[str, tuple[object, Html]] = {}

    def update(self, stages: Sequence[Mapping[str, str]] = (), *, force: bool = False) -> bool:
        """Write what the histories hold now, unless that was done a moment ago; True where it was written.

        `stages`: the table of finished stages, a row of words each. Raises StorageError.
        """
        now = time.monotonic()
        if not force and now - self._last < self._every:
            return False
        self._last = now
        drawable = not unavailable_reason()
        figures = [self._draw(path) for path in _histories(self._out)] if drawable else []
        with write_text(self._out / PAGE) as text:
            text.write(training_page(self._out.name, [each for each in figures if each is not None], stages))
        return True

    def _draw(self, path: Path) -> Html | None:
        status = path.stat()
        stamp = (status.st_mtime_ns, status.st_size)
        known = self._drawn.get(path.stem)
        if known is not None and known[0] == stamp:
            return known[1]
        lines = read_history(path)
        if not lines:
            return None
        figure = draw_history(lines)
        shown = _figure(path.stem, lines, figure)
        self._drawn[path.stem] = stamp, shown
        write_bytes(self._out / CURVES / f"{path.stem}.png", to_png(figure, path.stem))
        return shown


def training_page(title: str, figures: Sequence[Html], stages: Sequence[Mapping[str, str]]) -> str:
    """Write the page of a run: a table of its finished stages, and a figure per stage."""
    sections: list[Section] = []
    if stages:
        table = write_table(list(stages[0]), [list(stage.values()) for stage in stages])
        sections.append(Section(title="Stages", body=(table,), note=_STAGES_NOTE))
    if figures:
        sections.append(Section(title="Curves", body=figures, note=_CURVES_NOTE))
    elif reason := unavailable_reason():
        sections.append(Section(title="Curves", body=(), note=reason))
    elif not stages:
        sections.append(Section(title="Curves", body=(), note="Nothing is measured yet."))
    lead = "Training of an agent: one backbone on whole steps, then each role from it (GLPFT)."
    return write_page(title, lead, sections)


def training_section(run: Path) -> Section | None:
    """Write the losses of a run directory as a section of another page; None where it has no history."""
    histories = {name: lines for name, lines in read_histories(run).items() if _series(lines, "loss")[1]}
    if not histories:
        return None
    reason = unavailable_reason()
    figures = () if reason else [_figure(name, lines, draw_loss(lines)) for name, lines in histories.items()]
    return Section(title="Training", body=(tag("div", *figures, class_="curves"),), note=reason or _CURVES_NOTE)


_STAGES_NOTE = (
    "Examples that share a prefix compute it once: tokens computed, and how many times as many rows of single examples "
    "take, and such rows padded as published."
)
_CURVES_NOTE = "Loss over the steps of a stage: pale as measured, strong smoothed."


# --- histories --------------------------------------------------------------------------------------------


def read_history(path: Path) -> list[dict[str, Any]]:
    """Read the lines of a history; a last one that is still being written is left out."""
    lines: list[dict[str, Any]] = []
    for line in path.read_text(encoding="utf-8").splitlines():
        try:
            row = json.loads(line)
        except ValueError:
            continue
        if isinstance(row, dict) and "step" in row:
            lines.append(cast("dict[str, Any]", row))
    return lines


def read_histories(run: Path) -> dict[str, list[dict[str, Any]]]:
    """Read the histories of a run by stage, in the order in which the stages were trained."""
    return {path.stem: read_history(path) for path in _histories(run)}


def _histories(run: Path) -> list[Path]:
    def order(path: Path) -> tuple[bool, bool, int, str]:
        # The files of an installed package or of a checkout have the times of its making.
        return path.stem != "base", path.stem != "backbone", path.stat().st_mtime_ns, path.name

    return sorted((run / HISTORY).glob("*.jsonl"), key=order)


def smoothed(values: Iterable[float]) -> Iterator[float]:
    """Smooth exponentially, without a bias towards the first value."""
    mean = weight = 0.0
    for value in values:
        mean, weight = _KEPT * mean + (1 - _KEPT) * value, _KEPT * weight + 1 - _KEPT
        yield mean / weight


def _series(lines: Lines, key: str) -> tuple[list[float], list[float]]:
    """Steps and values of one number, where it was measured and is finite."""
    points = [(line["step"], value) for line in lines if _is_number(value := line.get(key))]
    return [float(step) for step, _ in points], [float(value) for _, value in points]


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


# --- figures ----------------------------------------------------------------------------------------------


def draw_history(lines: Lines) -> Figure:
    """Draw the loss of a stage and every other number of its history, a panel each."""
    others = list(dict.fromkeys(key for line in lines for key, value in line.items() if _is_number(value)))
    others = [key for key in others if key not in _NOT_DRAWN]
    figure, (first, *panels) = new_panels(1 + len(others), columns=2, width=4.4, height=2.5, margins=_MARGINS)
    _draw_loss(first, lines)
    for axes, key in zip(panels, others, strict=True):
        steps, values = _series(lines, key)
        axes.plot(steps, values, color=COLOURS[0], linewidth=1.4, marker="o" if len(steps) == 1 else None, markersize=4)
        style_panel(axes, _TITLES.get(key, key.replace("_", " ")))
        axes.locator_params(axis="x", nbins=5)
        axes.yaxis.set_major_formatter("{x:g}")  # a power of ten above the marks would lie under the title
    return figure


def draw_loss(lines: Lines) -> Figure:
    """Draw the loss of a stage alone."""
    figure, [axes] = new_panels(1, columns=1, width=4.0, height=2.1, margins=_MARGINS)
    _draw_loss(axes, lines)
    return figure


def _draw_loss(axes: Axes, lines: Lines) -> None:
    steps, losses = _series(lines, "loss")
    if steps:
        axes.plot(steps, losses, color=COLOURS[0], alpha=0.3, linewidth=1, marker="o" if len(steps) == 1 else None)
        axes.plot(steps, list(smoothed(losses)), color=COLOURS[0], linewidth=1.8, label="training")
    held_out, validation = _series(lines, "validation_loss")
    if held_out:
        marker = "o" if len(held_out) <= _FEW else None
        axes.plot(held_out, validation, color=COLOURS[1], linewidth=1.6, marker=marker, markersize=4, label="held out")
        show_legend(axes)
    style_panel(axes, "loss, nats per token", logarithmic=min([*losses, *validation], default=0) > 0)
    axes.locator_params(axis="x", nbins=5)


def _figure(name: str, lines: Lines, figure: Figure) -> Html:
    """A figure of a page, with the last values in its caption."""
    losses, validation = _series(lines, "loss")[1], _series(lines, "validation_loss")[1]
    last = [f"{lines[-1]['step']:,} steps"]
    last += [f"loss {list(smoothed(losses))[-1]:.4f}"] if losses else []
    last += [f"held out {validation[-1]:.4f}"] if validation else []
    caption = tag("figcaption", tag("b", name), f" {', '.join(last)}")
    return tag("figure", caption, to_inline_svg(figure, f"loss of {name}"), class_="curve")
