"""File storage of trajectories (JSONL) and documents (JSON): read with clear errors, written whole or not at all.

A file is written beside its place and renamed into it, so a reader sees the old one or the new one; parts that a killed
process left there are removed. The one exception is `Ledger`, which appends finished rows one by one so that an
interrupted run can go on.
"""

from __future__ import annotations

import fcntl
import gzip
import io
import json
import os
import secrets
import shutil
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, Any, cast

import orjson

from alpha_umi.errors import AlphaUMiError, ConfigError, DataError, StorageError
from alpha_umi.record_faults import task_fault, trajectory_fault
from alpha_umi.text_files import open_text as open_text
from alpha_umi.text_files import parse_json, read_json_rows, read_lines, special_kind
from alpha_umi.text_files import read_json as read_json
from alpha_umi.types import (
    Answer,
    Call,
    Decision,
    Json,
    Observation,
    Plan,
    Review,
    StopReason,
    Task,
    ToolSpec,
    ToolStatus,
    Trajectory,
    Turn,
    Usage,
    User,
)

SCHEMA = "alpha_umi.trajectory/1"
MARK = ".alpha_umi"
"""Marker file of a folder that was made here, and may be emptied and made again."""
_OWN_PARTS = set[str]()
"""Names of the parts that this process is writing."""
_SWEPT = set[Path]()
_WRITTEN_AT_ONCE = 1 << 17
"""Bytes of a file that are kept back until then."""


# --- whole files ------------------------------------------------------------------------------------------


@contextmanager
def write_text(path: Path) -> Iterator[IO[str]]:
    """Write a text file that appears at `path` only when all of it is there."""
    with _write_whole(path) as raw:
        packed = _compress(path, raw)
        text = io.TextIOWrapper(packed, encoding="utf-8", newline="\n")
        try:
            yield text
        finally:
            if packed is raw:
                text.detach()  # its lock ends with it
            else:
                text.close()


def write_bytes(path: Path, content: bytes) -> None:
    """Write a file that appears at `path` only when all of it is there. Raises StorageError."""
    with _write_whole(path) as raw:
        raw.write(content)


@contextmanager
def _write_whole(path: Path) -> Iterator[IO[bytes]]:
    if kind := special_kind(path):
        raise StorageError(f"{path}: is {kind}, which a file would replace; name another place")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        _sweep(path.parent)
        with _open_part(path.parent) as raw:
            yield raw
            raw.flush()
            part = Path(raw.name)
            part.chmod(0o644)
            part.replace(path)
    except OSError as error:
        reason = error.strerror or error
        raise StorageError(f"{path}: cannot be written: {reason}; what was there is unchanged") from error


@contextmanager
def _open_part(folder: Path) -> Iterator[IO[bytes]]:
    """Open a file that is locked while it is written, and gone afterwards unless it was renamed."""
    while True:
        part = folder / f".umi-{secrets.token_hex(6)}.part"
        _OWN_PARTS.add(part.name)
        try:
            with part.open("xb", _WRITTEN_AT_ONCE) as raw:
                with suppress(OSError):  # a file system without locks
                    fcntl.lockf(raw, fcntl.LOCK_EX)
                if part.exists():
                    yield raw
                    return
        finally:
            part.unlink(missing_ok=True)
            _OWN_PARTS.discard(part.name)


def _sweep(folder: Path) -> None:
    """Remove parts that no process is writing; once per folder and process."""
    place = folder.absolute()
    if place in _SWEPT:
        return
    _SWEPT.add(place)
    for part in place.glob(".umi-*.part"):
        if part.name not in _OWN_PARTS:
            with suppress(OSError), part.open("r+b") as file:
                fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                part.unlink()


def _compress(path: Path, raw: IO[bytes]) -> IO[bytes]:
    if path.suffix == ".gz":
        return cast("IO[bytes]", gzip.GzipFile(filename="", mode="wb", fileobj=raw, mtime=0))
    if path.suffix == ".zst":
        import zstandard

        return cast("IO[bytes]", zstandard.ZstdCompressor().stream_writer(raw, closefd=False))
    return raw


def write_json(path: Path, document: Any) -> None:
    """Write one JSON document, indented by two as the published files are."""
    with write_text(path) as text:
        json.dump(document, text, indent=2)


def read_rows(path: Path) -> Iterator[tuple[int, Any]]:
    """Read the rows of a JSONL file with their line numbers, one at a time; empty lines are skipped."""
    for number, line in read_lines(path):
        if line.strip():
            yield number, parse_json(line.rstrip("\n"), path, before=number - 1)


# --- folders ----------------------------------------------------------------------------------------------


def make_folder(path: Path) -> None:
    """Make a folder, with those above it, unless it is there. Raises StorageError."""
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise StorageError(f"{path}: cannot be a folder: {error.strerror or error}; name another place") from None


def claim_folder(path: Path, *, emptied: bool = False) -> None:
    """Make a folder with a marker file; `emptied`: remove what it holds.

    Raises ConfigError for one that holds files but no marker, and is left alone; StorageError.
    """
    make_folder(path)
    mark = path / MARK
    try:
        entries = [entry for entry in path.iterdir() if entry != mark]
        if entries and not mark.exists():
            raise ConfigError(f"{path}: holds something else; name another --out")
        mark.write_text("This folder was made by umi, which may remove all that is in it.\n", encoding="utf-8")
        for entry in entries if emptied else ():
            if entry.is_dir() and not entry.is_symlink():
                shutil.rmtree(entry)
            else:
                entry.unlink()
    except OSError as error:
        raise StorageError(f"{path}: cannot be emptied: {error}; name another place") from None


# --- trajectories -----------------------------------------------------------------------------------------


def read_trajectories(path: Path) -> Iterator[Trajectory]:
    """Read trajectories one by one, in constant memory. Raises DataError naming the line."""
    for row in read_json_rows(path):
        yield _decode(row.value, row.where)


def parse_trajectory(line: str, path: Path, number: int) -> Trajectory:
    """Parse the trajectory of one line, which is line `number` of `path`. Raises DataError naming the line."""
    return _decode(parse_json(line.rstrip("\n"), path, before=number - 1), f"{path}:{number}")


def _decode(row: Any, where: str) -> Trajectory:
    try:
        return decode_trajectory(row)
    except AlphaUMiError as error:
        raise DataError(f"{where}: {error}") from None


def write_trajectories(path: Path, trajectories: Iterable[Trajectory]) -> int:
    """Write all trajectories or none; returns their number."""
    count = 0
    with write_text(path) as text:
        for trajectory in trajectories:
            text.write(dump_line(encode_trajectory(trajectory)))
            count += 1
    return count


def dump_line(row: Any) -> str:
    """Write one line of JSONL, in UTF-8 without escapes, but for lone surrogates, which UTF-8 cannot hold."""
    line = json.dumps(row, ensure_ascii=False, separators=(",", ":"))
    if not line.isascii():
        try:
            line.encode()
        except UnicodeEncodeError:
            line = json.dumps(row, separators=(",", ":"))
    return line + "\n"


def dump_row(row: Any) -> str:
    """Write one line of JSONL as `dump_line` does, faster; a number that is no number becomes null.

    Numbers may be spelled otherwise, so what is compared byte by byte is written by `dump_line`.
    """
    try:
        return orjson.dumps(row, option=orjson.OPT_APPEND_NEWLINE).decode()
    except TypeError:  # a long integer, or half a surrogate pair
        return dump_line(row)


def encode_trajectory(trajectory: Trajectory) -> dict[str, Json]:
    """Encode one trajectory as JSON without loss."""
    return {
        "schema": SCHEMA,
        "task": encode_task(trajectory.task),
        "turns": [encode_turn(turn) for turn in trajectory.turns],
        "stop": str.__str__(trajectory.stop),
        "usage": encode_usage(trajectory.usage),
    }


def encode_task(task: Task) -> dict[str, Json]:
    return {
        "id": task.id,
        "query": task.query,
        "tools": [
            {
                "name": tool.name,
                "description": tool.description,
                "parameters": dict(tool.parameters),
                **({"confirm": True} if tool.confirm else {}),
            }
            for tool in task.tools
        ],
        "metadata": dict(task.metadata),
    }


def encode_usage(usage: Usage) -> dict[str, Json]:
    return {
        "prompt_tokens": usage.prompt_tokens,
        "completion_tokens": usage.completion_tokens,
        "completions": usage.completions,
    }


def encode_turn(turn: Turn) -> dict[str, Json]:
    # Exact types, the usual ones first: this runs for every turn of a data set.
    if type(turn) is Plan:
        return {"turn": "plan", "thought": turn.thought, "decision": str.__str__(turn.decision)}
    if type(turn) is Call:
        encoded: dict[str, Json] = {"turn": "call", "name": turn.name, "arguments": turn.arguments}
        if turn.confidence is not None:
            encoded["confidence"] = turn.confidence
        return encoded
    if type(turn) is Observation:
        encoded = {"turn": "observation", "content": turn.content, "status": str.__str__(turn.status)}
        if turn.mends:
            encoded["mends"] = list(turn.mends)
        return encoded
    if isinstance(turn, Review):
        return {"turn": "review", "text": turn.text, "accepted": turn.accepted}
    if isinstance(turn, User | Answer):
        return {"turn": "user" if isinstance(turn, User) else "answer", "text": turn.text}
    raise TypeError(type(turn))


def decode_trajectory(row: Any) -> Trajectory:
    """Decode a trajectory, the inverse of `encode_trajectory`. Raises DataError that names the field."""
    if not isinstance(row, Mapping):
        raise DataError("not a trajectory: a JSON object is needed")
    row = cast("Mapping[str, Any]", row)
    if row.get("schema") != SCHEMA:
        raise DataError(
            f"schema is {row.get('schema')!r}, this version reads {SCHEMA!r}; is this file made by 'umi prepare'?"
        )
    try:
        return Trajectory(
            task=_task(row["task"]),
            turns=tuple(decode_turn(turn) for turn in row["turns"]),
            stop=StopReason(row.get("stop", StopReason.UNFINISHED)),
            usage=Usage(**(row.get("usage") or {})),
        )
    except (DataError, KeyError, TypeError, ValueError, AttributeError) as error:
        raise DataError(f"not a trajectory: {trajectory_fault(row) or error}") from None


def decode_task(row: Any) -> Task:
    """Decode a task, the inverse of `encode_task`. Raises DataError that names the field."""
    try:
        return _task(row)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise DataError(f"not a task: {task_fault(row) or error}") from None


def _task(row: Any) -> Task:
    return Task(
        id=row["id"],
        query=row["query"],
        tools=tuple(ToolSpec(**tool) for tool in row["tools"]),
        metadata=row.get("metadata") or {},
    )


_TURNS: Mapping[str, Callable[[Mapping[str, Any]], Turn]] = {
    "user": lambda row: User(text=row["text"]),
    "plan": lambda row: Plan(thought=row["thought"], decision=Decision(row["decision"])),
    "call": lambda row: Call(name=row["name"], arguments=row["arguments"], confidence=_confidence(row)),
    "observation": lambda row: Observation(
        content=row["content"],
        status=ToolStatus(row.get("status", ToolStatus.OK)),
        mends=tuple(map(str, row.get("mends") or ())),
    ),
    "answer": lambda row: Answer(text=row["text"]),
    "review": lambda row: Review(text=row["text"], accepted=row["accepted"]),
}


def _confidence(row: Mapping[str, Any]) -> float | None:
    value = row.get("confidence")
    if value is not None and (isinstance(value, bool) or not isinstance(value, int | float) or not value <= 0):
        raise ValueError(f"a call's confidence is {value!r}, but must be a number of at most 0, or null")
    return value


def decode_turn(row: Mapping[str, Any]) -> Turn:
    """Decode a turn, the inverse of `encode_turn`."""
    kind = row["turn"]
    if kind not in _TURNS:
        raise DataError(f"unknown turn {kind!r}; known: {', '.join(_TURNS)}")
    return _TURNS[kind](row)


# --- files that grow ------------------------------------------------------------------------------------


def append_rows(path: Path, rows: Iterable[Any]) -> None:
    """Append rows to a JSONL file, all of them in one write; they are on the disk when this returns."""
    text = "".join(dump_line(row) for row in rows).encode()
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("ab", buffering=0) as file:
            whole = file.tell()
            try:
                while text:
                    text = text[file.write(text) or 0 :]
                os.fsync(file.fileno())
            except OSError:
                os.truncate(path, whole)
                raise
    except OSError as error:
        raise StorageError(f"{path}: cannot be written: {error.strerror or error}") from error


def drop_half_line(path: Path) -> None:
    """Truncate a JSONL file after its last line break, where a killed process left half a line.

    Only for the one process that appends.
    """
    try:
        with path.open("rb+") as file:
            end = whole = file.seek(0, os.SEEK_END)
            while whole and (at := _last_break(file, whole)) != whole:
                whole = at
            if whole < end:
                file.truncate(whole)
    except FileNotFoundError:
        pass


def _last_break(file: IO[bytes], end: int, block: int = 1 << 16) -> int:
    """Offset just behind the last line break of the block before `end`; without one, the start of that block."""
    start = max(end - block, 0)
    file.seek(start)
    return start + file.read(end - start).rfind(b"\n") + 1


# --- ledgers ----------------------------------------------------------------------------------------------


class Ledger:
    """Ledger of finished rows by key, appended one at a time. A row that a crash cut short is not read."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def read(self) -> dict[str, Any]:
        """Read all whole rows by key."""
        return self._scan()[0]

    def mend(self) -> None:
        """Truncate the file after the last whole row; for the one process that appends."""
        whole = self._scan()[1]
        try:
            if whole < self._path.stat().st_size:
                os.truncate(self._path, whole)
        except FileNotFoundError:
            pass

    def _scan(self) -> tuple[dict[str, Any], int]:
        """Whole rows, and the bytes they take."""
        rows: dict[str, Any] = {}
        whole = 0
        try:
            lines = self._path.read_bytes().splitlines(keepends=True)
        except FileNotFoundError:
            return rows, whole
        for line in lines:
            try:
                row = json.loads(line)
                key, value = row["key"], row["row"]
            except (ValueError, KeyError, TypeError):
                break
            if not line.endswith(b"\n"):
                break
            rows[key] = value
            whole += len(line)
        return rows, whole

    def append(self, key: str, row: Any) -> None:
        """Append one finished row; it is on disk when this returns."""
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            with self._path.open("ab") as file:
                whole = file.tell()
                try:
                    file.write(dump_line({"key": key, "row": row}).encode())
                    file.flush()
                except OSError:
                    os.truncate(self._path, whole)
                    raise
        except OSError as error:
            raise StorageError(f"{self._path}: cannot be written: {error.strerror or error}") from error
