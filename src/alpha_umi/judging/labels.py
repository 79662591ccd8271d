"""ToolAlpaca's scores from its label files, which hold two verdicts per case (process and response). Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

_ASPECTS = ("process", "response")
_VALUES = ("Yes", "No", "Uncertain")


@dataclass(frozen=True, slots=True, kw_only=True)
class ToolAlpacaScores:
    """Verdict counts of both aspects; a case without a readable verdict is an error."""

    count: int
    errors: int
    process: Mapping[str, int]
    response: Mapping[str, int]
    both: int
    """Cases with Yes in both."""


def score_toolalpaca(labels: Sequence[Mapping[str, object]]) -> ToolAlpacaScores:
    """Aggregate rows of `{process, response}`; percentages are over all cases, errors included."""
    read = [row for row in labels if all(row.get(aspect) in _VALUES for aspect in _ASPECTS)]
    counts = {aspect: Counter(str(row[aspect]) for row in read) for aspect in _ASPECTS}
    return ToolAlpacaScores(
        count=len(labels),
        errors=len(labels) - len(read),
        process={value: counts["process"][value] for value in _VALUES},
        response={value: counts["response"][value] for value in _VALUES},
        both=sum(all(row[aspect] == "Yes" for aspect in _ASPECTS) for row in read),
    )
