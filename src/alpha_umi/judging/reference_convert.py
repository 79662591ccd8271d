"""Reference implementation of ToolEval's three published converters, mistakes included, for comparison.

They begin at the third message, so a chat without a system message loses its first call; take any message after a
call for its response; and choose at random (seed 42, one draw per node) where an answer did not finish. Where they
end in an exception they raise `PublishedStop`, and the caller converts the answer by `convert` instead.
"""

from __future__ import annotations

import json
import random
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, cast

from alpha_umi.errors import DataError
from alpha_umi.judging.convert import Node, convert_answer, write_answer
from alpha_umi.types import Json, Reference

SEED = 42
_SKIPPED = {
    Reference.ALPHA_UMI: ("system", "user", "observation"),
    Reference.OPENBMB: ("system", "user", "function"),
    Reference.STABLE: ("system", "user", "function", "tool"),
}


class PublishedStop(Exception):  # noqa: N818  it is what the published code does, not an error of ours
    """Exception of the published converter, reproduced."""


@dataclass(slots=True, kw_only=True)
class PublishedConverter:
    """Converter of the answers of one folder, in the given order: its random draws depend on it."""

    version: Reference
    method: str
    notes: list[str] = field(default_factory=list[str])
    """Exceptions of the published code that were replaced by another reading."""
    _rng: random.Random = field(default_factory=lambda: random.Random(SEED))  # noqa: S311

    def convert(self, name: str, document: Json) -> dict[str, Json]:
        """Convert one answer. Raises DataError for anything that no published converter reads."""
        try:
            return self._convert(cast("dict[str, Any]", document))
        except PublishedStop as stop:
            reason = str(stop)
        except (KeyError, IndexError, TypeError, AttributeError) as error:
            reason = f"{type(error).__name__}: {error}"
        try:
            record = convert_answer(document, self.method)
        except DataError as error:
            raise DataError(f"{name}: {error}") from None
        self.notes.append(f"{name}: the published converter ends here ({reason}); converted without it")
        return record

    def _convert(self, document: dict[str, Any]) -> dict[str, Json]:
        generation = document["answer_generation"]
        if generation["valid_data"]:
            nodes = list(self._read_valid(generation["train_messages"][-1]))
            self._draw_once_per(nodes)
        elif "CoT" in self.method or "cot" in self.method:
            nodes = list(_read_chain(self._rng.choice(document["trys"])["chain"]))
            self._draw_once_per(nodes)
        elif "DFS" in self.method or "dfs" in self.method:
            nodes = self._walk([_grow(child) for child in document["tree"]["tree"]["children"]])
        else:
            raise PublishedStop(f"NotImplementedError: Unknown method {self.method}")
        for key in ("function", "query", "final_answer"):
            generation[key]
        return write_answer(generation, self.method, nodes)

    def _draw_once_per(self, nodes: Sequence[Node]) -> None:
        """Advance the random stream as the published walk over a chain: one draw per node, the system message too."""
        for _ in range(len(nodes) + 1):
            self._rng.choice((0,))

    def _read_valid(self, messages: Sequence[dict[str, Any]]) -> Iterator[Node]:
        at, node = 2, None
        while at < len(messages):
            message = messages[at]
            at += 1
            if message["role"] in _SKIPPED[self.version]:
                continue
            if message["role"] != "assistant":
                raise PublishedStop(f"NotImplementedError: Unkown role {message['role']}")
            if "function_call" in message:
                node = self._read_call(message["function_call"], messages, at)
                at += 1
            elif self.version is Reference.STABLE and message.get("tool_calls") is not None:
                made = list(_read_tool_calls(message["tool_calls"], messages[at:]))
                yield from made
                node = made[-1] if made else node
                if node is None:
                    raise PublishedStop("UnboundLocalError: node")
                continue
            else:
                node = "assistant", message["content"]
            yield node

    def _read_call(self, call: dict[str, Any], messages: Sequence[dict[str, Any]], at: int) -> Node:
        response: Json = ""
        if call["name"] != "Finish":
            response = messages[at]["content"]
            if self.version is Reference.ALPHA_UMI:
                response = json.dumps({"error": "", "response": response})
        return "tool", {"name": call["name"], "arguments": call["arguments"], "response": response}

    def _walk(self, roots: Sequence[_Branch]) -> list[Node]:
        """Random walk from the system message to a leaf."""
        self._rng.choice((0,))
        nodes: list[Node] = []
        while roots:
            chosen = self._rng.choice(roots)
            nodes.append((chosen.role, chosen.message))
            roots = chosen.children
        return nodes


def _read_tool_calls(calls: Sequence[dict[str, Any]], following: Sequence[dict[str, Any]]) -> Iterator[Node]:
    for call in calls:
        name, arguments = call["function"]["name"], call["function"]["arguments"]
        if name == "Finish":
            yield "tool", {"name": name, "arguments": arguments, "response": ""}
            return
        for message in following:
            if message["role"] == "tool" and message["tool_call_id"] == call["id"]:
                yield "tool", {"name": name, "arguments": arguments, "response": message["content"]}
                break


def _read_chain(chain: Sequence[dict[str, Any]]) -> Iterator[Node]:
    at = 0
    while at < len(chain):
        node = chain[at]
        at += 1
        match node["node_type"]:
            case "Action":
                put = chain[at]
                call = {"name": node["description"], "arguments": put["description"], "response": put["observation"]}
                at += 1
                yield "tool", call
            case "Thought":
                yield "assistant", node["description"]
            case kind:
                raise PublishedStop(f"NotImplementedError: Unknown node_type: {kind}")


@dataclass(frozen=True, slots=True, kw_only=True)
class _Branch:
    role: str
    message: Json
    children: Sequence[_Branch]


def _grow(node: Mapping[str, Any]) -> _Branch:
    """Build a tree of thoughts and calls; an input goes into its action, whose further children come first."""
    children: list[Mapping[str, Any]] = list(node["children"])
    kind = node["node_type"]
    if kind == "Thought":
        return _Branch(role="assistant", message=node["description"], children=[_grow(child) for child in children])
    if kind not in ("Action", "Action Input"):
        raise PublishedStop(f"Exception: Unknown role {kind}")
    put = next((child for child in children if child["node_type"] == "Action Input"), None)
    if kind == "Action Input" or put is None:
        own: dict[str, Json] = {**node, "children": None if children else []}
        return _Branch(role=kind, message=own, children=[_grow(child) for child in children])
    call = {"name": node["description"], "arguments": put["description"], "response": put["observation"]}
    rest = [child for child in children if child is not put] + list(put["children"])
    return _Branch(role="tool", message=call, children=[_grow(child) for child in rest])
