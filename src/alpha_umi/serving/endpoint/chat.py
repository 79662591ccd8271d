"""Chat completions: requests to what is asked of an agent, replies to OpenAI's objects and chunks."""

from __future__ import annotations

import secrets
import time
from collections.abc import AsyncGenerator, Iterator, Sequence
from contextlib import aclosing
from dataclasses import dataclass, field
from typing import TypeAlias

from alpha_umi.serving.endpoint.asking import Asked, new_call_id
from alpha_umi.serving.endpoint.events import ApprovalAsked, Called, Calling, Ended, Event, Text, Thought
from alpha_umi.serving.endpoint.logprobs import write_logprobs
from alpha_umi.serving.endpoint.merging import merged, together
from alpha_umi.types import Json, Observation, Usage


@dataclass(frozen=True, slots=True, kw_only=True)
class ChatHead:
    """Fields that an answer's object and all its chunks share."""

    model: str
    id: str = field(default_factory=lambda: f"chatcmpl-{secrets.token_hex(12)}")
    created: int = field(default_factory=lambda: int(time.time()))

    def object(self, kind: str, choices: list[Json], **more: Json) -> dict[str, Json]:
        """An object of a kind."""
        return {
            "id": self.id,
            "object": kind,
            "created": self.created,
            "model": self.model,
            "system_fingerprint": None,
            "choices": choices,
            **more,
        }


Reply: TypeAlias = tuple[Asked, AsyncGenerator[Event]]
"""A request, and the events of the reply to it."""


async def chat_completion(replies: Sequence[Reply]) -> dict[str, Json]:
    """Answer a request as one object, with a choice for each reply. Raises ApiError."""
    head = ChatHead(model=replies[0][0].model)
    made = await together([_choice(number, *reply) for number, reply in enumerate(replies)])
    status = {name: value for _, status in made for name, value in status.items()}
    choices = list[Json](choice for choice, _ in made)
    return head.object("chat.completion", choices, usage=write_usage([asked for asked, _ in replies]), **status)


async def _choice(number: int, asked: Asked, events: AsyncGenerator[Event]) -> tuple[dict[str, Json], dict[str, Json]]:
    """The choice of a reply, and the status of one that waits for its client."""
    thoughts, text, calls = list[str](), list[str](), list[Json]()
    finish, status = None, dict[str, Json]()
    async for event in events:
        match event:
            case Thought(text=piece, starts=starts):
                thoughts.append(f"\n\n{piece}" if starts and thoughts else piece)
            case Text(text=piece):
                text.append(piece)
            case Called() | Observation() if asked.request.tools is not None:
                thoughts.append(f"\n\n{shown(event)}")
            case Called(call=call):
                calls.append(write_call(call.name, call.arguments, asked.remember(event)))
            case ApprovalAsked():
                asked.park(event, events)
                text.append(approval_words(event))
                finish, status = "stop", requires_action(event)
                break
            case Ended():
                finish = event.finish
            case _:
                pass
    if finish is None:
        raise AssertionError("a reply has an end")
    message: dict[str, Json] = {"role": "assistant", "content": "".join(text) if text or not calls else None}
    message["refusal"] = None
    if thoughts:
        message["reasoning_content"] = "".join(thoughts)
    if calls:
        message["tool_calls"] = calls
    logprobs = choice_logprobs(asked, "".join(text))
    return {"index": number, "message": message, "logprobs": logprobs, "finish_reason": finish}, status


async def chat_chunks(replies: Sequence[Reply], *, with_usage: bool) -> AsyncGenerator[dict[str, Json]]:
    """Answer a request as chunks of a stream, those of several choices as they come. Raises ApiError."""
    head = ChatHead(model=replies[0][0].model)
    usage: dict[str, Json] = {"usage": None} if with_usage else {}
    choices = [_choice_chunks(number, head, usage, *reply) for number, reply in enumerate(replies)]
    async with aclosing(merged(choices)) as chunks:
        async for chunk in chunks:
            yield chunk
    if with_usage:
        yield head.object("chat.completion.chunk", [], usage=write_usage([asked for asked, _ in replies]))


async def _choice_chunks(
    index: int, head: ChatHead, usage: dict[str, Json], asked: Asked, events: AsyncGenerator[Event]
) -> AsyncGenerator[dict[str, Json]]:
    """The chunks of one choice."""
    calls, has_thought, text = _Calls(asked), False, list[str]()

    def chunk(delta: dict[str, Json], finish: str | None = None, logprobs: Json = None) -> dict[str, Json]:
        choice: dict[str, Json] = {"index": index, "delta": delta, "logprobs": logprobs, "finish_reason": finish}
        return head.object("chat.completion.chunk", [choice], **usage)

    yield chunk({"role": "assistant"})
    async for event in events:
        match event:
            case Thought(text=piece, starts=starts):
                yield chunk({"reasoning_content": f"\n\n{piece}" if starts and has_thought else piece})
                has_thought = True
            case Text(text=piece):
                text.append(piece)
                yield chunk({"content": piece})
            case Called() | Observation() if asked.request.tools is not None:
                yield chunk({"reasoning_content": f"\n\n{shown(event)}"})
            case Calling() | Called():
                for delta in calls.deltas(event):
                    yield chunk(delta)
            case ApprovalAsked():
                asked.park(event, events)
                yield chunk({"content": approval_words(event)})
                yield {**chunk({}, "stop"), **requires_action(event)}
                break
            case Ended(finish=finish):
                if not text and not calls.begun:
                    yield chunk({"content": ""})
                yield chunk({}, finish, choice_logprobs(asked, "".join(text)))
            case _:
                pass


@dataclass(slots=True)
class _Calls:
    """Calls of one choice, as the deltas of its stream."""

    asked: Asked
    begun: int = 0
    open_id: str = ""
    """Of the call whose arguments are being written; empty: none."""
    sent: int = 0
    """Characters of its arguments so far."""

    def deltas(self, event: Calling | Called) -> Iterator[dict[str, Json]]:
        """Write a piece of a call, or what is left of one."""
        if isinstance(event, Called):
            name, piece = event.call.name, event.call.arguments[self.sent :]
            call_id = self.asked.remember(event, self.open_id or None)
        else:
            name, piece = event.name, event.arguments
            call_id = self.open_id or new_call_id()
        if not self.open_id:
            self.begun += 1
            yield {"tool_calls": [{"index": self.begun - 1, **write_call(name, piece, call_id)}]}
        elif piece:
            yield {"tool_calls": [{"index": self.begun - 1, "function": {"arguments": piece}}]}
        is_whole = isinstance(event, Called)
        self.open_id, self.sent = ("", 0) if is_whole else (call_id, self.sent + len(piece))


def write_call(name: str, arguments: str, call_id: str) -> dict[str, Json]:
    """Write a call, or the beginning of one, as an entry of `tool_calls`."""
    return {"id": call_id, "type": "function", "function": {"name": name, "arguments": arguments}}


def requires_action(event: ApprovalAsked) -> dict[str, Json]:
    """Write the status of a reply that goes on when the client has approved or refused a call."""
    call = event.called.call
    asked: dict[str, Json] = {"id": event.id, "name": call.name, "arguments": call.arguments}
    action: dict[str, Json] = {"type": "approve_tool_call", "approve_tool_call": asked}
    return {"status": "requires_action", "required_action": action}


def approval_words(event: ApprovalAsked) -> str:
    """Words of a request for approval, for clients that show text alone."""
    call = event.called.call
    return f"Approval is needed before this call is run: {call.name} {call.arguments}"


def shown(event: Event) -> str:
    """A call or an observation of tools that run here, as a line of reasoning."""
    match event:
        case Called(call=call):
            return f"{call.name} {call.arguments}"
        case Observation(content=content):
            return content
        case _:
            return ""


def write_usage(choices: Sequence[Asked]) -> dict[str, Json]:
    """Write what the replies to a request took together."""
    meters = [asked.request.meter for asked in choices]
    usage = sum((meter.usage for meter in meters), Usage())
    return {
        "prompt_tokens": usage.prompt_tokens,
        "completion_tokens": usage.completion_tokens,
        "total_tokens": usage.prompt_tokens + usage.completion_tokens,
        "prompt_tokens_details": {"cached_tokens": sum(meter.cached_tokens for meter in meters)},
        "completion_tokens_details": {"reasoning_tokens": sum(meter.reasoning_tokens for meter in meters)},
    }


def choice_logprobs(asked: Asked, text: str) -> Json:
    """Write the log probabilities of a choice; None where they were not asked for."""
    content = write_logprobs(asked.request.meter, text)
    return None if content is None else {"content": content, "refusal": None}
