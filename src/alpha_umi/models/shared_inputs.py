"""Linear layers that read one input, such as the projections to queries, keys and values: computed once for all.

Which layers may share is told by their names; whether they do is seen at each call, by the identity of what they are
given, so that an architecture that uses the names otherwise is computed right.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Generic, TypeVar

from torch import Tensor

_SHARING = (("q_proj", "k_proj", "v_proj"), ("gate_proj", "up_proj"))
_Result = TypeVar("_Result")


def group_by_input(names: Iterable[str]) -> list[tuple[str, ...]]:
    """Group names of linear layers that probably share their input; the others are groups of one."""
    groups: dict[str, list[str]] = {}
    for name in names:
        parent, _, last = name.rpartition(".")
        kind = next((at for at, sharing in enumerate(_SHARING) if last in sharing), None)
        groups.setdefault(name if kind is None else f"{parent} {kind}", []).append(name)
    return [tuple(group) for group in groups.values()]


class SharedResult(Generic[_Result]):
    """What the layers of a group compute of one input, kept until each of them has taken it."""

    def __init__(self, layers: int) -> None:
        self._layers = layers
        self._key: tuple[object, ...] = ()
        self._result: _Result | None = None
        self._left = 0

    def has(self, given: Tensor, beside: object) -> bool:
        """True where the last call was for these, and not all layers have taken its result."""
        return bool(self._key) and self._key[0] is given and self._key[1] is beside

    def get(self, given: Tensor, beside: object, compute: Callable[[], _Result]) -> _Result:
        """The result for `given` and `beside`, computed where the last call was for others."""
        result = self._result
        if result is None or self._key[0] is not given or self._key[1] is not beside:
            result, self._left = compute(), self._layers
            self._key, self._result = (given, beside), result
        self._left -= 1
        if not self._left:
            self._key, self._result = (), None
        return result
