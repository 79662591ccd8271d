"""The Python tool: an environment that runs models' programs in the sandbox and keeps their variables by branch."""

from __future__ import annotations

import asyncio
import re

from alpha_umi.arguments import Fault, read_arguments
from alpha_umi.environments.sandbox.pool import Ending, ProgramLimits, ProgramResult, SandboxPool
from alpha_umi.formats.prompts.unknown_tools import unknown_tool
from alpha_umi.types import Call, Observation, ToolSpec, ToolStatus

PYTHON = ToolSpec(
    name="python",
    description="Runs a Python program; sympy and numpy are there. Returns what it prints and the value of its last "
    "line. Variables stay for later programs.",
    parameters={
        "type": "object",
        "properties": {"code": {"type": "string", "description": "The program."}},
        "required": ["code"],
    },
)
_FENCED = re.compile(r"\s*```(?:python|py)?[ \t]*\n(.*?)\n?```\s*", re.DOTALL | re.IGNORECASE)


class SandboxEnvironment:
    """Environment of the tool `python`. A fork has the variables of its branch so far and changes them for itself.

    A branch is the list of its programs: before a new one they run again in a fresh process, with the same seeds of
    `random` and `numpy.random`, and the limits hold for all of them together. A program that was stopped is not of the
    list; one that raised an exception is.
    """

    def __init__(
        self, pool: SandboxPool | None = None, limits: ProgramLimits | None = None, programs: tuple[str, ...] = ()
    ) -> None:
        self._pool = pool or SandboxPool()
        self._limits = limits or ProgramLimits()
        self._programs = programs

    @property
    def tools(self) -> tuple[ToolSpec, ...]:
        return (PYTHON,)

    @property
    def missing(self) -> tuple[str, ...]:
        """Protections that this system lacks; see `SandboxPool.missing`."""
        return self._pool.missing

    async def execute(self, call: Call) -> Observation:
        """Run a program. Raises ConfigError where this system cannot confine it."""
        if call.name != PYTHON.name:
            return unknown_tool(call.name)
        arguments = read_arguments(PYTHON, call.arguments)
        if isinstance(arguments, Fault):
            return Observation(content=arguments.reason, status=ToolStatus.BAD_ARGUMENTS)
        code = str(arguments["code"])
        fenced = _FENCED.fullmatch(code)
        code = fenced[1] if fenced else code
        result = await asyncio.to_thread(self._pool.run, code, self._programs, self._limits)
        if result.ending in (Ending.OK, Ending.ERROR):
            self._programs = (*self._programs, code)
        return _observe(result, self._limits)

    def fork(self) -> SandboxEnvironment:
        return SandboxEnvironment(self._pool, self._limits, self._programs)

    async def aclose(self) -> None:
        """End the worker processes."""
        await asyncio.to_thread(self._pool.close)


def _observe(result: ProgramResult, limits: ProgramLimits) -> Observation:
    output = result.output.rstrip("\n")
    match result.ending:
        case Ending.OK:
            return Observation(content=output or "(no output)")
        case Ending.ERROR:
            return Observation(content=output, status=ToolStatus.ERROR)
        case Ending.TIMEOUT:
            taken = f"{limits.cpu_s} s of the processor" if result.signal else f"{limits.wall_s:g} s"
            reason, status = f"stopped: the program took over {taken}", ToolStatus.TIMEOUT
        case Ending.OUTPUT:
            reason = f"stopped: the program wrote over {limits.output_bytes:,} bytes"
            output, status = output[:1000], ToolStatus.ERROR
        case Ending.KILLED:
            reason, status = f"stopped: the program crashed ({result.signal or 'killed'})", ToolStatus.ERROR
    return Observation(content=f"{output}\n{reason}".lstrip("\n"), status=status)
