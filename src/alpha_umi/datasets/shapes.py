"""Shapes of public data sets: for each the reader of its rows, and how a row tells which it is.

A new shape is one entry of SHAPES and one module with a function from a row to readings; a reader of one's own
(`module:attribute`) needs neither.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import cast

from alpha_umi.datasets import openai, sharegpt, swift, tagged, toolalpaca, toolllama, xlam
from alpha_umi.datasets.chats import Origin
from alpha_umi.datasets.processed import read_processed
from alpha_umi.datasets.toolbench import Reading
from alpha_umi.errors import DataError
from alpha_umi.types import Decision, Json, Plan

Row = Mapping[str, Json]
RowReader = Callable[[Row, Origin], Iterable["Reading | DataError"]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Shape:
    """Shape of the rows of a data set."""

    name: str
    """Name of the verb of `umi prepare` that reads it."""
    title: str
    """Noun phrase for messages and documentation."""
    columns: str
    """Columns of a row that make it one, for documentation."""
    fits: Callable[[Row], bool]
    """Tells whether a row is of this shape; cheap, and right where `identify` asks in the order of SHAPES."""
    read: RowReader


def _messages(row: Row, *keys: str) -> Sequence[Mapping[str, Json]]:
    found = next((row[key] for key in keys if isinstance(row.get(key), list)), None)
    entries = cast("list[Json]", found) if isinstance(found, list) else []
    return [each for each in entries if isinstance(each, dict)]


def _roles(messages: Sequence[Mapping[str, Json]]) -> set[str]:
    return {role for each in messages if isinstance(role := each.get("from", each.get("role")), str)}


def _texts(messages: Sequence[Mapping[str, Json]]) -> list[str]:
    return [text for each in messages if isinstance(text := each.get("value", each.get("content")), str)]


def _is_toolalpaca(row: Row) -> bool:
    return "Function_Description" in row or ("NLDocumentation" in row and "Instructions" in row)


def _is_xlam(row: Row) -> bool:
    return "query" in row and "answers" in row


def _is_toolllama(row: Row) -> bool:
    messages = _messages(row, "conversations")
    roles = _roles(messages)
    texts = [text for each, text in zip(messages, _texts(messages), strict=False) if each.get("from") == "assistant"]
    return (
        "from" in (messages[0] if messages else {})
        and (
            "function" in roles
            or ("user" in roles and any("\nAction:" in text or text.startswith("Action:") for text in texts))
        )
        and "instruction" not in row
    )


def _is_hermes(row: Row) -> bool:
    messages = _messages(row, "conversations", "messages")
    return not any(each.get("tool_calls") for each in messages) and tagged.has_tags(_texts(messages))


def _is_toolace(row: Row) -> bool:
    messages = _messages(row, "conversations")
    roles = _roles(messages)
    return (
        "instruction" not in row
        and bool(messages)
        and "from" in messages[0]
        and roles <= {"system", "user", "assistant", "tool"}
        and ("tool" in roles or isinstance(row.get("system"), str))
    )


def _is_sharegpt(row: Row) -> bool:
    messages = _messages(row, "conversations", "conversation")
    return bool(messages) and "instruction" not in row and not _roles(messages) & {"caller", "conclusion"}


def _is_swift(row: Row) -> bool:
    messages = _messages(row, "messages")
    calls = any("tool_calls" in each or "tool_call_id" in each for each in messages)
    return bool(_roles(messages) & {"tool_call", "tool_response"}) or (
        bool(messages) and isinstance(row.get("tools"), str) and not calls
    )


def _is_openai(row: Row) -> bool:
    has_pair = isinstance(row.get("prompt"), list) and isinstance(row.get("completion"), list)
    return isinstance(row.get("messages"), list) or has_pair


def _read_processed(row: Row, origin: Origin) -> Iterable[Reading]:
    found = read_processed(dict(row), origin.task_id, origin.metadata)
    undecided = sum(isinstance(turn, Plan) and turn.decision is Decision.NONE for turn in found.turns)
    yield Reading(trajectory=found, deviations={"plans_without_call_kept": undecided})


SHAPES: Mapping[str, Shape] = {
    shape.name: shape
    for shape in (
        Shape(
            name="processed",
            title="processed dialogues",
            columns="`tools`, `instruction`, `conversations`",
            fits=lambda row: "instruction" in row and "conversations" in row,
            read=_read_processed,
        ),
        Shape(
            name="toolalpaca",
            title="ToolAlpaca's APIs",
            columns="`Function_Description`; `Instances`, or `Instructions` with `Golden_Answers`",
            fits=_is_toolalpaca,
            read=toolalpaca.read_row,
        ),
        Shape(
            name="xlam",
            title="xLAM's queries with their calls",
            columns="`query`, `answers`, `tools`",
            fits=_is_xlam,
            read=xlam.read_row,
        ),
        Shape(
            name="hermes",
            title="chats with the tags of Hermes and Qwen",
            columns="`conversations` or `messages`; `<tool_call>` and `<tool_response>` in the text",
            fits=_is_hermes,
            read=tagged.read_hermes_row,
        ),
        Shape(
            name="toolllama",
            title="ToolLLaMA's training steps",
            columns="`conversations` of system, user, assistant, function; `Action:` in the text",
            fits=_is_toolllama,
            read=toolllama.read_row,
        ),
        Shape(
            name="toolace",
            title="ToolACE's chats",
            columns="`system`, `conversations` of user, assistant, tool; `[Name(a=1)]` in the text",
            fits=_is_toolace,
            read=tagged.read_toolace_row,
        ),
        Shape(
            name="sharegpt",
            title="ShareGPT chats",
            columns="`conversations` of human, gpt, function_call, observation; `system`, `tools`",
            fits=_is_sharegpt,
            read=sharegpt.read_row,
        ),
        Shape(
            name="swift",
            title="ms-swift's agent messages",
            columns="`messages` with tool_call and tool_response; `tools` as text",
            fits=_is_swift,
            read=swift.read_row,
        ),
        Shape(
            name="openai",
            title="OpenAI's chat messages",
            columns="`messages` with `tool_calls`; `tools`",
            fits=_is_openai,
            read=openai.read_row,
        ),
    )
}
"""By name, in the order in which a row is asked."""

_OTHERS: Sequence[tuple[Callable[[Row], bool], str]] = (
    (lambda row: "schema" in row and "turns" in row, "a trajectory already; it needs no preparation"),
    (lambda row: "answer_generation" in row, "a raw answer of ToolBench; read its folder with umi prepare toolbench"),
    (
        lambda row: "query" in row and "api_list" in row,
        "a query of ToolBench without an answer; umi rollout explores it",
    ),
    (lambda row: "chosen" in row and "rejected" in row, "a preference pair, which is no trajectory"),
    (lambda row: {"history", "input", "target"} <= row.keys(), "an example of one role, as umi export writes it"),
    (
        lambda row: "instruction" in row and "output" in row,
        "an Alpaca row, which has no tools; a reader of your own reads it (umi prepare custom)",
    ),
)
"""Rows that are known and of no shape here."""


def identify(row: Json) -> Shape | None:
    """Return the shape of a row; None for any other row."""
    if not isinstance(row, dict) or any(fits(row) for fits, _ in _OTHERS):
        return None
    return next((shape for shape in SHAPES.values() if shape.fits(row)), None)


def describe_row(row: Json) -> str:
    """Say what a row is, and what reads it; empty where it is of no known shape."""
    if not isinstance(row, dict):
        return ""
    if told := next((told for fits, told in _OTHERS if fits(row)), ""):
        return f"it is {told}"
    shape = identify(row)
    return f"it is a row of {shape.title}, which umi prepare {shape.name} reads" if shape else ""


def read_as(shape: Shape, row: Json, origin: Origin) -> Iterable[Reading | DataError]:
    """Read a row as one of `shape`. Raises DataError, which for a row of another shape names what reads it."""
    try:
        if not isinstance(row, dict):
            raise DataError(f"no row of {shape.title}: an object is needed")
        yield from shape.read(row, origin)
    except DataError as error:
        told = "" if identify(row) is shape else describe_row(row)
        if not told:
            raise
        raise DataError(f"{error}; {told}") from None
