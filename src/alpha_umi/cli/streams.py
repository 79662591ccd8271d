"""Standard streams of the command line: a full disk is an error of the user, text of any kind can be printed."""

from __future__ import annotations

import os
import sys
from collections.abc import Generator, Iterable
from contextlib import contextmanager, suppress
from typing import Any, TextIO

from alpha_umi.errors import AlphaUMiError, StorageError
from alpha_umi.plain_text import plain

BROKEN_PIPE = 1
"""Exit code where the reader of the output has gone."""


@contextmanager
def checked_streams() -> Generator[None]:
    """Write to the standard output and to stderr with errors of ours.

    What stderr cannot take is dropped. Raises SystemExit where the standard output cannot be written, which is printed,
    or its reader has gone.
    """
    before = sys.stdout, sys.stderr
    streams = [stream or open(os.devnull, "w") for stream in before]  # noqa: PTH123, SIM115  None: closed by the caller
    sys.stdout, sys.stderr = _Checked(streams[0]), _Checked(streams[1], drops=True)  # type: ignore[assignment]
    try:
        try:
            yield
        finally:
            sys.stdout.flush()
    except BrokenPipeError:
        _silence(streams[0])
        raise SystemExit(BROKEN_PIPE) from None
    except StorageError as error:
        print_error(error)
        _silence(streams[0])
        raise SystemExit(error.exit_code) from None
    finally:
        sys.stdout, sys.stderr = before


def echo(text: object = "", *, end: str = "\n", err: bool = False) -> None:
    """Print a text, its control characters replaced, on the standard output or on stderr."""
    print(plain(str(text)), end=end, file=sys.stderr if err else sys.stdout)


def print_error(error: AlphaUMiError) -> None:
    """Print an error of the user as one line."""
    echo(f"error: {' '.join(str(error).split())}", err=True)


class _Checked:
    """Text stream over another one."""

    def __init__(self, stream: TextIO, *, drops: bool = False) -> None:
        self._stream, self._drops = stream, drops

    def write(self, text: str) -> int:
        """Write a text; characters that the encoding lacks, half ones too, are written as escapes."""
        try:
            try:
                return self._stream.write(text)
            except UnicodeEncodeError:
                encoding = self._stream.encoding
                return self._stream.write(text.encode(encoding, "backslashreplace").decode(encoding))
        except OSError as error:
            self._fail(error)
        return len(text)

    def writelines(self, lines: Iterable[str]) -> None:
        """Write all lines."""
        for line in lines:
            self.write(line)

    def flush(self) -> None:
        """Flush the stream."""
        try:
            self._stream.flush()
        except OSError as error:
            self._fail(error)

    def _fail(self, error: OSError) -> None:
        if self._drops:
            return
        if isinstance(error, BrokenPipeError):
            raise error
        raise StorageError(f"the standard output cannot be written: {error.strerror or error}") from None

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


def _silence(stream: TextIO) -> None:
    """Let what is left in a stream's buffer go nowhere; Python would write it at its end, and complain."""
    with suppress(OSError, ValueError, AttributeError):
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, stream.fileno())
        os.close(nowhere)
