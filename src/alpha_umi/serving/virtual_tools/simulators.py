"""Who replies where nothing is recorded."""

from __future__ import annotations

import re
from collections import OrderedDict
from dataclasses import dataclass
from typing import Protocol

from alpha_umi.errors import AlphaUMiError
from alpha_umi.serving.virtual_tools.cache import Row
from alpha_umi.serving.virtual_tools.wire import Asked, Reply, reply_of
from alpha_umi.types import Call, Task
from alpha_umi.world import VERSION, World

_TASK_ID = re.compile(r"(?P<preset>.+)-(?P<seed>\d+)-(?P<split>[a-z_]+)-(?P<index>\d+)")
_TASKS_KEPT = 4096


@dataclass(frozen=True, slots=True, kw_only=True)
class Simulated:
    """What a simulator replies."""

    reply: Reply
    keep: bool = True
    """Whether it would reply the same again; a failure of the simulator itself is not kept."""


class Simulator(Protocol):
    """Replies in the place of an API."""

    @property
    def source(self) -> str:
        """What the cache names as the source of its replies."""
        ...

    def scope(self, asked: Asked) -> str:
        """Within which its reply holds; empty: everywhere."""
        ...

    async def reply(self, asked: Asked, examples: list[Row]) -> Simulated | None:
        """None: the API is not one that it knows. Never raises for what is asked."""
        ...

    async def aclose(self) -> None: ...


class WorldSimulator:
    """The sealed world: an API is a tool of the world, `API_for_TOOL`.

    A request that names a task, in the header `umi-task` or as its toolbench_key, sees the facts, the tools and the
    outages of that task; any other sees facts of no task, with all tools up.
    """

    source = "world"

    def __init__(self, world: World, name: str) -> None:
        """`name`: preset and seed, which tell this world's replies from another's."""
        self._world, self._name = world, name
        self._names = {spec.name for spec in world.tools}
        self._tasks: OrderedDict[str, Task | None] = OrderedDict()

    def scope(self, asked: Asked) -> str:
        task = self._task(asked)
        if asked.address.function not in self._names:
            return ""
        return f"world/{VERSION}/{self._name}/{task.id if task else ''}"

    async def reply(self, asked: Asked, examples: list[Row]) -> Simulated | None:
        name = asked.address.function
        if name not in self._names:
            return None
        call = Call(name=name, arguments=asked.canonical)
        return Simulated(reply=reply_of(self._world.execute(call, self._task(asked))))

    async def aclose(self) -> None:
        self._tasks.clear()

    def _task(self, asked: Asked) -> Task | None:
        return self._find(asked.task) or self._find(asked.key)

    def _find(self, identity: str) -> Task | None:
        """The task of an id, None for what is none of this world's."""
        if identity not in self._tasks:
            self._tasks[identity] = self._make(identity)
            if len(self._tasks) > _TASKS_KEPT:
                self._tasks.popitem(last=False)
        return self._tasks[identity]

    def _make(self, identity: str) -> Task | None:
        parts = _TASK_ID.fullmatch(identity)
        if parts is None:
            return None
        try:
            task = self._world.task(parts["split"], int(parts["index"]))
        except (AlphaUMiError, ValueError):
            return None
        return task if task.id == identity else None
