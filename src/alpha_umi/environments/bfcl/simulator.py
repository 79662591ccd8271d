"""Simulator program: calls of BFCL's simulated classes, run by bfcl-eval's own code in a Python that has bfcl-eval.

Reads JSON Lines of {"session", "simulation", "calls"} on the standard input: `calls` are run one after the other in the
session, which begins with its first line; each line is answered by {"results"}, a text for each call. bfcl-eval
evaluates calls as Python, so these are written of literals alone. Standard library and bfcl-eval alone: nothing of the
package is there.
"""

from __future__ import annotations

import io
import json
import keyword
import resource
import sys
from contextlib import redirect_stdout
from typing import Any

_MODEL = "alpha_umi"
_MOST_BYTES = 1 << 31


def write_call(name: str, arguments: dict[str, Any]) -> str | None:
    """Write a call as Python code of literals; None where its name or an argument's is no Python name."""
    if not all(each.isidentifier() and not keyword.iskeyword(each) for each in (name, *arguments)):
        return None
    return f"{name}({','.join(f'{key}={value!r}' for key, value in arguments.items())})"


def main() -> None:
    import bfcl_eval.eval_checker.multi_turn_eval.multi_turn_utils as backend  # pyright: ignore  # of the other one

    resource.setrlimit(resource.RLIMIT_AS, (_MOST_BYTES, _MOST_BYTES))
    for line in sys.stdin:
        asked = json.loads(line)
        with redirect_stdout(io.StringIO()):
            results = [_execute(backend, asked, call) for call in asked["calls"]]
        print(json.dumps({"results": results}), flush=True)  # noqa: T201


def _execute(backend: Any, asked: dict[str, Any], call: dict[str, Any]) -> str:
    code = write_call(call["name"], call["arguments"])
    if code is None:
        return f"Error during execution: {call['name']} or an argument's name is no name of Python"
    start = asked["simulation"]
    (result,), _ = backend.execute_multi_turn_func_call(
        [code], start["initial_config"], start["classes"], _MODEL, asked["session"], start["long_context"]
    )
    return result


if __name__ == "__main__":
    main()
