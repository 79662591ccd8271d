"""Queries to the sealed world by hand: one of its tasks by name, or free words with the tools that fit them."""

from __future__ import annotations

import functools
import re
from collections.abc import Iterable, Sequence

from alpha_umi.datasets.queries import Query
from alpha_umi.environments.world import OpenWorldEnvironment
from alpha_umi.errors import ConfigError
from alpha_umi.loading.environments import LoadedEnvironment
from alpha_umi.retrieval import Retriever
from alpha_umi.retrieval.corpus import spec_document
from alpha_umi.types import Task, ToolSpec
from alpha_umi.world import World
from alpha_umi.world.presets import find_preset
from alpha_umi.world.tools import Tool

OFFERED = 5
"""Tools of a free query."""
_FEWEST, _RANKED = 4, 40
_TASK = re.compile(r"(?P<split>\w+):(?P<index>\d{1,18})")


def name_task(preset: str, name: str) -> Query:
    """The task `SPLIT:INDEX` of a world. Raises ConfigError for a name of another shape, or an unknown split."""
    found = _TASK.fullmatch(name)
    if found is None:
        raise ConfigError(f"--world-task {name!r}: write it as SPLIT:INDEX, such as {World(preset).splits[1]}:0")
    return Query(task=World(preset).task(found["split"], int(found["index"])))


def free_query(preset: str, text: str, called: Sequence[ToolSpec] = ()) -> Query:
    """A query in free words, with the tools of the world that BM25 finds for it, after those `called` before.

    Of several providers of the same thing the first that is found is offered. Raises ConfigError for an unknown
    preset, for a world without tools outside its tasks, or where BM25 is not installed.
    """
    if not find_preset(preset).open().tools:
        raise ConfigError(
            f"the world {preset!r} invents the tools of each task: name one of its tasks by --world-task, or tools of "
            "your own by --tools"
        )
    version = find_preset(preset).version
    metadata = {"world": version, "preset": preset, "seed": 0}
    tools = {tool.name: tool for tool in (*called, *_offer(preset, text))}
    return Query(task=Task(id="ask", query=text, tools=tuple(tools.values()), metadata=metadata))


def open_world(preset: str) -> LoadedEnvironment:
    """The tools of free queries: they know the facts of no task, and none of them is down."""
    world = World(preset)
    return LoadedEnvironment(openers=(lambda query, _: OpenWorldEnvironment(world, query.task.tools),))


def _offer(preset: str, text: str) -> tuple[ToolSpec, ...]:
    tools = find_preset(preset).open().tools
    found = _one_per_need(tools[api.name] for api in _retriever(preset).offer(text, _RANKED))[:OFFERED]
    akin = {tool.category for tool in found}
    others = sorted(tools.values(), key=lambda tool: tool.category not in akin)
    found += [tool for tool in _one_per_need([*found, *others]) if tool not in found][: max(_FEWEST - len(found), 0)]
    return tuple(tool.spec for tool in found)


@functools.cache
def _retriever(preset: str) -> Retriever:
    """Retriever of a world's tools, which are always the same."""
    tools = find_preset(preset).open().tools.values()
    return Retriever.index(tuple(spec_document(tool.spec, tool.provider, tool.category) for tool in tools))


def _one_per_need(tools: Iterable[Tool]) -> list[Tool]:
    first: dict[str, Tool] = {}
    for tool in tools:
        first.setdefault(tool.need, tool)
    return list(first.values())
