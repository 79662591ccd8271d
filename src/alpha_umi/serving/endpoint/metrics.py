"""Metrics of an endpoint for Prometheus; labels are names of our own, never text of a request."""

from __future__ import annotations

import time
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

from alpha_umi.serving.endpoint.events import Ended, Event, Text, Thought
from alpha_umi.types import Usage

_SECONDS = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300)


class Metrics:
    """Counts of requests and replies, and their times."""

    def __init__(self, engine: Callable[[], tuple[int, int]] | None = None) -> None:
        """`engine`: running and waiting requests of the model's engine; None: it is not here."""
        self.registry = CollectorRegistry()
        registry = self.registry
        self.requests = Counter("umi_requests", "Requests by path and status.", ["path", "status"], registry=registry)
        self.hang_ups = Counter("umi_hang_ups", "Replies whose client hung up, or that ran out of time.",
                                registry=registry)  # fmt: skip
        self.replies = Counter("umi_replies", "Whole replies by their end.", ["finish"], registry=registry)
        self.tokens = Counter("umi_tokens", "Tokens by kind.", ["kind"], registry=registry)
        self.calls = Counter("umi_tool_calls", "Tool calls in replies.", registry=registry)
        self.in_progress = Gauge("umi_replies_in_progress", "Replies in progress.", registry=registry)
        self.first_piece = Histogram(
            "umi_time_to_first_piece_seconds", "From the request to the first piece of a thought or an answer.",
            buckets=_SECONDS, registry=registry,
        )  # fmt: skip
        self.seconds = Histogram("umi_reply_seconds", "Time of a reply.", buckets=_SECONDS, registry=registry)
        if engine is not None:
            running = Gauge("umi_engine_running", "Running requests of the engine.", registry=registry)
            running.set_function(lambda: engine()[0])
            waiting = Gauge("umi_engine_waiting", "Waiting requests of the engine.", registry=registry)
            waiting.set_function(lambda: engine()[1])

    async def watch(self, events: AsyncGenerator[Event]) -> AsyncGenerator[Event]:
        """The events of a reply, counted."""
        started, has_piece, is_whole = time.perf_counter(), False, False
        with self.in_progress.track_inprogress():
            try:
                async with aclosing(events):
                    async for event in events:
                        if not has_piece and isinstance(event, (Thought, Text)):
                            has_piece = True
                            self.first_piece.observe(time.perf_counter() - started)
                        if isinstance(event, Ended):
                            is_whole = True
                            self._count(event)
                            self.seconds.observe(time.perf_counter() - started)
                        yield event
            finally:
                if not is_whole:
                    self.hang_ups.inc()

    def _count(self, ended: Ended) -> None:
        usage: Usage = ended.trajectory.usage
        self.replies.labels(ended.finish).inc()
        self.tokens.labels("prompt").inc(usage.prompt_tokens)
        self.tokens.labels("completion").inc(usage.completion_tokens)

    def text(self) -> bytes:
        """All metrics in Prometheus' text format."""
        return generate_latest(self.registry)
