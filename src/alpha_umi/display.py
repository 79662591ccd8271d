"""Terminal output: turns of a running search, progress of long work, tables.

Text from models, tools and files is untrusted: it is shown without markup and without control characters.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Protocol

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TaskID,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from rich.status import Status
from rich.text import Text

from alpha_umi.plain_text import plain
from alpha_umi.report.tables import plain_table
from alpha_umi.roles import optional_turn, writer
from alpha_umi.search import Node, NodeStatus
from alpha_umi.types import Answer, Call, Decision, Observation, Plan, Role, ToolStatus, Turn, User

if TYPE_CHECKING:
    from alpha_umi.world import Verdict

_NEXT = {
    Decision.CALL: "caller",
    Decision.CONCLUDE: "summarizer",
    Decision.GIVE_UP: "give up",
    Decision.NONE: "no decision",
}


def print_heading(console: Console, title: str, name: str) -> None:
    """Print the heading of a task that is shown live."""
    console.print()
    heading = Text.assemble((title, "bold"), " ", (plain(name), "dim"))
    console.rule(heading, align="left", characters="·")


class TurnPrinter:
    """Printer of a search's turns: each once, when it is complete; on a terminal also the text being generated."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._shown: dict[int, int] = {}
        self._writing: Status | None = None
        self._written = ""

    def __enter__(self) -> TurnPrinter:
        return self

    def __exit__(self, *_: object) -> None:
        self._stop_writing()

    def on_token(self, role: Role, piece: str) -> None:
        """Show the text that a role has generated so far in one line, until its turn is printed."""
        if not self._console.is_terminal:
            return
        if self._writing is None:
            self._writing = self._console.status("")
            self._writing.start()
        self._written += piece
        line = Text(f"{role.value} ", style="dim")
        line.append(plain(" ".join(self._written.split()))[-self._console.width + 20 :])
        self._writing.update(line)

    def _stop_writing(self) -> None:
        if self._writing is not None:
            self._writing.stop()
        self._writing, self._written = None, ""

    def on_node(self, node: Node) -> None:
        """Print the turns of a node that are not printed yet."""
        self._stop_writing()
        for turn in node.turns[self._shown.get(node.index, 0) :]:
            self._show_turn(turn)
        self._shown[node.index] = len(node.turns)
        if node.status is NodeStatus.LIMIT:
            self._line("limit", "the search stopped here: its budget is spent", "yellow")

    def _show_turn(self, turn: Turn) -> None:
        if (optional := optional_turn(turn)) is not None:
            spec, text = optional
            self._line(spec.label, text, spec.colour)
            return
        match turn:
            case User(text=text):
                self._line("user", text, "bold")
            case Plan(thought=thought, decision=decision):
                self._role_line(turn, f"{thought.strip()}  → {_NEXT[decision]}")
            case Call(name=name, arguments=arguments):
                self._role_line(turn, f"{name} {arguments}")
            case Observation(content=content, status=status):
                mark = "" if status is ToolStatus.OK else f"[{status.value}] "
                self._line("tool", mark + content, "green" if status is ToolStatus.OK else "red")
            case Answer(text=text):
                self._role_line(turn, text)

    def _role_line(self, turn: Turn, text: str) -> None:
        spec = writer(turn)
        if spec is not None:
            self._line(spec.label, text, spec.colour)

    def _line(self, speaker: str, text: str, style: str) -> None:
        line = Text(f"{speaker:>10}  ", style="dim")
        line.append(plain(text), style=style)
        self._console.print(line, soft_wrap=True)


def verdict_words(verdict: Verdict) -> str:
    """Describe a verdict in one line."""
    if verdict.passed:
        return "right, and supported by the calls"
    return plain("wrong: " + "; ".join(verdict.reasons))


@contextmanager
def loading(console: Console, what: str) -> Iterator[None]:
    """Show the name of a thing while it is loaded, then the time that took."""
    started = time.monotonic()
    with console.status(Text(plain(what))):
        yield
    line = Text(f"{'loaded':>10}  {plain(what)} in {time.monotonic() - started:.1f} s", style="dim")
    console.print(line, soft_wrap=True)


# --- progress -----------------------------------------------------------------------------------------------


class ProgressDisplay(Protocol):
    """Progress of long work that has one or more parts."""

    def update(self, name: str, done: int, total: int | None = None, note: str = "") -> None:
        """Show how much of a part is done, `total` None: of an unknown amount; `note` stands beside it."""
        ...

    def remove(self, name: str) -> None:
        """Stop showing a part."""
        ...


@contextmanager
def progress(console: Console, unit: str = "", *, quiet: bool = False) -> Iterator[ProgressDisplay]:
    """Show progress: bars on a terminal, elsewhere a line of text every ten seconds; `quiet` shows nothing.

    `unit`: the plural noun of what is counted, for lines of text.
    """
    if quiet or not console.is_terminal:
        yield ProgressLines(lambda line: None if quiet else print_line(console, line), unit)
        return
    columns = (
        TextColumn("{task.description}", markup=False),
        BarColumn(bar_width=30),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
        TextColumn("{task.fields[note]}", style="dim", markup=False),
    )
    with Progress(*columns, console=console) as bars:
        yield _ProgressBars(bars)


class _ProgressBars:
    """Progress as bars that are drawn in place."""

    def __init__(self, bars: Progress) -> None:
        self._bars = bars
        self._ids: dict[str, TaskID] = {}

    def update(self, name: str, done: int, total: int | None = None, note: str = "") -> None:
        if name not in self._ids:
            self._ids[name] = self._bars.add_task(plain(name), total=total, note="")
        self._bars.update(self._ids[name], completed=done, total=total, note=plain(note))

    def remove(self, name: str) -> None:
        if name in self._ids:
            self._bars.remove_task(self._ids.pop(name))


@dataclass(slots=True)
class _Part:
    started: float
    before: int
    """Done when it was first heard of: by an earlier run."""
    shown: bool = False


class ProgressLines:
    """Progress as lines of text, at most one per part and interval; short work prints none."""

    def __init__(
        self,
        write: Callable[[str], object],
        unit: str = "",
        *,
        every_s: float = 10.0,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._write, self._unit, self._every, self._clock = write, f" {unit}" if unit else "", every_s, clock
        self._parts: dict[str, _Part] = {}
        self._last: dict[str, float] = {}

    def update(self, name: str, done: int, total: int | None = None, note: str = "") -> None:
        """Write a line where the last one of this part is an interval ago, or the part is complete."""
        now = self._clock()
        part = self._parts.setdefault(name, _Part(now, done))
        due = now - self._last.setdefault(name, now) >= self._every
        if due or (part.shown and done == total):
            self._last[name], part.shown = now, True
            self._write(self._line(name, part, done, total, note))

    def remove(self, name: str) -> None:
        """Forget a part."""
        self._parts.pop(name, None)
        self._last.pop(name, None)

    def _line(self, name: str, part: _Part, done: int, total: int | None, note: str) -> str:
        took = self._clock() - part.started
        amount = f"{done:,}" if total is None else f"{done:,} of {total:,}"
        words = [f"{amount}{self._unit}", *([note] if note else [])]
        if total is None or done >= total:
            words.append(f"{_time(took)} elapsed")
        elif done > part.before:
            words.append(f"{_time(took / (done - part.before) * (total - done))} remaining")
        return f"{name.strip()}: {', '.join(words)}"


def _time(seconds: float) -> str:
    return str(timedelta(seconds=round(seconds)))


# --- lines and tables ---------------------------------------------------------------------------------------


def print_line(console: Console, text: str, style: str = "") -> None:
    """Print a line as it is: no markup, no highlighting, wrapped by the terminal alone."""
    console.print(Text(plain(text), style=style), soft_wrap=True)


def print_table(console: Console, title: str, columns: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Print a table, its first column aligned to the left, the others to the right; no cell is ever cut."""
    head, *lines = plain_table(columns, [[plain(cell) for cell in row] for row in rows]).split("\n")
    print_line(console, "")
    for line in title.split("\n"):
        print_line(console, line, "bold")
    print_line(console, head, "dim")
    for line in lines:
        print_line(console, line)
