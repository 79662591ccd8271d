"""Chat completions: requests to what is asked of an agent, replies to OpenAI's objects and chunks."""

from __future__ import annotations

import secrets
import time
from collections.abc import AsyncGenerator, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from alpha_umi.serving.endpoint.asking import Asked
from alpha_umi.serving.endpoint.events import ApprovalAsked, Called, Ended, Event, Text, Thought
from alpha_umi.types import Call, Json, Observation, TokenLogprob


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


async def chat_completion(asked: Asked, events: AsyncGenerator[Event]) -> dict[str, Json]:
    """Answer a request as one object. Raises ApiError."""
    head = ChatHead(model=asked.model)
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
                calls.append(write_call(call, asked.remember(event)))
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
    choice: dict[str, Json] = {
        "index": 0,
        "message": message,
        "logprobs": write_logprobs(asked),
        "finish_reason": finish,
    }
    return head.object("chat.completion", [choice], usage=write_usage(asked), **status)


async def chat_chunks(
    asked: Asked, events: AsyncGenerator[Event], *, with_usage: bool
) -> AsyncGenerator[dict[str, Json]]:
    """Answer a request as chunks of a stream. Raises ApiError."""
    head = ChatHead(model=asked.model)
    number, has_thought, has_text = 0, False, False
    usage: dict[str, Json] = {"usage": None} if with_usage else {}

    def chunk(delta: dict[str, Json], finish: str | None = None, **more: Json) -> dict[str, Json]:
        choice: dict[str, Json] = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish, **more}
        return head.object("chat.completion.chunk", [choice], **usage)

    yield chunk({"role": "assistant"})
    async for event in events:
        match event:
            case Thought(text=piece, starts=starts):
                yield chunk({"reasoning_content": f"\n\n{piece}" if starts and has_thought else piece})
                has_thought = True
            case Text(text=piece):
                has_text = True
                yield chunk({"content": piece})
            case Called() | Observation() if asked.request.tools is not None:
                yield chunk({"reasoning_content": f"\n\n{shown(event)}"})
            case Called(call=call):
                yield chunk({"tool_calls": [{"index": number, **write_call(call, asked.remember(event))}]})
                number += 1
            case ApprovalAsked():
                asked.park(event, events)
                yield chunk({"content": approval_words(event)})
                yield {**chunk({}, "stop"), **requires_action(event)}
                break
            case Ended(finish=finish):
                if not has_text and not number:
                    yield chunk({"content": ""})
                logprobs = write_logprobs(asked)
                yield chunk({}, finish, **({} if logprobs is None else {"logprobs": logprobs}))
            case _:
                pass
    if with_usage:
        yield head.object("chat.completion.chunk", [], usage=write_usage(asked))


def write_call(call: Call, call_id: str) -> dict[str, Json]:
    """Write a call as an entry of `tool_calls`."""
    return {"id": call_id, "type": "function", "function": {"name": call.name, "arguments": call.arguments}}


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


def write_usage(asked: Asked) -> dict[str, Json]:
    """Write what a reply took."""
    meter = asked.request.meter
    usage = meter.usage
    return {
        "prompt_tokens": usage.prompt_tokens,
        "completion_tokens": usage.completion_tokens,
        "total_tokens": usage.prompt_tokens + usage.completion_tokens,
        "prompt_tokens_details": {"cached_tokens": meter.cached_tokens},
        "completion_tokens_details": {"reasoning_tokens": meter.reasoning_tokens},
    }


def write_logprobs(asked: Asked) -> Json:
    """Write the log probabilities of the answer's tokens; None where they were not asked for."""
    tokens = asked.request.meter.answer_logprobs
    return None if tokens is None else {"content": list(_tokens(tokens)), "refusal": None}


def _tokens(tokens: Sequence[TokenLogprob]) -> Iterator[Json]:
    for token in tokens:
        entry: Mapping[str, Json] = {
            "token": token.text,
            "logprob": token.logprob,
            "bytes": list[Json](token.text.encode()),
            "top_logprobs": [],
        }
        yield dict(entry)
