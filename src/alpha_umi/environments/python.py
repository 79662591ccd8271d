"""Python functions as an environment: `@tool` makes one a tool, `load_tools` finds those of a file."""

from __future__ import annotations

import asyncio
import contextvars
import dataclasses
import importlib.util
import inspect
import json
import sys
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from enum import Enum
from pathlib import Path
from types import ModuleType
from typing import Any, cast

from alpha_umi.arguments import Fault, read_arguments
from alpha_umi.environments.signatures import PythonTool, tool
from alpha_umi.errors import ConfigError, DataError
from alpha_umi.types import Call, Observation, ToolSpec, ToolStatus

__all__ = ["PythonEnvironment", "PythonTool", "load_tools", "tool"]


class PythonEnvironment:
    """Runs tools in this process. What they do is theirs: forks share it, and nothing is sandboxed.

    Arguments are checked against the schema before a function is called. A text result is shown as it is, any
    other as JSON. A sync function runs in a thread of its own; after a timeout that thread goes on unheard, for a
    thread cannot be stopped.
    """

    def __init__(self, tools: Iterable[PythonTool], timeout_s: float | None = 30.0) -> None:
        """Raises ConfigError when two tools have one name."""
        self._timeout_s = timeout_s
        self._tools: dict[str, PythonTool] = {}
        for each in tools:
            if each.spec.name in self._tools:
                raise ConfigError(f"two tools are called {each.spec.name!r}; rename one with @tool(name=...)")
            self._tools[each.spec.name] = each

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
        # A tool is somebody else's code: whatever it raises is what it answered.
        try:
            async with limit:
                content = _show(await _run(chosen, chosen.convert(arguments)))
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
    """As asyncio.to_thread, but in a daemon thread: a function that never returns does not keep us from ending."""
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
        # SystemExit too: a tool must not end a thread without a word.
        try:
            result = context.run(function)
        except StopIteration as error:
            failure = RuntimeError(f"StopIteration: {error}")
        except Exception as error:
            failure = error
        except BaseException as error:
            failure = RuntimeError(f"{type(error).__name__}: {error}")
        # Nobody listens any more once the loop is closed.
        with suppress(RuntimeError):
            loop.call_soon_threadsafe(settle, result, failure)

    threading.Thread(target=run, daemon=True, name="tool").start()
    return await future


def _show(result: Any) -> str:
    return result if isinstance(result, str) else json.dumps(result, ensure_ascii=False, default=_plain)


def _plain(value: Any) -> Any:
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return dataclasses.asdict(value)
    if isinstance(value, Enum):
        return value.value
    if isinstance(value, (set, frozenset)):
        return sorted(cast("set[Any]", value), key=str)
    if isinstance(value, Path):
        return str(value)
    raise TypeError(f"a result of type {type(value).__name__} cannot be written as JSON")


# --- files ------------------------------------------------------------------------------------------------


def load_tools(path: Path) -> tuple[PythonTool, ...]:
    """The tools of a Python file, in the order in which it names them. Runs the file.

    Raises DataError when it is missing, cannot be imported or holds no tool.
    """
    if not path.is_file():
        raise DataError(f"{path}: no such file; a Python file with @tool functions is needed")
    module = _import(path)
    tools = {id(value): value for value in vars(module).values() if isinstance(value, PythonTool)}
    if not tools:
        raise DataError(f"{path}: holds no tools; put @tool (from alpha_umi import tool) above its functions")
    return tuple(tools.values())


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
        raise DataError(f"{path}:{error.lineno}: cannot be imported: {error.msg}") from None
    except (Exception, SystemExit) as error:
        raise DataError(f"{path}: cannot be imported: {type(error).__name__}: {error}") from error
    return module


@contextmanager
def _neighbours(folder: Path) -> Iterator[None]:
    """Lets a file import the files beside it, as a script may."""
    entry = str(folder.resolve())
    sys.path.insert(0, entry)
    try:
        yield
    finally:
        with suppress(ValueError):
            sys.path.remove(entry)
