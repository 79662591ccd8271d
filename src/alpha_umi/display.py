"""What the terminal shows: turns as they happen, progress of long work, tables. It decides nothing.

Text from models, tools and files is untrusted: it is shown without markup and without control characters.
"""

from __future__ import annotations

import re
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.status import Status
from rich.table import Table
from rich.text import Text

from alpha_umi.search import Node, NodeStatus
from alpha_umi.types import Answer, Call, Decision, Observation, Plan, Role, ToolStatus, Turn, User

if TYPE_CHECKING:
    from alpha_umi.world import Verdict

_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")
_NEXT = {
    Decision.CALL: "caller",
    Decision.CONCLUDE: "summarizer",
    Decision.GIVE_UP: "give up",
    Decision.NONE: "nobody named",
}


def plain(text: str) -> str:
    """Text that cannot move the cursor, ring the bell or colour the terminal."""
    return _CONTROL.sub("�", text)


class TurnPrinter:
    """Prints every turn of a search once, when it first appears; on a terminal also what is being written."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._shown: dict[int, int] = {}
        self._writing: Status | None = None
        self._written = ""

    def __enter__(self) -> TurnPrinter:
        return self

    def __exit__(self, *_: object) -> None:
        self._hush()

    def hear(self, role: Role, piece: str) -> None:
        """Show what a role has written so far in a line of its own, which its turn will take the place of."""
        if not self._console.is_terminal:
            return
        if self._writing is None:
            self._writing = self._console.status("")
            self._writing.start()
        self._written += piece
        line = Text(f"{role.value} ", style="dim")
        line.append(plain(" ".join(self._written.split()))[-self._console.width + 20 :])
        self._writing.update(line)

    def _hush(self) -> None:
        if self._writing is not None:
            self._writing.stop()
        self._writing, self._written = None, ""

    def show(self, node: Node) -> None:
        self._hush()
        for turn in node.turns[self._shown.get(node.index, 0) :]:
            self._show_turn(turn)
        self._shown[node.index] = len(node.turns)
        if node.status is NodeStatus.LIMIT:
            self._line("limit", "the search stopped here: its budget is spent", "yellow")

    def _show_turn(self, turn: Turn) -> None:
        match turn:
            case User(text=text):
                self._line("user", text, "bold")
            case Plan(thought=thought, decision=decision):
                self._line("planner", f"{thought.strip()}  → {_NEXT[decision]}", "cyan")
            case Call(name=name, arguments=arguments):
                self._line("caller", f"{name} {arguments}", "magenta")
            case Observation(content=content, status=status):
                mark = "" if status is ToolStatus.OK else f"[{status.value}] "
                self._line("tool", mark + content, "green" if status is ToolStatus.OK else "red")
            case Answer(text=text):
                self._line("summarizer", text, "bold blue")

    def _line(self, who: str, said: str, style: str) -> None:
        line = Text(f"{who:>10}  ", style="dim")
        line.append(plain(said), style=style)
        self._console.print(line, soft_wrap=True)


def verdict_words(verdict: Verdict) -> str:
    """What the verifier says, in one line."""
    if verdict.passed:
        return "right, and supported by the calls"
    return plain("wrong: " + "; ".join(verdict.reasons))


@contextmanager
def loading(console: Console, what: str) -> Iterator[None]:
    """Says what is being loaded while it is, and how long that took."""
    started = time.monotonic()
    with console.status(plain(what)):
        yield
    line = Text(f"{'loaded':>10}  {plain(what)} in {time.monotonic() - started:.1f} s", style="dim")
    console.print(line, soft_wrap=True)


@contextmanager
def progress(console: Console, *, quiet: bool = False) -> Iterator[Progress]:
    """A progress display on a terminal; `quiet` shows nothing there either."""
    columns = (
        TextColumn("{task.description}"),
        BarColumn(bar_width=30),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=console, disable=quiet or not console.is_terminal) as display:
        yield display


def table(title: str, columns: Sequence[str], rows: Sequence[Sequence[str]]) -> Table:
    """A table with its first column to the left and the others to the right."""
    drawn = Table(title=title, title_justify="left")
    for number, column in enumerate(columns):
        drawn.add_column(column, justify="left" if number == 0 else "right")
    for row in rows:
        drawn.add_row(*(Text(plain(cell)) for cell in row))
    return drawn
