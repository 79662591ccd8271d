"""Fault injection: the fault of a request is a function of (seed, request, number of earlier equal requests).

So a run against one seed is reproducible in any order of its requests, and a repeated request may succeed. A request
gets one fault at most.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from hashlib import blake2b

from alpha_umi.errors import ConfigError
from alpha_umi.serving.virtual_tools.wire import Asked
from alpha_umi.world.random_streams import random_bits

_STATUSES = (500, 502, 503, 504)


class Kind(StrEnum):
    """Kind of fault. LATENCY: a late reply. HANG: none. BROKEN: one that is cut off. The others: HTTP statuses."""

    LATENCY = "latency"
    TOO_MANY = "429"
    SERVER_ERROR = "5xx"
    BROKEN = "broken"
    HANG = "hang"


_ALL = "all"
_DEFAULT_S: Mapping[Kind, float] = {Kind.LATENCY: 1.0, Kind.TOO_MANY: 1.0, Kind.HANG: math.inf}


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """Fault of one request."""

    kind: Kind
    seconds: float = 0.0
    """LATENCY: before the reply. TOO_MANY: what Retry-After asks for. HANG: until a 504; inf: until the client goes."""
    status: int = 0
    """SERVER_ERROR: the status code."""
    at: float = 0.0
    """BROKEN: where the reply is cut, as a fraction of its length."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Share:
    """Fraction of requests with one kind of fault, and its duration in seconds."""

    share: float
    seconds: float


@dataclass(slots=True, kw_only=True)
class Faults:
    """Fault injector; counts the requests that it has seen, so that a repeated request is another one."""

    shares: Mapping[Kind, Share] = field(default_factory=dict[Kind, Share])
    seed: int = 0
    dealt: Counter[str] = field(default_factory=Counter[str])
    _seen: Counter[bytes] = field(default_factory=Counter[bytes])

    def deal(self, asked: Asked) -> Fault | None:
        """Draw the fault of a request; None for none."""
        if not self.shares:
            return None
        at = asked.address
        told = "\x1f".join((at.category, at.tool, at.api, asked.canonical, asked.task, asked.key))
        content = blake2b(told.encode("utf-8", "surrogatepass"), digest_size=16).digest()
        time = self._seen[content]
        self._seen[content] += 1
        fault = self._draw(content.hex(), time)
        if fault is not None:
            self.dealt[fault.kind.value] += 1
        return fault

    def _draw(self, content: str, time: int) -> Fault | None:
        left = random_bits("fault", self.seed, content, time) / 2**64
        for kind, share in self.shares.items():
            left -= share.share
            if left < 0:
                second = random_bits("how", self.seed, content, time)
                return Fault(
                    kind=kind,
                    seconds=share.seconds,
                    status=_STATUSES[second % len(_STATUSES)],
                    at=second / 2**64,
                )
        return None


def read_faults(spec: str, seed: int = 0) -> Faults:
    """Parse faults from `KIND=SHARE[:SECONDS],...`; `all=SHARE` is a fifth of the share of every kind.

    Raises ConfigError naming the part that cannot be read.
    """
    shares: dict[Kind, Share] = {}
    for part in filter(None, (piece.strip() for piece in spec.split(","))):
        name, equals, value = part.partition("=")
        if not equals or name not in (*Kind, _ALL):
            known = ", ".join((*Kind, _ALL))
            raise ConfigError(f"--faults: {part!r} is no KIND=SHARE[:SECONDS]; kinds: {known}")
        told, colon, seconds = value.partition(":")
        if name == _ALL:
            each = _number(told, part) / len(Kind)
            shares |= {kind: Share(share=each, seconds=_DEFAULT_S.get(kind, 0.0)) for kind in Kind}
            continue
        kind = Kind(name)
        if colon and kind not in _DEFAULT_S:
            raise ConfigError(f"--faults: {part!r}: {kind.value} takes no seconds")
        shares[kind] = Share(
            share=_number(told, part), seconds=_number(seconds, part) if colon else _DEFAULT_S.get(kind, 0.0)
        )
    total = sum(share.share for share in shares.values())
    if total > 1 + 1e-9:
        raise ConfigError(f"--faults: the shares add up to {total:g}; a request meets one fault at most, so 1 is all")
    return Faults(shares=shares, seed=seed)


def _number(text: str, part: str) -> float:
    try:
        number = float(text)
    except ValueError:
        number = -1.0
    if not (number >= 0 and math.isfinite(number)):
        raise ConfigError(f"--faults: {part!r}: {text!r} is no number of 0 or more")
    return number
