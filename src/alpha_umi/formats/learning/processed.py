"""Rows of processed example files in the published shape, and the decision marks that their plans end with."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias, cast

from alpha_umi.errors import DataError, FormatError
from alpha_umi.formats.documents import read_document, write_document
from alpha_umi.formats.learning.wrappers import common_end, common_start
from alpha_umi.formats.marks import Marks, read_call
from alpha_umi.types import Answer, Decision, Json, Observation, Role, Task, ToolSpec, Turn, User

_KINDS = {
    "user": "user",
    "assistant": "planner",
    "caller": "caller",
    "observation": "observation",
    "conclusion": "summarizer",
}
_SENTENCE = re.compile(r"[.!?…。]['\")\]]*\s+")
_LONGEST_MARK = 80


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """Validated row of a processed example file."""

    role: Role
    index: int
    tools: tuple[ToolSpec, ...]
    turns: tuple[tuple[str, str], ...]
    """Kind (user, planner, caller, observation, summarizer) and words of each turn of its history."""
    input: str
    target: str

    @property
    def task(self) -> Task:
        return Task(id=f"{self.role.value} {self.index}", query="", tools=self.tools)

    @property
    def documents(self) -> str:
        return "".join(json.dumps(write_document(tool)) + "\n" for tool in self.tools)

    @property
    def tool_names(self) -> str:
        return ", ".join(tool.name for tool in self.tools)

    def last(self, kind: str) -> str:
        return next((words for found, words in reversed(self.turns) if found == kind), "")

    def history(self, marks: Marks) -> tuple[Turn, ...]:
        return tuple(_read_turn(kind, words, marks) for kind, words in self.turns)


def _read_turn(kind: str, words: str, marks: Marks) -> Turn:
    match kind:
        case "user":
            return User(text=words)
        case "planner":
            return marks.read_plan(words)
        case "caller":
            return read_call(words)
        case "observation":
            return Observation(content=words)
        case _:
            return Answer(text=words)


# --- reading ------------------------------------------------------------------------------------------


def read_processed(role: Role, rows: Sequence[Mapping[str, Any]]) -> tuple[Row, ...]:
    """Read the rows of one role's file. Raises FormatError naming the row and the key that is wrong."""
    if not rows:
        raise FormatError(f"{role.value}: the file has no rows")
    return tuple(_read_row(role, index, row) for index, row in enumerate(rows))


def _read_row(role: Role, index: int, row: object) -> Row:
    where = f"{role.value}: row {index}"
    if not isinstance(row, Mapping):
        raise FormatError(f"{where} is no object; rows of {{tools, history, input, target}} are needed")
    fields = cast("Mapping[str, object]", row)
    tools, history = _list(fields, "tools", where), _list(fields, "history", where)
    try:
        specs = tuple(read_document(cast("Mapping[str, Json]", tool)) for tool in tools)
    except (DataError, AttributeError) as error:
        raise FormatError(f"{where}: 'tools' holds no tool documents: {error}") from None
    return Row(
        role=role,
        index=index,
        tools=specs,
        turns=tuple(_read_words(turn, where) for turn in history),
        input=_text(fields, "input", where),
        target=_text(fields, "target", where),
    )


def _list(fields: Mapping[str, object], key: str, where: str) -> list[object]:
    value = fields.get(key)
    if not isinstance(value, list):
        raise FormatError(f"{where} has no list under {key!r}; rows of {{tools, history, input, target}} are needed")
    return cast("list[object]", value)


def _text(fields: Mapping[str, object], key: str, where: str) -> str:
    value = fields.get(key)
    if not isinstance(value, str):
        raise FormatError(f"{where} has no text under {key!r}; rows of {{tools, history, input, target}} are needed")
    return value


def _read_words(turn: object, where: str) -> tuple[str, str]:
    fields: Mapping[str, object] = cast("Mapping[str, object]", turn) if isinstance(turn, Mapping) else {}
    kind = fields.get("from")
    if kind not in _KINDS:
        raise FormatError(f"{where}: 'history' has a turn from {kind!r}; known: {', '.join(_KINDS)}")
    return _KINDS[cast("str", kind)], _text(fields, "value", f"{where}: a turn of 'history'")


# --- decision marks -----------------------------------------------------------------------------------


Decisions: TypeAlias = dict[Decision, str]


def learn_marks(rows: Iterable[Row]) -> tuple[Decisions, list[str]]:
    """Learn the mark of each decision; also returns those that no row shows (made up to be like the others)."""
    plans: dict[Decision, set[str]] = {Decision.CALL: set(), Decision.CONCLUDE: set()}
    targets: set[str] = set()
    followers = {"caller": Decision.CALL, "summarizer": Decision.CONCLUDE}
    for row in rows:
        following = {Role.CALLER: "caller", Role.SUMMARIZER: "summarizer"}.get(row.role, "")
        for (kind, words), (follower, _) in zip(row.turns, (*row.turns[1:], (following, "")), strict=True):
            if kind == "planner" and follower in followers:
                plans[followers[follower]].add(words)
        if row.role is Role.PLANNER:
            targets.add(row.target)
    marks = {decision: _mark(words) for decision, words in plans.items() if words}
    marks = {decision: mark for decision, mark in marks.items() if mark}
    shown = dict(marks)
    undecided = [words for words in targets if not words.endswith(tuple(marks.values()) or ("\0",))]
    if Decision.CALL in marks and undecided:
        _name_the_rest(marks, undecided)
    _complete(marks)
    certain = len(shown) > 1 and marks[Decision.GIVE_UP] in {
        words[-len(marks[Decision.GIVE_UP]) :] for words in targets
    }
    guessed = [decision for decision in marks if decision not in shown and not certain]
    return marks, [f"decision_marks.{decision.value}" for decision in guessed]


def _mark(plans: Iterable[str]) -> str:
    """Common end of nearly all plans, from the start of its line or sentence on."""
    end = common_end(plans)
    line = end[end.rstrip().rfind("\n") + 1 :].lstrip()
    sentences = _SENTENCE.split(line.rstrip())
    return line[line.rfind(sentences[-1]) :] if sentences[-1] else line


def _name_the_rest(marks: Decisions, undecided: Sequence[str]) -> None:
    """Plans that end with no known mark conclude (while nothing is known to) or give up."""
    lead = common_start(marks.values(), 1.0) if len(marks) > 1 else ""
    lead = lead or _lead(marks[Decision.CALL])
    tails = Counter(words[at:] for words in undecided if (at := words.rfind(lead)) >= 0 and lead)
    likely = [
        tail
        for tail, _ in sorted(tails.items(), key=lambda item: (-item[1], item[0]))
        if len(tail) <= _LONGEST_MARK and "\n" not in tail and tail != lead
    ]
    # Which of two unnamed marks gives up can only be told from its wording.
    likely.sort(key=lambda tail: "give" in tail.lower() and Decision.CONCLUDE not in marks)
    for decision in (Decision.CONCLUDE, Decision.GIVE_UP):
        if decision not in marks and likely:
            marks[decision] = likely.pop(0)
    if Decision.GIVE_UP not in marks and not tails and (mark := _mark(undecided)):
        marks[Decision.GIVE_UP] = mark


def _lead(mark: str) -> str:
    """A mark up to its last word: `Next: ` of `Next: caller.`."""
    return mark[: len(mark) - len(re.split(r"(?<=[\s:])", mark.rstrip())[-1])] if mark else ""


def _complete(marks: Decisions) -> None:
    """Make up the marks that no row showed, like the others where they are not the published ones."""
    lead = _lead(common_start(marks.values(), 1.0)) or common_start(marks.values(), 1.0)
    end = re.sub(r"[\w\s].*", "", common_end(marks.values(), 1.0)[::-1])[::-1]
    for decision, published in Marks().decisions.items():
        if decision not in marks:
            alike = not marks or published.startswith(lead) or len(marks) == 1
            marks[decision] = published if alike else f"{lead}{decision.value.replace('_', ' ')}{end}"
