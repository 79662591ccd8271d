"""Pool of warm sandbox workers: processes that are started when needed, used by one program at a time, and replaced
when they fail."""

from __future__ import annotations

import atexit
import json
import os
import select
import shutil
import struct
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any, Literal

from alpha_umi.errors import ConfigError

_FOLDER = Path(__file__).parent
_START_S, _GRACE_S = 300.0, 60.0
_MOST_CODE = 200_000
_LIBRARIES = ("sympy", "numpy")
_ENVIRONMENT = {"OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1", "PYTHONHASHSEED": "0", "LANG": "C.UTF-8"}
"""All that a worker sees of the caller's environment: nothing."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ProgramLimits:
    """Limits of one run: a program together with the earlier ones of its branch that run again before it."""

    cpu_s: int = 5
    """Seconds of the processor, so that a busy machine changes no result."""
    wall_s: float = 60.0
    """Seconds of the clock, for programs that wait."""
    memory_bytes: int = 512 << 20
    """Above what the worker itself takes."""
    output_bytes: int = 16_384


class Ending(StrEnum):
    """Ending of a program."""

    OK = "ok"
    ERROR = "error"
    """An exception, which the output ends with."""
    TIMEOUT = "timeout"
    OUTPUT = "output"
    """It wrote more than it may."""
    KILLED = "killed"
    """By a signal: it crashed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ProgramResult:
    """Result of a program."""

    ending: Ending
    output: str
    """Standard output and error, and the value of a last expression."""
    signal: str = ""
    """Name of the signal that ended it; of a program that took too long empty where it waited."""
    seconds: float = 0.0


class SandboxPool:
    """Pool that runs at most `workers` programs at once; thread-safe. Workers start when needed and stay warm."""

    def __init__(self, workers: int | None = None) -> None:
        self._limit = workers or min(4, os.cpu_count() or 1)
        self._free = threading.Semaphore(self._limit)
        self._lock = threading.Lock()
        self._idle: dict[str, list[_Worker]] = {}
        """Waiting workers, by the library that they hold."""
        self._missing: tuple[str, ...] | None = None
        atexit.register(self.close)

    @property
    def missing(self) -> tuple[str, ...]:
        """Protections that this system lacks, though programs are confined without them. Starts a worker."""
        if self._missing is None:
            self.run("")
        return self._missing or ()

    def run(
        self,
        code: str,
        earlier: Sequence[str] = (),
        limits: ProgramLimits | None = None,
        library: Literal["", "numpy", "sympy", "math_verify"] | None = None,
    ) -> ProgramResult:
        """Run a program after `earlier` ones, whose variables it sees; blocks until it ends.

        `library`: what the worker holds (sympy: numpy too); None: what the programs name.

        Raises ConfigError where this system cannot confine it.
        """
        limits = limits or ProgramLimits()
        if len(code) + sum(map(len, earlier)) > _MOST_CODE:
            reason = f"the programs of this branch are longer than {_MOST_CODE:,} characters together"
            return ProgramResult(ending=Ending.ERROR, output=reason)
        named = next((name for name in _LIBRARIES if any(name in each for each in (code, *earlier))), "")
        held = named if library is None else library
        with self._free:
            with self._lock:
                waiting = self._idle.setdefault(held, [])
                worker = waiting.pop() if waiting else None
            if worker is None:
                worker = _Worker(held)
                self._missing = worker.missing
            try:
                reply = worker.ask({"code": code, "earlier": list(earlier), **asdict(limits)}, limits.wall_s + _GRACE_S)
            except BaseException:
                worker.close()
                raise
            if reply is None:
                worker.close()
                return ProgramResult(ending=Ending.KILLED, output="", signal="the worker was lost")
            with self._lock:
                self._idle.setdefault(held, []).append(worker)
        return ProgramResult(**{**reply, "ending": Ending(reply["ending"])})

    def close(self) -> None:
        """End all idle workers. Later programs start new ones."""
        with self._lock:
            idle = [worker for waiting in self._idle.values() for worker in waiting]
            self._idle = {}
        for worker in idle:
            worker.close()


class _Worker:
    """Worker process; see the file `worker.py` for its messages."""

    def __init__(self, library: str) -> None:
        if sys.platform != "linux":
            raise ConfigError("the Python tool needs Linux, whose kernel confines programs; take the tool calculator")
        start = f"import sys; sys.path.insert(0, {str(_FOLDER)!r}); import worker"
        self._process = subprocess.Popen(
            [sys.executable, "-I", "-c", start, library],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env=_ENVIRONMENT,
            bufsize=0,
        )
        self._scratch = ""
        hello = self._read(_START_S) or {"refused": "the worker process did not start; are sympy and numpy installed?"}
        if "refused" in hello:
            self.close()
            raise ConfigError(f"the Python tool cannot confine programs here: {hello['refused']}; see docs/mathematics")
        self.missing, self._scratch = tuple(hello["missing"]), hello["scratch"]

    def ask(self, request: dict[str, Any], wait_s: float) -> dict[str, Any] | None:
        """The reply to a request; None where the worker is lost."""
        body = json.dumps(request).encode()
        source = self._process.stdin
        assert source is not None  # noqa: S101
        data = memoryview(struct.pack(">I", len(body)) + body)
        try:
            while data:
                data = data[source.write(data) or 0 :]
        except OSError:
            return None
        return self._read(wait_s)

    def _read(self, wait_s: float) -> dict[str, Any] | None:
        end = time.monotonic() + wait_s
        head = self._read_bytes(4, end)
        body = head and self._read_bytes(struct.unpack(">I", head)[0], end)
        return json.loads(body) if body else None

    def _read_bytes(self, count: int, end: float) -> bytes | None:
        target = self._process.stdout
        assert target is not None  # noqa: S101
        data = b""
        while len(data) < count:
            left = end - time.monotonic()
            if left <= 0 or not select.select([target], [], [], left)[0]:
                return None
            more = target.read(count - len(data))
            if not more:
                return None
            data += more
        return data

    def close(self) -> None:
        self._process.kill()
        for stream in (self._process.stdin, self._process.stdout):
            if stream is not None:
                stream.close()
        self._process.wait()
        if self._scratch:
            shutil.rmtree(self._scratch, ignore_errors=True)
