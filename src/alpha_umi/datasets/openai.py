"""Reader of rows of OpenAI's chat messages `{messages, tools}`, and of TRL's `{prompt, completion, tools}`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from alpha_umi.datasets.chats import Chat, Origin, make_reading
from alpha_umi.datasets.toolbench import Reading
from alpha_umi.formats.messages import read_messages
from alpha_umi.formats.tool_lists import read_tools
from alpha_umi.types import Json

_CONSUMED = frozenset({"messages", "tools", "functions", "prompt", "completion"})


def read_row(row: Mapping[str, Json], origin: Origin) -> Iterator[Reading]:
    """Read one row. Raises DataError naming the message or tool."""
    messages = row.get("messages")
    prompt, completion = row.get("prompt"), row.get("completion")
    if messages is None and isinstance(prompt, list) and isinstance(completion, list):
        messages = [*prompt, *completion]
    read = read_messages(messages)
    tools = row.get("tools")
    chat = Chat(
        turns=read.turns,
        tools=read_tools(row.get("functions") if tools is None else tools),
        system=read.system,
        layout=read.layout,
        deviations=read.deviations,
        columns={key: value for key, value in row.items() if key not in _CONSUMED} if len(row) > 2 else {},
    )
    yield make_reading(chat, origin)
