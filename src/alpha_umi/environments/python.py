"""Environment of Python functions, and the tools of a Python file."""

from __future__ import annotations

import asyncio
import contextvars
import importlib.util
import inspect
import sys
import traceback
from collections.abc import Awaitable, Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from types import ModuleType
from typing import Any

from alpha_umi.arguments import Fault, read_arguments
from alpha_umi.environments.results import write_result
from alpha_umi.environments.signatures import PythonTool, as_tool, name_tools, tool
from alpha_umi.environments.tool_threads import ToolThreadError, run_coroutine, run_in_thread
from alpha_umi.errors import AlphaUMiError, ConfigError, DataError, describe
from alpha_umi.formats.prompts.unknown_tools import unknown_tool
from alpha_umi.protocols import Environment
from alpha_umi.types import Call, Json, Observation, ToolSpec, ToolStatus

_IN_CALLERS_LOOP: contextvars.ContextVar[bool] = contextvars.ContextVar("in_callers_loop", default=False)
__all__ = ["CallersLoopEnvironment", "PythonEnvironment", "PythonTool", "as_tool", "load_tools", "tool"]


class PythonEnvironment:
    """Environment that runs Python functions in this process. Forks share what they change; nothing is sandboxed.

    Arguments are checked against the schema before a function is called. A text result is shown as it is, any
    other as JSON. A sync function runs in a thread of its own, coroutines in one event loop beside the caller's. After
    a timeout a thread goes on, and its result is dropped, for a thread cannot be stopped. What ends the process
    (os._exit, a crash of a C library) ends all: such tools belong behind an MCP server (`umi mcp --offer tools`).
    """

    def __init__(self, tools: Iterable[Callable[..., Any]], timeout_s: float | None = 30.0) -> None:
        """Functions without `@tool` become tools as well. Raises ConfigError when two tools have one name."""
        self._timeout_s = timeout_s
        self._tools = name_tools(tools)

    @property
    def tools(self) -> tuple[ToolSpec, ...]:
        return tuple(each.spec for each in self._tools.values())

    async def execute(self, call: Call) -> Observation:
        chosen = self._tools.get(call.name)
        if chosen is None:
            return unknown_tool(call.name)
        arguments = read_arguments(chosen.spec, call.arguments)
        if isinstance(arguments, Fault):
            return Observation(content=arguments.reason, status=ToolStatus.BAD_ARGUMENTS)
        try:
            return await _run(chosen, arguments, self._timeout_s)
        except TimeoutError:
            content = f"{call.name} did not answer within {self._timeout_s:g} s"
            return Observation(content=content, status=ToolStatus.TIMEOUT)
        except ToolThreadError as error:
            return Observation(content=f"{call.name} did not run: {error}", status=ToolStatus.ERROR)

    def fork(self) -> PythonEnvironment:
        return PythonEnvironment(self._tools.values(), self._timeout_s)


class CallersLoopEnvironment:
    """Environment whose coroutines run in the event loop that calls it, where they find the clients that belong to it.

    One that blocks this loop is beyond its timeout.
    """

    def __init__(self, inner: Environment) -> None:
        self._inner = inner

    @property
    def tools(self) -> tuple[ToolSpec, ...]:
        return self._inner.tools

    async def execute(self, call: Call) -> Observation:
        token = _IN_CALLERS_LOOP.set(True)
        try:
            return await self._inner.execute(call)
        finally:
            _IN_CALLERS_LOOP.reset(token)

    def fork(self) -> CallersLoopEnvironment:
        return CallersLoopEnvironment(self._inner.fork())


# A tool and the types of its parameters are the user's code: whatever they raise, of any class, is what it answered.


async def _run(chosen: PythonTool, arguments: dict[str, Json], timeout_s: float | None) -> Observation:
    """Run a tool off this event loop. Raises TimeoutError, ToolThreadError."""
    here = _IN_CALLERS_LOOP.get()
    if inspect.iscoroutinefunction(chosen.function):
        return await run_coroutine(lambda: _answer_later(chosen, arguments), timeout_s, here=here)
    async with asyncio.timeout(timeout_s):
        answer = await run_in_thread(lambda: _answer(chosen, arguments))
        if isinstance(answer, Observation):
            return answer
        return await run_coroutine(lambda: _await(answer), timeout_s, here=here)


def _answer(chosen: PythonTool, arguments: dict[str, Json]) -> Observation | Awaitable[Any]:
    """Call a tool; its observation, or what is to be awaited for it."""
    try:
        values = chosen.convert(arguments)
        if isinstance(values, Fault):
            return Observation(content=values.reason, status=ToolStatus.BAD_ARGUMENTS)
        result = chosen.function(**values)
        return result if inspect.isawaitable(result) else Observation(content=write_result(result))
    except BaseException as error:
        return _describe(error)


async def _answer_later(chosen: PythonTool, arguments: dict[str, Json]) -> Observation:
    answer = _answer(chosen, arguments)
    return answer if isinstance(answer, Observation) else await _await(answer)


async def _await(awaitable: Awaitable[Any]) -> Observation:
    try:
        return Observation(content=write_result(await awaitable))
    except BaseException as error:
        return _describe(error)


def _describe(error: BaseException) -> Observation:
    leaves = not isinstance(error, Exception) or isinstance(error, StopIteration)
    content = f"{'RuntimeError: ' if leaves else ''}{describe(error)}"
    return Observation(content=content, status=ToolStatus.ERROR)


# --- files ------------------------------------------------------------------------------------------------


def load_tools(path: Path) -> tuple[PythonTool, ...]:
    """Return the tools of a Python file, in the order in which it names them. Runs the file.

    Raises DataError when it is missing or holds no tool, and ConfigError when it cannot be imported or two tools have
    one name.
    """
    if not path.is_file():
        raise DataError(f"{path}: no such file; a Python file with @tool functions is needed")
    module = _import(path)
    tools = {id(value): value for value in vars(module).values() if isinstance(value, PythonTool)}
    if not tools:
        raise DataError(f"{path}: holds no tools; put @tool (from alpha_umi import tool) above its functions")
    try:
        return tuple(name_tools(tools.values()).values())
    except ConfigError as error:
        raise ConfigError(f"{path}: {error}") from None


def _import(path: Path) -> ModuleType:
    name = f"alpha_umi_tools_{path.stem}"
    spec = importlib.util.spec_from_file_location(name, path)
    if spec is None or spec.loader is None:
        raise DataError(f"{path}: is not a Python file (.py)")
    module = importlib.util.module_from_spec(spec)
    # Type hints and dataclasses look their module up by name.
    sys.modules[name] = module
    # The file is the user's: whatever it raises, it could not be imported.
    try:
        with _neighbours(path.parent):
            spec.loader.exec_module(module)
    except SyntaxError as error:
        raise ConfigError(f"{error.filename or path}:{error.lineno}: cannot be imported: {error.msg}") from None
    except AlphaUMiError as error:
        raise ConfigError(f"{path}{_line(path, error)}: {error}") from None
    except (Exception, SystemExit) as error:
        raise ConfigError(f"{path}{_line(path, error)}: cannot be imported: {type(error).__name__}: {error}") from error
    return module


def _line(path: Path, error: BaseException) -> str:
    """`:NUMBER` of the line of a file that raised, or that called what did."""
    lines = [frame.lineno for frame in traceback.extract_tb(error.__traceback__) if Path(frame.filename) == path]
    return f":{lines[-1]}" if lines else ""


@contextmanager
def _neighbours(folder: Path) -> Iterator[None]:
    """Let a file import the files beside it, as a script can."""
    entry = str(folder.resolve())
    sys.path.insert(0, entry)
    try:
        yield
    finally:
        with suppress(ValueError):
            sys.path.remove(entry)
