"""Worker thread of a model: it steps while there are requests; models on one device take turns, step by step."""

from __future__ import annotations

import logging
import threading
from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from typing import Protocol

import torch

from alpha_umi.errors import ModelError
from alpha_umi.models.engine.requests import Request

_LOG = logging.getLogger(__name__)


class Runner(Protocol):
    """Runner of requests: the engine, or padded batches. Used by one thread at a time."""

    @property
    def idle(self) -> bool:
        """True where no request is left."""
        ...

    def submit(self, request: Request) -> None:
        """Queue a request; `on_done` gets a refusal as it gets any failure."""
        ...

    def step(self) -> None:
        """Do one step of the work, and drop cancelled requests."""
        ...

    def fail(self, error: Exception) -> None:
        """Fail all requests with `error`, and forget them."""
        ...


class DeviceQueue:
    """First-come, first-served queue of the models that share a device; one step each."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._queue: deque[object] = deque()

    @contextmanager
    def turn(self) -> Iterator[None]:
        """Wait for the device, and keep it inside."""
        ticket = object()
        with self._changed:
            self._queue.append(ticket)
            self._changed.wait_for(lambda: self._queue[0] is ticket)
        try:
            yield
        finally:
            with self._changed:
                self._queue.popleft()
                self._changed.notify_all()


class Worker:
    """Thread that steps one runner while it has requests."""

    def __init__(self, runner: Runner, queue: DeviceQueue, *, one_core: bool = False) -> None:
        """`one_core`: torch computes in this thread alone."""
        self._runner = runner
        self._queue = queue
        self._one_core = one_core
        self._ngram_before = torch.get_num_threads()
        self._threads = ThreadPoolExecutor(max_workers=1, thread_name_prefix="alpha-umi-model")
        self._lock = threading.Lock()
        self._inbox: deque[Request] = deque()
        self._work: Future[None] | None = None
        self._closed = False

    def submit(self, request: Request) -> None:
        """Queue a request, from any thread. Raises ModelError once closed."""
        with self._lock:
            if self._closed:
                raise ModelError("this model is closed")
            self._inbox.append(request)
            if self._work is None:
                self._work = self._threads.submit(self._run)

    def close(self) -> Future[None] | None:
        """Take no more requests; those in progress must be cancelled. Returns a future of the thread's end."""
        with self._lock:
            self._closed = True
            self._threads.shutdown(wait=False)
            return self._work

    def _run(self) -> None:
        if not self._one_core:
            return self._step_all()
        torch.set_num_threads(1)
        try:
            return self._step_all()
        finally:
            torch.set_num_threads(self._ngram_before)  # in torch a part of this is shared by all threads

    def _step_all(self) -> None:
        """Step until no request is left; new ones join meanwhile."""
        while True:
            with self._lock:
                new = list(self._inbox)
                self._inbox.clear()
                if not new and self._runner.idle:
                    self._work = None
                    return
            for request in new:
                self._runner.submit(request)
            try:
                with self._queue.turn():
                    self._runner.step()
            except Exception as error:  # callers must get it, and the thread must go on for the next request
                _LOG.exception("a model failed")
                self._runner.fail(ModelError(f"the model failed: {error}"))
