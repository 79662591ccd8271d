"""Environment of a BFCL task of several turns: calls of bfcl-eval's simulated classes, run by another interpreter."""

from __future__ import annotations

import asyncio
import itertools
import json
import subprocess
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from alpha_umi.errors import ConfigError
from alpha_umi.formats.prompts.unknown_tools import unknown_tool
from alpha_umi.types import Call, Json, Observation, Task, ToolSpec, ToolStatus

INSTALL = (
    "pip install --no-deps bfcl-eval==2026.3.23 numpy==1.26.4 tree_sitter==0.21.3 tree-sitter-java==0.21.0 "
    "tree-sitter-javascript==0.21.4 mpmath==1.3.0 rank-bm25==0.2.2 overrides==7.7.0 filelock==4.3.1"
)
_SIMULATOR = Path(__file__).with_name("simulator.py")
_FAILED = "Error during execution"
_TIMEOUT_S = 20.0


class Simulator:
    """Process of another interpreter with bfcl-eval that runs calls in sessions; started by the first call.

    A call that takes too long ends the process, and with it all sessions, which are played again where they go on.
    """

    def __init__(self, python: Path) -> None:
        self._python = python
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

        `introduced`: one result more, the text that BFCL shows above a question in this state.
        """
        asked = {"session": session, "simulation": simulation, "calls": calls, "introduced": introduced}
        with self._lock:
            process = self._process or self._start()
            pipes = process.stdin, process.stdout
            if pipes[0] is None or pipes[1] is None:
                raise AssertionError("the process was started with pipes")
            timer = threading.Timer(_TIMEOUT_S, process.kill)
            timer.start()
            try:
                pipes[0].write(json.dumps(asked) + "\n")
                pipes[0].flush()
                line = pipes[1].readline()
            except BrokenPipeError:
                line = ""
            finally:
                timer.cancel()
            return json.loads(line)["results"] if line else self._ended(process)

    def _start(self) -> subprocess.Popen[str]:
        try:
            self._process = subprocess.Popen(
                [self._python, _SIMULATOR],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                text=True,
                encoding="utf-8",
            )
        except OSError as error:
            raise ConfigError(f"bfcl.python {self._python}: cannot be run: {error}") from None
        return self._process

    def _ended(self, process: subprocess.Popen[str]) -> None:
        """Account for a process that ended. Raises ConfigError where it could not begin."""
        self._process = None
        self.generation += 1
        said = process.communicate()[1].strip().splitlines()
        if process.returncode > 0:
            last = said[-1] if said else "no message"
            raise ConfigError(f"bfcl.python {self._python}: its simulation ended: {last}; there: {INSTALL}")

    async def aclose(self) -> None:
        """End the process."""
        if self._process is not None:
            self._process.kill()
            await asyncio.to_thread(self._process.communicate)
            self._process = None


class BfclEnvironment:
    """Environment of the simulated classes of a BFCL task, whose state a fork takes along by playing the calls again.

    Arguments reach the classes as they were written, as JSON values.
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
        arguments = _read_object(call.arguments)
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
        status = ToolStatus.ERROR if results[-1].startswith(_FAILED) else ToolStatus.OK
        return Observation(content=results[-1], status=status)

    def fork(self) -> BfclEnvironment:
        return BfclEnvironment(self._task, self._simulator, self._earlier)


def played_before(task: Task) -> list[Mapping[str, Json]]:
    """Calls of earlier tasks that the state of this one comes from; those that could not be run are left out."""
    offered = {tool.name for tool in task.tools}
    played: list[Mapping[str, Json]] = []
    earlier = task.metadata.get("earlier")
    for call in earlier if isinstance(earlier, list) else []:
        name, text = (call.get("name"), call.get("arguments")) if isinstance(call, dict) else (None, None)
        arguments = _read_object(text) if isinstance(text, str) else None
        if isinstance(name, str) and name in offered and arguments is not None:
            played.append({"name": name, "arguments": arguments})
    return played


def introduce(simulator: Simulator, task: Task) -> str:
    """Text that BFCL shows above a question about its memory: what it is, and what is in it. Raises ConfigError."""
    simulation = task.metadata.get("simulation")
    if not isinstance(simulation, dict) or "scenario" not in simulation:
        return ""
    results = simulator.run(simulator.open_session(), simulation, played_before(task), introduced=True)
    return "" if results is None else results[-1]


def _read_object(text: str) -> dict[str, Any] | None:
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        return None
    return value if isinstance(value, dict) else None
