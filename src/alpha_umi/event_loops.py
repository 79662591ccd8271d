"""Blocking calls of coroutines, also where an event loop is running already (a notebook)."""

from __future__ import annotations

import asyncio
import contextvars
import functools
import os
import threading
from collections import deque
from collections.abc import Awaitable, Callable, Coroutine
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Generic, ParamSpec, TypeVar, cast

_Parameters = ParamSpec("_Parameters")
_Result = TypeVar("_Result")


def run_blocking(coroutine: Coroutine[Any, Any, _Result]) -> _Result:
    """Run a coroutine to its end: with asyncio.run, or in a thread where this thread runs a loop.

    KeyboardInterrupt cancels it and is raised again.
    """
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return asyncio.run(coroutine)
    thread = LoopThread("alpha-umi-blocking")
    try:
        return thread.run(coroutine)
    finally:
        thread.close()


async def off_loop(
    function: Callable[_Parameters, _Result], *given: _Parameters.args, **named: _Parameters.kwargs
) -> _Result:
    """Run short work of the processor, such as tokenising a prompt, in the one thread for it; the loop stays free."""
    call = functools.partial(function, *given, **named)
    return await asyncio.get_running_loop().run_in_executor(_worker(os.getpid()), call)


@functools.cache
def _worker(process: int) -> ThreadPoolExecutor:
    """Thread of a process; a forked one has none of its parent's."""
    return ThreadPoolExecutor(1, thread_name_prefix=f"alpha-umi-text-{process}")


@dataclass(frozen=True, slots=True)
class Outcome(Generic[_Result]):
    """Result or exception of foreign code."""

    value: _Result | None = None
    error: BaseException | None = None

    def get(self) -> _Result:
        """Return the result. Raises the exception."""
        if self.error is not None:
            raise self.error
        return cast("_Result", self.value)


async def outcome(work: Awaitable[_Result]) -> Outcome[_Result]:
    """Await foreign code in a task of its own, where an exit or an interrupt would end the event loop.

    Raises nothing but CancelledError.
    """
    try:
        return Outcome(await work)
    except asyncio.CancelledError:
        raise
    except BaseException as error:
        return Outcome(error=error)


class LoopCalls:
    """Calls into an event loop from other threads; those that come together wake it once, as a wake is dear."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.loop = loop
        self._waiting: deque[Callable[[], object]] = deque()
        self._lock = threading.Lock()
        self._wakes = False

    def soon(
        self, function: Callable[_Parameters, object], *given: _Parameters.args, **named: _Parameters.kwargs
    ) -> None:
        """Have a function called in the loop, after all that were given before; nothing where the loop is closed."""
        self._waiting.append(functools.partial(function, *given, **named))
        with self._lock:
            wakes, self._wakes = self._wakes, True
        if not wakes:
            with suppress(RuntimeError):  # the loop is closed: the caller has gone
                self.loop.call_soon_threadsafe(self._pass_on)

    def _pass_on(self) -> None:
        with self._lock:
            self._wakes = False
        while self._waiting:
            try:
                self._waiting.popleft()()
            except Exception as error:  # one that fails takes no other along, as callbacks of a loop do not
                self.loop.call_exception_handler({"message": "a call from another thread failed", "exception": error})


class LoopThread:
    """Event loop in a daemon thread, started by its first coroutine."""

    def __init__(self, name: str = "alpha-umi-loop") -> None:
        self._name = name
        self._lock = threading.Lock()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: threading.Thread | None = None

    def run(self, coroutine: Coroutine[Any, Any, _Result]) -> _Result:
        """Run a coroutine in the thread and wait for it.

        KeyboardInterrupt cancels it, waits until it has cleaned up, and is raised again; a second one does not wait.
        Raises RuntimeError in the loop's own thread, which would wait for itself.
        """
        if threading.current_thread() is self._thread:
            coroutine.close()
            raise RuntimeError("a blocking call inside the loop that would have to serve it; await instead")
        job = self.start(coroutine)
        try:
            return job.result.result()
        except KeyboardInterrupt:
            job.cancel()
            wait([job.result])
            raise

    def start(self, coroutine: Coroutine[Any, Any, _Result]) -> Job[_Result]:
        """Run a coroutine in the thread without waiting for it."""
        return Job(self._started(), coroutine)

    async def wait_for(self, coroutine: Coroutine[Any, Any, _Result]) -> _Result:
        """Run a coroutine in the thread and await it in the caller's loop; cancellation reaches it."""
        if asyncio.get_running_loop() is self._loop:
            return await coroutine
        job = self.start(coroutine)
        waiter = asyncio.wrap_future(job.result)
        try:
            return await asyncio.shield(waiter)
        except asyncio.CancelledError:
            job.cancel()
            await asyncio.wait([waiter])
            if not waiter.cancelled():
                waiter.exception()  # marks it as seen
            raise

    def close(self, wait_s: float | None = None) -> None:
        """Stop the loop and end the thread; the next coroutine starts another. `wait_s`: at most this long."""
        with self._lock:
            loop, thread = self._loop, self._thread
            self._loop, self._thread = None, None
        if loop is None or thread is None:
            return
        loop.call_soon_threadsafe(loop.stop)
        if thread is not threading.current_thread():
            thread.join(wait_s)

    def _started(self) -> asyncio.AbstractEventLoop:
        with self._lock:
            if self._loop is None:
                self._loop = asyncio.new_event_loop()
                self._thread = threading.Thread(target=_serve, args=(self._loop,), name=self._name, daemon=True)
                self._thread.start()
            return self._loop


class Job(Generic[_Result]):
    """Coroutine under execution in the loop of another thread."""

    def __init__(self, loop: asyncio.AbstractEventLoop, coroutine: Coroutine[Any, Any, _Result]) -> None:
        self.result: Future[_Result] = Future()
        """Set when the task has ended, its cleaning up included; a cancelled task sets CancelledError."""
        self._loop = loop
        self._task: asyncio.Task[_Result] | None = None
        loop.call_soon_threadsafe(self._start, coroutine, contextvars.copy_context())

    def cancel(self) -> None:
        """Cancel the task, from any thread."""
        self._loop.call_soon_threadsafe(lambda: self._task and self._task.cancel())

    def _start(self, coroutine: Coroutine[Any, Any, _Result], context: contextvars.Context) -> None:
        self._task = self._loop.create_task(coroutine, context=context)
        self._task.add_done_callback(self._settle)

    def _settle(self, task: asyncio.Task[_Result]) -> None:
        if task.cancelled():
            self.result.set_exception(asyncio.CancelledError())
        elif (error := task.exception()) is not None:
            self.result.set_exception(error)
        else:
            self.result.set_result(task.result())


def _serve(loop: asyncio.AbstractEventLoop) -> None:
    asyncio.set_event_loop(loop)
    try:
        _run_until_stopped(loop)
        for task in (left := asyncio.all_tasks(loop)):
            task.cancel()
        loop.run_until_complete(asyncio.gather(*left, return_exceptions=True))
        loop.run_until_complete(loop.shutdown_asyncgens())
    finally:
        loop.close()


def _run_until_stopped(loop: asyncio.AbstractEventLoop) -> None:
    """Run a loop until it is stopped; an exit or interrupt, which leaves it, ends only the task that raises it."""
    while True:
        try:
            loop.run_forever()
        except (SystemExit, KeyboardInterrupt):
            continue
        return
