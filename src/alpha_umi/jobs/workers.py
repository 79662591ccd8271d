"""Pool of worker processes: work items run in turn or in parallel, with progress reported by each.

The processes are shielded from the terminal's Ctrl-C: the parent passes it on, once, and waits for them. One whose
parent is gone ends as well.
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
Item = TypeVar("Item")
OnProgress: TypeAlias = Callable[[str, int, int], None]
"""Called with a description of the current part, and how much of how much is done."""
Work: TypeAlias = Callable[[Item, OnProgress], object]


@dataclass(frozen=True, slots=True, kw_only=True)
class Update:
    """Progress of a work item."""

    what: str
    """Its name."""
    at: str = ""
    done: int = 0
    total: int = 1
    ended: bool = False
    error: str = ""
    """Of one that ended: why it could not be done."""


OnUpdate: TypeAlias = Callable[[Update], None]


def cores() -> int:
    """Number of processes that can compute at once here."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def run_items(items: Mapping[str, Item], work: Work[Item], on_update: OnUpdate, workers: int) -> dict[str, str]:
    """Run all items, `workers` at once; returns the errors by name, where `work` raised an Exception.

    With several workers `work` and the items must be picklable. KeyboardInterrupt, and
    whatever `on_update` raises, end all of them first.
    """
    if workers > 1 and hasattr(os, "setsid"):
        return _in_processes(items, work, on_update, workers)
    return _in_turn(items, work, on_update)


def _in_turn(items: Mapping[str, Item], work: Work[Item], on_update: OnUpdate) -> dict[str, str]:
    failed: dict[str, str] = {}
    observed = _Observed(on_update)
    for name, item in items.items():
        try:
            work(item, lambda at, done, total, name=name: observed(Update(what=name, at=at, done=done, total=total)))
        except InterruptedWorkError:
            raise KeyboardInterrupt from None
        except Exception as error:
            if error is observed.raised:
                raise
            failed[name] = _describe(name, error)
        on_update(Update(what=name, ended=True, error=failed.get(name, "")))
    return failed


@dataclass(slots=True)
class _Observed:
    """Callback that remembers what it raised, which is no fault of the item."""

    on_update: OnUpdate
    raised: Exception | None = None

    def __call__(self, update: Update) -> None:
        try:
            self.on_update(update)
        except Exception as error:
            self.raised = error
            raise


def _describe(name: str, error: Exception) -> str:
    """Message for an item that failed. Its traceback is logged, unless it is an error that users can mend."""
    if isinstance(error, AlphaUMiError):
        return str(error)
    _log.error("%s ended with an error", name, exc_info=error)
    return f"{type(error).__name__}: {error}"


# --- beside each other ------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Worker:
    """A process with one item."""

    name: str
    process: BaseProcess


@dataclass(slots=True)
class _WorkerPool:
    on_update: OnUpdate
    running: dict[Connection, _Worker] = field(default_factory=dict[Connection, _Worker])
    """By the connection of their updates; the last message is the error, if any."""
    failed: dict[str, str] = field(default_factory=dict[str, str])

    def start(self, name: str, item: Item, work: Work[Item]) -> None:
        context = multiprocessing.get_context("spawn")
        receiver, sender = cast("tuple[Connection, Connection]", context.Pipe(duplex=False))
        process = context.Process(target=_work, args=(name, item, work, sender))
        with _interrupts_blocked():
            process.start()
            self.running[receiver] = _Worker(name, process)
        sender.close()

    def listen(self) -> None:
        """Wait for the next updates or ends, and report them."""
        for receiver in cast("list[Connection]", wait([*self.running])):
            name = self.running[receiver].name
            try:
                message = cast("Update | str", receiver.recv())
            except (EOFError, OSError):
                self._reap(receiver)
                continue
            if isinstance(message, Update):
                self.on_update(message)
            else:
                self.failed[name] = message

    def _reap(self, receiver: Connection) -> None:
        worker = self.running.pop(receiver)
        receiver.close()
        worker.process.join()
        if code := worker.process.exitcode:
            self.failed.setdefault(worker.name, f"its process ended with {code}")
        self.on_update(Update(what=worker.name, ended=True, error=self.failed.get(worker.name, "")))

    def interrupt(self) -> None:
        """Pass Ctrl-C on, stop listening, and wait."""
        for receiver, worker in self.running.items():
            if worker.process.is_alive() and worker.process.pid is not None:
                os.kill(worker.process.pid, signal.SIGINT)
            receiver.close()
        for worker in self.running.values():
            worker.process.join()


def _in_processes(items: Mapping[str, Item], work: Work[Item], on_update: OnUpdate, workers: int) -> dict[str, str]:
    # Read by torch when a new process first imports it.
    os.environ.setdefault("OMP_NUM_THREADS", str(max(1, cores() // workers)))
    pool, left = _WorkerPool(on_update), list(items.items())
    try:
        while left or pool.running:
            while left and len(pool.running) < workers:
                pool.start(*left.pop(0), work)
            pool.listen()
    except BaseException:
        pool.interrupt()
        raise
    return pool.failed


@contextmanager
def _interrupts_blocked() -> Iterator[None]:
    """Block SIGINT meanwhile, so that a process started within gets it only once it is ready."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _work(name: str, item: Item, work: Work[Item], sender: Connection) -> None:
    def on_progress(at: str, done: int, total: int) -> None:
        try:
            sender.send(Update(what=name, at=at, done=done, total=total))
        except OSError:  # the parent is gone
            raise KeyboardInterrupt from None

    try:
        os.setsid()
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})
        work(item, on_progress)
    except (KeyboardInterrupt, InterruptedWorkError):
        raise SystemExit(InterruptedWorkError.exit_code) from None
    except Exception as error:
        sender.send(_describe(name, error))
        raise SystemExit(getattr(error, "exit_code", 1)) from None
