"""Memory of calls: what an agent thought before each, which clients leave out when they send the call back."""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass, replace

from alpha_umi.loose_json import decode_json
from alpha_umi.types import Call, Json


@dataclass(frozen=True, slots=True, kw_only=True)
class KeptCall:
    """Call as the agent wrote it, and the thought of the plan before it."""

    thought: str
    call: Call

    def as_written(self, sent: Call) -> Call:
        """The call that a client sent back, with the agent's own spelling where it says the same."""
        same = sent.name == self.call.name and _value(sent.arguments) == _value(self.call.arguments)
        return replace(sent, arguments=self.call.arguments) if same else sent


class CallMemory:
    """Calls by their id, the latest `most` of them."""

    def __init__(self, most: int = 100_000) -> None:
        self._most = most
        self._kept: OrderedDict[str, KeptCall] = OrderedDict()

    def keep(self, call_id: str, thought: str, call: Call) -> None:
        """Keep a call."""
        self._kept[call_id] = KeptCall(thought=thought, call=call)
        while len(self._kept) > self._most:
            self._kept.popitem(last=False)

    def find(self, call_id: str) -> KeptCall | None:
        """A kept call; None where there is none."""
        return self._kept.get(call_id)


def _value(arguments: str) -> Json:
    try:
        return decode_json(arguments)
    except ValueError:
        return arguments
