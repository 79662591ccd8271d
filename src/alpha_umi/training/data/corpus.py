"""Index of trajectory files: position, size and number of examples of each trajectory, read from disk on demand.

Files are walked once, on all cores, and every line is checked; what is found is kept beside the token cache and
made again when a file's size or time of change is another. Compressed files, which cannot be read from the middle,
are unpacked there once, and other layouts (processed dialogues, JSON lists) written out as trajectories. Only what is
asked for is ever read into memory.
"""

from __future__ import annotations

import hashlib
import io
import multiprocessing
import os
import shutil
import signal
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from itertools import accumulate
from pathlib import Path
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from alpha_umi.errors import AlphaUMiError, DataError
from alpha_umi.store import parse_trajectory, write_bytes, write_text, write_trajectories
from alpha_umi.text_files import LONGEST_LINE, first_line, is_json_lines, is_plain_text, open_text
from alpha_umi.training.data.examples import count_targets
from alpha_umi.types import Role, Trajectory

Progress: TypeAlias = Callable[[int, int], None]
"""Callback with the number of bytes done and of all bytes."""

_RULES = 2
"""Changes with what counts as an example and with what an entry holds."""
_ROLES = tuple(Role)
_ENTRY = np.dtype([("offset", "<i8"), ("size", "<i4"), ("place", "<u4"), ("examples", "<i4", (len(_ROLES),))])
"""Of one trajectory; 36 bytes, mapped from disk."""
_PIECE = 8 << 20
"""Bytes that one process walks at a time."""
_ALONE = 8
"""Number of pieces up to which one process is faster than starting more."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Sources:
    """Trajectory files and the options of reading them."""

    paths: Sequence[Path]
    """Lines of trajectories, packed ones (`.gz`, `.zst`), and files of another layout."""
    folder: Path
    """Folder of the index."""
    read_dialogues: Callable[[Path], Iterable[Trajectory]]
    """For files of another layout."""
    limit: int | None = None
    """Limit on the number of trajectories, counted from the first."""


class Corpus:
    """Random access to trajectories by index; cheap to send to another process and safe to use after a fork."""

    def __init__(self, files: Sequence[_File], limit: int | None = None) -> None:
        self._files = tuple(files)
        self._limit = limit
        self._starts = [0, *accumulate(len(file.index) for file in files)]

    @classmethod
    def open(cls, sources: Sources, progress: Progress | None = None, workers: int | None = None) -> Corpus:
        """Index what is new or changed. Raises DataError naming the file and line that is wrong.

        `workers`: processes; None: one per core. Several processes may open the same sources at once.
        """
        texts = [_as_lines(path, sources) for path in sources.paths]
        entries = [_index_path(text, sources.folder) for text in texts]
        missing = [(text, entry) for text, entry in zip(texts, entries, strict=True) if not entry.exists()]
        total, done = sum(text.size for text, _ in missing), 0
        for text, entry in missing:
            found: list[np.ndarray] = []
            for piece, walked in _walk(text, workers):
                found.append(piece)
                if progress is not None:
                    progress(done + walked, total)
            _keep(entry, np.concatenate([np.zeros(0, _ENTRY), *found]))
            done += text.size
        return cls([_File(text, entry) for text, entry in zip(texts, entries, strict=True)], sources.limit)

    def __reduce__(self) -> tuple[type[Corpus], tuple[tuple[_File, ...], int | None]]:
        return Corpus, (self._files, self._limit)

    def __len__(self) -> int:
        return self._starts[-1] if self._limit is None else min(self._starts[-1], self._limit)

    def counts(self, roles: Iterable[Role]) -> NDArray[np.int64]:
        """Number of examples of these roles in each trajectory, [n], before any length limit."""
        columns = [_ROLES.index(role) for role in roles]
        return self._column(lambda index: index["examples"][:, columns].sum(axis=1, dtype=np.int64))

    @property
    def sizes(self) -> NDArray[np.int64]:
        """Bytes of each trajectory as text, [n]."""
        return self._column(lambda index: index["size"].astype(np.int64))

    @property
    def places(self) -> NDArray[np.float64]:
        """Split position of each query in [0, 1), [n]: uniform over queries, equal for equal ones."""
        return self._column(lambda index: index["place"] / 2.0**32)

    @property
    def fingerprint(self) -> str:
        """Fingerprint of the files in the state in which they were indexed, and of their order."""
        return hashlib.sha256("\n".join(file.entry.name for file in self._files).encode()).hexdigest()[:16]

    def read(self, index: int) -> Trajectory:
        """Read one trajectory. Raises DataError where its file is no longer the one that was indexed."""
        if not 0 <= index < len(self):
            raise IndexError(index)
        number = int(np.searchsorted(self._starts, index, side="right")) - 1
        return self._files[number].read(index - self._starts[number])

    def tool_names(self, most: int = 256, looked_at: int = 20_000) -> tuple[str, ...] | None:
        """Names of the tools that are offered in trajectories, sorted; None for more than `most`.

        Of more trajectories than `looked_at` so many are read, evenly spread. Raises DataError as `read` does.
        """
        names = set[str]()
        for index in range(0, len(self), max(len(self) // looked_at, 1)):
            names.update(tool.name for tool in self.read(index).task.tools)
            if len(names) > most:
                return None
        return tuple(sorted(names))

    def _column(self, take: Callable[[np.ndarray], NDArray]) -> NDArray:
        return np.concatenate([np.zeros(0, np.int64), *(take(file.index) for file in self._files)])[: len(self)]


class _File:
    """File of lines and its index."""

    def __init__(self, text: _Text, entry: Path) -> None:
        self.text = text
        self.entry = entry
        self.index: np.ndarray = np.load(entry, mmap_mode="r") if entry.stat().st_size > 1 << 16 else np.load(entry)
        self._handle: int | None = None

    def __reduce__(self) -> tuple[type[_File], tuple[_Text, Path]]:
        return _File, (self.text, self.entry)

    def __del__(self) -> None:
        if (handle := getattr(self, "_handle", None)) is not None:
            os.close(handle)

    def read(self, row: int) -> Trajectory:
        offset, size = int(self.index["offset"][row]), int(self.index["size"][row])
        if self._handle is None:
            self._handle = self._open()
        return self.text.parse(os.pread(self._handle, size, offset), offset)

    def _open(self) -> int:
        try:
            handle = os.open(self.text.path, os.O_RDONLY | os.O_CLOEXEC)
        except OSError as error:
            raise DataError(f"{self.text.path}: cannot be read: {error.strerror}") from None
        state = os.fstat(handle)
        if (state.st_size, state.st_mtime_ns) != (self.text.size, self.text.changed):
            os.close(handle)
            raise DataError(f"{self.text.path}: changed while it is being learned from; start again with --resume")
        return handle


# --- texts ------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Text:
    """File of one trajectory per line, in the state in which it was found."""

    path: Path
    source: Path
    """The user's file, named in errors; `path` may be made from it, line by line."""
    size: int
    changed: int
    """In nanoseconds."""

    def parse(self, line: bytes, offset: int) -> Trajectory:
        """Parse one line. Raises DataError naming the line."""
        try:
            return parse_trajectory(line.decode(), self.source, 1)
        except (UnicodeDecodeError, AlphaUMiError):
            return self._complain(line, offset)

    def _complain(self, line: bytes, offset: int) -> Trajectory:
        """Raise the same error with the number of the line, which takes a walk through the file."""
        with self.path.open("rb") as file:
            number = 1 + sum(file.read(min(_PIECE, offset - at)).count(b"\n") for at in range(0, offset, _PIECE))
        try:
            return parse_trajectory(line.decode(), self.source, number)
        except UnicodeDecodeError as error:
            raise DataError(f"{self.source}:{number}: not UTF-8 text at byte {error.start} of the line") from None


def _as_lines(path: Path, sources: Sources) -> _Text:
    """The file itself, or its conversion to lines, made once beside the index."""
    found, has_lines = _find(path, path), _has_trajectory_lines(path)
    if has_lines and is_plain_text(path):
        return found
    made = sources.folder / "texts" / f"{path.name.split('.')[0]}-{_state(found)}.jsonl"
    if not made.exists():
        if has_lines:
            with open_text(path) as packed, write_text(made) as text:
                shutil.copyfileobj(packed, text, _PIECE)
        else:
            write_trajectories(made, sources.read_dialogues(path))
    return _find(made, path)


def _has_trajectory_lines(path: Path) -> bool:
    """Tell whether a file has one row per line that is no dialogue. Raises DataError."""
    return is_json_lines(path) and '"conversations"' not in first_line(path)


def _find(path: Path, source: Path) -> _Text:
    with open_text(path):
        state = path.stat()
    return _Text(path.resolve(), source, state.st_size, state.st_mtime_ns)


def _state(text: _Text) -> str:
    return hashlib.sha256(f"{text.path}\n{text.size}\n{text.changed}\n{_RULES}".encode()).hexdigest()[:16]


# --- the index --------------------------------------------------------------------------------------------


def _index_path(text: _Text, folder: Path) -> Path:
    return folder / "index" / f"{text.source.name.split('.')[0]}-{_state(text)}.npy"


def _keep(path: Path, index: np.ndarray) -> None:
    """Write an index; it appears under its name only when it is whole."""
    file = io.BytesIO()
    np.save(file, index)
    write_bytes(path, file.getvalue())


def _walk(text: _Text, workers: int | None) -> Iterator[tuple[np.ndarray, int]]:
    """Index entries piece by piece in order, each with the bytes done. Raises DataError for the first broken line."""
    bounds = [(text, start, min(start + _PIECE, text.size)) for start in range(0, text.size, _PIECE)]
    cores = workers or len(os.sched_getaffinity(0))
    if len(bounds) <= _ALONE or cores < 2:
        for piece in bounds:
            yield _walk_piece(*piece), piece[2]
        return
    context = multiprocessing.get_context("spawn")  # this process has threads, so forking it is not safe
    with ProcessPoolExecutor(min(cores, len(bounds)), mp_context=context, initializer=_start_worker) as pool:
        try:
            for piece, (_, _, stop) in zip(pool.map(_walk_piece, *zip(*bounds, strict=True)), bounds, strict=True):
                yield piece, stop
        finally:
            pool.shutdown(cancel_futures=True)


def _start_worker() -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the parent's to handle


def _walk_piece(text: _Text, start: int, stop: int) -> np.ndarray:
    """Index entries of the lines that begin between `start` and `stop`."""
    entries: list[tuple[int, int, int, list[int]]] = []
    with text.path.open("rb") as file:
        if start:
            file.seek(start - 1)
            file.readline()
        offset = file.tell()
        while offset < stop and (line := file.readline(LONGEST_LINE + 1)):
            if len(line) > LONGEST_LINE:
                raise DataError(f"{text.source}: a line of more than {LONGEST_LINE:,} bytes; no row is so long")
            if not line.isspace():
                entries.append((offset, len(line), *_measure(text.parse(line, offset))))
            offset += len(line)
    return np.array(entries, dtype=_ENTRY)


def _measure(trajectory: Trajectory) -> tuple[int, list[int]]:
    """Split position of a trajectory's query, and the number of examples of each role."""
    query = trajectory.task.query.encode("utf-8", "surrogatepass")
    place = int.from_bytes(hashlib.sha256(query).digest()[:4], "big")
    counts = count_targets(trajectory)
    return place, [counts[role] for role in _ROLES]
