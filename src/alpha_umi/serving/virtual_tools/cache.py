"""Cache of replies by request, in one SQLite file that several processes may read and write concurrently.

Laws: of several replies to one question the first stays, from any writer; a reply that `add` has returned survives
a kill at any moment. For processes of one machine: the file must not lie on a network file system.
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
"""Prefix of the source of replies that a model wrote."""
_APPLICATION, _VERSION = 0x756D6931, 1
_BUSY_S = 30.0
MOST_BYTES = 20_000_000_000
"""Largest size of a cache file; beyond it replies cannot be kept, and an error says so."""
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
    """One cached reply with its request, source and scope."""

    asked: Asked
    reply: Reply
    source: str
    """Source of the reply: `imported`, `recorded`, `world`, or `model:` and its name."""
    scope: str = ""
    """Scope in which the reply holds; empty: everywhere."""


class ReplyCache:
    """An open cache file. Threads may share one: a wait for other writers blocks only the writing thread."""

    def __init__(self, path: Path, most_bytes: int = MOST_BYTES) -> None:
        """Open or create the file. Raises DataError for a file that is no cache, StorageError for an I/O error."""
        self.path, self._most_bytes = path, most_bytes
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
            page = int(database.execute("PRAGMA page_size").fetchone()[0])
            database.execute(f"PRAGMA max_page_count = {self._most_bytes // page}")
        except sqlite3.OperationalError:
            if database.in_transaction:
                database.rollback()
            raise
        except sqlite3.DatabaseError as error:
            raise DataError(f"{self.path}: is no reply cache: {error}; name another file with --cache") from None

    def _prepare_when_free(self) -> None:
        """Retry while another process switches a new file to write-ahead logging, for which SQLite does not wait."""
        until = time.monotonic() + _BUSY_S
        while True:
            try:
                return self._prepare()
            except sqlite3.OperationalError as error:
                if time.monotonic() > until or "locked" not in str(error):
                    raise StorageError(f"{self.path}: the reply cache cannot be opened: {error}") from None
                time.sleep(0.01)

    def close(self) -> None:
        """Close all connections."""
        self._writes.close()
        self._reads.close()

    def find(self, asked: Asked, scope: str = "") -> Reply | None:
        """Find the reply that holds in a scope, else the one that holds everywhere."""
        for place in dict.fromkeys((scope, "")):
            rows = self._run(_FIND, (*_key(asked.address), asked.canonical, place))
            if rows:
                return _reply(*rows[0])
        return None

    def add(self, row: Row) -> Reply:
        """Store a reply; returns the stored one (an earlier reply stays). Raises StorageError."""
        return self.keep([row])[0]

    def keep(self, rows: Sequence[Row]) -> list[Reply]:
        """Store all of these replies or none; returns the stored one for each. Raises StorageError."""
        self.add_all(rows)
        return [self.find(row.asked, row.scope) or row.reply for row in rows]

    def add_all(self, rows: Iterable[Row]) -> int:
        """Store all of these replies or none; returns the number of new ones."""
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
        """Select replies of one API without an error, those first that no model wrote, in a deterministic order."""
        chosen = "WHERE category=? AND tool=? AND api=? AND scope='' AND status='ok'"
        order = f"ORDER BY source LIKE '{MODEL}%', canonical LIMIT ?"
        return [_row(found) for found in self._run(f"{_ROWS} {chosen} {order}", (*_key(address), limit))]

    def rows(self) -> Iterator[Row]:
        """Read all rows, by category, tool and API."""
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
        """Count replies by source."""
        return dict(cast("list[tuple[str, int]]", self._run("SELECT source, COUNT(*) FROM replies GROUP BY 1", ())))

    def knows(self, address: ApiAddress) -> bool:
        """Tell whether there is any reply of an API."""
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
