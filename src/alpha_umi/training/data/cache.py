"""On-disk cache of tokenised trajectories, shared by epochs and runs.

Every process appends to a file of its own, which it holds locked; all read all. A record is framed by its length
and a checksum, so whatever a crash, a full disk or another process leaves behind is not read: it counts as
missing and is made again. Files are read by position and never mapped: one that is cut short under a mapping
kills the process that reads it.
"""

from __future__ import annotations

import contextlib
import itertools
import logging
import os
import struct
import zlib
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from filelock import lock_descriptor

from alpha_umi.errors import StorageError
from alpha_umi.training.data.labels import TokenizedExample, TokenizedTrajectory
from alpha_umi.types import Role

_log = logging.getLogger(__name__)
_FRAME = struct.Struct("<4sIII")
"""Magic, index of the trajectory, bytes of the record behind, checksum of it and the index."""
_MAGIC = b"umi1"
_HEAD = struct.Struct("<IIIB")
"""Of a record: bytes of the id, targets, examples, bytes per token id."""
_ROLES = tuple(Role)
_PLACE = 40
"""Number of lower bits of a record's address that hold its offset; the upper ones hold the number of its file."""
_MISSING = -1


class TokenCache:
    """Cache of the tokenized trajectories of one corpus under one fingerprint; any number of processes may use it at
    once."""

    def __init__(self, folder: Path, fingerprint: str, units: int) -> None:
        self._folder = folder / f"tokens-{fingerprint}"
        self._arguments = (folder, fingerprint, units)
        self._places = np.full(units, _MISSING, dtype=np.int64)
        self._files: list[_File] = []
        self._own: _OwnFile | None = None
        self._process = os.getpid()
        self._full = False

    def __reduce__(self) -> tuple[type[TokenCache], tuple[Path, str, int]]:
        return TokenCache, self._arguments

    def get(self, index: int) -> TokenizedTrajectory | None:
        """Unit that any process has put for a trajectory; None where there is no whole one."""
        if self._places[index] == _MISSING:
            self._look()
        place = int(self._places[index])
        if place == _MISSING:
            return None
        record = self._files[place >> _PLACE].read(place & (1 << _PLACE) - 1, index)
        if record is None:
            self._places[index] = _MISSING
            return None
        return _decode(record)

    def put(self, index: int, unit: TokenizedTrajectory) -> None:
        """Keep a unit. A disk without room is no reason to stop: nothing more is kept then, and it is logged."""
        if self._process != os.getpid():  # a lock taken before a fork is the parent's
            self._own, self._process = None, os.getpid()
        if self._full:
            return
        try:
            self._own = self._own or _OwnFile.claim(self._folder)
            self._own.append(index, _encode(unit))
        except OSError as error:
            self._full = True
            _log.warning("%s: tokenised examples are no longer kept: %s", self._folder, error.strerror or error)

    def close(self) -> None:
        """Release this process's file for others; its records stay."""
        if self._own is not None and self._process == os.getpid():
            self._own.close()
        self._own = None
        for file in self._files:
            file.close()
        self._files.clear()
        self._places[:] = _MISSING

    def _look(self) -> None:
        """Index the records written since the last look."""
        known = {file.path for file in self._files}
        self._files += [_File(path) for path in _paths(self._folder) if path not in known]
        for number, file in enumerate(self._files):
            for index, offset in file.news():
                if index < len(self._places):
                    self._places[index] = number << _PLACE | offset


def _paths(folder: Path) -> list[Path]:
    return sorted(folder.glob("*.tokens")) if folder.is_dir() else []


# --- files ------------------------------------------------------------------------------------------------


class _File:
    """Cache file that some process may be appending to."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._handle = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        self._seen = 0

    def close(self) -> None:
        os.close(self._handle)

    def news(self) -> Iterator[tuple[int, int]]:
        """Index and offset of every record that is new and whole by its length."""
        size = os.fstat(self._handle).st_size
        for index, offset, stop in _walk(self._handle, self._seen, size):
            self._seen = stop
            yield index, offset

    def read(self, offset: int, index: int) -> bytes | None:
        """Record at `offset` if it is whole and that of `index`."""
        return _read(self._handle, offset, index)


class _OwnFile:
    """Cache file that this process alone appends to."""

    def __init__(self, handle: int) -> None:
        self._handle = handle
        self._size = os.fstat(handle).st_size

    @classmethod
    def claim(cls, folder: Path) -> _OwnFile:
        """Claim a file that no process appends to, truncated to its whole records; else a new one."""
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except FileExistsError:
            raise StorageError(f"{folder}: is no folder, so no cache can be kept there; remove it") from None
        paths = _paths(folder)
        fresh = (folder / f"{number:04}.tokens" for number in range(len(paths), 10_000))
        for path in itertools.chain(paths, fresh):
            handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o644)
            try:
                locked = lock_descriptor(handle, blocking=False)
            except OSError:
                os.close(handle)
                raise
            if not locked:
                os.close(handle)
                continue
            os.ftruncate(handle, _whole(handle))
            return cls(handle)
        raise StorageError(f"{folder}: ten thousand processes keep tokens here already")

    def append(self, index: int, record: bytes) -> None:
        frame = _FRAME.pack(_MAGIC, index, len(record), _checksum(index, record))
        written = 0
        try:
            written = os.write(self._handle, frame + record)
            if written < len(frame) + len(record):
                raise OSError(28, "No space left on device")
        except OSError:
            with contextlib.suppress(OSError):
                os.ftruncate(self._handle, self._size)
            raise
        self._size += written

    def close(self) -> None:
        os.close(self._handle)


def _walk(handle: int, start: int, size: int) -> Iterator[tuple[int, int, int]]:
    """Iterate over index, offset and end of the records, by their frames alone."""
    while start + _FRAME.size <= size:
        frame = os.pread(handle, _FRAME.size, start)
        if len(frame) < _FRAME.size:
            return
        magic, index, length, _ = _FRAME.unpack(frame)
        stop = start + _FRAME.size + length
        if magic != _MAGIC or stop > size:
            return
        yield index, start, stop
        start = stop


def _read(handle: int, offset: int, index: int) -> bytes | None:
    frame = os.pread(handle, _FRAME.size, offset)
    if len(frame) < _FRAME.size:
        return None
    magic, found, length, checksum = _FRAME.unpack(frame)
    record = os.pread(handle, length, offset + _FRAME.size)
    if magic != _MAGIC or found != index or len(record) < length or _checksum(index, record) != checksum:
        return None
    return record


def _whole(handle: int) -> int:
    """Number of bytes up to the first record that is not whole."""
    whole = 0
    for index, offset, stop in _walk(handle, 0, os.fstat(handle).st_size):
        if _read(handle, offset, index) is None:
            break
        whole = stop
    return whole


def _checksum(index: int, record: bytes) -> int:
    return zlib.crc32(record, index)


# --- records ----------------------------------------------------------------------------------------------


def _encode(unit: TokenizedTrajectory) -> bytes:
    """Encode of each example only the ids that it does not share with the one before."""
    name = unit.id.encode("utf-8", "surrogatepass")
    highest = max((int(example.ids.max()) for example in unit.examples), default=0)
    width = np.uint16 if highest < 1 << 16 else np.int32
    table = np.zeros((len(unit.examples), 6), dtype=np.int32)
    fresh: list[bytes] = []
    before = np.zeros(0, np.int32)
    for row, example in zip(table, unit.examples, strict=True):
        shared = _shared(before, example.ids)
        row[:] = (
            _ROLES.index(example.role),
            example.number,
            example.cut,
            shared,
            len(example.ids) - shared,
            len(example.parts),
        )
        fresh.append(example.ids[shared:].astype(width).tobytes())
        before = example.ids
    head = _HEAD.pack(len(name), unit.targets, len(unit.examples), np.dtype(width).itemsize)
    parts = (example.parts.tobytes() for example in unit.examples)
    return b"".join((head, name, table.tobytes(), *fresh, *parts))


def _decode(record: bytes) -> TokenizedTrajectory:
    named, targets, count, size = _HEAD.unpack_from(record)
    at = _HEAD.size + named
    table = np.frombuffer(record, np.int32, count * 6, at).reshape(count, 6)
    at += table.nbytes
    fresh = np.frombuffer(record, np.uint16 if size == 2 else np.int32, int(table[:, 4].sum()), at)
    parts = np.frombuffer(record, np.uint8, int(table[:, 5].sum()), at + fresh.nbytes)
    examples: list[TokenizedExample] = []
    ids, at, mark = np.zeros(0, np.int32), 0, 0
    for role, number, cut, shared, own, marked in table.tolist():
        ids = np.concatenate([ids[:shared], fresh[at : at + own].astype(np.int32)])
        examples.append(
            TokenizedExample(
                role=_ROLES[role], number=number, ids=ids, parts=parts[mark : mark + marked], cut=bool(cut)
            )
        )
        at, mark = at + own, mark + marked
    return TokenizedTrajectory(
        id=record[_HEAD.size : _HEAD.size + named].decode("utf-8", "surrogatepass"),
        targets=targets,
        examples=tuple(examples),
    )


def _shared(left: np.ndarray, right: np.ndarray) -> int:
    length = min(len(left), len(right))
    differs = left[:length] != right[:length]
    return int(differs.argmax()) if differs.any() else length
