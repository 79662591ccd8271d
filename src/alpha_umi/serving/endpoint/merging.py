"""Several replies to one request, side by side: all of them, or none where one fails."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Coroutine, Sequence
from contextlib import aclosing
from typing import Any, TypeVar

_Result = TypeVar("_Result")


async def together(works: Sequence[Coroutine[Any, Any, _Result]]) -> list[_Result]:
    """Await all; where one fails, or the caller is cancelled, the others are cancelled. Raises what fails first."""
    if len(works) == 1:
        return [await works[0]]
    tasks = [asyncio.ensure_future(work) for work in works]
    try:
        return await asyncio.gather(*tasks)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.wait(tasks)


async def merged(streams: Sequence[AsyncGenerator[_Result]]) -> AsyncGenerator[_Result]:
    """The items of all streams as they come. Closing it closes them. Raises what fails first."""
    if len(streams) == 1:
        async with aclosing(streams[0]) as only:
            async for each in only:
                yield each
        return
    items: asyncio.Queue[_Result | None] = asyncio.Queue()

    async def pump(stream: AsyncGenerator[_Result]) -> None:
        async with aclosing(stream):
            async for each in stream:
                items.put_nowait(each)

    work = asyncio.ensure_future(together([pump(stream) for stream in streams]))
    work.add_done_callback(lambda _: items.put_nowait(None))
    try:
        while (each := await items.get()) is not None:
            yield each
        work.result()
    finally:
        work.cancel()
        await asyncio.wait([work])
