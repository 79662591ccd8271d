"""Lock on what a verb writes: one process at a time works on one `--out`. A killed process holds nothing."""

from __future__ import annotations

import functools
import hashlib
import inspect
import os
from collections.abc import Callable, Generator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import ParamSpec, TypeVar

from alpha_umi.errors import ConfigError, StorageError

_Parameters = ParamSpec("_Parameters")
_Result = TypeVar("_Result")
_LONGEST = 200
"""Bytes of a name that is kept in that of its lock."""
_HELD = set[int]()
"""Descriptors of this process's locks."""


@contextmanager
def locked(out: Path) -> Generator[None]:
    """Hold the lock of a file or folder to be written, there already or not.

    The lock is a file `.NAME.lock` beside it (in a folder whose parent cannot be written, within), removed at the end.
    Of a distributed run every process holds its own. Raises ConfigError where another process works on it, StorageError
    where nothing can be locked.
    """
    _forget_in_children()
    place = Path(os.path.realpath(out))
    made = _missing(place.parent)
    handle, path = _take(place, out)
    if handle is None or path is None:  # what cannot be written is told by who writes it
        yield
        return
    _HELD.add(handle)
    try:
        yield
    finally:
        _HELD.discard(handle)
        with suppress(OSError):
            path.unlink()
        os.close(handle)
        for folder in made:
            with suppress(OSError):
                folder.rmdir()  # unless the verb has written there


def locks_out(verb: Callable[_Parameters, _Result]) -> Callable[_Parameters, _Result]:
    """Decorate a function to hold the lock of its argument `out`, unless that is None."""
    signature = inspect.signature(verb)

    @functools.wraps(verb)
    def call(*positional: _Parameters.args, **named: _Parameters.kwargs) -> _Result:
        out = signature.bind(*positional, **named).arguments.get("out")
        if out is None:
            return verb(*positional, **named)
        with locked(Path(out)):
            return verb(*positional, **named)

    return call


def _missing(folder: Path) -> list[Path]:
    """Make a folder; those that were missing, the deepest first."""
    missing = [each for each in (folder, *folder.parents) if not each.exists()]
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError:
        return []
    return missing


def _take(place: Path, out: Path) -> tuple[int | None, Path | None]:
    """Descriptor and path of the lock; None where no file can be made for it."""
    from filelock import lock_descriptor

    for path in (place.parent / _name(place.name), place / _name("")):
        while (handle := _open(path)) is not None:
            try:
                if not lock_descriptor(handle, blocking=False):
                    raise ConfigError(f"{out}: another process is at work on it; wait for it, or end it")
                # Another process may have removed the file between the two calls: its lock is nobody's.
                if _is_file(handle, path):
                    return handle, path
            except OSError as error:  # a file system that knows no locks
                os.close(handle)
                raise StorageError(f"{out}: cannot be locked: {error.strerror or error}; name another place") from None
            except ConfigError:
                os.close(handle)
                raise
            os.close(handle)
    return None, None


def _name(name: str) -> str:
    if len(os.fsencode(name)) > _LONGEST:
        name = hashlib.sha256(os.fsencode(name)).hexdigest()
    rank = os.environ.get("RANK", "0")
    shard = f".{rank}" if rank.isdecimal() and rank != "0" else ""
    return f".{name}{shard}.lock" if name else f"{shard}.lock"


def _open(path: Path) -> int | None:
    try:
        return os.open(path, os.O_RDWR | os.O_CREAT | getattr(os, "O_NOFOLLOW", 0), 0o644)
    except OSError:
        return None


def _is_file(handle: int, path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(handle), path.stat())
    except FileNotFoundError:
        return False


def _let_go() -> None:
    """Close the copies that a forked process has of its parent's locks, which would outlive a killed parent."""
    for handle in _HELD:
        with suppress(OSError):
            os.close(handle)
    _HELD.clear()


@functools.cache
def _forget_in_children() -> None:
    if hasattr(os, "register_at_fork"):
        os.register_at_fork(after_in_child=_let_go)
