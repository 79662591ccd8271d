"""Runs of a folder, for the page: a list of the newest, and each one whole. The file is read where it has grown."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path

from alpha_umi.errors import DataError
from alpha_umi.rollouts.runner import Rollout, count_calls, decode_rollout, encode_rollout
from alpha_umi.store import encode_usage
from alpha_umi.types import Json

_MOST = 1000
"""Runs in the list; older ones are left out."""
_LONGEST = 16 << 20
"""Bytes of a line."""


@dataclass(slots=True)
class KeptRuns:
    """Runs of a file of rollouts that grows. Used by one thread at a time."""

    path: Path
    _read_to: int = 0
    _places: list[tuple[int, int]] = field(default_factory=list[tuple[int, int]])
    """Offset and length of each line, in bytes."""
    _summaries: dict[int, dict[str, Json]] = field(default_factory=dict[int, dict[str, Json]])

    def summaries(self) -> list[dict[str, Json]]:
        """The newest runs, the last one first."""
        self._update()
        return [*reversed(self._summaries.values())]

    def find(self, number: int) -> dict[str, Json] | None:
        """The whole run of a number; None where there is none that can be read."""
        self._update()
        if not 0 <= number < len(self._places):
            return None
        rollout = self._decode(number)
        return None if rollout is None else {"id": number, **encode_rollout(rollout)}

    def _update(self) -> None:
        try:
            size = self.path.stat().st_size
        except OSError:
            size = 0
        if size < self._read_to:
            self._read_to, self._places, self._summaries = 0, [], {}
        if size == self._read_to:
            return
        with self.path.open("rb") as file:
            file.seek(self._read_to)
            while line := file.readline(_LONGEST):
                is_whole, length = line.endswith(b"\n"), len(line)
                while not line.endswith(b"\n") and (line := file.readline(_LONGEST)):
                    length += len(line)
                if not line:
                    break  # it is being written
                self._places.append((self._read_to, length if is_whole else 0))
                self._read_to += length
        for number in range(max(len(self._places) - _MOST, 0), len(self._places)):
            if number not in self._summaries and (rollout := self._decode(number)) is not None:
                self._summaries[number] = _summary(number, rollout)
        for number in [*self._summaries][:-_MOST]:
            del self._summaries[number]

    def _decode(self, number: int) -> Rollout | None:
        offset, length = self._places[number]
        with self.path.open("rb") as file:
            file.seek(offset)
            line = file.read(length)
        try:
            return decode_rollout(json.loads(line))
        except (DataError, ValueError, RecursionError):
            return None


def _summary(number: int, rollout: Rollout) -> dict[str, Json]:
    passed = None if rollout.verdict is None else rollout.verdict.get("passed")
    return {
        "id": number,
        "set": rollout.set,
        "query": rollout.trajectory.task.query,
        "stop": rollout.trajectory.stop.value,
        "method": rollout.method,
        "calls": count_calls(rollout.nodes),
        "nodes": len(rollout.nodes),
        "usage": encode_usage(rollout.trajectory.usage),
        "seconds": rollout.seconds,
        "passed": passed,
        "error": rollout.error,
    }
