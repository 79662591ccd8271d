"""Checker program: bfcl-eval's own checkers over rows of results. Run by a Python that has bfcl-eval.

Reads JSON Lines of {"id", "category", "result"} on the standard input, writes {"id", "valid", "error"} on the standard
output. Questions and golds are those of the installed bfcl-eval. Standard library and bfcl-eval alone: nothing of the
package is there. bfcl-eval's registry of models imports the clients of two dozen providers; where they are missing, one
entry stands in for it, since the checker only asks a model's name for how it spells dots.
"""

from __future__ import annotations

import io
import json
import keyword
import sys
from contextlib import redirect_stdout
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

_MODEL = "alpha-umi"


def main() -> None:
    import bfcl_eval  # pyright: ignore  # of the other environment

    check_calls, languages = _import_checker()
    data = Path(str(bfcl_eval.__file__)).parent / "data"
    known: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {}
    for line in sys.stdin:
        row = json.loads(line)
        category = row["category"]
        if category not in known:
            base = "memory" if category.startswith("memory_") else category
            name = f"BFCL_v4_{base}.json"
            files = data / name, data / "possible_answer" / name
            known[category] = _load(files[0], base, category), _load(files[1], base, category)
        questions, golds = known[category]
        question: Any = questions.get(row["id"])
        gold: Any = golds.get(row["id"])
        with redirect_stdout(io.StringIO()):
            if question is None:
                error = "bfcl-eval has no such question"
            elif category.startswith("multi_turn_"):
                error = _check_turns(row["result"], question, gold["ground_truth"], category)
            elif category.startswith("memory_"):
                error = _check_answer(row["result"], gold["ground_truth"])
            else:
                error = _check(row, question, gold, check_calls, languages)
        print(json.dumps({"id": row["id"], "valid": not error, "error": error}))  # noqa: T201


def _import_checker() -> tuple[Any, Any]:
    name = "bfcl_eval.constants.model_config"
    try:
        import bfcl_eval.constants.model_config as registry  # pyright: ignore
    except ImportError:
        registry = ModuleType(name)
        vars(registry)["MODEL_CONFIG_MAPPING"] = {}
        sys.modules[name] = registry
    registry.MODEL_CONFIG_MAPPING[_MODEL] = SimpleNamespace(underscore_to_dot=False)
    from bfcl_eval.constants.enums import Language  # pyright: ignore
    from bfcl_eval.eval_checker.ast_eval.ast_checker import ast_checker  # pyright: ignore

    return ast_checker, Language


def _load(path: Path, base: str, category: str) -> dict[str, Any]:
    """Rows of a file by their ids, which begin with the category in place of `base`."""
    if not path.exists():
        return {}
    rows = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines() if line.strip()]
    return {row["id"].replace(base, category, 1): row for row in rows}


def _check(row: Any, question: Any, gold: Any, checker: Any, languages: Any) -> str:
    """The fault of a result; empty where it is right."""
    calls, category = row["result"], row["category"]
    made = isinstance(calls, list) and bool(calls)
    if "relevance" in category:  # irrelevance, too
        wanted = "irrelevance" not in category
        return "" if made is wanted else ("no call" if wanted else "a call where no tool fits")
    if not made:
        return "no call"
    try:
        decoded = [{name: json.loads(arguments) for name, arguments in call.items()} for call in calls]
    except ValueError:
        return "arguments that are no JSON"
    if not all(isinstance(arguments, dict) for call in decoded for arguments in call.values()):
        return "arguments that are no object"
    result = checker(
        question["function"], decoded, gold["ground_truth"], _language(languages, category), category, _MODEL
    )
    return "" if result["valid"] else str(result.get("error_type") or "wrong")


def _language(languages: Any, category: str) -> Any:
    names = {"simple_java": "JAVA", "simple_javascript": "JAVASCRIPT"}
    return getattr(languages, names.get(category, "PYTHON"))


# --- several turns ----------------------------------------------------------------------------------------


def _check_turns(turns: Any, question: Any, gold: Any, category: str) -> str:
    """The fault of the turns of a result, as bfcl-eval's runner looks for it; empty where they are right."""
    import bfcl_eval.eval_checker.multi_turn_eval.multi_turn_utils as backend  # pyright: ignore
    from bfcl_eval.eval_checker.multi_turn_eval.multi_turn_checker import multi_turn_checker  # pyright: ignore

    if len(turns) != len(gold):
        return "multi_turn:force_terminated"
    decoded = [[calls for step in steps if (calls := _decode(step))] for steps in turns]
    result = multi_turn_checker(decoded, gold, question, category, _MODEL)
    for name in [name for name in vars(backend) if name.endswith("_instance")]:
        delattr(backend, name)
    return "" if result["valid"] else str(result.get("error_type") or "wrong")


def _check_answer(turns: Any, gold: Any) -> str:
    """The fault of the last text of a result, as bfcl-eval's runner looks for it; empty where it holds a gold."""
    from bfcl_eval.eval_checker.agentic_eval.agentic_checker import agentic_checker  # pyright: ignore

    if len(turns) != 1:
        return "agentic:inference_error"
    texts = [step for step in turns[0] if isinstance(step, str) and step]
    if not texts:
        return "agentic:no_last_message"
    return "" if agentic_checker(texts[-1], gold)["valid"] else "agentic:answer_not_found"


def _decode(step: Any) -> list[str]:
    """Calls of a step as bfcl-eval evaluates them, written of literals alone; none where the step is no call."""
    if not isinstance(step, list):
        return []
    calls: list[str] = []
    for name, text in (item for call in step for item in call.items()):
        try:
            arguments = json.loads(text)
        except (ValueError, RecursionError):
            return []
        names = [name, *arguments] if isinstance(arguments, dict) else [""]
        if not all(each.isidentifier() and not keyword.iskeyword(each) for each in names):
            return []
        calls.append(f"{name}({','.join(f'{key}={value!r}' for key, value in arguments.items())})")
    return calls


if __name__ == "__main__":
    main()
