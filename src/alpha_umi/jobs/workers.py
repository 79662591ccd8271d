"""Pieces of work one after the other, or beside each other in a process each; what each is at is told meanwhile.

These processes do not hear the terminal's Ctrl-C: whoever started them passes it on, once, and waits for them. One that
nobody listens to any more ends as well.
"""

from __future__ import annotations

import logging
import multiprocessing
import os
import signal
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from typing import TypeAlias, TypeVar, cast

from alpha_umi.errors import AlphaUMiError, InterruptedWorkError

_log = logging.getLogger(__name__)
Piece = TypeVar("Piece")
Tell: TypeAlias = Callable[[str, int, int], None]
"""What a piece is at, and how much of how much is done."""
Work: TypeAlias = Callable[[Piece, Tell], object]


@dataclass(frozen=True, slots=True, kw_only=True)
class Update:
    """What a piece is at."""

    what: str
    """Its name."""
    at: str = ""
    done: int = 0
    total: int = 1
    ended: bool = False
    error: str = ""
    """Of one that ended: why it could not be done."""


Show: TypeAlias = Callable[[Update], None]


def cores() -> int:
    """How many processes can compute at once here."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def work_on(pieces: Mapping[str, Piece], work: Work[Piece], show: Show, workers: int) -> dict[str, str]:
    """Do all pieces, `workers` at once; returns what went wrong, by name, where `work` raised an Exception.

    With several workers `work` and the pieces must be such that can be sent to another process. KeyboardInterrupt, and
    whatever `show` raises, end all of them first.
    """
    if workers > 1 and hasattr(os, "setsid"):
        return _beside_each_other(pieces, work, show, workers)
    return _one_after_the_other(pieces, work, show)


def _one_after_the_other(pieces: Mapping[str, Piece], work: Work[Piece], show: Show) -> dict[str, str]:
    failed: dict[str, str] = {}
    shown = _Shown(show)
    for name, piece in pieces.items():
        try:
            work(piece, lambda at, done, total, name=name: shown(Update(what=name, at=at, done=done, total=total)))
        except InterruptedWorkError:
            raise KeyboardInterrupt from None
        except Exception as error:
            if error is shown.raised:
                raise
            failed[name] = _told(name, error)
        show(Update(what=name, ended=True, error=failed.get(name, "")))
    return failed


@dataclass(slots=True)
class _Shown:
    """Shows, and knows what that raised, which is no fault of the piece."""

    show: Show
    raised: Exception | None = None

    def __call__(self, update: Update) -> None:
        try:
            self.show(update)
        except Exception as error:
            self.raised = error
            raise


def _told(name: str, error: Exception) -> str:
    """Why a piece could not be done. Where it went wrong is logged, unless it is what users can get wrong."""
    if isinstance(error, AlphaUMiError):
        return str(error)
    _log.error("%s ended with an error", name, exc_info=error)
    return f"{type(error).__name__}: {error}"


# --- beside each other ------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Worker:
    """A process with one piece."""

    name: str
    process: BaseProcess


@dataclass(slots=True)
class _Crew:
    show: Show
    running: dict[Connection, _Worker] = field(default_factory=dict[Connection, _Worker])
    """By where they tell what they are at; at its end there is the error, if any."""
    failed: dict[str, str] = field(default_factory=dict[str, str])

    def start(self, name: str, piece: Piece, work: Work[Piece]) -> None:
        context = multiprocessing.get_context("spawn")
        told, telling = cast("tuple[Connection, Connection]", context.Pipe(duplex=False))
        process = context.Process(target=_work, args=(name, piece, work, telling))
        with _deaf():
            process.start()
            self.running[told] = _Worker(name, process)
        telling.close()

    def listen(self) -> None:
        """Wait until somebody tells something or ends, and pass it on."""
        for told in cast("list[Connection]", wait([*self.running])):
            name = self.running[told].name
            try:
                message = cast("Update | str", told.recv())
            except (EOFError, OSError):
                self._reap(told)
                continue
            if isinstance(message, Update):
                self.show(message)
            else:
                self.failed[name] = message

    def _reap(self, told: Connection) -> None:
        worker = self.running.pop(told)
        told.close()
        worker.process.join()
        if code := worker.process.exitcode:
            self.failed.setdefault(worker.name, f"its process ended with {code}")
        self.show(Update(what=worker.name, ended=True, error=self.failed.get(worker.name, "")))

    def interrupt(self) -> None:
        """Pass Ctrl-C on, stop listening, and wait."""
        for told, worker in self.running.items():
            if worker.process.is_alive() and worker.process.pid is not None:
                os.kill(worker.process.pid, signal.SIGINT)
            told.close()
        for worker in self.running.values():
            worker.process.join()


def _beside_each_other(pieces: Mapping[str, Piece], work: Work[Piece], show: Show, workers: int) -> dict[str, str]:
    # Read by torch when a new process first imports it.
    os.environ.setdefault("OMP_NUM_THREADS", str(max(1, cores() // workers)))
    crew, left = _Crew(show), list(pieces.items())
    try:
        while left or crew.running:
            while left and len(crew.running) < workers:
                crew.start(*left.pop(0), work)
            crew.listen()
    except BaseException:
        crew.interrupt()
        raise
    return crew.failed


@contextmanager
def _deaf() -> Iterator[None]:
    """Ctrl-C is held back: a process started meanwhile hears it once it is ready to."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _work(name: str, piece: Piece, work: Work[Piece], telling: Connection) -> None:
    def tell(at: str, done: int, total: int) -> None:
        try:
            telling.send(Update(what=name, at=at, done=done, total=total))
        except OSError:  # nobody is left to do this for
            raise KeyboardInterrupt from None

    try:
        os.setsid()
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})
        work(piece, tell)
    except (KeyboardInterrupt, InterruptedWorkError):
        raise SystemExit(InterruptedWorkError.exit_code) from None
    except Exception as error:
        telling.send(_told(name, error))
        raise SystemExit(getattr(error, "exit_code", 1)) from None
