"""Objects of the user's own code by `module:attribute`: agents, formats, environments and dataset readers.

A module is looked for where Python looks, and then in the current directory.
"""

from __future__ import annotations

import importlib
import os
import sys
import traceback
from operator import attrgetter
from typing import Any, TypeVar

from alpha_umi.config import is_code
from alpha_umi.errors import AlphaUMiError, ConfigError

__all__ = ["failure", "import_code", "is_code", "make"]

Made = TypeVar("Made")


def import_code(name: str, what: str) -> Any:
    """Return the object that `module:attribute` names; `what` is its kind in errors, such as "agent".

    Raises ConfigError where there is no such module or attribute, or the module cannot be imported.
    """
    module, colon, attribute = name.partition(":")
    if not (module and colon and attribute):
        raise ConfigError(f"{what} {name!r}: write it as module:attribute")
    if not {"", os.getcwd()} & set(sys.path):  # noqa: PTH109
        sys.path.append(os.getcwd())  # noqa: PTH109
    # The module is the user's: any exception means that it could not be imported.
    try:
        found = importlib.import_module(module)
    except AlphaUMiError as error:
        raise ConfigError(f"{what} {name!r}: {error}") from None
    except (Exception, SystemExit) as error:
        if isinstance(error, ModuleNotFoundError) and error.name and f"{module}.".startswith(f"{error.name}."):
            raise ConfigError(f"{what} {name!r}: {error}; is its folder on PYTHONPATH?") from None
        raise ConfigError(f"{what} {name!r}: cannot be imported: {failure(error)}") from error
    try:
        return attrgetter(attribute)(found)
    except AttributeError as error:
        raise ConfigError(f"{what} {name!r}: {error}") from None


def make(name: str, what: str, kind: type[Made], methods: str) -> Made:
    """Return the object that `module:attribute` names, or the result of the class or function of that name.

    `kind` is a protocol that can be checked, `methods` names its methods. Raises ConfigError.
    """
    found = import_code(name, what)
    if isinstance(found, kind) and not isinstance(found, type):
        return found
    if callable(found):
        # The user's code again: an error of it is one of the name that was given.
        try:
            found = found()
        except AlphaUMiError:
            raise
        except Exception as error:
            raise ConfigError(f"{what} {name!r}: {failure(error)}") from error
    if not isinstance(found, kind):
        raise ConfigError(f"{what} {name!r} has no {methods}")
    return found


def failure(error: BaseException) -> str:
    """Describe an exception on one line, with the file and line that raised it."""
    if isinstance(error, SyntaxError):
        return f"{error.msg} ({error.filename}:{error.lineno})"
    frames = [each for each in traceback.extract_tb(error.__traceback__) if not each.filename.startswith("<frozen")]
    line = f" ({frames[-1].filename}:{frames[-1].lineno})" if len(frames) > 1 else ""
    return f"{type(error).__name__}: {error}{line}"
