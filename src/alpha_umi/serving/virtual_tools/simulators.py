"""Simulators of tool replies: the sealed world, or a model that reads the documents of the API."""

from __future__ import annotations

import logging
import re
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Protocol, TypeAlias

from alpha_umi.environments.simulated import SIMULATION_TRIES, simulate
from alpha_umi.errors import AlphaUMiError, ModelError
from alpha_umi.formats.prompts.simulator import Example, write_simulation
from alpha_umi.formats.tool_json import Api
from alpha_umi.protocols import Model
from alpha_umi.serving.virtual_tools.cache import MODEL, Row
from alpha_umi.serving.virtual_tools.wire import NOT_WORKING, ApiAddress, Asked, Reply, classify, reply_of
from alpha_umi.types import Call, Sampling, Task, ToolStatus
from alpha_umi.world import World

_log = logging.getLogger(__name__)
_TASK_ID = re.compile(r"(?P<preset>[^-]+)-(?P<seed>\d{1,18})-(?P<split>[^-]+)-(?P<index>\d{1,18})")

Examples: TypeAlias = Callable[[], Sequence[Row]]
"""Loader of recorded replies of the requested API, called only by simulators that use them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Simulated:
    """Reply of a simulator."""

    reply: Reply
    keep: bool = True
    """False for a failure of the simulator itself, which the cache must not keep."""


class Simulator(Protocol):
    """Source of replies of APIs without a recorded reply."""

    @property
    def source(self) -> str:
        """Name of the source under which the cache stores its replies."""
        ...

    def scope(self, asked: Asked) -> str:
        """Scope in which its reply holds; empty: everywhere."""
        ...

    async def reply(self, asked: Asked, examples: Examples) -> Simulated | None:
        """Reply to a request; None for an unknown API. Never raises because of the request."""
        ...

        """Free its resources."""

    async def aclose(self) -> None: ...


# --- the sealed world -----------------------------------------------------------------------------------


class WorldSimulator:
    """Simulator by the sealed world: an API is a tool of the world, `API_for_TOOL`.

    A request that names a task by its id, in the header `umi-task` or as its toolbench_key, sees the facts, the tools
    and the outages of that task, of any world; any other sees one world's facts of no task, with all tools up.
    """

    source = "world"

    def __init__(self, preset: str = "tiny", seed: int = 0) -> None:
        """Choose the world of requests without a task. Raises ConfigError for an unknown preset."""
        self._open = lru_cache(maxsize=16)(_Opened)
        self._find = lru_cache(maxsize=4096)(self._make)
        self._plain = self._open(preset, seed)
        self._name = f"{preset}-{seed}"

    def scope(self, asked: Asked) -> str:
        found = self._task(asked)
        opened, name = (found[0], found[1].id) if found else (self._plain, self._name)
        return f"world/{opened.version}/{name}" if asked.address.function in opened.names else ""

    async def reply(self, asked: Asked, examples: Examples) -> Simulated | None:
        found = self._task(asked)
        opened, task = found or (self._plain, None)
        name = asked.address.function
        if name not in opened.names:
            return None
        call = Call(name=name, arguments=asked.canonical)
        return Simulated(reply=reply_of(opened.world.execute(call, task)))

    async def aclose(self) -> None:
        self._find.cache_clear()

    def _task(self, asked: Asked) -> tuple[_Opened, Task] | None:
        return self._find(asked.task) or self._find(asked.key)

    def _make(self, identity: str) -> tuple[_Opened, Task] | None:
        """Build the task of an id, with its world; None for text that is no such id."""
        parts = _TASK_ID.fullmatch(identity)
        if parts is None:
            return None
        try:
            opened = self._open(parts["preset"], int(parts["seed"]))
            task = opened.world.task(parts["split"], int(parts["index"]))
        except AlphaUMiError:
            return None
        return (opened, task) if task.id == identity else None


class _Opened:
    """A world, the names of its tools, and the version in its tasks' ids."""

    def __init__(self, preset: str, seed: int) -> None:
        self.world = World(preset, seed)
        self.names = frozenset(spec.name for spec in self.world.tools)
        self.version = self.world.task("train", 0).metadata["world"]


# --- a model --------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class Actor:
    """Model that simulates APIs, with its sampling."""

    model: Model
    name: str
    sampling: Sampling
    close: Callable[[], Awaitable[None]]


class ModelSimulator:
    """Simulator by a model, which writes the reply of a documented API given examples of recorded replies."""

    def __init__(self, actor: Actor, apis: Mapping[ApiAddress, Api]) -> None:
        self._actor, self._apis = actor, apis
        self.source = f"{MODEL}{actor.name}"

    def scope(self, asked: Asked) -> str:
        return ""

    async def reply(self, asked: Asked, examples: Examples) -> Simulated | None:
        api, recorded = self._apis.get(asked.address), examples()
        if api is None and not recorded:
            return None
        at = asked.address
        api = api or Api(category=at.category, tool=at.tool, name=at.api)
        shown = [Example(arguments=row.asked.arguments, response=row.reply.response) for row in recorded]
        prompt = write_simulation(api, asked.arguments, shown)
        try:
            said = await simulate(self._actor.model, prompt, self._actor.sampling)
            if said is not None:
                status = classify(said.error)
                return Simulated(reply=Reply(error=said.error, response=said.response, status=status))
            why = f"the model wrote no reply in {SIMULATION_TRIES} tries"
        except ModelError as error:
            why = str(error)
        _log.warning("no simulated reply of %s: %s", at, why)
        reply = Reply(error=NOT_WORKING, response=f"the simulator failed: {why}", status=ToolStatus.ERROR)
        return Simulated(reply=reply, keep=False)

    async def aclose(self) -> None:
        await self._actor.close()
