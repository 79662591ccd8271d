"""Share of right calls that a grounded agent could not make: golds of BFCL v4 held against what their requests name.

    python benchmarks/grounding.py FOLDER [CATEGORY ...]

FOLDER holds BFCL_v4_CATEGORY.json and possible_answer/BFCL_v4_CATEGORY.json, as `bfcl_eval/data` of the package
bfcl-eval does. Of several right values the first is taken; arguments that may be left out are left out.
"""

from __future__ import annotations

import json
import sys
from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from alpha_umi.arguments import Fault, read_arguments
from alpha_umi.grounding.evidence import Evidence
from alpha_umi.grounding.narrowing import narrow
from alpha_umi.types import ToolSpec

CATEGORIES = ("simple_python", "multiple", "parallel", "live_simple")
TYPES = {"dict": "object", "float": "number", "tuple": "array"}


def rows(path: Path) -> Iterator[Mapping[str, Any]]:
    yield from map(json.loads, path.read_text(encoding="utf-8").splitlines())


def schema(value: Any) -> Any:
    """A schema with BFCL's names of types as JSON Schema's."""
    match value:
        case {"type": str(name), **rest}:
            return {"type": TYPES.get(name, name), **{key: schema(each) for key, each in rest.items()}}
        case dict():
            return {key: schema(each) for key, each in value.items()}
        case _:
            return value


def first(options: Any) -> Any:
    """The first of the right values; None where the argument may be left out."""
    match options:
        case {**fields}:
            return {key: value for key, each in fields.items() if (value := first(each)) is not None}
        case [*values] if "" in values:
            return None
        case [value, *_]:
            return first(value) if isinstance(value, dict) else value
        case value:
            return value


def verdict(tool: ToolSpec, values: Mapping[str, Any], texts: list[str]) -> str:
    said = Evidence.read(texts)
    narrowed = narrow(tool, said, said)
    if narrowed.missing:
        return "a value is held to be missing"
    if isinstance(read_arguments(narrowed.spec, json.dumps(values)), Fault):
        return "another value is held to be named"
    listed = tool.parameters.get("required")
    required = listed if isinstance(listed, list) else []
    unnamed = said.unnamed(tool, values)
    if not unnamed:
        return "as it is"
    return "a value is held to be invented" if set(unnamed) & set(required) else "without an optional argument"


def main() -> None:
    folder, *chosen = sys.argv[1:] or sys.exit(__doc__)
    for category in chosen or CATEGORIES:
        name = f"BFCL_v4_{category}.json"
        golds = {row["id"]: row["ground_truth"] for row in rows(Path(folder) / "possible_answer" / name)}
        found: Counter[str] = Counter()
        for row in rows(Path(folder) / name):
            tools = {
                each["name"]: ToolSpec(**{**each, "parameters": schema(each["parameters"])}) for each in row["function"]
            }
            texts = [message["content"] for turn in row["question"] for message in turn]
            for gold in golds[row["id"]]:
                ((called, options),) = gold.items()
                found[verdict(tools[called], first(options), texts)] += 1
        print(category, found.total(), "calls:", ", ".join(f"{count} {what}" for what, count in found.most_common()))


if __name__ == "__main__":
    main()
