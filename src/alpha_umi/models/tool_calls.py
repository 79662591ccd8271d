"""Native function calling in OpenAI's wire format: tools and messages of requests, tool calls of replies.

Endpoints allow few characters in a function name: a tool with another name gets an allowed one in the request
(`function_names`), and its own again in what is read. They take valid JSON Schema alone, which every tool's parameters
are written as.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, cast

from alpha_umi.formats.json_schema import write_function
from alpha_umi.formats.messages import call_id
from alpha_umi.formats.native import write_reply
from alpha_umi.models.function_names import is_readable, wire_names
from alpha_umi.types import Call, Json, ToolPrompt, ToolSpec


@dataclass(frozen=True, slots=True)
class ToolWire:
    """Wire format of one prompt, with the names of its tools there."""

    prompt: ToolPrompt

    def request(self) -> dict[str, Json]:
        """The prompt as fields of a chat completion request: messages and tools."""
        names = self._names()
        fields: dict[str, Json] = {"messages": self._write_messages(names)}
        if self.prompt.tools:
            fields["tools"] = [_write_tool(tool, names[tool.name]) for tool in self.prompt.tools]
        return fields

    def read(self, message: Mapping[str, Any], content: str) -> str:
        """Read an assistant's message into a reply text; its calls are kept, valid or not."""
        names = {wired: name for name, wired in self._names().items()}
        found = message.get("tool_calls") or ([message["function_call"]] if message.get("function_call") else [])
        entries = cast("list[Any]", found if isinstance(found, list) else [found])
        return write_reply(content, [_read_call(entry, names) for entry in entries])

    def _names(self) -> dict[str, str]:
        """Wire names of all tools that are offered or were called, each its own: as it is where endpoints allow it."""
        called = [call.name for message in self.prompt.messages for call in message.calls]
        return wire_names([*(tool.name for tool in self.prompt.tools), *called])

    def _write_messages(self, names: Mapping[str, str]) -> list[Json]:
        written: list[Json] = []
        made = answered = 0
        for message in self.prompt.messages:
            fields: dict[str, Json] = {"role": message.role, "content": message.content}
            if message.calls:
                fields["content"] = message.content or None
                fields["tool_calls"] = [
                    _write_call(call, names[call.name], call_id(made + number))
                    for number, call in enumerate(message.calls)
                ]
                made += len(message.calls)
            elif message.role == "tool":
                fields["tool_call_id"] = call_id(answered)
                answered += 1
            written.append(fields)
        return written


def _write_tool(tool: ToolSpec, name: str) -> Json:
    function = {**write_function(tool), "name": name}
    if name != tool.name and not is_readable(tool.name):
        function["description"] = ": ".join(filter(None, (tool.name, tool.description)))
    return {"type": "function", "function": function}


def _write_call(call: Call, name: str, call_id: str) -> Json:
    return {"id": call_id, "type": "function", "function": {"name": name, "arguments": _object(call.arguments)}}


def _object(arguments: str) -> str:
    """Arguments as a JSON object; other text becomes a member of one."""
    try:
        if isinstance(json.loads(arguments), dict):
            return arguments
    except (ValueError, RecursionError):
        pass
    return json.dumps({"arguments": arguments})


def _read_call(entry: Any, names: Mapping[str, str]) -> Call:
    """Read a call of the present or the former (`function_call`) shape; another shape is a call without a name."""
    function = entry.get("function", entry) if isinstance(entry, dict) else None
    name = cast("dict[str, Any]", function).get("name") if isinstance(function, dict) else None
    if not isinstance(name, str):
        return Call(name="", arguments=json.dumps(entry, ensure_ascii=False))
    arguments = cast("dict[str, Any]", function).get("arguments", "")
    text = arguments if isinstance(arguments, str) else json.dumps(arguments, ensure_ascii=False)
    return Call(name=names.get(name, name), arguments="" if arguments is None else text)
