"""A whole study: its data, its cells one after the other or beside each other, its report. Nothing done is repeated."""

from __future__ import annotations

import multiprocessing
import os
import queue
import signal
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

from alpha_umi.config import StudyConfig, resolved
from alpha_umi.errors import AlphaUMiError
from alpha_umi.jobs import InterruptedWorkError
from alpha_umi.store import write_text
from alpha_umi.study.cells import Cell, cells, check_bases
from alpha_umi.study.data import Data
from alpha_umi.study.report import write_report
from alpha_umi.study.work import is_done, run_cell

_GO_ON = "interrupted; what is finished is kept, and the same command goes on from there"
_LISTEN_S = 0.5


@dataclass(frozen=True, slots=True, kw_only=True)
class Update:
    """What a study is at."""

    what: str
    """A cell's key, or `data`."""
    at: str = ""
    done: int = 0
    total: int = 1
    ended: bool = False


Show = Callable[[Update], None]


class StudyError(AlphaUMiError):
    """Some cells could not be measured; the others are."""


def run_study(config: StudyConfig, out: Path, show: Show, *, workers: int = 1) -> Path:
    """Do what is not done yet and write the report; returns its folder.

    Raises InterruptedWorkError after Ctrl-C, with everything finished kept; StudyError where cells failed, after the
    report on the others.
    """
    check_bases(config)
    try:
        waiting = [cell for cell in cells(config) if not is_done(config, cell, out)]
        with write_text(out / "study.toml") as text:
            text.write(resolved(config))
        Data(out, config).make(lambda at: show(Update(what="data", at=at)))
        show(Update(what="data", ended=True))
        for cell in cells(config):
            if cell not in waiting:
                show(Update(what=cell.key, at="done before", ended=True))
        failed = (
            _one_by_one(config, waiting, out, show)
            if workers == 1
            else _side_by_side(config, waiting, out, show, workers)
        )
    except KeyboardInterrupt:
        raise InterruptedWorkError(_GO_ON) from None
    report = write_report(config, out)
    if failed:
        first = next(iter(failed))
        raise StudyError(f"{len(failed)} of {len(waiting)} cells failed, the first: {first}: {failed[first]}")
    return report


def _one_by_one(config: StudyConfig, waiting: Sequence[Cell], out: Path, show: Show) -> dict[str, str]:
    failed: dict[str, str] = {}
    for cell in waiting:
        try:
            run_cell(config, cell, out, _telling(cell, show))
        except InterruptedWorkError:
            raise KeyboardInterrupt from None
        except AlphaUMiError as error:
            failed[cell.key] = str(error)
        show(Update(what=cell.key, at=failed.get(cell.key, "done"), ended=True))
    return failed


def _telling(cell: Cell, show: Show) -> Callable[[str, int, int], None]:
    return lambda at, done, total: show(Update(what=cell.key, at=at, done=done, total=total))


# --- beside each other ------------------------------------------------------------------------------------


@dataclass(slots=True)
class _Crew:
    """Processes with a cell each. They do not hear the terminal's Ctrl-C: this one passes it on, once."""

    out: Path
    config: StudyConfig
    messages: Any
    running: dict[str, BaseProcess] = field(default_factory=dict[str, BaseProcess])
    failed: dict[str, str] = field(default_factory=dict[str, str])

    def start(self, cell: Cell) -> None:
        context = multiprocessing.get_context("spawn")
        process = context.Process(target=_work, args=(self.config, cell, self.out, self.messages, os.getpid()))
        process.start()
        self.running[cell.key] = process

    def reap(self, show: Show) -> None:
        """Take out who has ended."""
        for key, process in list(self.running.items()):
            if not process.is_alive():
                process.join()
                del self.running[key]
                if process.exitcode:
                    self.failed.setdefault(key, f"its process ended with {process.exitcode}")
                show(Update(what=key, at=self.failed.get(key, "done"), ended=True))

    def listen(self, show: Show) -> None:
        """Pass on what the processes tell, for a while."""
        try:
            message = self.messages.get(timeout=_LISTEN_S)
            while True:
                if isinstance(message, Update):
                    show(message)
                else:
                    self.failed[message[0]] = message[1]
                message = self.messages.get_nowait()
        except queue.Empty:
            pass

    def interrupt(self) -> None:
        """Pass Ctrl-C on and wait; what they still tell is taken, since nobody ends while nobody listens."""
        for process in self.running.values():
            if process.is_alive() and process.pid is not None:
                os.kill(process.pid, signal.SIGINT)
        while any(process.is_alive() for process in self.running.values()):
            self.listen(lambda _: None)


def _side_by_side(config: StudyConfig, waiting: Sequence[Cell], out: Path, show: Show, workers: int) -> dict[str, str]:
    threads = max(1, (os.cpu_count() or 1) // workers)
    os.environ.setdefault("OMP_NUM_THREADS", str(threads))  # read by torch when a new process first imports it
    crew, left = _Crew(out, config, multiprocessing.get_context("spawn").Queue()), list(waiting)
    try:
        while left or crew.running:
            while left and len(crew.running) < workers:
                crew.start(left.pop(0))
            crew.listen(show)
            crew.reap(show)
    except BaseException:
        crew.interrupt()
        raise
    crew.listen(show)
    return crew.failed


def _work(config: StudyConfig, cell: Cell, out: Path, messages: Any, parent: int) -> None:
    os.setsid()

    def show(update: Update) -> None:
        if os.getppid() != parent:  # killed: nobody is left to do this for
            raise KeyboardInterrupt
        messages.put(update)

    try:
        run_cell(config, cell, out, _telling(cell, show))
    except (KeyboardInterrupt, InterruptedWorkError):
        messages.cancel_join_thread()
        raise SystemExit(InterruptedWorkError.exit_code) from None
    except AlphaUMiError as error:
        messages.put((cell.key, str(error)))
        raise SystemExit(error.exit_code) from None
