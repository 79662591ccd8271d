"""Native function calling in OpenAI's wire format: tools and messages of requests, tool calls of replies.

Endpoints allow few characters in a function name: a tool with another name gets an allowed one in the request, and
its own again in what is read. They take valid JSON Schema alone, which every tool's parameters are written as.
"""

from __future__ import annotations

import json
import re
import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, cast

from alpha_umi.formats.json_schema import write_function
from alpha_umi.formats.messages import call_id
from alpha_umi.formats.native import write_reply
from alpha_umi.types import Call, Json, ToolPrompt, ToolSpec

_NAME, _NOT_IN_NAMES, _LETTER = (
    re.compile(r"[A-Za-z0-9_-]{1,64}"),
    re.compile(r"[^A-Za-z0-9_-]"),
    re.compile("[A-Za-z]"),
)
_LONGEST_NAME = 64
_STAND_IN = "tool"


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
        names = dict.fromkeys([*(tool.name for tool in self.prompt.tools), *called])
        wired = {name: name for name in names if _NAME.fullmatch(name)}
        for name in names:
            if name not in wired:
                wired[name] = _free(_stand_in(name), set(wired.values()))
        return wired

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
    if name != tool.name and _stand_in(tool.name) == _STAND_IN:
        function["description"] = ": ".join(filter(None, (tool.name, tool.description)))
    return {"type": "function", "function": function}


def _stand_in(name: str) -> str:
    """Name in the characters of endpoints: letters without their accents, else a word of ours."""
    plain = unicodedata.normalize("NFKD", name)
    plain = "".join(letter for letter in plain if not unicodedata.combining(letter))
    return _NOT_IN_NAMES.sub("_", plain)[:_LONGEST_NAME] if _LETTER.search(plain) else _STAND_IN


def _free(name: str, taken: set[str]) -> str:
    """The name with the first number that makes it one of its own; a word of ours is always numbered."""
    number, free = 1, name if name != _STAND_IN else f"{name}_1"
    while free in taken:
        number += 1
        free = f"{name[: _LONGEST_NAME - len(str(number)) - 1]}_{number}"
    return free


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
