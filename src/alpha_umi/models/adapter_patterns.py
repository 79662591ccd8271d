"""Patterns in adapter files of others: tried in a process of its own, in bounded time, before anything else runs them.

PEFT's settings may hold regular expressions (`target_modules` as text, the keys of `alpha_pattern`), and one can take
longer than the universe lasts. Plain names need no trial.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, cast

from alpha_umi.errors import CheckpointError

TRIAL_S = 5
"""Longest trial of all patterns of an adapter on all layers of a model, in seconds of a processor."""
_WAIT_S = 120.0
"""Longest wait for it, on a machine that has other work, or no limit of processor time."""
_PLAIN = re.compile(r"[\w.-]*")
_WHOLE, _ENDS, _PART = r"(?:{})\Z", r"(.*\.)?({})$", r"(^|.*\.){}($|\..*)"
_NUMBERED = r"(?:^|.*?\.){}\.(?P<idx>\d+)\."
_USES = {
    "target_modules": _WHOLE,
    "exclude_modules": _WHOLE,
    "rank_pattern": _ENDS,
    "alpha_pattern": _ENDS,
    "modules_to_save": _PART,
    "layers_pattern": _NUMBERED,
}
"""The expressions that PEFT builds of each setting."""
_TRIAL = """
import json, re, sys
patterns, names, seconds = json.load(sys.stdin)
try:
    import resource
except ImportError:
    pass
else:
    resource.setrlimit(resource.RLIMIT_CPU, (seconds, seconds + 1))
for pattern in patterns:
    for name in names:
        re.match(pattern, name)
"""


def check_patterns(folder: str, config: Mapping[str, Any], names: Iterable[str]) -> None:
    """Try an adapter's patterns on names of layers. Raises CheckpointError for one that takes too long or is none."""
    patterns = list(_patterns(config))
    if not patterns:
        return
    wrapped = [written for name in names for written in (name, f"base_model.model.{name}", f"{name}.base_layer")]
    try:
        for pattern in patterns:
            re.compile(pattern)
        trial = [sys.executable, "-I", "-c", _TRIAL]
        given = json.dumps([patterns, wrapped, TRIAL_S]).encode()
        ended = subprocess.run(trial, input=given, timeout=_WAIT_S, check=False).returncode
    except subprocess.TimeoutExpired:
        raise _too_long(folder) from None
    except (re.error, RecursionError, OverflowError) as error:
        raise CheckpointError(f"{folder}: a pattern of this adapter's settings cannot be used: {error}") from None
    if ended < 0:  # by a signal: the limit of the processor's time
        raise _too_long(folder)
    if ended:
        raise CheckpointError(f"{folder}: a pattern of this adapter's settings cannot be used on the model's layers")


def _too_long(folder: str) -> CheckpointError:
    return CheckpointError(
        f"{folder}: the patterns of this adapter's settings take longer than {TRIAL_S} s on the model's layers; "
        "write the layers as a list in target_modules"
    )


def _patterns(config: Mapping[str, Any]) -> Iterator[str]:
    for setting, use in _USES.items():
        value = cast("object", config.get(setting))
        if isinstance(value, str):
            written = [value]
        elif setting in ("target_modules", "exclude_modules"):  # a list there holds names
            continue
        else:
            written = [each for each in cast("Iterable[object]", value or ()) if isinstance(each, str)]
        yield from (use.replace("{}", each) for each in written if not _PLAIN.fullmatch(each))
