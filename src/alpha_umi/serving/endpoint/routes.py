"""Routes of the endpoint: a request is checked, read, asked of the agent, and its reply sent, counted and kept."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from fastapi import Request, Response

from alpha_umi.rollouts.runner import ROLLOUTS, Rollout, encode_rollout
from alpha_umi.serving.endpoint.asking import Asked, ask, read_chat
from alpha_umi.serving.endpoint.chat import chat_chunks, chat_completion
from alpha_umi.serving.endpoint.errors import ApiError, naming_input
from alpha_umi.serving.endpoint.events import Ended, Event
from alpha_umi.serving.endpoint.kept_runs import KeptRuns
from alpha_umi.serving.endpoint.metrics import Metrics
from alpha_umi.serving.endpoint.replying import reply
from alpha_umi.serving.endpoint.responses import (
    draft_response,
    find_approval,
    make_response,
    read_response,
    response_events,
)
from alpha_umi.serving.endpoint.runs import ask_run, describe_agent, describe_tools, run_events
from alpha_umi.serving.endpoint.sending import HUNG_UP, send_json, send_stream, until_hang_up
from alpha_umi.serving.endpoint.served import ServedAgent
from alpha_umi.serving.endpoint.state import State
from alpha_umi.serving.endpoint.wire import (
    Approval,
    ApprovalDecision,
    ChatRequest,
    McpRequest,
    ResponsesRequest,
    RunRequest,
    read_body,
)
from alpha_umi.serving.http.bodies import Refused, is_key, read_json_body
from alpha_umi.store import append_rows
from alpha_umi.types import Json


@dataclass(frozen=True, slots=True, kw_only=True)
class AppOptions:
    """Options of request handling."""

    key: str = ""
    """The bearer key that requests must have; empty: any, or none."""
    hosts: frozenset[str] = frozenset()
    """Hosts under which it may be asked; empty: any."""
    origins: tuple[str, ...] = ()
    """Origins of pages of other sites that may ask (CORS)."""
    max_body_bytes: int = 8 << 20
    body_s: float = 30.0
    """Longest time in which a request's body arrives, in seconds."""
    request_s: float = 600.0
    """Longest time of a reply, in seconds."""
    most_replies: int = 512
    """Replies in progress; more requests are asked to come later (429)."""
    keep: Path | None = None
    """Folder of the trajectories of replies; None: none is kept."""


class Routes:
    """Handlers of the routes; they share the agent, the state between requests, the metrics and the open replies."""

    def __init__(self, served: ServedAgent, options: AppOptions, state: State) -> None:
        self.served, self.options, self.state = served, options, state
        self.metrics = Metrics(served.engine_load)
        self.in_progress = 0
        self._kept = None if options.keep is None else KeptRuns(options.keep / ROLLOUTS)
        self._reading = asyncio.Lock()
        self.is_closing: Callable[[], bool] = lambda: False

    # --- routes ---------------------------------------------------------------------------------------

    async def chat(self, request: Request) -> Response:
        read = read_body(ChatRequest, await self._body(request))
        if read.approval is not None:
            replies = [self._take_up(read.approval)]
        else:
            asked = await ask(read_chat(read), self.served, self.state)
            self._check_room(read.n or 1)
            replies = [(each, self._reply(each, request.url.path)) for each in asked.choices(read.n or 1)]
        replying = self._replying(len(replies))
        if read.stream:
            with_usage = read.stream_options is not None and bool(read.stream_options.include_usage)
            return send_stream(chat_chunks(replies, with_usage=with_usage), replying)
        async with replying:
            made = await until_hang_up(request, chat_completion(replies))
        return Response(status_code=HUNG_UP) if made is None else send_json(made)

    async def responses(self, request: Request) -> Response:
        draft = draft_response(read_body(ResponsesRequest, await self._body(request)), self.state)
        approval = find_approval(draft.body)
        if approval is not None:
            asked, events = self._take_up(approval)
        else:
            with naming_input():
                asked = await ask(read_response(draft), self.served, self.state)
            self._check_room()
            events = self._reply(asked, request.url.path)
        if draft.body.stream:
            return send_stream(response_events(draft, asked, events), self._replying(), named=True)
        async with self._replying():
            made = await until_hang_up(request, make_response(draft, asked, events))
        return Response(status_code=HUNG_UP) if made is None else send_json(made)

    async def response(self, request: Request) -> Response:
        self.check_key(request)
        name = str(request.path_params["name"])
        if request.method == "DELETE" and self.state.delete_response(name):
            return send_json({"id": name, "object": "response", "deleted": True})
        kept = self.state.find_response(name) if request.method == "GET" else None
        if kept is None:
            raise ApiError(status=404, message="there is no such response here", code="response_not_found")
        return send_json(kept.response)

    # --- the page -------------------------------------------------------------------------------------

    async def agent(self, request: Request) -> Response:
        self.check_key(request)
        described = await asyncio.to_thread(describe_agent, self.served, keeps=self.options.keep is not None)
        return send_json(described)

    async def run(self, request: Request) -> Response:
        asked = await ask_run(read_body(RunRequest, await self._body(request)), self.served, self.state)
        self._check_room()
        return send_stream(run_events(asked, self._reply(asked, request.url.path)), self._replying(), named=True)

    async def connect(self, request: Request) -> Response:
        source = read_body(McpRequest, await self._body(request)).source
        if self.served.named_servers is None:
            said = "this server was not started with --allow-mcp, so the page cannot name MCP servers"
            raise ApiError(status=403, message=said, code="mcp_not_allowed")
        toolbox = await self.served.named_servers.connect(source)
        described = await asyncio.to_thread(describe_tools, toolbox)
        return send_json({"source": source, "tools": list[Json](described)})

    async def decide(self, request: Request) -> Response:
        approve = read_body(ApprovalDecision, await self._body(request)).approve
        name = str(request.path_params["name"])
        self.served.approvals.decide(name, approve=approve)
        return send_json({"id": name, "approve": approve})

    async def runs(self, request: Request) -> Response:
        self.check_key(request)
        async with self._reading:
            found = [] if self._kept is None else await asyncio.to_thread(self._kept.summaries)
        return send_json({"object": "list", "data": list[Json](found)})

    async def kept_run(self, request: Request) -> Response:
        self.check_key(request)
        name = str(request.path_params["name"])
        found = None
        if self._kept is not None and name.isascii() and name.isdigit() and len(name) < 12:
            async with self._reading:
                found = await asyncio.to_thread(self._kept.find, int(name))
        if found is None:
            raise ApiError(status=404, message="there is no such run here", code="run_not_found")
        return send_json(found)

    # --- the server -----------------------------------------------------------------------------------

    async def models(self, request: Request) -> Response:
        self.check_key(request)
        return send_json({"object": "list", "data": self.served.cards})

    async def model(self, request: Request) -> Response:
        self.check_key(request)
        name = str(request.path_params["name"])
        self.served.find(name)
        return send_json(self.served.card(name))

    async def health(self, _: Request) -> Response:
        status = "stopping" if self.is_closing() else "ok"
        return send_json({"status": status, "model": self.served.name}, 200 if status == "ok" else 503)

    async def counts(self, request: Request) -> Response:
        self.check_key(request)
        return Response(self.metrics.text(), media_type="text/plain; version=0.0.4")

    # --- requests -------------------------------------------------------------------------------------

    async def _body(self, request: Request) -> bytes:
        """The body of a request that may be served. Raises ApiError."""
        self.check_key(request)
        options = self.options
        body = await read_json_body(request, max_bytes=options.max_body_bytes, max_seconds=options.body_s)
        if isinstance(body, Refused):
            raise ApiError(status=body.status, message=body.reason)
        return body

    def check_key(self, request: Request) -> None:
        """Refuse a request without the key. Raises ApiError."""
        if not self.options.key:
            return
        scheme, _, given = request.headers.get("authorization", "").partition(" ")
        if scheme.lower() != "bearer" or not is_key(given.strip(), self.options.key):
            said = "this key is not accepted here" if given else "a key is needed here: Authorization: Bearer KEY"
            raise ApiError(status=401, message=said, code="invalid_api_key")

    # --- replies --------------------------------------------------------------------------------------

    def _take_up(self, approval: Approval) -> tuple[Asked, AsyncGenerator[Event]]:
        """Decide on a call; the reply that waits for it, and the rest of its events. Raises ApiError."""
        self._check_room()
        parked = self.served.approvals.take_up(approval.id, approve=approval.approve)
        parked.asked.request.meter.begin_part()
        return parked.asked, parked.events

    def _check_room(self, replies: int = 1) -> None:
        """Refuse replies that are too many. Raises ApiError."""
        if self.in_progress and self.in_progress + replies > self.options.most_replies:
            raise ApiError(status=429, message="too many replies are in progress; come again later")

    @asynccontextmanager
    async def _replying(self, replies: int = 1) -> AsyncGenerator[None]:
        """Replies in progress to one request, within their time. Raises ApiError."""
        self._check_room(replies)
        self.in_progress += replies
        try:
            async with asyncio.timeout(self.options.request_s):
                yield
        except TimeoutError:
            message = f"the reply took longer than {self.options.request_s:g} s"
            raise ApiError(status=504, message=message, code="timeout") from None
        finally:
            self.in_progress -= replies

    async def _reply(self, asked: Asked, path: str) -> AsyncGenerator[Event]:
        """The events of a reply, counted, and kept at its end."""
        started = time.perf_counter()
        async with aclosing(self.metrics.watch(reply(asked.request))) as events:
            async for event in events:
                if isinstance(event, Ended):
                    self.metrics.tokens.labels("cached").inc(asked.request.meter.cached_tokens)
                    if self.options.keep is not None and event.finish == "stop" and asked.request.alone is None:
                        row = self._row(event, path, time.perf_counter() - started)
                        await asyncio.to_thread(append_rows, self.options.keep / ROLLOUTS, [row])
                yield event

    def _row(self, ended: Ended, path: str, seconds: float) -> dict[str, Json]:
        """Line of a run's file for one reply."""
        rollout = Rollout(
            set=path.removeprefix("/v1").strip("/").replace("/", "_"),
            trajectory=ended.trajectory,
            nodes=ended.nodes,
            method="served",
            seconds=seconds,
        )
        return encode_rollout(rollout)
