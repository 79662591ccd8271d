"""Exact check of ToolAlpaca's golden calls: which of them a trajectory made, in their order, and what golds leave open.

Golds are not always exact: an input may hold placeholders of earlier results (`${id from search}`), be no JSON, or name
an action that the API does not have. The first match any value, of the second the name alone is compared, and tasks
with the third are counted apart, for nobody can do them.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import cast

from alpha_umi.evaluation.metrics import INTERVALS, Metric, mean
from alpha_umi.literals import UnreadableError
from alpha_umi.loose_json import read_loosely
from alpha_umi.report.tables import markdown_table
from alpha_umi.types import Call, Json, StopReason, Trajectory

_PLACEHOLDER = re.compile(r"\$\{[^{}]*\}")
PUBLISHED = (
    ("alpha-UMi 7B", 41, 35),
    ("Single-LLM 7B", 11, 11),
    ("ChatGPT", 33, 37),
    ("GPT-4", 41, 44),
)
"""Rows of the paper: percent of right processes and answers, as GPT-4 judged them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class GoldCheck:
    """Check of one task."""

    id: str
    answered: bool
    tools: bool
    """True: the golden actions were called in their order, whatever the arguments."""
    calls: bool
    """True: and each with the golden arguments."""
    extra: int
    """Calls beside the golden ones."""
    open: frozenset[str]
    """What the golds leave open: `placeholder`, `no JSON`, `no such action`."""

    def to_json(self) -> dict[str, Json]:
        """JSON object of the check."""
        left: list[Json] = [*sorted(self.open)]
        return {"id": self.id, "tools": self.tools, "calls": self.calls, "extra": self.extra, "open": left}


def check_golds(trajectory: Trajectory | None, gold: Trajectory) -> GoldCheck:
    """Check the calls of a trajectory, None where there is none, against those of the gold."""
    made = () if trajectory is None else trajectory.calls
    offered = {tool.name for tool in gold.task.tools}
    return GoldCheck(
        id=gold.task.id,
        answered=trajectory is not None and trajectory.stop is StopReason.ANSWERED,
        tools=_in_order(made, gold.calls, exact=False),
        calls=_in_order(made, gold.calls, exact=True),
        extra=max(len(made) - len(gold.calls), 0),
        open=frozenset(kind for call in gold.calls for kind in _open(call, offered)),
    )


def _open(call: Call, offered: set[str]) -> list[str]:
    kinds = ["placeholder"] if _PLACEHOLDER.search(call.arguments) else []
    kinds += [] if _object(call.arguments) is not None else ["no JSON"]
    return kinds + ([] if call.name in offered else ["no such action"])


def _in_order(made: Sequence[Call], golds: Sequence[Call], *, exact: bool) -> bool:
    """Test if the golden calls are among those that were made, in their order."""
    left = iter(made)
    return all(any(_is_gold(call, gold, exact=exact) for call in left) for gold in golds)


def _is_gold(call: Call, gold: Call, *, exact: bool) -> bool:
    if call.name != gold.name:
        return False
    wanted = _object(gold.arguments)
    if not exact or wanted is None:
        return True
    given = _object(call.arguments)
    return given is not None and _same_arguments(given, wanted)


def _same_arguments(given: Mapping[str, Json], wanted: Mapping[str, Json]) -> bool:
    """Test if arguments are the golden ones; an empty golden text may be left out."""
    needed = {name: value for name, value in wanted.items() if value not in ("", None)}
    rest = {name: value for name, value in given.items() if value not in ("", None)}
    return needed.keys() == rest.keys() and all(_same(rest[name], value) for name, value in needed.items())


def _same(given: Json, wanted: Json) -> bool:
    """Test if two values are equal, texts whatever their case and blanks; numbers may be texts."""
    match given, wanted:
        case dict(), dict():
            return _same_arguments(given, wanted)
        case list(), list():
            return len(given) == len(wanted) and all(map(_same, given, wanted))
        case dict() | list(), _:
            return isinstance(wanted, str) and _PLACEHOLDER.fullmatch(wanted.strip()) is not None
        case _, dict() | list():
            return False
        case _:
            return _matches(_text(given), _text(wanted))


def _text(value: Json) -> str:
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    return " ".join(str(value).casefold().split())


def _matches(given: str, wanted: str) -> bool:
    """Test if a text is the golden one, whose placeholders stand for any text."""
    parts = [re.escape(part) for part in _PLACEHOLDER.split(wanted)]
    return re.fullmatch(".+".join(parts), given, re.DOTALL) is not None


def _object(text: str) -> Mapping[str, Json] | None:
    try:
        value = read_loosely(text).value
    except (ValueError, RecursionError, UnreadableError):
        return None
    return cast("Mapping[str, Json]", value) if isinstance(value, dict) else None


@dataclass(frozen=True, slots=True, kw_only=True)
class JudgedTask:
    """Verdicts of a judge on one task: Yes, No, Uncertain, or nothing where it wrote none."""

    id: str
    process: str
    response: str

    @property
    def both(self) -> str:
        """Yes where both are, as the published evaluation counts a whole success."""
        return "Yes" if self.process == self.response == "Yes" else "No"


@dataclass(frozen=True, slots=True, kw_only=True)
class ToolAlpacaReport:
    """Exact process correctness by set, of the tasks that can be done and of those whose golds are exact.

    With a judge its verdicts stand beside, of all tasks; whatever is no Yes is wrong.
    """

    sets: Mapping[str, Sequence[GoldCheck]]
    judge: str = ""
    judged: Mapping[str, JudgedTask] = field(default_factory=dict[str, JudgedTask])
    """By task; empty without a judge."""

    def figures(self, name: str) -> dict[str, Metric]:
        """Fractions of a set, of tasks whose golden actions exist."""
        checks = [each for each in self.sets[name] if "no such action" not in each.open]
        exact = [each for each in checks if not each.open]
        return {
            "right tools": mean([float(each.tools) for each in checks]),
            "right calls": mean([float(each.calls) for each in checks]),
            "right calls, exact golds": mean([float(each.calls) for each in exact]),
            "answered": mean([float(each.answered) for each in checks]),
        }

    def verdicts(self, name: str) -> dict[str, Metric]:
        """Fractions of Yes in a set; empty without a judge."""
        found = [self.judged[each.id] for each in self.sets[name] if each.id in self.judged]
        columns = {"process": "process", "answer": "response", "both": "both"} if found else {}
        return {
            column: mean([float(getattr(each, question) == "Yes") for each in found])
            for column, question in columns.items()
        }

    def open(self, name: str) -> Counter[str]:
        """Tasks of a set by what their golds leave open."""
        return Counter(kind for each in self.sets[name] for kind in each.open)

    def to_json(self) -> dict[str, Json]:
        """JSON object of the figures and of every task."""
        sets: dict[str, dict[str, Json]] = {}
        for name, checks in self.sets.items():
            tasks: list[Json] = [each.to_json() for each in checks]
            sets[name] = {"figures": _figures(self.figures(name)), "open": dict(self.open(name)), "tasks": tasks}
            if self.judged:
                judged: list[Json] = [
                    {"id": each.id, "process": each.process, "response": each.response}
                    for each in (self.judged[check.id] for check in checks)
                ]
                sets[name] |= {"judged": _figures(self.verdicts(name)), "verdicts": judged}
        return {"sets": dict[str, Json](sets), "judge": self.judge, "published": [list(row) for row in PUBLISHED]}

    def to_markdown(self) -> str:
        """Tables of the sets and of what their golds leave open, with the paper's rows."""
        columns = ["right tools", "right calls", "right calls, exact golds", "answered"]
        rows = [
            [name, f"{len(checks):,}", *(self.figures(name)[column].percent for column in columns)]
            for name, checks in self.sets.items()
        ]
        table = markdown_table(["set", "tasks", *columns], rows)
        told = "; ".join(
            f"{name}: " + ", ".join(f"{kind} {count}" for kind, count in sorted(self.open(name).items()))
            for name in self.sets
            if self.open(name)
        )
        peers = markdown_table(
            ["published by others, judged by GPT-4", "process", "answer"],
            [[name, str(process), str(answer)] for name, process, answer in PUBLISHED],
        )
        notes = (
            f"Percent, {INTERVALS}. Golden calls in their order, others allowed; placeholders of golds are any text."
        )
        if told:
            notes += f" Tasks whose golds leave something open: {told}; those without such an action are not scored."
        judged = ""
        if self.judged:
            rows = [
                [name, f"{len(checks):,}", *(each.percent for each in self.verdicts(name).values())]
                for name, checks in self.sets.items()
            ]
            silent = sum(not each.process for each in self.judged.values())
            judged = markdown_table([f"judged by {self.judge}", "tasks", "process", "answer", "both"], rows)
            judged = f"{judged}\n\nYes in percent; {silent} tasks have no verdict and count as wrong.\n\n"
        return f"{table}\n\n{notes}\n\n{judged}{peers}\n"


def _figures(metrics: Mapping[str, Metric]) -> dict[str, Json]:
    return {
        key: {"value": each.value, "low": each.low, "high": each.high, "count": each.count}
        for key, each in metrics.items()
    }
