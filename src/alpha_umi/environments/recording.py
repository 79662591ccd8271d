"""Recordings of observations by call, and environments that write and replay them, in any order and for any task.

A call is known by its tool and its arguments in canonical form (keys sorted, no blanks between), so the layout
that a model wrote does not matter.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import cast

from alpha_umi.errors import DataError, StorageError
from alpha_umi.formats.prompts.unknown_tools import unknown_tool
from alpha_umi.protocols import Environment
from alpha_umi.text_files import check_regular
from alpha_umi.types import Call, Json, Observation, ToolSpec, ToolStatus


def canonical_arguments(text: str) -> str:
    """Return one text for all layouts of the same JSON; text that is no JSON stays as it is, without blanks around."""
    try:
        value: Json = json.loads(text)
    except (ValueError, RecursionError):
        return text.strip()
    return json.dumps(value, sort_keys=True, ensure_ascii=False, separators=(",", ":"))


def address(call: Call) -> str:
    """Return the key under which a call is stored: SHA-256 of its name and canonical arguments."""
    named = json.dumps([call.name, canonical_arguments(call.arguments)], ensure_ascii=False)
    return hashlib.sha256(named.encode("utf-8", "surrogatepass")).hexdigest()


class Recording:
    """Observations of calls, in a JSONL file that grows by whole lines, or in memory."""

    def __init__(self, path: Path | None = None) -> None:
        """Raises DataError naming file and line where one is broken; a last line cut short is left out."""
        self._path = path
        self._known: dict[str, Observation] = {}
        for call, observation in _read(path) if path is not None and path.exists() else ():
            self._known.setdefault(address(call), observation)

    def __len__(self) -> int:
        return len(self._known)

    def find(self, call: Call) -> Observation | None:
        """Return the observation of a call, or None where it is not recorded."""
        return self._known.get(address(call))

    def add(self, call: Call, observation: Observation) -> None:
        """Keep an observation; of several of one call the first stays. Raises StorageError."""
        key = address(call)
        if key in self._known:
            return
        self._known[key] = observation
        if self._path is not None:
            row = {
                "name": call.name,
                "arguments": canonical_arguments(call.arguments),
                "content": observation.content,
                "status": observation.status.value,
            }
            _append(self._path, json.dumps(row))


class RecordedEnvironment:
    """Environment that answers from a recording alone."""

    def __init__(self, tools: tuple[ToolSpec, ...], recording: Recording) -> None:
        self._tools, self._recording = tools, recording

    @property
    def tools(self) -> tuple[ToolSpec, ...]:
        return self._tools

    async def execute(self, call: Call) -> Observation:
        found = self._recording.find(call)
        if found is not None:
            return found
        if call.name not in {tool.name for tool in self._tools}:
            return unknown_tool(call.name)
        content = f"no call of '{call.name}' with these arguments is recorded"
        return Observation(content=content, status=ToolStatus.ERROR)

    def fork(self) -> RecordedEnvironment:
        return self


class RecordingEnvironment:
    """Environment that calls another one where nothing is recorded yet, and records its observations.

    Timeouts and rate limits are not recorded. For tools whose reply depends on the call alone: changes by a call are
    not replayed.
    """

    def __init__(self, inner: Environment, recording: Recording) -> None:
        self._inner, self._recording = inner, recording

    @property
    def tools(self) -> tuple[ToolSpec, ...]:
        return self._inner.tools

    async def execute(self, call: Call) -> Observation:
        found = self._recording.find(call)
        if found is None:
            found = await self._inner.execute(call)
            if found.status not in (ToolStatus.TIMEOUT, ToolStatus.RATE_LIMITED):
                self._recording.add(call, found)
        return found

    def fork(self) -> RecordingEnvironment:
        return RecordingEnvironment(self._inner.fork(), self._recording)


def _read(path: Path) -> Iterator[tuple[Call, Observation]]:
    check_regular(path)
    try:
        data = path.read_bytes()
        # What follows the last line break was cut off while it was written; the next row takes its place.
        whole = data.rfind(b"\n") + 1
        if whole < len(data):
            os.truncate(path, whole)
        lines = data[:whole].decode("utf-8").split("\n")
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"{path}: cannot be read: {error}") from None
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        try:
            row = cast("dict[str, str]", json.loads(line))
            call = Call(name=row["name"], arguments=row["arguments"])
            observation = Observation(content=row["content"], status=ToolStatus(row["status"]))
        except (ValueError, KeyError, TypeError) as error:
            raise DataError(f"{path}:{number}: is no recorded observation: {error}; delete the line") from None
        yield call, observation


def _append(path: Path, line: str) -> None:
    """One write at the end of the file, so that lines of several writers do not mix."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
        try:
            os.write(handle, f"{line}\n".encode())
        finally:
            os.close(handle)
    except OSError as error:
        raise StorageError(f"{path}: cannot be written: {error.strerror or error}") from error
