"""Loading of coded dataset readers: functions `module:attribute` that read trajectories from a file."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import cast

from alpha_umi.errors import AlphaUMiError, ConfigError, DataError
from alpha_umi.loading.code import failure, import_code
from alpha_umi.types import Trajectory

Reader = Callable[[Path], Iterator[Trajectory]]


def open_reader(name: str) -> Reader:
    """Return the function `module:attribute` as a reader.

    Raises ConfigError where there is no such function. The reader raises DataError for all that goes wrong in a file.
    """
    found = import_code(name, "reader")
    if not callable(found):
        raise ConfigError(f"reader {name!r} is no function; write one that takes a path and yields trajectories")

    def read(path: Path) -> Iterator[Trajectory]:
        count = 0
        # The user's code: whatever it raises, it could not read the file.
        try:
            for trajectory in cast("Iterable[object]", found(path)):
                if not isinstance(trajectory, Trajectory):
                    raise DataError(f"what it yields is of type {type(trajectory).__name__}, and no Trajectory")
                yield trajectory
                count += 1
        except AlphaUMiError as error:
            raise DataError(f"{path}: reader {name!r}, after {count} trajectories: {error}") from error
        except Exception as error:
            raise DataError(f"{path}: reader {name!r}, after {count} trajectories: {failure(error)}") from error

    return read
