"""Attempts: what a search or a critic sent back, so that a step reads what still holds and does not repeat the rest."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass

from alpha_umi.types import Answer, Call, Decision, Hint, Plan, Review, Turn, User


@dataclass(frozen=True, slots=True, kw_only=True)
class Attempts:
    """Turns that hold, and the attempts before them that did not."""

    turns: tuple[Turn, ...]
    """Without hints and reviews, and without each answer that was sent back and the call that it rests on."""
    calls: frozenset[tuple[str, str]] = frozenset()
    """Calls that were tried from here, with their arguments as `_key` has them."""
    answered: bool = False
    """True: an answer without a call was tried from here."""

    @classmethod
    def of(cls, turns: Sequence[Turn]) -> Attempts:
        """Read the turns of a branch, the hint of its step included."""
        kept: list[Turn] = []
        calls: set[tuple[str, str]] = set()
        answered = False
        for turn in turns:
            match turn:
                case Hint(tried=tried):
                    made = [_first_call(each) for each in tried]
                    calls |= {_key(call) for call in made if call is not None}
                    answered |= None in made
                case Review(accepted=False):
                    call = _take_back(kept)
                    calls |= {_key(call)} if call is not None else set()
                    answered |= call is None
                case Review():
                    pass
                case _:
                    kept.append(turn)
                    answered &= not isinstance(turn, Call)
        return cls(turns=tuple(kept), calls=frozenset(calls), answered=answered)

    @property
    def were_made(self) -> bool:
        """True where something was tried from here."""
        return bool(self.calls) or self.answered

    def include(self, call: Call) -> bool:
        """Test if a call was tried from here."""
        return _key(call) in self.calls

    def end(self, turns: tuple[Turn, ...]) -> tuple[Turn, ...]:
        """The turns; a give-up where they only end what was sent back."""
        holds = not self.answered and _first_call(_exchange(self.turns)) is not None
        if not self.were_made or holds or _first_call(turns) is not None:
            return turns
        return (Plan(thought="I know no other way.", decision=Decision.GIVE_UP),)


def _take_back(turns: list[Turn]) -> Call | None:
    """Take back the last answer and the call before it, with the plans of both; the call, if there was one."""
    while turns and not isinstance(turns[-1], Answer):
        turns.pop()
    at = len(turns) - len(_exchange(turns))
    last = max((place for place in range(at, len(turns)) if isinstance(turns[place], Call)), default=None)
    call = turns[last] if last is not None else None
    start = last if last is not None else at
    while start > at and isinstance(turns[start - 1], Plan):
        start -= 1
    del turns[start:]
    return call if isinstance(call, Call) else None


def _exchange(turns: Sequence[Turn]) -> Sequence[Turn]:
    """The turns since the user spoke."""
    at = max((place for place, turn in enumerate(turns) if type(turn) is User), default=-1)
    return turns[at + 1 :]


def _first_call(turns: Sequence[Turn]) -> Call | None:
    return next((turn for turn in turns if isinstance(turn, Call)), None)


def _key(call: Call) -> tuple[str, str]:
    try:
        return call.name, json.dumps(json.loads(call.arguments), sort_keys=True)
    except (ValueError, RecursionError):
        return call.name, call.arguments
