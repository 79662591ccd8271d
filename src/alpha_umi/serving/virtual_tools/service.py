"""Tool service: replies from the cache, from recordings, else from the simulator, whose replies the cache keeps.

Laws: a reply of a simulator is sent only once it is stored; equal concurrent requests are simulated once.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor

from alpha_umi.environments.recording import Recording
from alpha_umi.errors import StorageError
from alpha_umi.formats.tool_json import Api
from alpha_umi.serving.virtual_tools.cache import ReplyCache, Row
from alpha_umi.serving.virtual_tools.simulators import Simulator
from alpha_umi.serving.virtual_tools.wire import NOT_WORKING, ApiAddress, Asked, Reply, reply_of
from alpha_umi.types import Call, ToolStatus

_EXAMPLES = 20
Question = tuple[ApiAddress, str, str]


class VirtualTools:
    """Service of all known tools, in one event loop. It owns the cache and the simulator: close it."""

    def __init__(
        self,
        cache: ReplyCache,
        simulator: Simulator | None = None,
        recordings: Sequence[Recording] = (),
        apis: Mapping[ApiAddress, Api] | None = None,
    ) -> None:
        """Create the service. `apis`: the documents of tools, which make their APIs known."""
        self._cache, self._simulator = cache, simulator
        self._recordings, self.apis = recordings, apis or {}
        self._under_way: dict[Question, asyncio.Task[Reply]] = {}
        self._waiting: list[tuple[Row, asyncio.Future[Reply]]] = []
        self._writing: asyncio.Task[None] | None = None
        self._writer = ThreadPoolExecutor(max_workers=1, thread_name_prefix="reply-cache")
        self.counts: Counter[str] = Counter()
        """Counts of replies by source."""

    async def aclose(self) -> None:
        """Cancel open simulations; close simulator and cache."""
        for task in self._under_way.values():
            task.cancel()
        self._writer.shutdown()
        if self._simulator is not None:
            await self._simulator.aclose()
        self._cache.close()

    async def cached(self) -> dict[str, int]:
        """Count the stored replies by source."""
        return await asyncio.to_thread(self._cache.count)

    async def reply(self, asked: Asked) -> Reply:
        """Reply to a request. Raises StorageError where the cache cannot be read or written."""
        scope = self._simulator.scope(asked) if self._simulator else ""
        found = self._cache.find(asked, scope)
        if found is not None:
            self.counts["cache"] += 1
            return found
        recorded = self._find_recorded(asked)
        if recorded is not None:
            self.counts["recording"] += 1
            return recorded
        question = (asked.address, asked.canonical, scope)
        task = self._under_way.get(question)
        if task is None:
            task = asyncio.create_task(self._simulate(asked, scope))
            self._under_way[question] = task
            task.add_done_callback(lambda _: self._under_way.pop(question))
        # Who asked first may hang up; the others still wait for the reply.
        return await asyncio.shield(task)

    def _find_recorded(self, asked: Asked) -> Reply | None:
        call = Call(name=asked.address.function, arguments=asked.canonical)
        for recording in self._recordings:
            found = recording.find(call)
            if found is not None:
                return reply_of(found)
        return None

    async def _simulate(self, asked: Asked, scope: str) -> Reply:
        simulator = self._simulator
        simulated = None
        if simulator is not None:
            simulated = await simulator.reply(asked, lambda: self._cache.examples(asked.address, _EXAMPLES))
        if simulator is None or simulated is None:
            self.counts["unanswered"] += 1
            return self._unanswered(asked)
        self.counts["simulator"] += 1
        if not simulated.keep:
            return simulated.reply
        return await self._keep(Row(asked=asked, reply=simulated.reply, source=simulator.source, scope=scope))

    async def _keep(self, row: Row) -> Reply:
        """Store a reply and return the stored one; replies that arrive during a write are written together next."""
        kept = asyncio.get_running_loop().create_future()
        self._waiting.append((row, kept))
        if self._writing is None or self._writing.done():
            self._writing = asyncio.create_task(self._write())
        return await kept

    async def _write(self) -> None:
        while self._waiting:
            waiting, self._waiting = self._waiting, []
            rows = [row for row, _ in waiting]
            try:
                replies = await asyncio.get_running_loop().run_in_executor(self._writer, self._cache.keep, rows)
            except StorageError as error:
                for _, kept in waiting:
                    _settle(kept, error)
            else:
                for (_, kept), reply in zip(waiting, replies, strict=True):
                    _settle(kept, reply)

    def _unanswered(self, asked: Asked) -> Reply:
        address = asked.address
        if address in self.apis or self._cache.knows(address):
            said = f"no reply of {address} to these arguments is recorded, and no simulator replies for it"
        else:
            said = f"there is no {address}"
        return Reply(error=NOT_WORKING, response=said, status=ToolStatus.ERROR)


def _settle(kept: asyncio.Future[Reply], result: Reply | StorageError) -> None:
    if kept.done():
        return  # the waiting requests were cancelled
    if isinstance(result, StorageError):
        kept.set_exception(result)
    else:
        kept.set_result(result)
