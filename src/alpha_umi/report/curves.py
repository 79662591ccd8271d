"""Training curves as SVG, from the history files of a run directory; none of it needs a drawing library."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeAlias

from alpha_umi.report.markup import Html, tag
from alpha_umi.training.curves import HISTORY, read_history, smoothed

Points: TypeAlias = list[tuple[float, float]]
_WIDTH, _HEIGHT = 420, 190
_LEFT, _RIGHT, _TOP, _BOTTOM = 44, 10, 12, 26
_MOST = 240
"""Points of one line."""


def draw_histories(run: Path) -> list[Html]:
    """A figure for every stage of a run that has a history, in the order in which they were trained."""
    files = sorted((run / HISTORY).glob("*.jsonl"), key=_place)
    return [figure for path in files if (figure := draw_history(path.stem, read_history(path))) is not None]


def _place(path: Path) -> tuple[bool, bool, int, str]:
    # A package that was installed, or a checkout, has the times of its own making.
    return path.stem != "base", path.stem != "backbone", path.stat().st_mtime_ns, path.name


def draw_history(name: str, lines: Sequence[Mapping[str, Any]]) -> Html | None:
    """The losses of one stage over its steps, the loss on a scale of powers of ten; None where there is none."""
    training, validation = _points(lines, "loss"), _points(lines, "validation_loss")
    every = [*training, *validation]
    if not every:
        return None
    frame = _Frame(every)
    even = list(zip((x for x, _ in training), smoothed([y for _, y in training]), strict=True))
    picture = tag(
        "svg",
        *frame.grid(),
        tag("path", d=frame.line(training), class_="raw"),
        tag("path", d=frame.line(even), class_="loss"),
        tag("path", d=frame.line(validation), class_="validation"),
        viewBox=f"0 0 {_WIDTH} {_HEIGHT}",
        role="img",
        aria_label=f"loss of {name}",
    )
    end = f"{len(lines)} lines, loss {even[-1][1]:.4f} at the end" if even else f"{len(lines)} lines"
    last = f", on held-out data {validation[-1][1]:.4f}" if validation else ""
    return tag("figure", tag("figcaption", tag("b", name), f" {end}{last}"), picture, class_="curve")


class _Frame:
    """The scales of one picture."""

    def __init__(self, points: Points) -> None:
        steps, values = [x for x, _ in points], [y for _, y in points]
        self._first, self._last = min(steps), max(max(steps), min(steps) + 1)
        self._low = math.floor(math.log10(min(values)) * 2) / 2
        self._high = max(math.ceil(math.log10(max(values)) * 2) / 2, self._low + 0.5)

    def line(self, points: Points) -> str:
        stride = max(1, math.ceil(len(points) / _MOST))
        chosen = points[::stride] if (len(points) - 1) % stride == 0 else [*points[::stride], points[-1]]
        return " ".join(
            f"{'L' if place else 'M'}{self._x(x):.1f} {self._y(y):.1f}" for place, (x, y) in enumerate(chosen)
        )

    def grid(self) -> Iterator[Html]:
        for half in range(round(self._low * 2), round(self._high * 2) + 1):
            value = 10 ** (half / 2)
            y = self._y(value)
            yield tag("line", x1=_LEFT, x2=_WIDTH - _RIGHT, y1=y, y2=y, class_="grid")
            yield tag("text", f"{value:.2g}", x=_LEFT - 6, y=y + 4, text_anchor="end")
        for step, anchor in ((self._first, "start"), (self._last, "end")):
            yield tag("text", f"{step:,.0f}", x=self._x(step), y=_HEIGHT - 8, text_anchor=anchor)

    def _x(self, step: float) -> float:
        return _LEFT + (step - self._first) / (self._last - self._first) * (_WIDTH - _LEFT - _RIGHT)

    def _y(self, value: float) -> float:
        share = (math.log10(value) - self._low) / (self._high - self._low)
        return _TOP + (1 - share) * (_HEIGHT - _TOP - _BOTTOM)


def _points(lines: Sequence[Mapping[str, Any]], key: str) -> Points:
    """Losses that a scale of powers of ten can show."""
    found: Points = []
    for line in lines:
        step, value = line["step"], line.get(key)
        if isinstance(value, int | float) and math.isfinite(value) and value > 0:
            found.append((float(step), float(value)))
    return found
