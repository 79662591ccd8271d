"""Exceptions for mistakes of users, one class per kind; every message says what, where and what to do.

    AlphaUMiError
    ├── ConfigError       a configuration file, an override or an option
    ├── DataError         a file that is missing, unreadable or of another shape
    ├── FormatError       a format that cannot be loaded or cannot express something
    ├── CheckpointError   a run directory or a model that cannot be loaded
    ├── ModelError        a model or an endpoint that could not complete
    ├── StorageError      something that could not be written
    └── InterruptedWorkError  Ctrl-C, with the word of what is kept

What a model or a tool gets wrong is data (`Observation.status`, `Trajectory.stop`) and never raised.
"""

from collections.abc import Generator
from contextlib import contextmanager


class AlphaUMiError(Exception):
    """Base class of all exceptions of the package.

    The command line prints it in one line; `exit_code` is then its status.
    """

    exit_code = 1


class ConfigError(AlphaUMiError):
    """Invalid configuration file, override, option or argument."""

    exit_code = 2


class DataError(AlphaUMiError):
    """Missing, unreadable or malformed file."""

    exit_code = 3


class FormatError(AlphaUMiError):
    """Format that cannot be loaded or cannot express something."""

    exit_code = 4


class CheckpointError(AlphaUMiError):
    """Run directory or model that cannot be loaded."""

    exit_code = 5


class ModelError(AlphaUMiError):
    """Model or endpoint that could not complete."""

    exit_code = 6


class StorageError(AlphaUMiError):
    """File, folder or repository that could not be written."""

    exit_code = 7


class InterruptedWorkError(AlphaUMiError):
    """Ctrl-C during long work; the message says what is kept."""

    exit_code = 130


class AlphaUMiWarning(UserWarning):
    """Notice to the user that is no error; the command line prints it in one line, once."""


def describe(error: BaseException) -> str:
    """Describe an exception by its class and message; foreign classes may raise where their message is read."""
    try:
        return f"{type(error).__name__}: {str.__str__(str(error))}"
    except BaseException:
        return f"{type(error).__name__}: (its message cannot be read)"


@contextmanager
def explain_missing_library(package: str, purpose: str) -> Generator[None]:
    """Turn the failed import of a library that no extra brings into a ConfigError that names its package."""
    try:
        yield
    except ModuleNotFoundError as error:
        if error.name is None or error.name.partition(".")[0] == "alpha_umi":
            raise
        raise ConfigError(f"{purpose} needs {error.name}: pip install {package}") from None


@contextmanager
def explain_missing_extra(extra: str, purpose: str, *, instead: str = "") -> Generator[None]:
    """Turn the failed import of an optional library into a ConfigError that names the extra to install.

    `purpose`: the subject of the message, what needs the library. `instead`: what to do without it.
    """
    try:
        yield
    except ModuleNotFoundError as error:
        if error.name is None or error.name.partition(".")[0] == "alpha_umi":
            raise  # a module of ours, which no extra brings
        other = f", or {instead}" if instead else ""
        message = f"{purpose} needs {error.name}; in the clone: pip install -e '.[{extra}]'{other}"
        raise ConfigError(message) from None
