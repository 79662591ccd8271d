"""Readers of chats whose calls stand in the text: Hermes and Qwen by tags, ToolACE in Python's notation.

The system message lists the tools. It is the shape's own prompt and is left out: a format writes its own. Sources:
NousResearch/Hermes-Function-Calling, Team-ACE/ToolACE (dataset cards).
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import cast

from alpha_umi.datasets.chats import Origin, finish, make_reading, messages_of, split_results, text_of
from alpha_umi.datasets.sharegpt import ROLES
from alpha_umi.datasets.toolbench import Reading
from alpha_umi.errors import DataError
from alpha_umi.formats.dialects.calls import find_marked
from alpha_umi.formats.messages import read_arguments
from alpha_umi.formats.tool_lists import read_tools
from alpha_umi.formats.turn_builder import TurnBuilder
from alpha_umi.literals import UnreadableError, read_notation, read_value, write_value
from alpha_umi.loose_json import read_loosely
from alpha_umi.types import Json, ToolSpec

_CONSUMED = frozenset({"conversations", "messages", "system", "tools"})
_TOOLS = re.compile(r"<tools>(.*?)</tools>", re.DOTALL)
_RESULT = re.compile(r"<tool_response>\s*(.*?)\s*</tool_response>", re.DOTALL)
_TAGS = ("<tool_call>", "<tools>", "<tool_response>")


def has_tags(texts: Sequence[str]) -> bool:
    """Tell whether messages hold tags of Hermes: around tools, calls or results."""
    return any(tag in text for text in texts for tag in _TAGS)


def read_hermes_row(row: Mapping[str, Json], origin: Origin) -> Iterator[Reading]:
    """Read one row of messages with `<tool_call>` and `<tool_response>`. Raises DataError naming the message."""
    builder, tools, system = TurnBuilder(), tuple[ToolSpec, ...](), text_of(row.get("system"))
    if row.get("tools") is not None:
        tools = read_tools(row["tools"])
    for index, (role, text) in enumerate(_said(row)):
        try:
            if role == "system" and not builder.turns:
                system = text
            elif role == "result" or (role == "user" and text.lstrip().startswith("<tool_response>")):
                _read_results(text, builder)
            elif role == "user":
                builder.user(text)
            elif role == "assistant":
                _read_tagged(text, builder)
            else:
                raise DataError(f"a message of {role!r} cannot stand here")
        except DataError as error:
            raise DataError(f"message {index}: {error}") from None
    if listed := _listed(system):
        system, tools = "", tools or listed
    columns = {key: value for key, value in row.items() if key not in _CONSUMED}
    yield make_reading(finish(builder, tools, system=system, columns=columns), origin)


def _said(row: Mapping[str, Json]) -> Iterator[tuple[str, str]]:
    for index, message in enumerate(messages_of(row, "conversations", "messages")):
        role = message.get("from", message.get("role"))
        if not isinstance(role, str) or role not in ROLES:
            raise DataError(f"message {index}: unknown role {str(role)[:60]!r}; known: {', '.join(ROLES)}")
        yield ROLES[role], text_of(message.get("value", message.get("content")))


def _listed(system: str) -> tuple[ToolSpec, ...]:
    """Tools that a system message lists between tags; none where it has no such list."""
    for found in _TOOLS.finditer(system):
        if found[1].strip()[:1] in ("[", "{"):
            return read_tools(found[1])
    return ()


def _read_tagged(text: str, builder: TurnBuilder) -> None:
    thoughts: list[str] = []
    at = 0
    places = list(find_marked(text)) if "<tool_call>" in text else []
    for place in places:
        if not place.calls:
            raise DataError(f"a call cannot be read: {text[place.start : place.start + 80]!r}")
        thoughts.append(text[at : place.start].strip())
        at = place.end
    thoughts.append(text[at:].strip() if places else text)
    said = "\n\n".join(part for part in thoughts if part)
    if said or not places:
        builder.say(said)
    elif builder.waiting:
        raise DataError("a call follows calls that have no result")
    for place in places:
        for call in place.calls:
            builder.call(call.name, call.arguments)


def _read_results(text: str, builder: TurnBuilder) -> None:
    found = [each[1] for each in _RESULT.finditer(text)] or [text]
    if len(found) == 1:
        found = split_results(found[0], builder.waiting)
    for each in found:
        builder.result(each)


# --- ToolACE --------------------------------------------------------------------------------------------


def read_toolace_row(row: Mapping[str, Json], origin: Origin) -> Iterator[Reading]:
    """Read one row whose calls are `[Name(a=1), Other()]`. Raises DataError naming the message."""
    builder, system = TurnBuilder(), text_of(row.get("system"))
    said = list(_said(row))
    if said and said[0][0] == "system":
        system, said = said[0][1], said[1:]
    tools = read_tools(row["tools"]) if row.get("tools") else _declared(system)
    names = sorted((tool.name for tool in tools), key=len, reverse=True)
    for index, (role, text) in enumerate(said):
        try:
            if role == "user":
                builder.user(text)
            elif role == "assistant" and (calls := read_bracketed(text, names)):
                for name, arguments in calls:
                    builder.call(name, arguments)
            elif role == "assistant":
                builder.say(text)
            elif role == "result":
                for each in _split_named(text, builder.waiting):
                    builder.result(each)
            else:
                raise DataError(f"a message of {role!r} cannot stand here")
        except DataError as error:
            raise DataError(f"conversations[{index}]: {error}") from None
    columns = {key: value for key, value in row.items() if key not in _CONSUMED}
    yield make_reading(finish(builder, tools, columns=columns), origin)


def _declared(system: str) -> tuple[ToolSpec, ...]:
    """Tools of the first list of objects in a system message. Raises DataError where it has none."""
    at = re.search(r"\[\s*\{", system)
    if at is None:
        raise DataError("'system' lists no tools")
    try:
        return read_tools(read_value(system, at.start())[0])
    except UnreadableError as error:
        raise DataError(f"the tools in 'system' cannot be read: {error}") from None


def read_bracketed(text: str, names: Sequence[str]) -> list[tuple[str, str]]:
    """Read `[Name(a=1), Other name()]` of offered tools, names with arguments; nothing where it is anything else."""
    text = text.strip()
    if not (text.startswith("[") and text.endswith("]")):
        return []
    calls: list[tuple[str, str]] = []
    at = 1
    while True:
        at = _behind(text, at, " \n\t,;")
        if text[at:] == "]":
            return calls
        name = next(
            (name for name in names if text.startswith(name, at) and text[at + len(name) :].lstrip()[:1] == "("), None
        )
        if name is None:
            return []
        start = text.index("(", at + len(name))
        try:
            ((_, given),), end = read_notation(f"f{text[start:]}", 0)
        except (UnreadableError, ValueError):
            return []
        calls.append((name, write_value(given)))
        at = start + end - 1


def _behind(text: str, at: int, blanks: str) -> int:
    while at < len(text) and text[at] in blanks:
        at += 1
    return at


def _split_named(text: str, count: int) -> list[str]:
    """Results `[{name, results}]` of as many calls, each without its name; other texts as `split_results` does."""
    try:
        value = read_loosely(text).value
    except ValueError:
        return split_results(text, count)
    entries = value if isinstance(value, list) else [value]
    if len(entries) == max(count, 1) and all(
        isinstance(each, dict) and {"name", "results"} == set(each) for each in entries
    ):
        return [read_arguments(cast("dict[str, Json]", each)["results"]) for each in entries]
    return split_results(text, count)
