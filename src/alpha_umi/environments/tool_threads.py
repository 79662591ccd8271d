"""Threads in which tools run, so that no tool can end, block or hold up the event loop that awaits it.

A sync function runs in a thread of its own. Coroutines share one event loop in a thread, for tools may share a client,
which belongs to one loop; where one blocks it, calls that have not begun get another. What runs here raises nothing.
"""

from __future__ import annotations

import asyncio
import contextvars
import functools
import os
import queue
import threading
from collections.abc import Callable, Coroutine, Iterable
from contextlib import suppress
from typing import Any, Generic, TypeVar
from weakref import WeakKeyDictionary

_Result = TypeVar("_Result")
_PATIENCE_S = 0.5
"""A loop that has not begun a call after this time is blocked."""
_LATE_S = 0.1
"""A timer that is later than this shows that the whole process was held up."""


class ToolThreadError(Exception):
    """No thread could be started, or a coroutine was cancelled before it began."""


# --- functions --------------------------------------------------------------------------------------------


async def run_in_thread(function: Callable[[], _Result]) -> _Result:
    """As asyncio.to_thread, but in a daemon thread: a function that never returns does not keep the process alive.

    `function` must not raise. Raises ToolThreadError where the system gives no thread.
    """
    loop = asyncio.get_running_loop()
    future: asyncio.Future[_Result] = loop.create_future()
    context = contextvars.copy_context()

    def run() -> None:
        result = context.run(function)
        _call_soon(loop, _settle, future, result)

    _IDLE.run(run)
    return await future


class _IdleThreads:
    """Daemon threads that have run a function and wait for another one."""

    def __init__(self, most: int = 32) -> None:
        self._most = most
        self._process = 0
        self._waiting: list[queue.SimpleQueue[Callable[[], None]]] = []

    def run(self, function: Callable[[], None]) -> None:
        if self._process != os.getpid():  # a forked process has none of its parent's threads
            self._process, self._waiting = os.getpid(), []
        try:
            work = self._waiting.pop()
        except IndexError:
            work = queue.SimpleQueue[Callable[[], None]]()
            _start_thread(lambda: self._serve(work))
        work.put(function)

    def _serve(self, work: queue.SimpleQueue[Callable[[], None]]) -> None:
        while True:
            work.get()()
            if len(self._waiting) >= self._most:
                return
            self._waiting.append(work)


_IDLE = _IdleThreads()


def _start_thread(run: Callable[[], None]) -> None:
    try:
        threading.Thread(target=run, daemon=True, name="tool").start()
    except RuntimeError as error:
        raise ToolThreadError(f"no thread for the tool: {error}") from None


def _call_soon(loop: asyncio.AbstractEventLoop, function: Callable[..., object], *arguments: object) -> None:
    with suppress(RuntimeError):  # a closed loop takes nothing
        loop.call_soon_threadsafe(function, *arguments)


class _Outbox:
    """Functions that one loop hands to others at the end of its turn: to wake a loop takes longer than all the rest."""

    def __init__(self) -> None:
        self._waiting: dict[asyncio.AbstractEventLoop, list[Callable[[], object]]] = {}

    def put(self, loop: asyncio.AbstractEventLoop, function: Callable[[], object]) -> None:
        if not self._waiting:
            asyncio.get_running_loop().call_soon(self._send)
        self._waiting.setdefault(loop, []).append(function)

    def _send(self) -> None:
        waiting, self._waiting = self._waiting, {}
        for loop, functions in waiting.items():
            _call_soon(loop, _call_each, loop, functions)


def _call_each(loop: asyncio.AbstractEventLoop, functions: Iterable[Callable[[], object]]) -> None:
    for function in functions:
        loop.call_soon(function)


_OUTBOXES: WeakKeyDictionary[asyncio.AbstractEventLoop, _Outbox] = WeakKeyDictionary()
_OUTBOXES_LOCK = threading.Lock()


def _hand_over(loop: asyncio.AbstractEventLoop, function: Callable[[], object]) -> None:
    """As `_call_soon`, from a running loop, together with all else that it hands over in this turn."""
    here = asyncio.get_running_loop()
    outbox = _OUTBOXES.get(here)
    if outbox is None:
        with _OUTBOXES_LOCK:
            outbox = _OUTBOXES[here] = _Outbox()
    outbox.put(loop, function)


def _settle(future: asyncio.Future[_Result], result: _Result) -> None:
    if not future.done():
        future.set_result(result)


def _fail(future: asyncio.Future[Any], reason: str) -> None:
    if not future.done():
        future.set_exception(ToolThreadError(reason))


# --- coroutines -------------------------------------------------------------------------------------------


async def run_coroutine(
    function: Callable[[], Coroutine[Any, Any, _Result]], timeout_s: float | None, *, here: bool = False
) -> _Result:
    """Run the coroutine that `function` makes apart from the task that awaits it; `here`: in the same event loop.

    After `timeout_s`, or a cancellation, the coroutine is cancelled and not waited for. It must not raise. Raises
    TimeoutError, ToolThreadError.
    """
    loop = asyncio.get_running_loop()
    job = _Job(loop, function)
    try:
        async with asyncio.timeout(timeout_s):
            if here:
                job.begin()
            else:
                _THREADS.submit(job)
                _watch(job, _PATIENCE_S if timeout_s is None else min(_PATIENCE_S, timeout_s / 4))
            return await job.settled
    finally:
        job.cancel()


class _Job(Generic[_Result]):
    """Coroutine on its way to the loop that runs it."""

    def __init__(self, caller: asyncio.AbstractEventLoop, function: Callable[[], Coroutine[Any, Any, _Result]]) -> None:
        self.settled: asyncio.Future[_Result] = caller.create_future()
        """Result, in the caller's loop."""
        self.thread: _LoopThread | None = None
        """Thread that it was last given to."""
        self.caller = caller
        self._function = function
        self._context = contextvars.copy_context()
        self._lock = threading.Lock()
        self._task: asyncio.Task[None] | None = None
        self._results: list[_Result] = []
        self._is_cancelled = False

    @property
    def has_begun(self) -> bool:
        return self._task is not None

    def begin(self) -> None:
        """Start the coroutine in the running loop, unless another has started it or its caller is gone."""
        if not self.has_begun:
            task = asyncio.get_running_loop().create_task(self._run(), context=self._context.copy())
            task.add_done_callback(self._tell)

    async def _run(self) -> None:
        with self._lock:  # of several loops that were given it the first one to come here has it
            if self._task is not None or self._is_cancelled:
                return
            self._task = asyncio.current_task()
        # Kept apart from the task's own result, which a tool loses that cancels its task.
        self._results.append(await self._function())

    def _tell(self, task: asyncio.Task[None]) -> None:
        if self._task not in (task, None):
            return
        if self._results:
            settle = functools.partial(_settle, self.settled, self._results[0])
        else:
            why = "cancelled before it began" if task.cancelled() else repr(task.exception())
            settle = functools.partial(_fail, self.settled, why)
        if task.get_loop() is self.caller:
            settle()
        else:
            _hand_over(self.caller, settle)

    def cancel(self) -> None:
        """Cancel the coroutine, from the caller's loop."""
        with self._lock:
            self._is_cancelled, task = True, self._task
        if task is not None and not task.done():
            _call_soon(task.get_loop(), task.cancel)


class _LoopThread:
    """Daemon thread with an event loop that goes on whatever its tasks raise."""

    def __init__(self) -> None:
        self.loop = asyncio.new_event_loop()
        self._is_retired = False
        _start_thread(self._serve)

    def retire(self) -> None:
        """End the thread when its tasks are done."""
        self._is_retired = True
        _call_soon(self.loop, self.loop.stop)

    def _serve(self) -> None:
        asyncio.set_event_loop(self.loop)
        while not self._is_retired or asyncio.all_tasks(self.loop):
            # What comes out of the loop is the exit or the interrupt of a task that a tool started, or its stop().
            with suppress(BaseException):
                if self._is_retired:
                    self.loop.run_until_complete(asyncio.wait(asyncio.all_tasks(self.loop)))
                else:
                    self.loop.run_forever()
        self.loop.close()


class _LoopThreads:
    """Source of the thread for new coroutines; one that is blocked is replaced."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._thread: _LoopThread | None = None

    def submit(self, job: _Job[Any], *, instead: _LoopThread | None = None) -> None:
        """Give a coroutine to a thread; `instead` of one that is blocked. Raises ToolThreadError."""
        with self._lock:
            if self._thread is instead and self._thread is not None:
                self._thread.retire()
                self._thread = None
            if self._thread is None:
                self._thread = _LoopThread()
            job.thread = self._thread
        _hand_over(job.thread.loop, job.begin)


_THREADS = _LoopThreads()


def _watch(job: _Job[Any], patience_s: float) -> None:
    """Give a coroutine to another thread when its own has not begun it after `patience_s`."""
    due = job.caller.time() + patience_s

    def look() -> None:
        if job.has_begun or job.settled.done():
            return
        if job.caller.time() < due + _LATE_S:
            try:
                _THREADS.submit(job, instead=job.thread)
            except ToolThreadError as error:
                _fail(job.settled, str(error))
                return
        _watch(job, patience_s)

    timer = job.caller.call_at(due, look)
    job.settled.add_done_callback(lambda _: timer.cancel())
