"""Approval of calls by the clients of replies: a call waits for its decision, and is refused where none comes in time.

A stream that stays open is told of the call and goes on after the decision. A reply that has ended with the question is
parked: the request that brings the decision takes it up where it stands. A parked reply that no request takes up in
time is cancelled, and its call was not run.
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import AsyncGenerator, Callable
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Any

from alpha_umi.protocols import Confirm
from alpha_umi.serving.endpoint.errors import ApiError
from alpha_umi.types import Call, ToolSpec

ASK_CLIENT: ContextVar[Confirm | None] = ContextVar("ask_client", default=None)
"""Question to the client of the reply that runs in this context."""
WAIT_S = 300.0
_MOST = 256
"""Calls that wait at a time; more are refused at once."""


async def confirm_by_client(call: Call, tool: ToolSpec) -> bool:
    """Ask the client whose reply makes the call (`protocols.Confirm`); False where no client can be asked."""
    ask = ASK_CLIENT.get()
    decided: Any = False if ask is None else ask(call, tool)
    return await decided is True if ask is not None else False


@dataclass(frozen=True, slots=True)
class ParkedReply:
    """Reply that waits for a decision, without a client."""

    asked: Any
    """The request that it replies to (`asking.Asked`)."""
    events: AsyncGenerator[Any]
    """The rest of its events."""
    expiry: asyncio.TimerHandle


@dataclass(slots=True)
class Approvals:
    """Calls that wait for a decision, and the replies that are parked meanwhile. Used in one event loop."""

    wait_s: float = WAIT_S
    """Longest time of a decision, in seconds."""
    _waiting: dict[str, asyncio.Future[bool]] = field(default_factory=dict[str, "asyncio.Future[bool]"])
    _parked: dict[str, ParkedReply] = field(default_factory=dict[str, ParkedReply])
    _closing: set[asyncio.Task[None]] = field(default_factory=set["asyncio.Task[None]"])

    async def ask(self, announce: Callable[[str], object]) -> bool:
        """Announce a request for approval by its id, and wait for the decision; False where none comes in time."""
        if len(self._waiting) >= _MOST:
            return False
        name = f"mcpr_{secrets.token_hex(16)}"
        self._waiting[name] = asyncio.get_running_loop().create_future()
        announce(name)
        try:
            async with asyncio.timeout(self.wait_s):
                return await self._waiting[name]
        except TimeoutError:
            return False
        finally:
            del self._waiting[name]

    def decide(self, name: str, *, approve: bool) -> None:
        """Decide on a call whose reply has a client. Raises ApiError for one that does not wait so."""
        waiting = self._waiting.get(name)
        if waiting is None or waiting.done() or name in self._parked:
            raise _unknown()
        waiting.set_result(approve)

    def park(self, name: str, asked: Any, events: AsyncGenerator[Any]) -> None:
        """Keep a reply for the request that brings the decision."""
        expiry = asyncio.get_running_loop().call_later(self.wait_s, self._expire, name)
        self._parked[name] = ParkedReply(asked, events, expiry)

    def take_up(self, name: str, *, approve: bool) -> ParkedReply:
        """Decide on the call of a parked reply, which goes on. Raises ApiError where there is none of that id."""
        parked = self._parked.pop(name, None)
        if parked is None:
            raise _unknown()
        parked.expiry.cancel()
        try:
            self.decide(name, approve=approve)
        except ApiError:
            self._close(parked)
            raise
        return parked

    async def aclose(self) -> None:
        """Cancel the parked replies."""
        for name in [*self._parked]:
            self._expire(name)
        await asyncio.gather(*self._closing)

    def _expire(self, name: str) -> None:
        parked = self._parked.pop(name, None)
        if parked is not None:
            parked.expiry.cancel()
            self._close(parked)

    def _close(self, parked: ParkedReply) -> None:
        closing = asyncio.ensure_future(parked.events.aclose())
        self._closing.add(closing)
        closing.add_done_callback(self._closing.discard)


def _unknown() -> ApiError:
    message = "no call waits for this approval: it was decided, or its time is over and it was refused"
    return ApiError(status=404, message=message, code="approval_not_found")
