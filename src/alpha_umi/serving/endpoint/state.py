"""State of an endpoint between requests, in SQLite: responses by their id, and what an agent thought before each call.

Clients leave out thoughts when they send a call back. What is oldest is forgotten. Used in one thread; the file, which
holds conversations, is its owner's alone.
"""

from __future__ import annotations

import json
import os
import sqlite3
import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import cast

from alpha_umi.errors import StorageError
from alpha_umi.loose_json import decode_json
from alpha_umi.types import Call, Json

_TABLES = """
CREATE TABLE IF NOT EXISTS calls (id TEXT PRIMARY KEY, thought TEXT, name TEXT, arguments TEXT, at REAL);
CREATE TABLE IF NOT EXISTS responses (id TEXT PRIMARY KEY, response TEXT, items TEXT, at REAL);
"""
_MOST = {"calls": 100_000, "responses": 10_000}
_SWEPT_EVERY = 1000
"""Additions between two looks for what is to be forgotten."""


@dataclass(frozen=True, slots=True, kw_only=True)
class KeptCall:
    """Call as the agent wrote it, and the thought of the plan before it."""

    thought: str
    call: Call

    def as_written(self, sent: Call) -> Call:
        """The call that a client sent back, with the agent's own spelling where it says the same."""
        same = sent.name == self.call.name and _value(sent.arguments) == _value(self.call.arguments)
        return replace(sent, arguments=self.call.arguments) if same else sent


@dataclass(frozen=True, slots=True, kw_only=True)
class KeptResponse:
    """Response, and the items of its conversation up to its end."""

    response: dict[str, Json]
    items: list[Json]


class State:
    """State of one endpoint. Raises StorageError where the file cannot be used."""

    def __init__(self, path: Path | None = None) -> None:
        """`path`: made if missing; None: in memory, forgotten when the endpoint ends."""
        self._name = str(path or "memory")
        self._added = 0
        try:
            if path is not None:
                path.parent.mkdir(parents=True, exist_ok=True)
                os.close(os.open(path, os.O_CREAT | os.O_RDWR, 0o600))
            self._base = sqlite3.connect(path or ":memory:", isolation_level=None, check_same_thread=False)
            self._base.executescript(f"PRAGMA journal_mode=WAL; PRAGMA synchronous=NORMAL; {_TABLES}")
        except (OSError, sqlite3.Error) as error:
            raise StorageError(f"{self._name}: cannot keep the endpoint's state there: {error}") from None

    def keep_call(self, call_id: str, thought: str, call: Call) -> None:
        """Keep a call that is sent to a client."""
        self._add("calls", (call_id, thought, call.name, call.arguments, time.time()))

    def find_call(self, call_id: str) -> KeptCall | None:
        """A kept call; None where there is none."""
        row = self._one("SELECT thought, name, arguments FROM calls WHERE id = ?", call_id)
        return None if row is None else KeptCall(thought=row[0], call=Call(name=row[1], arguments=row[2]))

    def keep_response(self, response: dict[str, Json], items: list[Json]) -> None:
        """Keep a response by its id."""
        row = (str(response["id"]), json.dumps(response), json.dumps(items), time.time())
        self._add("responses", row)

    def find_response(self, response_id: str) -> KeptResponse | None:
        """A kept response; None where there is none."""
        row = self._one("SELECT response, items FROM responses WHERE id = ?", response_id)
        if row is None:
            return None
        return KeptResponse(response=json.loads(row[0]), items=cast("list[Json]", json.loads(row[1])))

    def delete_response(self, response_id: str) -> bool:
        """Forget a response; False where there was none."""
        return self._run("DELETE FROM responses WHERE id = ?", (response_id,)).rowcount > 0

    def close(self) -> None:
        """Close the file."""
        self._base.close()

    def _add(self, table: str, row: tuple[object, ...]) -> None:
        self._run(f"INSERT OR REPLACE INTO {table} VALUES ({', '.join('?' * len(row))})", row)  # noqa: S608
        self._added += 1
        if self._added % _SWEPT_EVERY == 0:
            for name, most in _MOST.items():
                kept = f"SELECT rowid FROM {name} ORDER BY rowid DESC LIMIT {most}"  # noqa: S608
                self._run(f"DELETE FROM {name} WHERE rowid NOT IN ({kept})")  # noqa: S608

    def _one(self, query: str, key: str) -> tuple[str, ...] | None:
        return cast("tuple[str, ...] | None", self._run(query, (key,)).fetchone())

    def _run(self, query: str, values: tuple[object, ...] = ()) -> sqlite3.Cursor:
        try:
            return self._base.execute(query, values)
        except (sqlite3.Error, UnicodeEncodeError) as error:
            raise StorageError(f"{self._name}: the endpoint's state cannot be kept: {error}") from None


def _value(arguments: str) -> Json:
    try:
        return decode_json(arguments)
    except ValueError:
        return arguments
