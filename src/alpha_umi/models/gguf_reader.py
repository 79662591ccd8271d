"""GGUF files as llama.cpp writes them: metadata and where each tensor lies; the tensors themselves stay in the file.

Only the structure is known here, not what it means. A file that is cut off, or that claims more than it holds, is an
error that names it; nothing is read beyond its end.
"""

from __future__ import annotations

import functools
import mmap
import struct
from collections.abc import Mapping
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import Any

from alpha_umi.errors import CheckpointError

SUFFIX = ".gguf"
_MAGIC, _VERSIONS, _ALIGNMENT, _MOST_DIMENSIONS = b"GGUF", (2, 3), 32, 4
_AGAIN = "download or copy it again, or name another model"
_STRING, _ARRAY = 8, 9
_SCALARS: Mapping[int, struct.Struct] = {
    number: struct.Struct(f"<{code}")
    for number, code in {
        0: "B",
        1: "b",
        2: "H",
        3: "h",
        4: "I",
        5: "i",
        6: "f",
        7: "?",
        10: "Q",
        11: "q",
        12: "d",
    }.items()
}
"""Types of single values, by their numbers in the file."""
_LENGTH, _COUNT = struct.Struct("<Q"), struct.Struct("<I")


@dataclass(frozen=True, slots=True)
class StoredTensor:
    """Place and type of a tensor in its file."""

    kind: int
    """Number of its quantization type (gguf.GGMLQuantizationType)."""
    shape: tuple[int, ...]
    """Rows first, as torch has it; the file names the columns first."""
    start: int
    """First byte."""

    @property
    def elements(self) -> int:
        return prod(self.shape)


@dataclass(frozen=True, slots=True)
class GGUFFile:
    """An open GGUF file: its metadata, and its tensors by name."""

    path: Path
    metadata: Mapping[str, Any]
    """Values by key; strings are text, arrays are lists."""
    tensors: Mapping[str, StoredTensor]
    content: mmap.mmap
    """The whole file; pages that nothing reads are not loaded."""

    @property
    def architecture(self) -> str:
        return str(self.metadata.get("general.architecture"))

    def get(self, key: str, kind: type | tuple[type, ...], default: Any = None) -> Any:
        """Value of a key, of one of the given types. Raises CheckpointError for another type."""
        value = self.metadata.get(key, default)
        if value is not default and not isinstance(value, kind):
            raise CheckpointError(f"{self.path}: a broken GGUF file: {key} is {type(value).__name__}")
        return value

    def need(self, key: str, kind: type | tuple[type, ...]) -> Any:
        """As `get`, of a key that has to be there. Raises CheckpointError without it."""
        if key not in self.metadata:
            raise CheckpointError(f"{self.path}: this GGUF file does not say {key}, so it is no language model for us")
        return self.get(key, kind)


def is_gguf(name: str) -> bool:
    """Return True for the name of a GGUF file, which need not be there."""
    return name.lower().endswith(SUFFIX)


def open_gguf(path: Path) -> GGUFFile:
    """Open a GGUF file and read its metadata. Raises CheckpointError for a file that is missing, broken or no GGUF.

    The last file is kept, for its template, tokenizer and weights are read one after the other.
    """
    try:
        state = path.stat()
    except OSError as error:
        raise CheckpointError(f"{path}: cannot be read as a GGUF file: {error}") from None
    return _open(path, (state.st_dev, state.st_ino, state.st_size, state.st_mtime_ns))


@functools.lru_cache(maxsize=1)
def _open(path: Path, _state: tuple[int, ...]) -> GGUFFile:
    try:
        with path.open("rb") as file:
            content = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
    except (OSError, ValueError) as error:  # ValueError: an empty file
        raise CheckpointError(f"{path}: cannot be read as a GGUF file: {error}; {_AGAIN}") from None
    if content[:4] != _MAGIC:
        raise CheckpointError(f"{path}: not a GGUF file (its first bytes are {content[:4]!r}); {_AGAIN}")
    try:
        return _read(path, content)
    except (struct.error, ValueError, OverflowError, KeyError) as error:
        raise CheckpointError(f"{path}: a broken GGUF file, or one that is not whole: {error}; {_AGAIN}") from None


def _read(path: Path, content: mmap.mmap) -> GGUFFile:
    cursor = _Cursor(content, 4)
    version = cursor.take(_COUNT)
    if version not in _VERSIONS:
        raise CheckpointError(
            f"{path}: GGUF of version {version}; known: {', '.join(map(str, _VERSIONS))}, little-endian"
        )
    tensors, keys = cursor.take(_LENGTH), cursor.take(_LENGTH)
    cursor.check(tensors + keys)
    metadata = {cursor.text(): cursor.value(cursor.take(_COUNT)) for _ in range(keys)}
    if metadata.get("split.count", 1) not in (0, 1):
        raise CheckpointError(
            f"{path}: one part of a model in several files; join them by llama.cpp's llama-gguf-split"
        )
    named = [_read_tensor(cursor) for _ in range(tensors)]
    alignment = metadata.get("general.alignment", _ALIGNMENT)
    if not isinstance(alignment, int) or alignment < 1:
        raise ValueError(f"alignment {alignment!r}")
    begin = -(-cursor.at // alignment) * alignment
    if any(begin + start >= len(content) for _, _, _, start in named):
        raise ValueError("the file ends before its weights do")
    return GGUFFile(
        path=path,
        metadata=metadata,
        tensors={name: StoredTensor(kind, shape, begin + start) for name, kind, shape, start in named},
        content=content,
    )


def _read_tensor(cursor: _Cursor) -> tuple[str, int, tuple[int, ...], int]:
    name, dimensions = cursor.text(), cursor.take(_COUNT)
    if dimensions > _MOST_DIMENSIONS:
        raise ValueError(f"tensor {name!r} has {dimensions} dimensions")
    shape = tuple(cursor.take(_LENGTH) for _ in range(dimensions))[::-1]
    kind = cursor.take(_COUNT)
    return name, kind, shape, cursor.take(_LENGTH)


class _Cursor:
    """Position in a file's bytes."""

    def __init__(self, content: mmap.mmap, at: int) -> None:
        self._content, self.at = content, at

    def check(self, wanted: int) -> None:
        """Raise ValueError where fewer than `wanted` bytes are left."""
        if wanted > len(self._content) - self.at:
            raise ValueError(f"{wanted} bytes are claimed at byte {self.at}, {len(self._content) - self.at} are there")

    def take(self, kind: struct.Struct) -> Any:
        (value,) = kind.unpack_from(self._content, self.at)
        self.at += kind.size
        return value

    def text(self) -> str:
        length = self.take(_LENGTH)
        self.check(length)
        self.at += length
        return self._content[self.at - length : self.at].decode("utf-8", "replace")

    def _texts(self, count: int) -> list[str]:
        """As `text`, many times; a vocabulary has a hundred thousand."""
        content, at, end, found = self._content, self.at, len(self._content), list[str]()
        for _ in range(count):
            (length,) = _LENGTH.unpack_from(content, at)
            start = at + _LENGTH.size
            at = start + length
            if at > end:
                raise ValueError(f"{length} bytes are claimed at byte {start}, {end - start} are there")
            found.append(str(content[start:at], "utf-8", "replace"))
        self.at = at
        return found

    def value(self, kind: int) -> Any:
        if kind == _STRING:
            return self.text()
        if kind != _ARRAY:
            return self.take(_SCALARS[kind])
        inner, count = self.take(_COUNT), self.take(_LENGTH)
        self.check(count)
        if inner == _ARRAY:
            raise ValueError("arrays of arrays")
        if inner == _STRING:
            return self._texts(count)
        single = _SCALARS[inner]
        self.check(count * single.size)
        values = struct.unpack_from(f"<{count}{single.format[1:]}", self._content, self.at)
        self.at += count * single.size
        return list(values)
