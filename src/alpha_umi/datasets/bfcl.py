"""Single-turn files of the Berkeley Function Calling Leaderboard (BFCL v4): questions with the tools on offer."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from alpha_umi.errors import DataError
from alpha_umi.text_files import JsonRow, read_json_rows
from alpha_umi.types import Json, Task, ToolSpec, Trajectory

CATEGORIES = (
    "simple_python",
    "multiple",
    "parallel",
    "parallel_multiple",
    "irrelevance",
    "live_simple",
    "live_multiple",
    "live_parallel",
    "live_parallel_multiple",
    "live_irrelevance",
    "live_relevance",
)
"""Categories that are read and checked; those of Java, JavaScript, several turns and agents are not."""
_ID = re.compile(r"(.+?)_\d[\d-]*")


def read_bfcl(path: Path) -> Iterator[Task]:
    """Read the questions of a file as tasks, under their ids; `metadata` holds `source` and `category`.

    Raises DataError naming a row of another shape or category.
    """
    for row in read_json_rows(path):
        yield _task(row)


def category_of(id_: str) -> str | None:
    """Return the category of an id such as `live_simple_0-0-0`; None where it is none of CATEGORIES."""
    found = _ID.fullmatch(id_)
    return found[1] if found is not None and found[1] in CATEGORIES else None


def write_result(trajectory: Trajectory) -> dict[str, Json]:
    """Write a row of BFCL's result files, as its models with function calling do: each call with its arguments as JSON.

    Without a call the result is the answer's text, which its checker takes for none.
    """
    calls: list[Json] = [{call.name: call.arguments} for call in trajectory.calls if call.name]
    return {"id": trajectory.task.id, "result": calls or trajectory.answer or ""}


def _task(row: JsonRow) -> Task:
    value: Mapping[str, Any] = row.value if isinstance(row.value, dict) else {}
    category = category_of(str(value.get("id")))
    if category is None:
        raise DataError(
            f"{row.where}: no question of BFCL that has one turn; 'id' must begin with one of {', '.join(CATEGORIES)}"
        )
    try:
        query = "\n\n".join(message["content"].strip() for message in value["question"][0])
        tools = tuple(
            ToolSpec(name=tool["name"], description=tool.get("description", ""), parameters=dict(tool["parameters"]))
            for tool in value["function"]
        )
        json.dumps([tool.parameters for tool in tools])
    except (KeyError, TypeError, AttributeError, IndexError, ValueError) as error:
        raise DataError(f"{row.where}: 'question' or 'function' is of another shape: {error!r}") from None
    return Task(id=value["id"], query=query, tools=tools, metadata={"source": "bfcl", "category": category})
