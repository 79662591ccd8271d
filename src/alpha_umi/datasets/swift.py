"""Reader of ms-swift's agent rows: messages with the roles tool_call and tool_response, tools as text.

Source: ms-swift, docs/source_en/Instruction/Agent-support.md.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from alpha_umi.datasets.chats import Origin, finish, make_reading, messages_of, read_call_text, text_of
from alpha_umi.datasets.toolbench import Reading
from alpha_umi.errors import DataError
from alpha_umi.formats.tool_lists import read_tools
from alpha_umi.formats.turn_builder import TurnBuilder
from alpha_umi.types import Json

_CONSUMED = frozenset({"messages", "tools"})
RESULTS = ("tool_response", "tool")


def read_row(row: Mapping[str, Json], origin: Origin) -> Iterator[Reading]:
    """Read one row. Raises DataError naming the message or tool."""
    builder, system = TurnBuilder(), ""
    for index, message in enumerate(messages_of(row, "messages")):
        try:
            role, text = message.get("role"), text_of(message.get("content"))
            match role:
                case "system" if not builder.turns:
                    system = text
                case "user":
                    builder.user(text)
                case "assistant":
                    builder.say(text)
                case "tool_call":
                    for name, arguments in read_call_text(message.get("content")):
                        builder.call(name, arguments)
                case "tool_response" | "tool":
                    builder.result(text)
                case _:
                    raise DataError(
                        f"unknown role {str(role)[:60]!r}; known: system, user, assistant, tool_call, tool_response"
                    )
        except DataError as error:
            raise DataError(f"messages[{index}]: {error}") from None
    columns = {key: value for key, value in row.items() if key not in _CONSUMED}
    yield make_reading(finish(builder, read_tools(row.get("tools")), system=system, columns=columns), origin)
