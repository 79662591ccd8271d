"""Mathematical test sets as tasks with gold answers: GSM8K, MATH, ASDiv, SVAMP and GSM-Hard, told by their fields."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from alpha_umi.datasets.gsm8k import read_problem
from alpha_umi.errors import DataError
from alpha_umi.exact_answers import last_box
from alpha_umi.text_files import JsonRow, read_json_rows
from alpha_umi.types import Json, Task

_UNIT = re.compile(r"\s*\(.*?\)")


def read_math_tasks(path: Path) -> Iterator[Task]:
    """Read the problems of a file as tasks without tools; `metadata` holds `source` and `answer`, the gold.

    Ids are the source and the row's number, from 1. Raises DataError naming a row that is of no known shape.
    """
    for number, row in enumerate(read_json_rows(path), start=1):
        yield _task(row, number)


def _task(row: JsonRow, number: int) -> Task:
    value: Mapping[str, Any] = row.value if isinstance(row.value, dict) else {}
    read = next((read for fields, read in _SHAPES if fields <= value.keys()), None)
    source, query, answer, more = "", "", None, {}
    with suppress(TypeError, AttributeError):  # a field of another type
        if read is not None:
            source, query, answer, more = read(row, number)
    if not answer:
        shapes = "question and answer; problem and solution; body and question; Body and Question; input and target"
        raise DataError(f"{row.where}: no problem with an answer; known fields: {shapes}")
    return Task(id=f"{source}-{number}", query=query.strip(), metadata={"source": source, "answer": answer, **more})


def _gsm8k(row: JsonRow, number: int) -> tuple[str, str, str, dict[str, Json]]:
    problem = read_problem(row, number)
    return "gsm8k", problem.question, problem.answer, {}


def _math(row: JsonRow, _: int) -> tuple[str, str, str | None, dict[str, Json]]:
    value = row.value
    more = {name: value[name] for name in ("level", "type") if isinstance(value.get(name), str)}
    return "math", value["problem"], last_box(value["solution"]), more


def _asdiv(row: JsonRow, _: int) -> tuple[str, str, str, dict[str, Json]]:
    value = row.value
    return "asdiv", f"{value['body'].strip()} {value['question'].strip()}", _UNIT.sub("", value["answer"]).strip(), {}


def _svamp(row: JsonRow, _: int) -> tuple[str, str, str, dict[str, Json]]:
    value = row.value
    body = value["Body"].strip()
    return "svamp", f"{body}{'' if body.endswith('.') else '.'} {value['Question'].strip()}", f"{value['Answer']:g}", {}


def _gsm_hard(row: JsonRow, _: int) -> tuple[str, str, str, dict[str, Json]]:
    value = row.value
    return "gsm-hard", value["input"], f"{float(value['target']):.12g}", {}


_SHAPES = (
    ({"body", "question", "answer"}, _asdiv),
    ({"question", "answer"}, _gsm8k),
    ({"problem", "solution"}, _math),
    ({"Body", "Question", "Answer"}, _svamp),
    ({"input", "target"}, _gsm_hard),
)
"""Fields of a row, the most telling first, and the reader of its shape."""
