"""Drafts of the next tokens for speculative decoding without a second model: n-gram look-up.

A token is drafted where it followed the last tokens before, in the request's own text or in a completion that was
written earlier: names and values are copied from the prompt, and plans are worded alike. A draft only saves steps: the
model computes it in one forward, and what it would not have written is dropped.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import takewhile
from typing import TypeAlias

_SIZES = (3, 2)
"""Lengths of n-grams, in the order in which they are looked up."""
_MOST_NGRAMS = 200_000
_Followers: TypeAlias = dict[tuple[int, ...], int]
"""The token that followed an n-gram last."""


@dataclass(slots=True)
class Lookup:
    """The n-grams of one request's tokens, and its last draft."""

    followers: _Followers = field(default_factory=_Followers)
    length: int = 0
    """Its tokens when its last draft was made."""
    drafted: Sequence[int] = ()
    most: int | None = None
    """Most tokens of its next draft, by how the last ones went; None: no draft was made yet."""


class Drafts:
    """Drafting for the requests of one engine."""

    def __init__(self, rows: int) -> None:
        """`rows`: tokens of a step up to which one more costs little; 0: draft nothing."""
        self._rows = rows
        self._written: _Followers = {}

    def draft(self, lookup: Lookup, ids: Sequence[int], *, running: int, most: int) -> list[int]:
        """Up to `most` tokens that probably follow `ids`, the tokens of one of so many running requests."""
        most = min(most, self._rows // running - 1)
        if most < 1:
            return []
        most = min(most, self._hopeful(lookup, ids))
        _add(lookup.followers, ids, lookup.length)
        tail, drafted = list(ids[-_SIZES[0] :]), list[int]()
        while len(drafted) < most and (token := self._next(lookup, tail)) is not None:
            drafted.append(token)
            tail = [*tail, token][-_SIZES[0] :]
        lookup.length, lookup.drafted = len(ids), drafted
        return drafted

    def learn(self, prompt: Sequence[int], written: Sequence[int]) -> None:
        """Add a completion that is whole; all are forgotten once there are 200,000 n-grams."""
        if not self._rows:
            return
        if len(self._written) > _MOST_NGRAMS:
            self._written.clear()
        before = prompt[-_SIZES[0] :]
        _add(self._written, [*before, *written], len(before))

    def _hopeful(self, lookup: Lookup, ids: Sequence[int]) -> int:
        """Most tokens worth drafting: twice as many as last time where all came true, else as many as did, but one."""
        if lookup.most is None:
            lookup.most = self._rows
        elif lookup.drafted:
            pairs = zip(lookup.drafted, ids[lookup.length :], strict=False)
            right = sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], pairs))
            lookup.most = min(self._rows, 2 * lookup.most) if right == len(lookup.drafted) else max(1, right)
        return lookup.most

    def _next(self, lookup: Lookup, tail: Sequence[int]) -> int | None:
        for size in _SIZES:
            for followers in (lookup.followers, self._written):
                if size <= len(tail) and (token := followers.get(tuple(tail[-size:]))) is not None:
                    return token
        return None


def _add(followers: _Followers, ids: Sequence[int], start: int) -> None:
    """Add the n-grams that the tokens from `start` on follow."""
    for at in range(start, len(ids)):
        for size in _SIZES:
            if size <= at:
                followers[tuple(ids[at - size : at])] = ids[at]
