"""Pictures of a run from its history files: curves as PNG, and one page with all that is known of the run.

A history is JSONL, one file per stage: `step`, `loss`, and what else was measured at that step. The pictures are
made anew while the run goes on, at most once in a while, each written beside its place and renamed into it.
"""

from __future__ import annotations

import base64
import html
import io
import json
import os
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from alpha_umi.errors import ConfigError, StorageError
from alpha_umi.store import write_text

if TYPE_CHECKING:
    from matplotlib.axes import Axes

HISTORY, CURVES, REPORT = "history", "curves", "report.html"
_EVERY_S = 30.0
_NOT_DRAWN = frozenset({"step", "epoch", "tokens", "seconds", "loss", "validation_loss"})
_TITLES = {
    "loss": "loss, nats per token",
    "grad_norm": "norm of the gradient",
    "learning_rate": "learning rate",
    "muon_learning_rate": "learning rate under Muon",
}
_INK, _BLUE, _ORANGE, _GRID = "#222222", "#2a6f97", "#d1651f", "#dddddd"
_SMOOTH = 0.75
"""What a step keeps of the smoothed loss before it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StageRow:
    """One line of the table of stages in the report."""

    name: str
    examples: int
    steps: int
    tokens: int
    """Computed."""
    row_tokens: int
    """What rows alone would have computed."""
    padded_tokens: int
    """What the published way would have computed."""
    seconds: float
    validation_loss: float | None = None


class Pictures:
    """Curves and report of one run directory, kept up to date at little cost."""

    def __init__(self, out: Path, *, every_s: float = _EVERY_S) -> None:
        """`every_s`: at least so many seconds between two drawings that were not asked for by `force`. Raises
        ConfigError where matplotlib is missing."""
        try:
            import matplotlib as _  # noqa: F401
        except ModuleNotFoundError:
            raise ConfigError("pictures need matplotlib; pip install 'alpha-umi[local]'") from None
        self._out, self._every = out, every_s
        self._last = -every_s

    def update(self, stages: Sequence[StageRow] = (), *, force: bool = False) -> bool:
        """Draw what the histories hold now, unless that was done a moment ago; whether it was drawn."""
        now = time.monotonic()
        if not force and now - self._last < self._every:
            return False
        self._last = now
        drawn: dict[str, bytes] = {}
        for history in sorted((self._out / HISTORY).glob("*.jsonl"), key=lambda path: path.stat().st_mtime_ns):
            lines = read_history(history)
            if lines:
                drawn[history.stem] = draw(history.stem, lines)
                _write_bytes(self._out / CURVES / f"{history.stem}.png", drawn[history.stem])
        with write_text(self._out / REPORT) as text:
            text.write(report(self._out.name, drawn, stages))
        return True


def read_history(path: Path) -> list[dict[str, Any]]:
    """The lines of a history; a last one that is still being written is left out."""
    lines: list[dict[str, Any]] = []
    for line in path.read_text(encoding="utf-8").splitlines():
        try:
            row = json.loads(line)
        except ValueError:
            continue
        if isinstance(row, dict) and "step" in row:
            lines.append(cast("dict[str, Any]", row))
    return lines


# --- curves -----------------------------------------------------------------------------------------------


def draw(name: str, lines: Sequence[Mapping[str, Any]]) -> bytes:
    """A PNG with the loss of a stage, and every other number of its history in a panel of its own."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    panels = ["loss", *_others(lines)]
    figure = Figure(figsize=(9, 3.4 + 1.9 * ((len(panels)) // 2)), layout="constrained")
    FigureCanvasAgg(figure)
    rows = 1 + len(panels) // 2
    grid = figure.add_gridspec(rows, 2, height_ratios=[1.8, *[1.0] * (rows - 1)])
    figure.suptitle(name, x=0.01, ha="left", fontsize=13, fontweight="bold", color=_INK)
    _draw_loss(figure.add_subplot(grid[0, :]), lines)
    for index, key in enumerate(panels[1:]):
        axes = figure.add_subplot(grid[1 + index // 2, index % 2])
        steps, values = _series(lines, key)
        axes.plot(steps, values, color=_BLUE, linewidth=1.4, marker="o" if len(steps) == 1 else None, markersize=4)
        _dress(axes, _TITLES.get(key, key.replace("_", " ")))
    png = io.BytesIO()
    figure.savefig(png, format="png", dpi=110)
    return png.getvalue()


def _draw_loss(axes: Axes, lines: Sequence[Mapping[str, Any]]) -> None:
    steps, losses = _series(lines, "loss")
    if steps:
        axes.plot(steps, losses, color=_BLUE, alpha=0.35, linewidth=1, marker="o" if len(steps) == 1 else None)
        axes.plot(steps, list(smoothed(losses)), color=_BLUE, linewidth=1.8, label="training, smoothed")
    steps, losses = _series(lines, "validation_loss")
    if steps:
        axes.plot(steps, losses, color=_ORANGE, linewidth=1.6, marker="o", markersize=4, label="validation")
    if axes.lines:
        axes.legend(frameon=False, fontsize=9)
    _dress(axes, _TITLES["loss"])


def _dress(axes: Axes, title: str) -> None:
    axes.set_title(title, loc="left", fontsize=10, color=_INK)
    axes.set_xlabel("step", fontsize=9, color=_INK)
    axes.grid(visible=True, color=_GRID, linewidth=0.6)
    axes.tick_params(labelsize=8, colors=_INK)
    axes.spines[["top", "right"]].set_visible(False)


def _others(lines: Iterable[Mapping[str, Any]]) -> list[str]:
    """Every other number that was measured, in the order of its first line."""
    keys = {key: None for line in lines for key, value in line.items() if _is_number(value)}
    return [key for key in keys if key not in _NOT_DRAWN]


def _series(lines: Iterable[Mapping[str, Any]], key: str) -> tuple[list[float], list[float]]:
    points = [(line["step"], line[key]) for line in lines if _is_number(line.get(key))]
    return [float(step) for step, _ in points], [float(value) for _, value in points]


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def smoothed(values: Iterable[float]) -> Iterator[float]:
    """Exponentially, without the pull of a made-up first value."""
    mean = weight = 0.0
    for value in values:
        mean, weight = _SMOOTH * mean + (1 - _SMOOTH) * value, _SMOOTH * weight + 1 - _SMOOTH
        yield mean / weight


# --- the page ---------------------------------------------------------------------------------------------

_PAGE = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>{title}</title><style>
body {{ font: 15px/1.5 system-ui, sans-serif; color: #222; max-width: 960px; margin: 2rem auto; padding: 0 1rem }}
table {{ border-collapse: collapse; width: 100%; font-variant-numeric: tabular-nums }}
th, td {{ padding: .3rem .6rem; border-bottom: 1px solid #ddd; text-align: right }}
th:first-child, td:first-child {{ text-align: left }}
img {{ width: 100%; margin: 1rem 0 }}
</style></head><body><h1>{title}</h1>
{body}
</body></html>
"""


def report(title: str, curves: Mapping[str, bytes], stages: Sequence[StageRow]) -> str:
    """One page that needs no other file: the stages, what sharing prefixes saved, and the curves (PNG)."""
    parts = [*_stages(stages)] if stages else []
    for name, png in curves.items():
        image = base64.b64encode(png).decode()
        parts.append(f'<img alt="curves of {html.escape(name)}" src="data:image/png;base64,{image}">')
    return _PAGE.format(title=html.escape(title), body="\n".join(parts) or "<p>Nothing is measured yet.</p>")


def _stages(stages: Sequence[StageRow]) -> Iterator[str]:
    names = ("stage", "examples", "steps", "tokens computed", "as rows", "as published", "validation loss", "time")
    yield f"<table><tr>{''.join(f'<th>{name}</th>' for name in names)}</tr>"
    for stage in stages:
        cells = (
            html.escape(stage.name),
            f"{stage.examples:,}",
            f"{stage.steps:,}",
            f"{stage.tokens:,}",
            f"{stage.row_tokens:,}",
            f"{stage.padded_tokens:,}",
            "" if stage.validation_loss is None else f"{stage.validation_loss:.4f}",
            f"{stage.seconds:,.0f} s",
        )
        yield f"<tr>{''.join(f'<td>{cell}</td>' for cell in cells)}</tr>"
    yield "</table>"
    tokens, rows, padded = (sum(getattr(s, name) for s in stages) for name in ("tokens", "row_tokens", "padded_tokens"))
    if tokens:
        yield (
            f"<p>{tokens:,} tokens were computed; {rows:,} as rows alone ({rows / tokens:.2f} times as many), "
            f"{padded:,} as published ({padded / tokens:.2f} times).</p>"
        )


def _write_bytes(path: Path, content: bytes) -> None:
    part = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            part.write_bytes(content)
            part.replace(path)
        finally:
            part.unlink(missing_ok=True)
    except OSError as error:
        raise StorageError(f"{path}: cannot be written: {error.strerror}") from error
