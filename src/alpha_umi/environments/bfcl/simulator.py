"""Simulator program: calls of BFCL's simulated classes, run by bfcl-eval's own code in a Python that has bfcl-eval.

Reads JSON Lines of {"session", "simulation", "calls", "introduced"} on the standard input: `calls` are run one after
the other in the session, which begins with its first line; each line is answered by {"results"}, a text for each call,
and where `introduced` is true the text that BFCL shows above a question about its memory. bfcl-eval evaluates calls as
Python, so these are written of literals alone. A memory begins empty and is kept in no file. Standard library and
bfcl-eval alone: nothing of the package is there.
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
            if "scenario" in asked["simulation"]:
                _begin_empty()
            results = [_execute(backend, asked, call) for call in asked["calls"]]
            if asked.get("introduced"):
                results.append(_introduce(backend, asked))
        print(json.dumps({"results": results}), flush=True)  # noqa: T201


def _execute(backend: Any, asked: dict[str, Any], call: dict[str, Any]) -> str:
    code = write_call(call["name"], call["arguments"])
    if code is None:
        return f"Error during execution: {call['name']} or an argument's name is no name of Python"
    return _run(backend, asked, [code])[0][0]


def _run(backend: Any, asked: dict[str, Any], code: list[str]) -> tuple[list[str], dict[str, Any]]:
    start = asked["simulation"]
    return backend.execute_multi_turn_func_call(
        code, start["initial_config"], start["classes"], _MODEL, asked["session"], start["long_context"]
    )


def _begin_empty() -> None:
    import bfcl_eval.eval_checker.multi_turn_eval.func_source_code.memory_api_metaclass as memory  # pyright: ignore

    memory.MemoryAPI._prepare_snapshot = lambda *_: None  # noqa: SLF001  # which else reads files of earlier questions


def _introduce(backend: Any, asked: dict[str, Any]) -> str:
    """BFCL's instructions for a memory with what is in it, and for the answer to a question."""
    from bfcl_eval.constants import default_prompts as prompts  # pyright: ignore

    start = asked["simulation"]
    _, instances = _run(backend, asked, [])
    (memory,) = instances.values()
    sums = start["classes"] == ["MemoryAPI_rec_sum"]
    words = prompts.MEMORY_BACKEND_INSTRUCTION_UNIFIED if sums else prompts.MEMORY_BACKEND_INSTRUCTION_CORE_ARCHIVAL
    instruction = words.format(
        scenario_setting=prompts.MEMORY_AGENT_SETTINGS[start["scenario"]],
        memory_content=memory._dump_core_memory_to_context(),  # noqa: SLF001
    )
    answered = prompts.ADDITIONAL_SYSTEM_PROMPT_FOR_AGENTIC_RESPONSE_FORMAT if start["scored"] else ""
    return f"{instruction.strip()}\n\n{answered.strip()}".strip()


if __name__ == "__main__":
    main()
