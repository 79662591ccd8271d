"""Timing of the parts of a long job."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import cast

from alpha_umi.store import read_json, write_json


@dataclass(slots=True)
class Timing:
    """Seconds by part; with a path they are kept in that file, so that a resumed job still knows them."""

    path: Path | None = None
    seconds: dict[str, float] = field(default_factory=dict[str, float])

    def __post_init__(self) -> None:
        if self.path is not None and self.path.exists():
            self.seconds = cast("dict[str, float]", read_json(self.path))

    @contextmanager
    def part(self, name: str) -> Iterator[None]:
        """Time spent within is added to a part, also where it ends in an error."""
        started = time.monotonic()
        try:
            yield
        finally:
            self.seconds[name] = round(self.seconds.get(name, 0.0) + time.monotonic() - started, 2)
            if self.path is not None:
                write_json(self.path, self.seconds)
