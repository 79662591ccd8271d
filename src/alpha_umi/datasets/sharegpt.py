"""Reader of ShareGPT rows as LLaMA-Factory trains on: `{conversations, system, tools}` with function_call, observation.

Messages are `{from, value}` or `{role, content}`; LLaMA-Factory's other words for roles are known, too. A call may have
its thought before it in a `<think>` block. Source: LLaMA-Factory, data/README.md.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from alpha_umi.datasets.chats import Origin, finish, make_reading, messages_of, read_call_text, split_results, text_of
from alpha_umi.datasets.toolbench import Reading
from alpha_umi.errors import DataError
from alpha_umi.formats.tool_lists import read_tools
from alpha_umi.formats.turn_builder import TurnBuilder, split_think
from alpha_umi.types import Json

ROLES: Mapping[str, str] = {
    word: role
    for role, words in {
        "user": "human user",
        "assistant": "gpt assistant bot model chatgpt bing bard",
        "call": "function_call function-call tool_call",
        "result": "observation observations function_response function-response tool_response tool",
        "system": "system",
    }.items()
    for word in words.split()
}
_CONSUMED = frozenset({"conversations", "conversation", "system", "system_prompt", "tools", "functions"})


def read_row(row: Mapping[str, Json], origin: Origin) -> Iterator[Reading]:
    """Read one row. Raises DataError naming the message or tool."""
    builder = TurnBuilder()
    system = text_of(row.get("system") or row.get("system_prompt"))
    for index, message in enumerate(messages_of(row, "conversations", "conversation")):
        try:
            written = message.get("from", message.get("role"))
            text = text_of(message.get("value", message.get("content")))
            role = ROLES.get(written) if isinstance(written, str) else None
            if role == "system" and not builder.turns:
                system = text or system
            elif role == "user":
                builder.user(text)
            elif role == "assistant":
                builder.say(text)
            elif role == "call":
                _read_calls(text, builder)
            elif role == "result":
                for each in split_results(text, builder.waiting):
                    builder.result(each)
            else:
                raise DataError(f"unknown role {str(written)[:60]!r}; known: {', '.join(ROLES)}")
        except DataError as error:
            raise DataError(f"conversations[{index}]: {error}") from None
    tools = read_tools(row.get("tools") if row.get("tools") is not None else row.get("functions"))
    columns = {key: value for key, value in row.items() if key not in _CONSUMED}
    yield make_reading(finish(builder, tools, system=system, columns=columns), origin)


def _read_calls(text: str, builder: TurnBuilder) -> None:
    thought, calls = split_think(text)
    if thought:
        builder.say("", thought)
    elif builder.waiting:
        raise DataError("a call follows calls that have no result")
    for name, arguments in read_call_text(calls):
        builder.call(name, arguments)
