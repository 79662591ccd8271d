"""Text files read in bounds and with clear errors, decompressed by name.

A text is UTF-8, with or without a byte order mark, or UTF-16 with one. JSON rows are the entries of a list or one
value per line, whichever the file holds: names decide about compression only. `store` writes them.
"""

from __future__ import annotations

import gzip
import io
import json
import re
import stat
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, Literal, TypeAlias, cast

import orjson

from alpha_umi.errors import DataError, explain_missing_extra

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer

LONGEST_LINE = 64 << 20
"""Characters of one line, at most: a longer one is no row of any data set."""
UNPACKED_FREELY = 64 << 20
MOST_UNPACKED = 200
"""A compressed file may unpack to this many times its size; the first UNPACKED_FREELY bytes are not counted."""
_BYTE_ORDER_MARKS = {b"\xef\xbb\xbf": "utf-8-sig", b"\xff\xfe": "utf-16", b"\xfe\xff": "utf-16"}
_SPACE = re.compile(r"[ \t\r\n]*")
_ZST_CHUNK = 256
"""Compressed bytes that are unpacked at a time: at most 8 MiB of text."""
_PEEKED = 1 << 10
"""Characters of a first line that are read before it is known to be no list."""
_WINDOW = 1 << 20
"""Characters of a JSON document that are read at a time."""
_LONGEST_TOKEN = 12
"""Characters of a literal, a number's last part or an escape that the end of a window may cut."""
_LONG_NUMBER, _THREE_DIGITS, _STRIDE = re.compile(r"[0-9]{19}"), re.compile(r"[0-9]{3,}"), 6
"""Part of a number that may be no 64-bit integer; every sixth character of it has three digits one after the other."""

OnBytes: TypeAlias = Callable[[int], object]
"""Callback of a long read: the bytes of the file that have been read, before they are decompressed."""


# --- text -------------------------------------------------------------------------------------------------


def special_kind(path: Path) -> str | None:
    """Name of what is no regular file, such as a pipe, from which a read may never return; None for all else."""
    try:
        mode = path.stat().st_mode
    except (OSError, ValueError):
        return None
    kinds = {stat.S_ISFIFO: "a pipe", stat.S_ISCHR: "a device", stat.S_ISBLK: "a device", stat.S_ISSOCK: "a socket"}
    return next((name for is_kind, name in kinds.items() if is_kind(mode)), None)


def check_regular(path: Path) -> None:
    """Raise DataError for a pipe, a device or a socket; files are read more than once."""
    if kind := special_kind(path):
        raise DataError(f"{path}: is {kind}; save the text as a file and name that")


@contextmanager
def open_text(
    path: Path, errors: Literal["strict", "replace"] = "strict", on_bytes: OnBytes | None = None
) -> Iterator[IO[str]]:
    """Read a text file, decompressing `.gz` and `.zst` by name. Raises DataError naming the path.

    `errors`: whether bytes that are no text are an error, or a mark in the text; `on_bytes`: see `OnBytes`.
    """
    encoding = "utf-8"
    check_regular(path)
    try:
        with _open_binary(path, on_bytes) as raw:
            encoding = _encoding(raw)
            with io.TextIOWrapper(raw, encoding=encoding, errors=errors) as text:
                yield text
    except FileNotFoundError:
        raise DataError(f"{path}: no such file") from None
    except IsADirectoryError:
        raise DataError(f"{path}: is a directory; a file is needed") from None
    except UnicodeDecodeError as error:
        name = "UTF-16" if encoding == "utf-16" else "UTF-8"
        raise DataError(f"{path}: not {name} text at byte {error.start}") from None
    except (OSError, EOFError, zlib.error) as error:
        raise DataError(f"{path}: cannot be read: {error}") from None


def is_plain_text(path: Path) -> bool:
    """Tell whether the bytes of a file are its text: no compression and no byte order mark. Raises DataError."""
    if path.suffix in (".gz", ".zst"):
        return False
    with open_text(path, "replace") as text:
        return cast("io.TextIOWrapper", text).encoding == "utf-8"


def read_lines(path: Path, on_bytes: OnBytes | None = None) -> Iterator[tuple[int, str]]:
    """Read lines with their numbers, one at a time. Raises DataError, also for a line longer than LONGEST_LINE."""
    with open_text(path, on_bytes=on_bytes) as text:
        number = 0
        while line := text.readline(LONGEST_LINE + 1):
            number += 1
            if len(line) > LONGEST_LINE:
                raise DataError(f"{path}:{number}: a line of more than {LONGEST_LINE:,} characters; no row is so long")
            yield number, line


def _encoding(raw: io.BufferedReader) -> str:
    start = raw.peek(4)[:4]
    return next((name for mark, name in _BYTE_ORDER_MARKS.items() if start.startswith(mark)), "utf-8")


# --- compression ------------------------------------------------------------------------------------------


def _open_binary(path: Path, on_bytes: OnBytes | None) -> io.BufferedReader:
    if path.suffix == ".zst":
        with explain_missing_extra("zst", f"{path}: reading .zst"):
            import zstandard  # noqa: F401 # pyright: ignore[reportUnusedImport]
    counted = path.open("rb", 0) if on_bytes is None else _CountedFile(path, on_bytes)
    file: io.BufferedReader = io.BufferedReader(counted, 1 << 17)
    if path.suffix == ".gz":
        return io.BufferedReader(_Unpacked(path, cast("io.BufferedIOBase", _GzipFile(file))), 1 << 17)
    if path.suffix == ".zst":
        return io.BufferedReader(_Unpacked(path, io.BufferedReader(_ZstReader(file))), 1 << 17)
    return file


class _CountedFile(io.FileIO):
    """File whose bytes are counted as they are read."""

    def __init__(self, path: Path, on_bytes: OnBytes) -> None:
        super().__init__(path)
        self._on_bytes, self._count = on_bytes, 0

    def readinto(self, buffer: WriteableBuffer, /) -> int | None:
        count = super().readinto(buffer)
        self._count += count or 0
        self._on_bytes(self._count)
        return count


class _GzipFile(gzip.GzipFile):
    """Decompressed file that closes the file it was given."""

    def __init__(self, file: IO[bytes]) -> None:
        super().__init__(fileobj=file, mode="rb")
        self._file = file

    def close(self) -> None:
        super().close()
        self._file.close()


class _Unpacked(io.RawIOBase):
    """Stream of decompressed bytes that ends with an error where they are out of proportion, or none at all."""

    def __init__(self, path: Path, source: io.BufferedIOBase) -> None:
        self._path = path
        self._source = source
        self._packed = path.stat().st_size
        self._most = max(UNPACKED_FREELY, self._packed * MOST_UNPACKED)
        self._read = 0

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: WriteableBuffer, /) -> int:
        if not self._packed:
            raise EOFError("it is empty, which no compressed file is")
        count = self._source.readinto(buffer)
        self._read += count
        if self._read > self._most:
            times = f"more than {MOST_UNPACKED} times its size ({self._packed:,} bytes)"
            raise DataError(f"{self._path}: unpacks to {times}; if that is meant, unpack it yourself")
        return count

    def close(self) -> None:
        self._source.close()
        super().close()


class _ZstReader(io.RawIOBase):
    """Stream of the text of a `.zst` file; unlike zstandard's own it raises EOFError where the file is cut off."""

    def __init__(self, packed: IO[bytes]) -> None:
        import zstandard

        self._packed = packed
        self._new = zstandard.ZstdDecompressor().decompressobj
        self._error = zstandard.ZstdError
        self._frame: Any = None
        self._input = b""
        self._output = memoryview(b"")

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: WriteableBuffer, /) -> int:
        target = memoryview(buffer).cast("B")
        while not self._output and self._fill():
            pass
        count = min(len(target), len(self._output))
        target[:count] = self._output[:count]
        self._output = self._output[count:]
        return count

    def _fill(self) -> bool:
        """Unpack some more; False at the end of the file."""
        self._input = self._input or self._packed.read(_ZST_CHUNK)
        if not self._input:
            if self._frame is not None:
                raise EOFError("it ends in the middle of its compressed data")
            return False
        self._frame = self._frame or self._new()
        try:
            self._output = memoryview(self._frame.decompress(self._input))
        except self._error as error:
            raise OSError(f"broken zstd data: {error}") from None
        self._input = self._frame.unused_data if self._frame.eof else b""
        if self._frame.eof:
            self._frame = None
        return True

    def close(self) -> None:
        self._packed.close()
        super().close()


# --- JSON -------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class JsonRow:
    """Row of a JSON file: an entry of its list, or one of its values."""

    value: Any
    index: int
    """Number of the row, from 0."""
    line: int
    """Number of the line on which it begins, from 1."""
    where: str
    """For errors: `PATH:LINE`, or `PATH: row INDEX` in a list."""


def read_json(path: Path) -> Any:
    """Read one JSON document. Raises DataError with line and column where it is broken."""
    with open_text(path) as text:
        return parse_json(text.read(), path)


def parse_json(content: str, path: Path, before: int = 0) -> Any:
    """Parse a JSON document that begins after `before` lines of `path`, which errors name. Raises DataError."""
    with _explained(path, before):
        return json.loads(content)


def is_json_lines(path: Path) -> bool:
    """Tell whether a file holds one JSON value per line: its first line is a whole value that is no list, or broken.

    Raises DataError.
    """
    with open_text(path, "replace") as text:
        start = " "
        while start.isspace():
            start = text.readline(_PEEKED)
        if start.lstrip()[:1] in ("", "["):  # a list may be one line as long as the file
            return False
        rest = "" if start.endswith("\n") else text.readline(LONGEST_LINE)
        line = f"{start}{rest}".strip()
        following = _next_line(text)
    try:
        json.loads(line)
    except json.JSONDecodeError as error:
        goes_on = error.pos >= len(line) or error.msg.startswith("Unterminated")
        return not goes_on or following[:1] in ("", "{")
    except (ValueError, RecursionError):
        pass
    return True


def first_line(path: Path) -> str:
    """Read the first line of a file that is not empty, without the space around it. Raises DataError."""
    with open_text(path, "replace") as text:
        return _next_line(text)


def _next_line(text: IO[str]) -> str:
    """Read the next line that is not empty, without the space around it; empty at the end."""
    line = " "
    while line.isspace():
        line = text.readline(LONGEST_LINE)
    return line.strip()


def read_json_rows(path: Path, on_bytes: OnBytes | None = None) -> Iterator[JsonRow]:
    """Read the rows of a file, one at a time: of a list, of JSON Lines, or of values one after another.

    Raises DataError naming path and line.
    """
    if is_json_lines(path):
        return _rows_of_lines(path, on_bytes)
    return _rows_of_document(path, on_bytes)


def read_json_list(path: Path) -> list[Any]:
    """Read the values of all rows of a file. Raises DataError naming path and line."""
    return [row.value for row in read_json_rows(path)]


def _rows_of_lines(path: Path, on_bytes: OnBytes | None) -> Iterator[JsonRow]:
    index = 0
    for number, line in read_lines(path, on_bytes):
        if line.strip():
            value = _parse_line(line, path, number)
            yield JsonRow(value=value, index=index, line=number, where=f"{path}:{number}")
            index += 1


def _parse_line(line: str, path: Path, number: int) -> Any:
    """Parse the JSON value of a line: what orjson reads otherwise than the standard library is left to that one."""
    if not _has_long_number(line):
        try:
            return orjson.loads(line)
        except orjson.JSONDecodeError:
            pass
    return parse_json(line.rstrip("\n"), path, before=number - 1)


def _has_long_number(line: str) -> bool:
    some = line[::_STRIDE]
    if _THREE_DIGITS.search(some) is None:
        return False
    return any(
        _LONG_NUMBER.search(line, max(0, _STRIDE * (found.start() - 1)), _STRIDE * (found.end() + 1))
        for found in _THREE_DIGITS.finditer(some)
    )


def _rows_of_document(path: Path, on_bytes: OnBytes | None) -> Iterator[JsonRow]:
    with open_text(path, on_bytes=on_bytes) as file:
        window = _Window(file, path)
        is_list = window.peek() == "["
        window.at += is_list
        index = 0
        while (window.peek() != "]" or index) if is_list else window.peek():
            line = window.line
            yield JsonRow(value=window.value(), index=index, line=line, where=f"{path}: row {index}")
            index += 1
            if is_list and window.peek() != ",":
                break
            window.at += is_list
        if is_list:
            if window.peek() != "]":
                raise window.error("Expecting ',' delimiter", window.at)
            window.at += 1
            if window.peek():
                raise window.error("Extra data", window.at)


class _Window:
    """Part of a JSON document that is in memory: what has been read is dropped, a value is never cut."""

    def __init__(self, file: IO[str], path: Path) -> None:
        self._file, self._path = file, path
        self._text, self._ended = "", False
        self._line, self._column = 1, 1
        """Of the first character."""
        self._counted, self._breaks = 0, 0
        """A place up to which line breaks are counted, and their number."""
        self.at = 0
        self._decode = json.JSONDecoder().raw_decode

    def peek(self) -> str:
        """Next character that is no space, at which `at` then is; empty at the end."""
        while True:
            self.at = _behind_space(self._text, self.at)
            if self.at < len(self._text) or self._ended:
                return self._text[self.at : self.at + 1]
            self._more()

    def value(self) -> Any:
        """Read the value at `at`, and go behind it. Raises DataError."""
        self.peek()
        while True:
            try:
                value, end = self._decode(self._text, self.at)
            except json.JSONDecodeError as error:
                if self._ended or not self._may_be_cut(error):
                    raise self.error(error.msg, error.pos) from None
            except (RecursionError, ValueError) as error:
                raise _without_place(self._path, self.line, error) from None
            else:
                if end < len(self._text) or self._ended:
                    self.at = end
                    return value
            self._more()

    @property
    def line(self) -> int:
        """Number of the line at `at`."""
        self._breaks += self._text.count("\n", self._counted, self.at)
        self._counted = self.at
        return self._line + self._breaks

    def error(self, message: str, at: int) -> DataError:
        start = self._text.rfind("\n", 0, at)
        column = at - start if start >= 0 else self._column + at
        line = self._line + self._text.count("\n", 0, at)
        return DataError(f"{self._path}:{line}:{column}: broken JSON: {message}")

    def _may_be_cut(self, error: json.JSONDecodeError) -> bool:
        """Tell whether the end of what is in memory can be all that is wrong."""
        return error.msg.startswith("Unterminated") or len(self._text) - error.pos <= _LONGEST_TOKEN

    def _more(self) -> None:
        """Drop what has been read, and double what is left."""
        start = self._text.rfind("\n", 0, self.at)
        self._line = self.line
        self._column = self.at - start if start >= 0 else self._column + self.at
        rest = self._text[self.at :]
        read = self._file.read(max(_WINDOW, len(rest)))
        self._text, self.at, self._ended = rest + read, 0, not read
        self._counted = self._breaks = 0


def _behind_space(content: str, at: int) -> int:
    found = _SPACE.match(content, at)
    return at if found is None else found.end()


@contextmanager
def _explained(path: Path, before: int = 0) -> Iterator[None]:
    """Context manager that turns the errors of the JSON parser into DataErrors."""
    try:
        yield
    except json.JSONDecodeError as error:
        raise DataError(f"{path}:{before + error.lineno}:{error.colno}: broken JSON: {error.msg}") from None
    except (RecursionError, ValueError) as error:
        raise _without_place(path, before + 1, error) from None


def _without_place(path: Path, line: int, error: Exception) -> DataError:
    """Error of the JSON parser that tells no place of its own."""
    what = "nested too deeply" if isinstance(error, RecursionError) else "with a number too long"
    return DataError(f"{path}:{line}: JSON {what} to be read")
