"""Rows of the SQLite store: its statements, and what its errors mean."""

from __future__ import annotations

import itertools
import os
import shutil
import sqlite3
import zlib
from collections.abc import Iterable, Sequence

from skewless.errors import Conflict, CorruptData, StoreError
from skewless.stores.online.base import Item, checked_table

FORMAT = 2
APPLICATION_ID = 0x736B776C  # "skwl"
BUSY_SECONDS = 30.0
KEYS_A_STATEMENT = 500
RESTORE = "Restore a copy, or remove it and materialize again from history."

# Names of tables are not under the seals of values: each has its CRC-32 as a mark beside it.
# A dropped table loses its name at once and its rows piece by piece; AUTOINCREMENT never gives its
# id to another one.
SCHEMA = (
    "CREATE TABLE tables (id INTEGER PRIMARY KEY AUTOINCREMENT, name TEXT UNIQUE, mark INTEGER)",
    "CREATE TABLE rows (table_id INTEGER, key BLOB, value BLOB NOT NULL,"
    " PRIMARY KEY (table_id, key)) WITHOUT ROWID",
    f"PRAGMA application_id = {APPLICATION_ID}",
    f"PRAGMA user_version = {FORMAT}",
)
_TABLE = "table_id = (SELECT id FROM tables WHERE name = ?)"


def write(connection: sqlite3.Connection, table: str, items: Iterable[Item]) -> None:
    """Insert or replace rows, in the transaction of the connection."""
    rows = list(items)
    if not rows:
        return
    name = checked_table(table)
    found = connection.execute("SELECT id FROM tables WHERE name = ?", (name,)).fetchone()
    if found is None:
        check_tables(connection)
        made = connection.execute("INSERT INTO tables (name, mark) VALUES (?, ?)", (name, 0))
        found = (int(made.lastrowid or 0),)
        mark = _mark(found[0], name)
        connection.execute("UPDATE tables SET mark = ? WHERE id = ?", (mark, found[0]))
    connection.executemany(f"INSERT OR REPLACE INTO rows VALUES ({found[0]}, ?, ?)", rows)


def _mark(table_id: int, name: str) -> int:
    return zlib.crc32(f"{table_id} {name}".encode())


def check_tables(connection: sqlite3.Connection) -> dict[int, str]:
    """Return the names of the tables by id, read from the table and not from its index.

    Raises:
        CorruptData: a name is not the one that was written.
    """
    found = {}
    for table_id, name, mark in connection.execute("SELECT id, name, mark FROM tables NOT INDEXED"):
        if name is not None:
            if mark != _mark(table_id, name) or table_id in found:
                raise _damaged(f"the table {name!r}")
            found[table_id] = name
    return found


def beside(
    connection: sqlite3.Connection, table: str, keys: Sequence[bytes]
) -> list[tuple[str, bytes, bytes]]:
    """Return the rows before and after where those of missing keys would be, with their tables."""
    names = check_tables(connection)
    table_id = next((number for number, name in names.items() if name == table), None)
    found: list[tuple[str, bytes, bytes]] = []
    if table_id is None:
        return found
    for key in keys:
        for compare, order in (("<", "DESC"), (">=", "ASC")):
            row = connection.execute(
                f"SELECT table_id, key, value FROM rows WHERE (table_id, key) {compare} (?, ?)"
                f" ORDER BY table_id {order}, key {order} LIMIT 1",
                (table_id, key),
            ).fetchone()
            if row is None:
                continue
            if (row[0], row[1]) == (table_id, key):
                continue  # written since it was missing
            if row[0] in names:
                found.append((names[row[0]], row[1], row[2]))
            elif not connection.execute("SELECT 1 FROM tables WHERE id = ?", row[:1]).fetchone():
                raise _damaged(f"a row of no table, with key {row[1][:80]!r}")
    return found


def _damaged(got: str) -> CorruptData:
    return CorruptData("the index of the online store is damaged", got=got, hint=RESTORE)


def delete(connection: sqlite3.Connection, table: str, keys: Iterable[bytes]) -> None:
    """Remove rows, in the transaction of the connection."""
    connection.executemany(
        f"DELETE FROM rows WHERE {_TABLE} AND key = ?", [(table, key) for key in keys]
    )


def read_one(connection: sqlite3.Connection, table: str, key: bytes) -> bytes | None:
    """Return the value of one row."""
    row = connection.execute(
        f"SELECT value FROM rows WHERE {_TABLE} AND key = ?", (table, key)
    ).fetchone()
    return None if row is None else row[0]


def read(connection: sqlite3.Connection, table: str, keys: Sequence[bytes]) -> list[bytes | None]:
    """Return values in the order of ``keys``; one moment if they fit one statement."""
    found: dict[bytes, bytes] = {}
    for start in range(0, len(keys), KEYS_A_STATEMENT):
        some = keys[start : start + KEYS_A_STATEMENT]
        marks = ",".join("?" * len(some))
        found.update(
            connection.execute(
                f"SELECT key, value FROM rows WHERE {_TABLE} AND key IN ({marks})", (table, *some)
            )
        )
    return [found.get(key) for key in keys]


def page(
    connection: sqlite3.Connection, table: str, prefix: bytes, after: bytes | None, limit: int
) -> list[Item]:
    """Return the next rows in order, at most ``limit``."""
    lowest, compare = (prefix, ">=") if after is None or after < prefix else (after, ">")
    rows = connection.execute(
        f"SELECT key, value FROM rows WHERE {_TABLE} AND key {compare} ? ORDER BY key LIMIT ?",
        (table, lowest, limit),
    )
    return list(itertools.takewhile(lambda row: row[0].startswith(prefix), rows))


def store_error(error: sqlite3.Error, where: str) -> StoreError:
    """Return the `StoreError` that says what ``error`` means for the store at ``where``."""
    code = getattr(error, "sqlite_errorcode", 0) & 0xFF
    kind, what, hint = StoreError, "the online store failed", None
    if code in {sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_CORRUPT}:
        kind, what = CorruptData, "the online store's file is damaged or no SQLite file"
        hint = RESTORE
    elif code in {sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED}:
        kind, what = Conflict, f"another writer held the online store for {BUSY_SECONDS:.0f} s"
        hint = "Keep transactions short."
    elif code in {sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR}:
        free = shutil.disk_usage(os.path.dirname(os.path.abspath(where))).free
        what = "the online store could not write to its disk"
        hint = (
            f"{free:,} bytes are free there: make room, or look at quotas and the disk itself."
            " Nothing of this write was kept; what was there can be read."
        )
    elif code == sqlite3.SQLITE_TOOBIG:
        what, hint = "the value is too long for the online store", "A value may have 1 GB."
    elif code in {sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_READONLY, sqlite3.SQLITE_PERM}:
        what, hint = "the online store's file cannot be opened", "Check its permissions."
    return kind(what, got=str(error), where=where, hint=hint)
