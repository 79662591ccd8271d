"""Verb `umi chat`: a conversation with an agent on the terminal, or line by line from a pipe."""

from __future__ import annotations

import io
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from alpha_umi.cli import ask as asking
from alpha_umi.cli.shared_options import with_options_of
from alpha_umi.cli.streams import echo
from alpha_umi.errors import InterruptedWorkError, ModelError
from alpha_umi.output_lock import locks_out

if TYPE_CHECKING:
    from rich.console import Console

    from alpha_umi.jobs.chat import Chat
    from alpha_umi.types import Trajectory

_PROMPT = "you> "


@with_options_of(asking.agent_options)
@locks_out
def chat(
    out: Annotated[Path | None, typer.Option(help="Keep the conversation here, as one trajectory (.jsonl).")] = None,
    *,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print each exchange as one JSON object, in place of its answer.")
    ] = False,
    agent: str | None = None,
    **options: Any,
) -> None:
    """Talk with an agent: a message per line, earlier exchanges are context. Ctrl-C stops a reply, a second one leaves.

    Ctrl-D ends the conversation. Exit code 0 if the last reply is an answer, 2 if the agent gave up, 130 if Ctrl-C
    ended it.
    """
    from rich.console import Console

    from alpha_umi.display import print_line
    from alpha_umi.jobs.ask import read_conversation

    console = Console(stderr=True)
    conversation = read_conversation(agent, asking.api_options(console, **options))
    if isinstance(sys.stdin, io.TextIOWrapper):
        sys.stdin.reconfigure(errors="replace")  # bytes that are no text are one odd character of a message
    opened = asking.open_chat(console, conversation)
    left = False
    try:
        for message in _messages(console):
            try:
                _reply(console, opened, message, out, as_json=as_json)
            except ModelError as error:
                print_line(console, f"error: {error}", "red")
    except KeyboardInterrupt:
        left = True
    finally:
        opened.close()
    _end(opened.exchanges[-1] if opened.exchanges else None, left=left)


def _messages(console: Console) -> Iterator[str]:
    """Non-empty lines of the standard input."""
    asks = sys.stdin.isatty()
    if asks:
        import readline  # noqa: F401  # editing and history for input()

        console.print("Ctrl-C stops a reply, Ctrl-D ends the conversation.", style="dim")
    while True:
        try:
            line = input(_PROMPT) if asks else sys.stdin.readline()
        except EOFError:
            return
        if not asks and not line:
            return
        if line.strip():
            yield line.strip()


def _reply(console: Console, chat: Chat, message: str, out: Path | None, *, as_json: bool) -> None:
    """Send a message and show its exchange. Ctrl-C stops the reply and keeps its complete turns."""
    from alpha_umi.cli.output import print_json
    from alpha_umi.display import TurnPrinter
    from alpha_umi.store import write_trajectories

    before = len(chat.exchanges)
    try:
        with TurnPrinter(console) as printer:
            chat.send(message, on_node=printer.on_node, on_token=printer.on_token)
    except KeyboardInterrupt:
        console.print("stopped; what was said is kept, Ctrl-C again leaves", style="yellow")
    if len(chat.exchanges) == before:
        return
    exchange, whole = chat.exchanges[-1], chat.trajectory
    if out is not None and whole is not None:
        write_trajectories(out, [whole])
    if as_json:
        print_json(exchange.to_json())
    elif exchange.answer is not None:
        echo(exchange.answer)
    sys.stdout.flush()


def _end(last: Trajectory | None, *, left: bool) -> None:
    from alpha_umi.types import StopReason

    if left or (last is not None and last.stop is StopReason.CANCELLED):
        raise InterruptedWorkError("the conversation was interrupted; what was said is kept")
    asking.end_without_answer(last)
