"""GSM8K's files (Cobbe and others, 2021): word problems whose solutions annotate equations as `<<48/2=24>>`."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from alpha_umi.errors import DataError
from alpha_umi.text_files import JsonRow, read_json_rows

_MARK = "####"
_NUMBER = re.compile(r"-?\d+(?:,\d{3})*(?:\.\d+)?")


@dataclass(frozen=True, slots=True, kw_only=True)
class WordProblem:
    """Row of a file."""

    id: str
    """`gsm8k-` and the number of the row, from 1."""
    question: str
    solution: str
    """Lines of the solution, with their annotations, without the line of the answer."""
    answer: str
    """The number behind `####`, without thousands commas."""


def read_gsm8k(path: Path) -> Iterator[WordProblem | DataError]:
    """Read the problems of a file (JSON Lines, or a JSON list); a DataError in the place of a row that holds none.

    Raises DataError for a file that is no JSON.
    """
    for number, row in enumerate(read_json_rows(path), start=1):
        try:
            yield read_problem(row, number)
        except DataError as error:
            yield error


def read_problem(row: JsonRow, number: int) -> WordProblem:
    """Read one row. Raises DataError for one without a question, or without a number behind `####`."""
    value = row.value if isinstance(row.value, dict) else {}
    question, answer = value.get("question"), value.get("answer")
    if not isinstance(question, str) or not isinstance(answer, str):
        raise DataError(f"{row.where}: no GSM8K problem, which has texts under 'question' and 'answer'")
    solution, mark, gold = answer.rpartition(_MARK)
    plain = gold.strip().removeprefix("$")
    if not mark or _NUMBER.fullmatch(plain) is None:
        raise DataError(f"{row.where}: the answer has no number behind {_MARK}")
    return WordProblem(
        id=f"gsm8k-{number}", question=question.strip(), solution=solution.strip(), answer=plain.replace(",", "")
    )
