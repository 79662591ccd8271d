"""The picture of the README: the three roles and the turns of a real run of the bundled agent, as `run.svg`.

    python docs/picture.py

`umi ask --json` makes the run; every text in the picture is the agent's or a tool's. One row per step, one column per
role, and one for the tools.
"""

from __future__ import annotations

import json
import subprocess
import sys
import textwrap
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

from alpha_umi.report.markup import Html, tag

TASK = "G3_instruction:1"
PICTURE = Path(__file__).with_name("run.svg")
COLUMNS = {
    "planner": ("thinks, says who is next", "#0f7285"),
    "caller": ("writes the tool call", "#8a3fa0"),
    "tools": ("run it", "#3f7d3a"),
    "summarizer": ("writes the answer", "#2a55b8"),
}
SPEAKERS = {"plan": "planner", "call": "caller", "observation": "tools", "answer": "summarizer"}
INK, SOFT, PAPER = "#23262b", "#6a7078", "#ffffff"
WIDTH, GAP, MARGIN, TOP, LINE, PAD = 216, 44, 16, 108, 17, 11
FONT = "system-ui, -apple-system, 'Segoe UI', sans-serif"
LETTERS = {"planner": 29, "caller": 24, "tools": 24, "summarizer": 29}
"""Per line of a box."""


@dataclass(frozen=True, slots=True)
class Box:
    """One turn in the picture."""

    speaker: str
    lines: tuple[str, ...]
    row: int

    @property
    def left(self) -> float:
        return MARGIN + list(COLUMNS).index(self.speaker) * (WIDTH + GAP)

    @property
    def height(self) -> float:
        return len(self.lines) * LINE + 2 * PAD


def run_agent(task: str) -> dict[str, Any]:
    """The trajectory of one task of the sealed world, as JSON."""
    command = [sys.executable, "-m", "alpha_umi", "ask", "--world-task", task, "--json"]
    return json.loads(subprocess.run(command, capture_output=True, text=True, check=True).stdout)


def boxes(turns: list[dict[str, Any]]) -> Iterator[Box]:
    """Boxes of all turns but the user's; a plan begins a row."""
    row = -1
    for turn in turns:
        if turn["kind"] in SPEAKERS:
            row += turn["kind"] == "plan"
            yield Box(SPEAKERS[turn["kind"]], tuple(words(turn)), row)


def words(turn: Mapping[str, Any]) -> Iterator[str]:
    """The lines of one turn."""
    texts = [turn["name"], json.dumps(turn["arguments"])] if turn["kind"] == "call" else [turn["content"]]
    for text in texts:
        yield from textwrap.wrap(" ".join(text.split()), LETTERS[SPEAKERS[turn["kind"]]])


def draw(document: Mapping[str, Any]) -> Html:
    """The picture of one trajectory."""
    placed = list(boxes(document["turns"]))
    heights = [max(box.height for box in placed if box.row == row) for row in range(placed[-1].row + 1)]
    tops = [TOP + sum(heights[:row]) + row * 30 for row in range(len(heights))]
    width = 2 * MARGIN + len(COLUMNS) * WIDTH + (len(COLUMNS) - 1) * GAP
    height = tops[-1] + heights[-1] + MARGIN
    decisions = [turn["decision"] for turn in document["turns"] if turn["kind"] == "plan"]
    shapes: list[Html] = [tag("rect", width=width, height=height, rx=10, fill=PAPER), arrow_head()]
    shapes.append(text(MARGIN, 30, f"User: {document['query']}", size=16, weight=600))
    shapes += [heading(name, *COLUMNS[name]) for name in COLUMNS]
    shapes += [card(box, tops[box.row]) for box in placed]
    for before, after in pairwise(placed):
        label = decisions[before.row] if before.speaker == "planner" else ""
        shapes.append(arrow(before, after, tops, label))
    title = tag("title", "One run of umi-tiny: planner, caller, tools and summarizer, turn by turn")
    return tag(
        "svg",
        title,
        *shapes,
        xmlns="http://www.w3.org/2000/svg",
        viewBox=f"0 0 {width} {height:g}",
        width=width,
        height=height,
        font_family=FONT,
    )


def heading(name: str, task: str, colour: str) -> Html:
    """A role's name over its column, and what it does."""
    left = Box(name, (), 0).left
    name_line = text(left, 66, name, size=15, weight=700, fill=colour)
    rule = tag("line", x1=left, x2=left + WIDTH, y1=92, y2=92, stroke=colour, stroke_width=2)
    return tag("g", name_line, text(left, 84, task, size=12.5, fill=SOFT), rule)


def card(box: Box, top: float) -> Html:
    """The box of one turn."""
    colour = COLUMNS[box.speaker][1]
    frame = tag(
        "rect", x=box.left, y=top, width=WIDTH, height=box.height, rx=7, fill=colour, fill_opacity=0.08, stroke=colour
    )
    is_code = box.speaker in ("caller", "tools")
    lines = [
        text(box.left + PAD, top + PAD + 12.5 + at * LINE, line, family="ui-monospace, monospace" if is_code else None)
        for at, line in enumerate(box.lines)
    ]
    return tag("g", frame, *lines)


def arrow(before: Box, after: Box, tops: list[float], label: str) -> Html:
    """From one turn to the next: to the right within a row, else down and back to the planner."""
    level = tops[before.row] + 20
    if after.row == before.row:
        path = f"M{before.left + WIDTH + 4:g} {level:g}H{after.left - 7:g}"
        named = text(before.left + WIDTH + 5, level - 7, label, size=11.5, fill=SOFT) if label else None
        return tag("g", line(path), named)
    below, right = tops[after.row] - 15, before.left + WIDTH / 2
    start, end = tops[before.row] + before.height + 3, tops[after.row] - 7
    return line(f"M{right:g} {start:g}V{below:g}H{after.left + WIDTH / 2:g}V{end:g}")


def line(path: str) -> Html:
    """A path with an arrow head."""
    return tag("path", d=path, fill="none", stroke=SOFT, stroke_width=1.5, marker_end="url(#head)")


def arrow_head() -> Html:
    """The marker that arrows end in."""
    head = tag("path", d="M0 0L8 4L0 8z", fill=SOFT)
    return tag("defs", tag("marker", head, id="head", markerWidth=8, markerHeight=8, refX=5, refY=4, orient="auto"))


def text(
    x: float,
    y: float,
    words: str,
    *,
    size: float = 13,
    weight: int = 400,
    fill: str = INK,
    family: str | None = None,
) -> Html:
    """One line of text."""
    given = {"font_size": size, "font_weight": weight, "fill": fill, "font_family": family}
    return tag("text", words, x=float(x), y=float(y), **given)


if __name__ == "__main__":
    PICTURE.write_text(draw(run_agent(TASK)) + "\n", encoding="utf-8")
