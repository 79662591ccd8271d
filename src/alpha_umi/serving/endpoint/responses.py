"""Responses API: requests with items as what is asked of an agent, replies as response objects and events."""

from __future__ import annotations

import secrets
import time
from collections.abc import AsyncGenerator, Iterator
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from alpha_umi.serving.endpoint.asking import (
    Asked,
    ParsedRequest,
    new_call_id,
    read_choice,
    read_conversation,
    read_functions,
)
from alpha_umi.serving.endpoint.errors import ApiError, invalid, naming_input, unsupported
from alpha_umi.serving.endpoint.events import ApprovalAsked, Called, Calling, Ended, Event, Grown, Text, Thought
from alpha_umi.serving.endpoint.items import Output, messages_of
from alpha_umi.serving.endpoint.logprobs import write_logprobs
from alpha_umi.serving.endpoint.meters import Settings
from alpha_umi.serving.endpoint.state import State
from alpha_umi.serving.endpoint.wire import Approval, ResponsesRequest, TextOptions
from alpha_umi.types import Call, Json, Observation

LOGPROBS = "message.output_text.logprobs"
"""Entry of `include` that asks for log probabilities."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ResponseDraft:
    """Response that is being made, with the items of its conversation."""

    body: ResponsesRequest
    items: list[Json]
    """Of the conversation so far, the request's own last."""
    id: str = field(default_factory=lambda: f"resp_{secrets.token_hex(24)}")
    created: int = field(default_factory=lambda: int(time.time()))

    def object(self, status: str, output: list[dict[str, Json]], usage: Json = None) -> dict[str, Json]:
        """The response object."""
        body = self.body
        reason: Json = {"reason": "max_output_tokens"} if status == "incomplete" else None
        text: Json = (body.text or TextOptions()).model_dump(by_alias=True, exclude_none=True)
        choice: Any = body.tool_choice or "auto"
        return {
            "id": self.id,
            "object": "response",
            "created_at": self.created,
            "status": status,
            "background": False,
            "error": None,
            "incomplete_details": reason,
            "instructions": body.instructions,
            "max_output_tokens": body.max_output_tokens,
            "max_tool_calls": body.max_tool_calls,
            "model": body.model,
            "output": list[Json](output),
            "parallel_tool_calls": body.parallel_tool_calls is not False,
            "previous_response_id": body.previous_response_id,
            "reasoning": {"effort": None, "summary": None},
            "store": body.store is not False,
            "temperature": body.temperature,
            "text": text,
            "tool_choice": choice if isinstance(choice, str) else {"type": "function", "name": choice.name},
            "tools": list[Json](body.tools or []),
            "top_logprobs": body.top_logprobs or 0,
            "top_p": body.top_p,
            "truncation": "disabled",
            "usage": usage,
            "user": None,
            "metadata": dict[str, Json](body.metadata or {}),
        }


def find_approval(body: ResponsesRequest) -> Approval | None:
    """The decision on a call that ends a request; None where the request is none. Raises ApiError naming the item."""
    last = body.input[-1] if isinstance(body.input, list) and body.input else {}
    if last.get("type") != "mcp_approval_response":
        return None
    name, approve = last.get("approval_request_id"), last.get("approve")
    where = f"input[{len(body.input) - 1}]"
    if not isinstance(name, str) or not isinstance(approve, bool):
        raise invalid(f"{where}: approval_request_id (a text) and approve (true or false) are needed", where)
    return Approval(id=name, approve=approve)


def draft_response(body: ResponsesRequest, state: State) -> ResponseDraft:
    """Begin a response, after the one that it follows. Raises ApiError where that is not kept here."""
    items: list[Json] = []
    if body.previous_response_id is not None:
        before = state.find_response(body.previous_response_id)
        if before is None:
            message = "the previous response is not kept here: it was never stored, is forgotten, or was deleted"
            raise ApiError(status=404, message=message, param="previous_response_id", code="response_not_found")
        items += before.items
    if isinstance(body.input, str):
        items.append({"role": "user", "content": body.input})
    else:
        items += body.input
    return ResponseDraft(body=body, items=items)


def read_response(draft: ResponseDraft) -> ParsedRequest:
    """Read a request of the Responses API. Raises ApiError naming the field."""
    body = draft.body
    if body.background:
        raise unsupported("background", "responses are made while the client waits")
    messages = messages_of(draft.items)
    if body.instructions:
        messages.insert(0, {"role": "system", "content": body.instructions})
    tools = read_functions(body.tools)
    choice, named = read_choice(body.tool_choice, tools)
    return ParsedRequest(
        model=body.model,
        conversation=read_conversation(messages),
        tools=tools,
        choice=choice,
        named=named,
        settings=Settings(
            temperature=body.temperature,
            top_p=body.top_p,
            max_tokens=body.max_output_tokens,
            logprobs=bool(body.top_logprobs) or LOGPROBS in (body.include or ()),
            top_logprobs=body.top_logprobs or 0,
        ),
        format=body.text.format if body.text is not None else None,
        budgets=body,
        parallel=body.parallel_tool_calls is not False,
        streams=bool(body.stream),
    )


async def make_response(draft: ResponseDraft, asked: Asked, events: AsyncGenerator[Event]) -> dict[str, Json]:
    """Answer a request as one object. Raises ApiError."""
    made: dict[str, Json] = {}
    async for event in response_events(draft, asked, events):
        if event["type"] in ("response.completed", "response.incomplete"):
            found = event["response"]
            made = found if isinstance(found, dict) else {}
    return made


async def response_events(
    draft: ResponseDraft, asked: Asked, events: AsyncGenerator[Event]
) -> AsyncGenerator[dict[str, Json]]:
    """Answer a request as the events of a stream; the response is kept before the last one. Raises ApiError."""
    output, number = Output(logprobs=partial(write_logprobs, asked.request.meter)), 0
    for kind in ("response.created", "response.in_progress"):
        yield {"type": kind, "sequence_number": number, "response": draft.object("in_progress", [])}
        number += 1
    with naming_input():
        async for event in events:
            for each in _events(event, output, asked):
                yield {**each, "sequence_number": number}
                number += 1
            if isinstance(event, (Ended, ApprovalAsked)):
                if isinstance(event, ApprovalAsked):
                    asked.park(event, events)
                status = "incomplete" if isinstance(event, Ended) and event.finish == "length" else "completed"
                made = draft.object(status, output.items, write_usage(asked))
                if draft.body.store is not False:
                    asked.state.keep_response(made, [*draft.items, *output.items])
                yield {"type": f"response.{status}", "sequence_number": number, "response": made}
                return


def _events(event: Event, output: Output, asked: Asked) -> Iterator[dict[str, Json]]:
    own = asked.request.tools is not None
    match event:
        case Thought(text=piece, starts=starts):
            return output.think(piece, starts=starts)
        case Text(text=piece):
            return output.say(piece)
        case Called(call=call, approval_id=approval_id) if own:
            return output.begin_own_call(call, asked.remember(event), approval_id)
        case Calling(name=name, arguments=piece, starts=starts):
            return _write_call(output, name, piece, new_call_id() if starts else None)
        case Called(call=call):
            return _whole_call(output, call, asked, event)
        case Observation(content=content):
            return output.end_own_call(content)
        case ApprovalAsked(id=name, called=called):
            return output.ask_approval(called.call, name)
        case Ended(finish=finish):
            return _last_events(output, finish)
        case Grown():
            return iter(())


def _write_call(output: Output, name: str, piece: str, call_id: str | None) -> Iterator[dict[str, Json]]:
    """Add to a call; `call_id`: of one that begins."""
    if call_id is not None:
        yield from output.begin_call(name, call_id)
    yield from output.add_arguments(piece)


def _whole_call(output: Output, call: Call, asked: Asked, event: Called) -> Iterator[dict[str, Json]]:
    """Add what is left of a call, often all of it."""
    if output.open == "function_call":
        asked.remember(event, str(output.items[-1]["call_id"]))
    else:
        yield from output.begin_call(call.name, asked.remember(event))
    yield from output.add_arguments(call.arguments[len(output.text) :])
    yield from output.end_call()


def _last_events(output: Output, finish: str) -> Iterator[dict[str, Json]]:
    """End the output; an answer of no words is an answer, too."""
    if finish == "stop" and output.open != "message":
        yield from output.say("")
    yield from output.close()


def write_usage(asked: Asked) -> dict[str, Json]:
    """Write what a reply took."""
    meter = asked.request.meter
    usage = meter.usage
    return {
        "input_tokens": usage.prompt_tokens,
        "input_tokens_details": {"cached_tokens": meter.cached_tokens},
        "output_tokens": usage.completion_tokens,
        "output_tokens_details": {"reasoning_tokens": meter.reasoning_tokens},
        "total_tokens": usage.prompt_tokens + usage.completion_tokens,
    }
