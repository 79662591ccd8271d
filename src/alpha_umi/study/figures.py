"""Figures of a study as SVG: variants beside each other, data scaling, losses of every stage."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from alpha_umi.evaluation.metrics import ACTION_EXACT_MATCH, ARGUMENT_F1, PLAN_ACCURACY
from alpha_umi.report.figures import COLOURS, PAPER, new_panels, style_panel, to_svg
from alpha_umi.report.training import read_histories, smoothed
from alpha_umi.study.results import ALL, STATIC
from alpha_umi.study.text import GROUPS, scaling_points, shown_titles

_COLUMNS = 3


def draw_variants(results: Mapping[str, Any]) -> str | None:
    """Draw the metrics and pass rates of every variant with their intervals; None where nothing was measured."""
    titles = shown_titles(results)
    rows = [row for row in results["static"] if row["variant"] in titles and row["group"] in GROUPS]
    if not rows:
        return None
    names = list(dict.fromkeys(row["variant"] for row in rows))
    bases = list(dict.fromkeys(row["base"] for row in rows))
    panels = [
        (STATIC[name], [(row, row["metrics"][name], row["group"] == GROUPS[0]) for row in rows])
        for name in (PLAN_ACCURACY, ACTION_EXACT_MATCH, ARGUMENT_F1)
    ]
    for strategy in dict.fromkeys(row["strategy"] for row in results["live"]):
        tried = [row for row in results["live"] if (row["set"], row["strategy"]) == (ALL, strategy)]
        panels.append((f"pass, {strategy}", [(row, row["pass"], True) for row in tried if row["variant"] in titles]))
    figure, grid = new_panels(len(panels), columns=_COLUMNS, height=0.9 + 0.3 * len(names))
    for at, (axes, (title, points)) in enumerate(zip(grid, panels, strict=True)):
        for row, metric, filled in points:
            if metric["value"] is not None:
                base = bases.index(row["base"])
                height = names.index(row["variant"]) + 0.25 * (base - (len(bases) - 1) / 2) + (0 if filled else 0.1)
                around = [[100 * abs(metric["value"] - metric[end])] for end in ("low", "high")]
                colour = COLOURS[base % len(COLOURS)]
                face = colour if filled else PAPER
                axes.errorbar(100 * metric["value"], height, xerr=around, color=colour, marker="o", markersize=4,
                              markerfacecolor=face, linewidth=1)  # fmt: skip
        axes.set_yticks(
            range(len(names)), [titles[name] for name in names] if at % _COLUMNS == 0 else [""] * len(names)
        )
        axes.invert_yaxis()
        axes.set_xlim(-2, 102)
        style_panel(axes, f"{title}, %")
    for base, colour in zip(bases, COLOURS * len(bases), strict=False):
        grid[0].plot([], [], color=colour, marker="o", markersize=4, linewidth=0, label=base)
    figure.legend(frameon=False, fontsize=8, loc="outside lower right", ncols=len(bases))
    return to_svg(figure)


def draw_scaling(results: Mapping[str, Any]) -> str | None:
    """Draw metrics over the fraction of the training tasks; None where no variant is scaled."""
    points = list(scaling_points(results))
    if not points:
        return None
    strategies = list(points[0]["live"])
    panels = [(STATIC[name], "static", name) for name in (PLAN_ACCURACY, ACTION_EXACT_MATCH, ARGUMENT_F1)]
    panels += [(f"pass rate, {strategy}", "live", strategy) for strategy in strategies]
    figure, grid = new_panels(len(panels), columns=_COLUMNS)
    lines = list(dict.fromkeys((point["base"], point["title"]) for point in points))
    for axes, (title, kind, name) in zip(grid, panels, strict=False):
        for colour, line in zip(COLOURS * len(lines), lines, strict=False):
            mine = [point for point in points if (point["base"], point["title"]) == line]
            shown = [(point["share"], point[kind][name]) for point in mine if point[kind][name]["value"] is not None]
            shares = [share for share, _ in shown]
            values = [100 * metric["value"] for _, metric in shown]
            around = [[100 * abs(metric["value"] - metric[end]) for _, metric in shown] for end in ("low", "high")]
            axes.errorbar(shares, values, around, color=colour, marker="o", capsize=3, label=f"{line[1]}, {line[0]}")
        axes.set_xscale("log", base=2)
        style_panel(axes, f"{title}, %", "share of the training tasks, same budget")
    grid[0].legend(frameon=False, fontsize=8)
    return to_svg(figure)


def draw_losses(runs: Mapping[str, Path]) -> str | None:
    """Draw the training loss of every stage; `runs`: title -> run directory."""
    found = {title: _losses(run) for title, run in runs.items()}
    found = {title: stages for title, stages in found.items() if stages}
    if not found:
        return None
    figure, grid = new_panels(len(found), columns=_COLUMNS)
    for axes, (title, stages) in zip(grid, found.items(), strict=False):
        for colour, (stage, (tokens, losses)) in zip(COLOURS * len(stages), stages.items(), strict=False):
            marker = "o" if len(tokens) == 1 else None
            axes.plot(tokens, smoothed(losses), color=colour, linewidth=1.4, marker=marker, label=stage)
        axes.legend(frameon=False, fontsize=7)
        style_panel(axes, title, "million tokens computed in the stage", logarithmic=True)
    return to_svg(figure)


def _losses(run: Path) -> dict[str, tuple[list[float], list[float]]]:
    """Stage -> million tokens and losses, stages in the order in which they were trained."""
    series: dict[str, tuple[list[float], list[float]]] = {}
    for stage, history in read_histories(run).items():
        lines = [line for line in history if "loss" in line and "tokens" in line]
        if lines:
            series[stage] = [line["tokens"] / 1e6 for line in lines], [line["loss"] for line in lines]
    return series
