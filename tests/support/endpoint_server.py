"""A real HTTP server on the loopback that misbehaves as told, one behaviour per request, the last one for ever."""

import asyncio
import contextlib
import json
import threading
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any


@dataclass(frozen=True, kw_only=True)
class Reply:
    """A whole reply, `after_s` seconds late. A str or bytes body goes out as it is."""

    status: int = 200
    body: Any = None
    headers: Mapping[str, str] = field(default_factory=dict)
    after_s: float = 0.0


@dataclass(frozen=True, kw_only=True)
class Hang:
    """Never answers."""


@dataclass(frozen=True, kw_only=True)
class CutOff:
    """Promises more than it sends, then closes; `whole_head` False: closes before the headers end."""

    whole_head: bool = True


@dataclass(frozen=True, kw_only=True)
class Drip:
    """A correct reply, one byte every `each_s` seconds."""

    body: Any
    each_s: float


@dataclass(frozen=True, kw_only=True)
class Answer:
    """A whole reply whose body is made of the request's, `after_s` seconds late."""

    make: Callable[[Any], Any]
    after_s: float = 0.0


Behaviour = Reply | Hang | CutOff | Drip | Answer


@dataclass(frozen=True, kw_only=True)
class Received:
    path: str
    headers: Mapping[str, str]
    body: Any


def chat_reply(text: str, finish: str = "stop") -> dict[str, Any]:
    return {
        "choices": [{"index": 0, "message": {"role": "assistant", "content": text}, "finish_reason": finish}],
        "usage": {"prompt_tokens": 7, "completion_tokens": 2, "total_tokens": 9},
    }


def tool_reply(*calls: tuple[str, Any], content: str | None = None, finish: str = "tool_calls") -> dict[str, Any]:
    """A chat reply that calls tools, each (name, arguments)."""
    reply = chat_reply("", finish)
    reply["choices"][0]["message"] |= {
        "content": content,
        "tool_calls": [
            {"id": f"server-{number}", "type": "function", "function": {"name": name, "arguments": arguments}}
            for number, (name, arguments) in enumerate(calls)
        ],
    }
    return reply


def text_reply(text: str, finish: str = "stop") -> dict[str, Any]:
    return {
        "choices": [{"index": 0, "text": text, "finish_reason": finish}],
        "usage": {"prompt_tokens": 7, "completion_tokens": 2, "total_tokens": 9},
    }


class EndpointServer:
    """`async with EndpointServer(*behaviours) as server`: `server.url` is its base address, `/v1` included."""

    def __init__(self, *behaviours: Behaviour) -> None:
        self.received: list[Received] = []
        self.open = self.most_open = 0
        self.hung_up = asyncio.Event()
        """Set when a client has closed a connection on which it was still owed a reply."""
        self.held_after: int | None = None
        """While it is a number, requests beyond so many get no answer yet."""
        self.held = 0
        """Requests that wait for that."""
        self._behaviours = list(behaviours)
        self._connections: set[asyncio.Task[None]] = set()

    async def __aenter__(self) -> "EndpointServer":
        self._server = await asyncio.start_server(self._connected, "127.0.0.1", 0)
        self.url = f"http://127.0.0.1:{self._server.sockets[0].getsockname()[1]}/v1"
        return self

    async def __aexit__(self, *_: object) -> None:
        self._server.close()
        for connection in self._connections:
            connection.cancel()
        await asyncio.gather(*self._connections, return_exceptions=True)
        await self._server.wait_closed()

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        self._connections.add(task)
        try:
            with contextlib.suppress(ConnectionError, asyncio.CancelledError, asyncio.IncompleteReadError):
                while await self._serve(reader, writer):
                    pass
            writer.close()
            with contextlib.suppress(ConnectionError, asyncio.CancelledError):
                await writer.wait_closed()
        finally:
            self._connections.discard(task)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        head = (await reader.readuntil(b"\r\n\r\n")).decode().splitlines()
        headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in head[1:] if line)}
        body = json.loads(await reader.readexactly(int(headers["content-length"])))
        self.received.append(Received(path=head[0].split()[1], headers=headers, body=body))
        behaviour = self._behaviours.pop(0) if len(self._behaviours) > 1 else self._behaviours[0]
        number = len(self.received)
        if self._holds(number):
            self.held += 1
            while self._holds(number):
                await asyncio.sleep(0.005)
        self.open += 1
        self.most_open = max(self.most_open, self.open)
        try:
            if isinstance(behaviour, Answer):
                behaviour = Reply(body=behaviour.make(body), after_s=behaviour.after_s)
            return await self._answer(behaviour, reader, writer)
        finally:
            self.open -= 1

    def _holds(self, number: int) -> bool:
        return self.held_after is not None and number > self.held_after

    async def _answer(self, behaviour: Behaviour, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        """Whether the connection may be used again."""
        match behaviour:
            case Reply(after_s=after_s):
                await asyncio.sleep(after_s)
                writer.write(_http(behaviour))
                await writer.drain()
                return True
            case Hang():
                await reader.read()
                self.hung_up.set()
            case CutOff(whole_head=whole_head):
                whole = _http(Reply(body=chat_reply("cut off")))
                writer.write(whole[:-10] if whole_head else whole[:20])
                await writer.drain()
            case Drip(body=body, each_s=each_s):
                async for byte in _slowly(_http(Reply(body=body)), each_s):
                    writer.write(byte)
                    await writer.drain()
        return False


@contextlib.contextmanager
def serving(*behaviours: Behaviour) -> Iterator[EndpointServer]:
    """The server in a thread of its own, for clients that are other processes or run their own loop."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, daemon=True)
    thread.start()
    server = EndpointServer(*behaviours)
    asyncio.run_coroutine_threadsafe(server.__aenter__(), loop).result(10)
    try:
        yield server
    finally:
        asyncio.run_coroutine_threadsafe(server.__aexit__(), loop).result(10)
        loop.call_soon_threadsafe(loop.stop)
        thread.join(10)
        loop.close()


async def _slowly(data: bytes, each_s: float) -> AsyncIterator[bytes]:
    for at in range(len(data)):
        await asyncio.sleep(each_s)
        yield data[at : at + 1]


def _http(reply: Reply) -> bytes:
    body = reply.body if isinstance(reply.body, str | bytes) else json.dumps(reply.body)
    data = body.encode() if isinstance(body, str) else body
    headers = {"Content-Type": "application/json", "Content-Length": str(len(data)), **reply.headers}
    lines = [f"HTTP/1.1 {reply.status} {HTTPStatus(reply.status).phrase}", *(f"{k}: {v}" for k, v in headers.items())]
    return "\r\n".join([*lines, "", ""]).encode() + data
