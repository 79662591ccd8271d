"""Truncation of prompts to a context window, the same in training, in prediction and in the live agent.

Observations go first, the oldest first, each down to its beginning and a mark; then whole steps, the oldest
first; of a conversation the earlier exchanges, each whole, before any step of the last one. Tools, the query (the
last one) and the plan that called the role are never cut. What fits is left as it is.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

from alpha_umi.errors import FormatError
from alpha_umi.formats.rendering import render
from alpha_umi.protocols import Format
from alpha_umi.types import Answer, Decision, Observation, Plan, Prompt, Role, Task, Turn, User

FLOOR = 200
"""Characters of an observation that stay while there are other observations or steps to cut."""
MARK = "..."
"""Stands where the rest of an observation was."""
_GRAIN = 32


@dataclass(frozen=True, slots=True, kw_only=True)
class Window:
    """Context window: the limit of a prompt's length, and the function that counts it."""

    limit: int
    """In the unit of `count`, usually tokens; the completion's share is already taken off."""
    count: Callable[[Prompt], int]


@dataclass(frozen=True, slots=True, kw_only=True)
class Fitted:
    """Turns whose prompt fits, and the number of observations and turns that were cut for it."""

    turns: tuple[Turn, ...]
    observations_cut: int = 0
    turns_dropped: int = 0

    @property
    def cut(self) -> bool:
        return bool(self.observations_cut or self.turns_dropped)


def fit(format: Format, role: Role, task: Task, turns: Sequence[Turn], window: Window) -> Fitted:  # noqa: A002
    """Cut `turns` until `role`'s prompt fits the window; `turns` themselves when it does already.

    Counts a prompt once when it fits, else about a dozen times. Raises FormatError with the numbers when
    not even the tools, the query and the last plan fit.
    """
    kept = tuple(turns)

    def excess(candidate: Sequence[Turn]) -> int:
        return window.count(render(format, role, task, candidate)) - window.limit

    def fits(candidate: Sequence[Turn]) -> bool:
        return excess(candidate) <= 0

    if fits(kept):
        return Fitted(turns=kept)
    droppable = _droppable(role, task, kept)
    dropped = _smallest(len(droppable), lambda count: fits(_floor_all(_drop(kept, droppable[:count]))))
    if dropped is None:
        least = window.limit + excess(_floor_all(_drop(kept, droppable)))
        raise FormatError(
            f"task {task.id!r}: the {role.value}'s prompt needs {least} tokens for the tools and the query alone, "
            f"the limit is {window.limit}; give the task fewer tools or the model a longer context"
        )
    remaining = _drop(kept, droppable[:dropped])
    cut = _cut_observations(remaining, fits)
    changed = sum(before != after for before, after in zip(remaining, cut, strict=True))
    return Fitted(turns=cut, observations_cut=changed, turns_dropped=len(kept) - len(remaining))


def _cut_observations(turns: tuple[Turn, ...], fits: Callable[[Sequence[Turn]], bool]) -> tuple[Turn, ...]:
    """Cut as few observations as possible, the oldest first, the last one only as far as needed.

    All at their floor fit.
    """
    places = [place for place, turn in enumerate(turns) if _floor(turn) != turn]

    def floored(count: int) -> tuple[Turn, ...]:
        low = set(places[:count])
        return tuple(_floor(turn) if place in low else turn for place, turn in enumerate(turns))

    count = _smallest(len(places) - 1, lambda count: fits(floored(count))) if places else 0
    count = len(places) if count is None else count
    if count == 0:
        return turns
    place, cut = places[count - 1], floored(count)

    def partly(grains: int) -> tuple[Turn, ...]:
        return (*cut[:place], _shorten(turns[place], grains), *cut[place + 1 :])

    spare = (_length(turns[place]) - FLOOR - len(MARK) - 1) // _GRAIN
    taken = _smallest(spare - 1, lambda taken: fits(partly(spare - taken))) if spare > 0 else None
    return cut if taken is None else partly(spare - taken)


def _smallest(most: int, holds: Callable[[int], bool]) -> int | None:
    """Binary search: the smallest of 0..most for which a rising condition holds; None if it holds for none."""
    low, high = 0, most + 1
    while low < high:
        middle = (low + high) // 2
        if holds(middle):
            high = middle
        else:
            low = middle + 1
    return low if low <= most else None


def _droppable(role: Role, task: Task, turns: Sequence[Turn]) -> list[range]:
    """Steps and earlier exchanges that may be dropped, as ranges of indices, the oldest first."""
    queries = [place for place in range(len(turns)) if _is_query(turns, place, task)]
    users = [place for place, turn in enumerate(turns) if isinstance(turn, User)]
    query = queries[-1] if queries else users[0] if users else None
    needed = _needed_plan(role, turns)
    earlier = queries[:-1]
    starts = [
        place
        for place, turn in enumerate(turns)
        if place in (0, query) or place in earlier or (isinstance(turn, Plan | User) and not place < (query or 0))
    ]
    steps = [range(start, stop) for start, stop in pairwise([*starts, len(turns)])]
    return [_without(step, query) for step in steps if needed not in step and len(_without(step, query))]


def _is_query(turns: Sequence[Turn], place: int, task: Task) -> bool:
    """Return True for a user's turn that begins an exchange; the others are hints of a search between two steps."""
    turn, before = turns[place], turns[place - 1] if place else None
    ended = isinstance(before, Answer) or (isinstance(before, Plan) and before.decision is Decision.GIVE_UP)
    return isinstance(turn, User) and (before is None or ended or turn.text == task.query)


def _without(step: range, query: int | None) -> range:
    """Drop a range of turns; a query in it stays."""
    return range(step.start + 1, step.stop) if step.start == query else step


def _needed_plan(role: Role, turns: Sequence[Turn]) -> int | None:
    if role is Role.PLANNER or (role is Role.BACKBONE and not (turns and isinstance(turns[-1], Plan))):
        return None
    return next((place for place in reversed(range(len(turns))) if isinstance(turns[place], Plan)), None)


def _drop(turns: Sequence[Turn], steps: Sequence[range]) -> tuple[Turn, ...]:
    gone = {place for step in steps for place in step}
    return tuple(turn for place, turn in enumerate(turns) if place not in gone)


def _floor_all(turns: Sequence[Turn]) -> tuple[Turn, ...]:
    return tuple(_floor(turn) for turn in turns)


def _floor(turn: Turn) -> Turn:
    return _shorten(turn, 0)


def _shorten(turn: Turn, grains: int) -> Turn:
    """Cut an observation to FLOOR characters and `grains` grains; a turn that this would not shorten stays."""
    length = FLOOR + grains * _GRAIN
    if not isinstance(turn, Observation) or len(turn.content) <= length + len(MARK):
        return turn
    return replace(turn, content=turn.content[:length] + MARK)


def _length(turn: Turn) -> int:
    return len(turn.content) if isinstance(turn, Observation) else 0
