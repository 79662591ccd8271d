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
        names = list_numbers(lines)
        shown = _stage_figures(path.stem, lines, names)
        self._drawn[path.stem] = stamp, shown
        write_bytes(self._out / CURVES / f"{path.stem}.png", to_png(draw_numbers(lines, names), path.stem))
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
    return write_page(title, "A training run, its stages in the order in which they were trained.", sections)


def training_section(run: Path) -> Section | None:
    """Write the losses of a run directory as a section of another page; None where it has no history."""
    histories = {name: lines for name, lines in read_histories(run).items() if _series(lines, "loss")[1]}
    if not histories:
        return None
    reason = unavailable_reason()
    figures = () if reason else [_figure(lines, "loss", name, _last(lines)) for name, lines in histories.items()]
    return Section(title="Training", body=(tag("div", *figures, class_="curves"),), note=reason or _CURVES_NOTE)


_STAGES_NOTE = (
    "Examples that share a prefix compute it once. As rows: times as many tokens with every example in a row of its "
    "own; as published: with such rows padded to the longest that is allowed."
)
_CURVES_NOTE = "Loss in nats per token over the steps of a stage: pale as measured, strong smoothed."


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


def smoothed(values: Sequence[float]) -> list[float]:
    """Smooth exponentially from both ends, so that the result neither lags behind nor is drawn to its first value."""
    there, back = list(_smooth(values)), list(_smooth(reversed(values)))
    return [(one + other) / 2 for one, other in zip(there, reversed(back), strict=True)]


def _smooth(values: Iterable[float]) -> Iterator[float]:
    mean = weight = 0.0
    for value in values:
        mean, weight = _KEPT * mean + (1 - _KEPT) * value, _KEPT * weight + 1 - _KEPT
        yield mean / weight


def _series(lines: Lines, key: str) -> tuple[list[float], list[float]]:
    """Steps and values of one number, where it was measured and is finite."""
    points = [(float(line["step"]), float(line[key])) for line in lines if _is_number(line.get(key))]
    return [step for step, _ in points], [value for _, value in points]


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


# --- figures ----------------------------------------------------------------------------------------------


def list_numbers(lines: Lines) -> list[str]:
    """List the numbers of a history that have a panel: the loss, then the others in the order of their first lines."""
    found = dict.fromkeys(key for line in lines for key, value in line.items() if _is_number(value))
    return ["loss", *(key for key in found if key not in _NOT_DRAWN)]


def draw_numbers(lines: Lines, names: Sequence[str]) -> Figure:
    """Draw numbers of a history over the steps of its stage, a panel each."""
    figure, panels = new_panels(len(names), columns=3, width=3.6, height=2.2, margins=_MARGINS)
    for axes, name in zip(panels, names, strict=True):
        if name == "loss":
            _draw_loss(axes, lines)
        else:
            steps, values = _series(lines, name)
            axes.plot(steps, values, color=COLOURS[0], linewidth=1.4, marker=_marker(steps, 1), markersize=4)
            style_panel(axes, _title(name))
            axes.yaxis.set_major_formatter("{x:g}")  # a power of ten above the marks would lie under the title
        axes.locator_params(axis="x", nbins=5, integer=True)
    return figure


def _draw_loss(axes: Axes, lines: Lines) -> None:
    steps, losses = _series(lines, "loss")
    if steps:
        axes.plot(steps, losses, color=COLOURS[0], alpha=0.3, linewidth=1, marker=_marker(steps, 1))
        axes.plot(steps, smoothed(losses), color=COLOURS[0], linewidth=1.8, label="training")
    at, held_out = _series(lines, "validation_loss")
    if at:
        axes.plot(at, held_out, color=COLOURS[1], linewidth=1.6, marker=_marker(at, 12), markersize=4, label="held out")
        show_legend(axes)
    style_panel(axes, _title("loss"), logarithmic=min([*losses, *held_out], default=0) > 0)


def _marker(steps: Sequence[float], most: int) -> str | None:
    """Points where there are few of them."""
    return "o" if len(steps) <= most else None


def _title(name: str) -> str:
    return _TITLES.get(name, name.replace("_", " "))


def _stage_figures(stage: str, lines: Lines, names: Sequence[str]) -> Html:
    """The figures of a stage below its name."""
    figures = (_figure(lines, name, f"{stage}: {_title(name)}") for name in names)
    return tag("div", tag("h3", stage, tag("small", _last(lines))), tag("div", *figures, class_="curves"))


def _figure(lines: Lines, name: str, title: str, more: str = "") -> Html:
    caption = tag("figcaption", tag("b", title), more) if more else None
    return tag("figure", caption, to_inline_svg(draw_numbers(lines, [name]), title), class_="curve")


def _last(lines: Lines) -> str:
    """The last step and losses in words."""
    losses, held_out = _series(lines, "loss")[1], _series(lines, "validation_loss")[1]
    words = [f"{lines[-1]['step']:,} steps"]
    words += [f"loss {smoothed(losses)[-1]:.4f}"] if losses else []
    words += [f"held out {held_out[-1]:.4f}"] if held_out else []
    return ", ".join(words)
