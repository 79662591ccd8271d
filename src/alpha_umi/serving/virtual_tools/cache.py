"""Replies by what was asked, in one SQLite file that any number of processes may read and write at once.

Laws: of several replies to one question the first stays, whoever wrote it; a reply that `add` has returned is there
after a kill at any moment. For processes of one machine: the file must not lie on a network file system.
"""

from __future__ import annotations

import json
import sqlite3
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from threading import Lock
from typing import cast

from alpha_umi.errors import DataError, StorageError
from alpha_umi.serving.virtual_tools.wire import ApiAddress, Asked, Reply, read_reply
from alpha_umi.types import Json, ToolStatus

MODEL = "model:"
"""What the source of a reply begins with that a model wrote."""
_APPLICATION, _VERSION = 0x756D6931, 1
_BUSY_S = 30.0
_SCHEMA = f"""
BEGIN IMMEDIATE;
CREATE TABLE IF NOT EXISTS replies (
    scope TEXT NOT NULL,
    category TEXT NOT NULL,
    tool TEXT NOT NULL,
    api TEXT NOT NULL,
    canonical TEXT NOT NULL,
    arguments TEXT NOT NULL,
    reply TEXT NOT NULL,
    status TEXT NOT NULL,
    source TEXT NOT NULL,
    PRIMARY KEY (category, tool, api, canonical, scope)
);
PRAGMA application_id = {_APPLICATION};
PRAGMA user_version = {_VERSION};
COMMIT;
"""
_FIND = "SELECT reply, status FROM replies WHERE category=? AND tool=? AND api=? AND canonical=? AND scope=?"
_ADD = "INSERT OR IGNORE INTO replies VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)"
_ROWS = "SELECT category, tool, api, canonical, scope, arguments, reply, status, source FROM replies"


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One reply with all that is kept of it."""

    asked: Asked
    reply: Reply
    source: str
    """Who replied: `imported`, `recorded`, `world`, or `model:` and its name."""
    scope: str = ""
    """Within which the reply holds; empty: everywhere."""


class ReplyCache:
    """An open cache file. Threads may share one: what waits for other writers blocks the thread that writes alone."""

    def __init__(self, path: Path) -> None:
        """Opens or makes the file. Raises DataError for a file that is no cache, StorageError where none can be."""
        self.path = path
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._writes, self._reads = _Connection(path), _Connection(path)
        except (OSError, sqlite3.Error) as error:
            raise StorageError(f"{path}: the reply cache cannot be opened: {error}") from None
        try:
            self._prepare_when_free()
        except BaseException:
            self.close()
            raise

    def _prepare(self) -> None:
        database = self._writes.database
        try:
            database.execute("BEGIN")  # one look: another process may be making the file at this moment
            application, version, tables = (
                database.execute(f"PRAGMA {name}").fetchone()[0]
                for name in ("application_id", "user_version", "schema_version")
            )
            database.rollback()
            if (application, version, tables) == (0, 0, 0):
                database.execute("PRAGMA journal_mode = WAL")
                database.executescript(_SCHEMA)
            elif application != _APPLICATION:
                raise DataError(f"{self.path}: is an SQLite file, but no reply cache; name another with --cache")
            elif version != _VERSION:
                raise DataError(
                    f"{self.path}: is a reply cache of version {version}, this program reads version {_VERSION}; "
                    "export it with the version that made it"
                )
            database.execute("PRAGMA synchronous = NORMAL")
        except sqlite3.OperationalError:
            if database.in_transaction:
                database.rollback()
            raise
        except sqlite3.DatabaseError as error:
            raise DataError(f"{self.path}: is no reply cache: {error}; name another file with --cache") from None

    def _prepare_when_free(self) -> None:
        """SQLite does not wait by itself while another process turns a new file into a write-ahead one."""
        until = time.monotonic() + _BUSY_S
        while True:
            try:
                return self._prepare()
            except sqlite3.OperationalError as error:
                if time.monotonic() > until or "locked" not in str(error):
                    raise StorageError(f"{self.path}: the reply cache cannot be opened: {error}") from None
                time.sleep(0.01)

    def close(self) -> None:
        self._writes.close()
        self._reads.close()

    def find(self, asked: Asked, scope: str = "") -> Reply | None:
        """The reply that holds in a scope, else the one that holds everywhere."""
        for place in dict.fromkeys((scope, "")):
            rows = self._run(_FIND, (*_key(asked.address), asked.canonical, place))
            if rows:
                return _reply(*rows[0])
        return None

    def add(self, row: Row) -> Reply:
        """Keep a reply; returns the one that is kept. Raises StorageError."""
        return self.keep([row])[0]

    def keep(self, rows: Sequence[Row]) -> list[Reply]:
        """Keep all of these replies or none; returns for each the one that is kept. Raises StorageError."""
        self.add_all(rows)
        return [self.find(row.asked, row.scope) or row.reply for row in rows]

    def add_all(self, rows: Iterable[Row]) -> int:
        """Keep all or none of them; returns how many are new."""
        values = [_values(row) for row in rows]
        with self._writes.lock:
            database = self._writes.database
            try:
                database.execute("BEGIN IMMEDIATE")
                before = database.total_changes
                database.executemany(_ADD, values)
                added = database.total_changes - before
                database.execute("COMMIT")
            except sqlite3.Error as error:
                if database.in_transaction:
                    database.rollback()
                raise self._failed(error) from error
        return added

    def examples(self, address: ApiAddress, limit: int) -> list[Row]:
        """Some replies without an error of one API, those first that no model wrote, in an order of its own."""
        chosen = "WHERE category=? AND tool=? AND api=? AND scope='' AND status='ok'"
        order = f"ORDER BY source LIKE '{MODEL}%', canonical LIMIT ?"
        return [_row(found) for found in self._run(f"{_ROWS} {chosen} {order}", (*_key(address), limit))]

    def rows(self) -> Iterator[Row]:
        """All that is kept, by category, tool and API."""
        last: tuple[str, ...] = ()
        order = "ORDER BY category, tool, api, canonical, scope LIMIT 1000"
        while True:
            after = "WHERE (category, tool, api, canonical, scope) > (?, ?, ?, ?, ?)" if last else ""
            found = self._run(f"{_ROWS} {after} {order}", last)
            if not found:
                return
            yield from map(_row, found)
            last = found[-1][:5]

    def count(self) -> dict[str, int]:
        """How many replies there are, by who replied."""
        return dict(cast("list[tuple[str, int]]", self._run("SELECT source, COUNT(*) FROM replies GROUP BY 1", ())))

    def knows(self, address: ApiAddress) -> bool:
        """Whether there is any reply of an API."""
        return bool(self._run("SELECT 1 FROM replies WHERE category=? AND tool=? AND api=? LIMIT 1", _key(address)))

    def _run(self, statement: str, values: tuple[object, ...]) -> list[tuple[str, ...]]:
        with self._reads.lock:
            try:
                return self._reads.database.execute(statement, values).fetchall()
            except sqlite3.Error as error:
                raise self._failed(error) from error

    def _failed(self, error: sqlite3.Error) -> StorageError:
        return StorageError(
            f"{self.path}: the reply cache failed: {error}; is the disk full, or the file held by another?"
        )


class _Connection:
    """A connection, and the lock of the threads that share it."""

    def __init__(self, path: Path) -> None:
        self.lock = Lock()
        self.database = sqlite3.connect(path, timeout=_BUSY_S, isolation_level=None, check_same_thread=False)

    def close(self) -> None:
        with self.lock:
            self.database.close()


def _key(address: ApiAddress) -> tuple[str, str, str]:
    return address.category, address.tool, address.api


def _values(row: Row) -> tuple[str, ...]:
    asked = row.asked
    arguments, reply = json.dumps(asked.arguments), row.reply
    return (row.scope, *_key(asked.address), asked.canonical, arguments, reply.dump(), reply.status.value, row.source)


def _reply(body: str, status: str) -> Reply:
    reply = read_reply(cast("Json", json.loads(body))) or Reply()
    return Reply(error=reply.error, response=reply.response, status=ToolStatus(status), extra=reply.extra)


def _row(columns: tuple[str, ...]) -> Row:
    category, tool, api, _, scope, arguments, reply, status, source = columns
    address = ApiAddress(category=category, tool=tool, api=api)
    return Row(
        asked=Asked(address=address, arguments=cast("dict[str, Json]", json.loads(arguments))),
        reply=_reply(reply, status),
        source=source,
        scope=scope,
    )
