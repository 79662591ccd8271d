"""Replies of invented tools: the same results as an object, nested, as text or bare, short or long."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

from alpha_umi.types import Json
from alpha_umi.world.functions.drawing import Values
from alpha_umi.world.functions.naming import Case, join_name
from alpha_umi.world.functions.needs import FunctionNeed
from alpha_umi.world.functions.wording import write_plain
from alpha_umi.world.random_streams import RandomStream


class Shape(StrEnum):
    """Shape of a reply."""

    OBJECT = "object"
    WRAPPED = "wrapped"
    """An object below a key, beside a status."""
    LISTED = "listed"
    """The only entry of a list."""
    TEXT = "text"
    """Lines of names and values."""
    BARE = "bare"
    """The value alone, where there is one."""
    LONG = "long"
    """The object among much that nobody asked for."""


_SHAPES = {Shape.OBJECT: 52, Shape.WRAPPED: 18, Shape.LISTED: 5, Shape.TEXT: 9, Shape.BARE: 12, Shape.LONG: 4}
_KEYS = ("result", "data", "response", "item", "output", "payload")
_LONG_CHARS = (600, 2600)
_FILLER = [
    "id",
    "page",
    "source",
    "cached",
    "version",
    "region",
    "build",
    "quota",
    "retries",
    "etag",
    "locale",
    "checksum",
    "shard",
    "priority",
    "ttl",
    "origin",
    "flags",
    "encoding",
    "revision",
    "partner",
    "channel",
    "batch",
]


@dataclass(frozen=True, slots=True, kw_only=True)
class Reply:
    """Convention by which a tool writes its results."""

    shape: Shape
    names: Mapping[str, str]
    """Result of the need -> the tool's name for it."""
    key: str
    seed: int
    """Of what a long reply holds besides."""

    def write(self, results: Values) -> str:
        """Write results as the content of an observation."""
        own = {self.names.get(name, name): value for name, value in results.items()}
        match self.shape:
            case Shape.BARE if len(own) == 1:
                value = next(iter(own.values()))
                return value if isinstance(value, str) else _dump(value)
            case Shape.TEXT if not any(isinstance(value, list | dict) for value in own.values()):
                return "\n".join(f"{name}: {write_plain(value)}" for name, value in own.items())
            case Shape.WRAPPED:
                return _dump({"status": "ok", self.key: own})
            case Shape.LISTED:
                return _dump([own])
            case Shape.LONG:
                return _dump(self._among_others(own))
            case _:
                return _dump(own)

    def _among_others(self, own: dict[str, Json]) -> Json:
        rng = RandomStream("filler", self.seed)
        length = rng.between(*_LONG_CHARS)
        before, after = rng.sample(["meta", "debug", "links", "trace", "timings", "related"], 2)
        return {before: _filler(rng, length // 2), self.key: own, after: _filler(rng, length // 2)}


def draw_reply(rng: RandomStream, need: FunctionNeed, case: Case) -> Reply:
    """Draw the convention of a tool."""
    return Reply(
        shape=rng.weighted(_SHAPES),
        names={name: join_name(name, case) for name in need.results},
        key=rng.pick(_KEYS),
        seed=rng.below(1 << 30),
    )


def _filler(rng: RandomStream, length: int) -> Json:
    entries: list[Json] = []
    while len(_dump(entries)) < length:
        entries.append({name: _noise(rng) for name in rng.sample(_FILLER, rng.between(2, 4))})
    return entries


def _noise(rng: RandomStream) -> Json:
    return rng.pick([rng.below(2) == 1, None, f"{rng.below(1 << 40):x}", f"v{rng.below(40)}", rng.pick(_FILLER)])


def _dump(value: Json) -> str:
    return json.dumps(value, ensure_ascii=False)
