"""Confirmation of calls on the terminal: the call is shown, and the user says whether it is run."""

from __future__ import annotations

import asyncio
import os
import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.console import Console

    from alpha_umi.protocols import Confirm
    from alpha_umi.types import Call, ToolSpec

_LINE = 4096


def terminal_confirm(console: Console) -> Confirm | None:
    """Ask on the terminal; None where there is none to ask on."""
    return _TerminalConfirm(console) if sys.stdin.isatty() and console.is_terminal else None


class _TerminalConfirm:
    """Decision on each call by a line of the terminal: y runs it, a runs all calls of this tool, others decline."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._always = set[str]()

    async def __call__(self, call: Call, tool: ToolSpec, /) -> bool:
        from alpha_umi.display import print_line

        if tool.name in self._always:
            return True
        _drop_typed(sys.stdin.fileno())
        print_line(self._console, f"{'confirm':>10}  {call.name} {call.arguments}", "yellow")
        self._console.print(
            f"{'':>10}  run it? [y]es, [N]o, [a]lways this tool: ", markup=False, highlight=False, end=""
        )
        said = (await _read_line(sys.stdin.fileno())).strip().lower()
        if said in ("a", "always"):
            self._always.add(tool.name)
        return said in ("y", "yes", "a", "always")


def _drop_typed(terminal: int) -> None:
    """Drop what was typed before the question, which is no answer to it."""
    import termios

    termios.tcflush(terminal, termios.TCIFLUSH)


async def _read_line(terminal: int) -> str:
    """Read the next line that is typed. Cancelled, it leaves the input alone."""
    loop = asyncio.get_running_loop()
    line: asyncio.Future[bytes] = loop.create_future()
    loop.add_reader(terminal, lambda: line.done() or line.set_result(os.read(terminal, _LINE)))
    try:
        return (await line).decode(errors="replace")
    finally:
        loop.remove_reader(terminal)
