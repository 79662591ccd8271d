"""Environment of Python functions, and the tools of a Python file."""

from __future__ import annotations

import asyncio
import contextvars
import importlib.util
import inspect
import sys
import threading
import traceback
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from types import ModuleType
from typing import Any

from alpha_umi.arguments import Fault, read_arguments
from alpha_umi.environments.results import write_result
from alpha_umi.environments.signatures import PythonTool, as_tool, name_tools, tool
from alpha_umi.errors import AlphaUMiError, ConfigError, DataError
from alpha_umi.types import Call, Observation, ToolSpec, ToolStatus

__all__ = ["PythonEnvironment", "PythonTool", "as_tool", "load_tools", "tool"]


class PythonEnvironment:
    """Environment that runs Python functions in this process. Forks share what they change; nothing is sandboxed.

    Arguments are checked against the schema before a function is called. A text result is shown as it is, any
    other as JSON. A sync function runs in a thread of its own; after a timeout that thread goes on, and its result is
    dropped, for a thread cannot be stopped.
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
            return Observation(content=f"there is no tool '{call.name}'", status=ToolStatus.UNKNOWN_TOOL)
        arguments = read_arguments(chosen.spec, call.arguments)
        if isinstance(arguments, Fault):
            return Observation(content=arguments.reason, status=ToolStatus.BAD_ARGUMENTS)
        limit = asyncio.timeout(self._timeout_s)
        # A tool and the types of its parameters are the user's code: whatever they raise is what the tool answered.
        try:
            values = chosen.convert(arguments)
            if isinstance(values, Fault):
                return Observation(content=values.reason, status=ToolStatus.BAD_ARGUMENTS)
            async with limit:
                content = write_result(await _run(chosen, values))
        except Exception as error:
            if limit.expired():
                content = f"{call.name} did not answer within {self._timeout_s:g} s"
                return Observation(content=content, status=ToolStatus.TIMEOUT)
            return Observation(content=f"{type(error).__name__}: {error}", status=ToolStatus.ERROR)
        return Observation(content=content)

    def fork(self) -> PythonEnvironment:
        return PythonEnvironment(self._tools.values(), self._timeout_s)


async def _run(chosen: PythonTool, arguments: dict[str, Any]) -> Any:
    if inspect.iscoroutinefunction(chosen.function):
        return await chosen.function(**arguments)
    result = await _run_in_thread(lambda: chosen.function(**arguments))
    return await result if inspect.isawaitable(result) else result


async def _run_in_thread(function: Callable[[], Any]) -> Any:
    """As asyncio.to_thread, but in a daemon thread: a function that never returns does not keep the process alive."""
    loop = asyncio.get_running_loop()
    future: asyncio.Future[Any] = loop.create_future()
    context = contextvars.copy_context()

    def settle(result: Any, error: Exception | None) -> None:
        if future.done():
            return
        if error is None:
            future.set_result(result)
        else:
            future.set_exception(error)

    def run() -> None:
        result, failure = None, None
        # SystemExit too: a tool must not end a thread without a result.
        try:
            result = context.run(function)
        except StopIteration as error:
            failure = RuntimeError(f"StopIteration: {error}")
        except Exception as error:
            failure = error
        except BaseException as error:
            failure = RuntimeError(f"{type(error).__name__}: {error}")
        # A closed loop takes no result.
        with suppress(RuntimeError):
            loop.call_soon_threadsafe(settle, result, failure)

    threading.Thread(target=run, daemon=True, name="tool").start()
    return await future


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
