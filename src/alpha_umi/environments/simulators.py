"""Tools of benchmarks that keep a state, run by the benchmark's own code in another interpreter.

The program there reads a JSON value a line and answers each by one; of the package it knows nothing.
"""

from __future__ import annotations

import asyncio
import itertools
import json
import subprocess
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from alpha_umi.errors import ConfigError
from alpha_umi.formats.prompts.unknown_tools import unknown_tool
from alpha_umi.types import Call, Json, Observation, Task, ToolSpec, ToolStatus

_TIMEOUT_S = 20.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Program:
    """Program that runs the tools of one benchmark."""

    path: Path
    setting: str
    """Option that names its interpreter, for errors."""
    install: str
    """Command that installs the benchmark there, for errors."""
    failed: str
    """Beginning of the result of a call that failed."""


class Simulator:
    """Process of another interpreter that runs calls in sessions; started by the first request.

    A call that takes too long ends the process, and with it all sessions, which are played again where they go on.
    """

    def __init__(self, python: Path, program: Program) -> None:
        self._python, self.program = python, program
        self._process: subprocess.Popen[str] | None = None
        self._lock = threading.Lock()
        self._numbers = itertools.count()
        self.generation = 0
        """Number of processes that ended."""

    def open_session(self) -> str:
        """Return the name of a new session."""
        return f"s{next(self._numbers)}"

    def run(
        self, session: str, simulation: Json, calls: Sequence[Mapping[str, Json]], *, introduced: bool = False
    ) -> list[str] | None:
        """Run calls in a session; a result for each, or None where they took too long. Raises ConfigError.

        `introduced`: one result more, the text that the benchmark shows above a question in this state.
        """
        answer = self.ask({"session": session, "simulation": simulation, "calls": calls, "introduced": introduced})
        return None if answer is None else answer["results"]

    def ask(self, request: Mapping[str, Any]) -> dict[str, Any] | None:
        """Ask the program one line; None where its answer took too long. Raises ConfigError."""
        with self._lock:
            process = self._process or self._start()
            pipes = process.stdin, process.stdout
            if pipes[0] is None or pipes[1] is None:
                raise AssertionError("the process was started with pipes")
            timer = threading.Timer(_TIMEOUT_S, process.kill)
            timer.start()
            try:
                pipes[0].write(json.dumps(request) + "\n")
                pipes[0].flush()
                line = pipes[1].readline()
            except BrokenPipeError:
                line = ""
            finally:
                timer.cancel()
            return json.loads(line) if line else self._ended(process)

    def _start(self) -> subprocess.Popen[str]:
        try:
            self._process = subprocess.Popen(
                [self._python, self.program.path],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                text=True,
                encoding="utf-8",
            )
        except OSError as error:
            raise ConfigError(f"{self.program.setting} {self._python}: cannot be run: {error}") from None
        return self._process

    def _ended(self, process: subprocess.Popen[str]) -> None:
        """Account for a process that ended. Raises ConfigError where it could not begin."""
        self._process = None
        self.generation += 1
        said = process.communicate()[1].strip().splitlines()
        if process.returncode > 0:
            last = said[-1] if said else "no message"
            setting, install = self.program.setting, self.program.install
            raise ConfigError(f"{setting} {self._python}: its simulation ended: {last}; there: {install}")

    def close(self) -> None:
        """End the process."""
        if self._process is not None:
            self._process.kill()
            self._process.communicate()
            self._process = None

    async def aclose(self) -> None:
        """End the process."""
        await asyncio.to_thread(self.close)


class SimulatorEnvironment:
    """Environment of a task whose tools a simulator runs; a fork takes the state along by playing the calls again.

    Arguments reach the tools as they were written, as JSON values. `earlier`: calls that made the state it begins in.
    """

    def __init__(self, task: Task, simulator: Simulator, earlier: Sequence[Mapping[str, Json]] = ()) -> None:
        self._task, self._simulator = task, simulator
        self._earlier = tuple(earlier)
        self._session: tuple[int, str] | None = None

    @property
    def tools(self) -> tuple[ToolSpec, ...]:
        return self._task.tools

    async def execute(self, call: Call) -> Observation:
        if call.name not in {tool.name for tool in self._task.tools}:
            return unknown_tool(call.name)
        arguments = read_object(call.arguments)
        if arguments is None:
            return Observation(content="the arguments are no JSON object", status=ToolStatus.BAD_ARGUMENTS)
        return await asyncio.to_thread(self._run, {"name": call.name, "arguments": arguments})

    def _run(self, call: Mapping[str, Json]) -> Observation:
        simulator = self._simulator
        calls: tuple[Mapping[str, Json], ...] = (call,)
        if self._session is None or self._session[0] != simulator.generation:
            self._session = simulator.generation, simulator.open_session()
            calls = (*self._earlier, call)
        results = simulator.run(self._session[1], self._task.metadata["simulation"], calls)
        if results is None:
            return Observation(content=f"no result within {_TIMEOUT_S:g} s", status=ToolStatus.TIMEOUT)
        self._earlier = (*self._earlier, call)
        status = ToolStatus.ERROR if results[-1].startswith(simulator.program.failed) else ToolStatus.OK
        return Observation(content=results[-1], status=status)

    def fork(self) -> SimulatorEnvironment:
        return SimulatorEnvironment(self._task, self._simulator, self._earlier)


def read_object(text: str) -> dict[str, Any] | None:
    """Read the arguments of a call; None where they are no JSON object."""
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        return None
    return value if isinstance(value, dict) else None
