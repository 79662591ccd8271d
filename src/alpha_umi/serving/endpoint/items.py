"""Items of the Responses API: input items as chat messages, and the output items of a reply with their events."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from alpha_umi.serving.endpoint.errors import invalid, unsupported
from alpha_umi.types import Call, Json

_TEXT_PARTS = ("summary", "content")
SERVER_LABEL = "alpha-umi"
"""Of calls that the server ran, which are items of the type mcp_call."""


def messages_of(items: Sequence[Json]) -> list[Json]:
    """Chat messages of input items: reasoning belongs to what follows it, calls side by side to one message.

    Raises ApiError naming an item of another shape.
    """
    messages = _Messages()
    for number, item in enumerate(items):
        where = f"input[{number}]"
        if not isinstance(item, dict):
            raise invalid(f"{where}: an object is needed", where)
        match item.get("type", "message"):
            case "message":
                messages.say(item)
            case "reasoning":
                messages.reasoning = _texts(item)
            case "function_call":
                messages.call(item, str(item.get("call_id") or item.get("id") or ""))
            case "function_call_output":
                output = item.get("output")
                messages.add({"role": "tool", "tool_call_id": item.get("call_id"), "content": _output(output, where)})
            case "mcp_call":
                call_id = str(item.get("id") or "")
                messages.call(item, call_id)
                messages.add({"role": "tool", "tool_call_id": call_id, "content": item.get("output")})
            case "mcp_approval_request" | "mcp_approval_response":
                pass  # the call that they are about follows them
            case _:
                raise unsupported(f"{where}.type", "items of this type cannot be read here")
    return messages.done


@dataclass(slots=True)
class _Messages:
    done: list[Json] = field(default_factory=list[Json])
    reasoning: str = ""
    calls: list[Json] = field(default_factory=list[Json])
    """Of the last message, to which more may be added."""

    def say(self, item: Mapping[str, Json]) -> None:
        message: dict[str, Json] = {"role": item.get("role"), "content": item.get("content")}
        if message["role"] == "user":
            self.reasoning = ""  # of a call that was never made
        self.add(self._with_reasoning(message) if message["role"] == "assistant" else message)

    def call(self, item: Mapping[str, Json], call_id: str) -> None:
        function: Json = {"name": item.get("name"), "arguments": item.get("arguments")}
        entry: Json = {"id": call_id, "type": "function", "function": function}
        if self.calls and not self.reasoning:
            self.calls.append(entry)
            return
        calls: list[Json] = [entry]
        self.add(self._with_reasoning({"role": "assistant", "content": None, "tool_calls": calls}))
        self.calls = calls

    def add(self, message: Json) -> None:
        self.done.append(message)
        self.calls = []

    def _with_reasoning(self, message: dict[str, Json]) -> dict[str, Json]:
        reasoning, self.reasoning = self.reasoning, ""
        return {**message, "reasoning_content": reasoning} if reasoning else message


def _texts(item: Mapping[str, Json]) -> str:
    """Text of a reasoning item: its summary, else its content."""
    for key in _TEXT_PARTS:
        parts = item.get(key)
        texts = [part.get("text") for part in parts if isinstance(part, dict)] if isinstance(parts, list) else []
        if found := "\n".join(text for text in texts if isinstance(text, str)):
            return found
    return ""


def _output(output: Json, where: str) -> Json:
    if output is None or isinstance(output, (str, list)):
        return output
    raise invalid(f"{where}.output: a text, or a list of parts, is needed", f"{where}.output")


# --- output -----------------------------------------------------------------------------------------------


@dataclass(slots=True)
class Output:
    """Output items of a reply that grows; every method yields the events of its stream."""

    items: list[dict[str, Json]] = field(default_factory=list[dict[str, Json]])
    text: str = ""
    """Of the open item."""
    open: str = ""
    """Type of the item that is being written; empty: none."""
    logprobs: Callable[[str], list[Json] | None] = lambda _: None
    """Log probabilities of the tokens of an answer that is written; None: not asked for."""

    def think(self, piece: str, *, starts: bool) -> Iterator[dict[str, Json]]:
        """Add to the reasoning; `starts`: of a new plan."""
        if self.open != "reasoning" or starts:
            yield from self.close()
            yield from self._begin({"type": "reasoning", "id": _id("rs"), "summary": list[Json]()})
            part: Json = {"type": "summary_text", "text": ""}
            yield self._event("response.reasoning_summary_part.added", summary_index=0, part=part)
        self.text += piece
        yield self._event("response.reasoning_summary_text.delta", summary_index=0, delta=piece)

    def say(self, piece: str) -> Iterator[dict[str, Json]]:
        """Add to the answer."""
        if self.open != "message":
            yield from self.close()
            item: dict[str, Json] = {"type": "message", "id": _id("msg"), "status": "in_progress", "role": "assistant"}
            yield from self._begin({**item, "content": list[Json]()})
            yield self._event("response.content_part.added", content_index=0, part=_text_part(""))
        self.text += piece
        yield self._event("response.output_text.delta", content_index=0, delta=piece, logprobs=list[Json]())

    def begin_call(self, name: str, call_id: str) -> Iterator[dict[str, Json]]:
        """Add a call that the client runs, whose arguments follow."""
        yield from self.close()
        item: dict[str, Json] = {"type": "function_call", "id": _id("fc"), "call_id": call_id, "name": name}
        yield from self._begin({**item, "arguments": "", "status": "in_progress"})

    def add_arguments(self, piece: str) -> Iterator[dict[str, Json]]:
        """Add to the arguments of the call."""
        self.text += piece
        if piece:
            yield self._event("response.function_call_arguments.delta", delta=piece)

    def end_call(self) -> Iterator[dict[str, Json]]:
        """End the call."""
        item = self.items[-1]
        arguments = self.text
        yield self._event("response.function_call_arguments.done", arguments=arguments, name=item["name"])
        yield from self._end(arguments=arguments, status="completed")

    def ask_approval(self, call: Call, name: str) -> Iterator[dict[str, Json]]:
        """Add a request for approval of a call that the server would run."""
        yield from self.close()
        item: dict[str, Json] = {"type": "mcp_approval_request", "id": name, "server_label": SERVER_LABEL}
        yield from self._begin({**item, "name": call.name, "arguments": call.arguments})
        yield from self._end()

    def begin_own_call(self, call: Call, call_id: str, approval_id: str | None = None) -> Iterator[dict[str, Json]]:
        """Add a call that the server runs."""
        yield from self.close()
        item: dict[str, Json] = {"type": "mcp_call", "id": call_id, "server_label": SERVER_LABEL, "name": call.name}
        rest: dict[str, Json] = {
            "output": None,
            "error": None,
            "approval_request_id": approval_id,
            "status": "in_progress",
        }
        yield from self._begin({**item, "arguments": "", **rest})
        yield self._event("response.mcp_call.in_progress")
        yield self._event("response.mcp_call_arguments.done", arguments=call.arguments)
        self.items[-1]["arguments"] = call.arguments

    def end_own_call(self, output: str) -> Iterator[dict[str, Json]]:
        """Add the result of the call that the server ran."""
        if self.open == "mcp_call":
            yield self._event("response.mcp_call.completed")
            yield from self._end(output=output, status="completed")

    def close(self) -> Iterator[dict[str, Json]]:
        """End the item that is being written."""
        text = self.text
        part: dict[str, Json]
        match self.open:
            case "reasoning":
                part = {"type": "summary_text", "text": text}
                yield self._event("response.reasoning_summary_text.done", summary_index=0, text=text)
                yield self._event("response.reasoning_summary_part.done", summary_index=0, part=part)
                yield from self._end(summary=[part])
            case "message":
                logprobs = self.logprobs(text) or list[Json]()
                part = _text_part(text, logprobs)
                yield self._event("response.output_text.done", content_index=0, text=text, logprobs=logprobs)
                yield self._event("response.content_part.done", content_index=0, part=part)
                yield from self._end(content=[part], status="completed")
            case "mcp_call":
                yield from self.end_own_call("")
            case "function_call":
                yield from self._end(arguments=text, status="incomplete")
            case _:
                pass

    def _begin(self, item: dict[str, Json]) -> Iterator[dict[str, Json]]:
        self.items.append(item)
        self.open, self.text = str(item["type"]), ""
        yield {"type": "response.output_item.added", "output_index": self._index, "item": dict(item)}

    def _end(self, **fields: Json) -> Iterator[dict[str, Json]]:
        self.items[-1] |= fields
        self.open, self.text = "", ""
        yield {"type": "response.output_item.done", "output_index": self._index, "item": dict(self.items[-1])}

    @property
    def _index(self) -> int:
        return len(self.items) - 1

    def _event(self, kind: str, **fields: Json) -> dict[str, Json]:
        return {"type": kind, "item_id": self.items[-1]["id"], "output_index": self._index, **fields}


def _text_part(text: str, logprobs: Sequence[Json] = ()) -> dict[str, Json]:
    return {"type": "output_text", "text": text, "annotations": list[Json](), "logprobs": [*logprobs]}


def _id(kind: str) -> str:
    return f"{kind}_{secrets.token_hex(16)}"
