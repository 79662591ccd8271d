"""Reader of ToolLLaMA's training rows `{id, conversations}`: ReAct steps as text, tools in the system message.

ToolBench writes one row for every step, with the steps before it as history, and trains on the last step alone; so does
a trajectory that is read here (`roles.LEARN`). Source: OpenBMB/ToolBench,
preprocess/preprocess_toolllama_data.py and toolbench/train/train.py.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Mapping

from alpha_umi.datasets.chats import Chat, Origin, make_reading, messages_of, text_of
from alpha_umi.datasets.toolbench import Reading, read_observation
from alpha_umi.errors import DataError
from alpha_umi.formats.finish import FINISH
from alpha_umi.formats.react import ReActFormat
from alpha_umi.formats.tool_lists import read_tools
from alpha_umi.literals import UnreadableError, read_value
from alpha_umi.roles import LEARN
from alpha_umi.types import Call, Json, Observation, Plan, Role, ToolSpec, Turn, User

_LIST = re.compile(r"\[\s*\{")
_BEGIN = re.compile(r"\s*Begin!\s*\Z")
_STEP = re.compile(r"Step \d+: ")
_CONSUMED = frozenset({"conversations"})
_REACT = ReActFormat()
_LEARNING = (Role.BACKBONE, Role.PLANNER, Role.CALLER, Role.SUMMARIZER)


def read_row(row: Mapping[str, Json], origin: Origin) -> Iterator[Reading]:
    """Read one row. Raises DataError naming the message."""
    turns: list[Turn] = []
    tools: tuple[ToolSpec, ...] = ()
    deviations: Counter[str] = Counter()
    for index, message in enumerate(messages_of(row, "conversations")):
        role, text = message.get("from"), text_of(message.get("value"))
        match role:
            case "system":
                tools = _declared(text)
                deviations["rows_that_list_no_tools"] += not tools
            case "user":
                turns.append(User(text=_BEGIN.sub("", text).strip()))
            case "assistant" if turns:
                turns += _REACT.parse(Role.BACKBONE, text.removeprefix("\n"))
            case "function" if turns and isinstance(turns[-1], Call):
                turns.append(read_observation(message.get("value"), deviations))
            case "assistant":
                raise DataError(f"conversations[{index}]: the assistant speaks before the user")
            case "function":
                raise DataError(f"conversations[{index}]: a tool's result answers no call")
            case _:
                raise DataError(
                    f"conversations[{index}]: unknown role {str(role)[:60]!r}; known: system, user, assistant, function"
                )
    _check(turns)
    last = max((at for at, turn in enumerate(turns) if isinstance(turn, Plan)), default=None)
    identity = row.get("id")
    is_step = isinstance(identity, str) and _STEP.match(identity) is not None
    learn: dict[str, Json] = {role.value: [last] for role in _LEARNING} if is_step and last is not None else {}
    chat = Chat(
        turns=turns,
        tools=tools,
        deviations={name: count for name, count in deviations.items() if count},
        columns={key: value for key, value in row.items() if key not in _CONSUMED},
        metadata={LEARN: learn} if learn else {},
    )
    yield make_reading(chat, origin)


def _check(turns: list[Turn]) -> None:
    if not turns:
        raise DataError("'conversations' has no message of the user")
    for index, turn in enumerate(turns[:-1]):
        if isinstance(turn, Call) and not isinstance(turns[index + 1], Observation):
            raise DataError(f"the call of {turn.name!r} has no result")


def _declared(system: str) -> tuple[ToolSpec, ...]:
    """Tools that the system message lists, as Python prints them, without `Finish`."""
    for found in _LIST.finditer(system):
        try:
            value, _ = read_value(system, found.start())
        except UnreadableError:
            continue
        return tuple(tool for tool in read_tools(value) if tool.name != FINISH)
    return ()
