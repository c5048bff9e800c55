"""Rows of the SQLite store: its statements, and what its errors mean."""

from __future__ import annotations

import contextlib
import itertools
import os
import shutil
import sqlite3
import zlib
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from skewless.errors import Conflict, CorruptData, StoreError
from skewless.stores.online.base import Item, checked_table

FORMAT = 2
APPLICATION_ID = 0x736B776C  # "skwl"
BUSY_SECONDS = 30.0
KEYS_A_STATEMENT = 500
RESTORE = "Restore a copy, or remove it and materialize again from history."

# The list of tables is not under the seals of values: `catalog` has the CRC-32 of all of it.
# A dropped table loses its name at once and its rows piece by piece; AUTOINCREMENT never gives its
# id to another one.
SCHEMA = (
    "CREATE TABLE tables (id INTEGER PRIMARY KEY AUTOINCREMENT, name TEXT UNIQUE)",
    "CREATE TABLE catalog (crc INTEGER)",
    "INSERT INTO catalog VALUES (0)",
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
        _table_id(connection, check_tables(connection), name)
        found = (connection.execute("INSERT INTO tables (name) VALUES (?)", (name,)).lastrowid,)
        tables_changed(connection)
    connection.executemany(f"INSERT OR REPLACE INTO rows VALUES ({found[0]}, ?, ?)", rows)


def tables_changed(connection: sqlite3.Connection) -> None:
    """Keep the checksum of the list of tables as it is now."""
    connection.execute("UPDATE catalog SET crc = ?", (_crc(_listed(connection)),))


def check_tables(connection: sqlite3.Connection) -> dict[int, str]:
    """Return the names of the tables by id, read from the list and not from its index.

    Raises:
        CorruptData: the list is not the one that was written.
    """
    found = _listed(connection)
    if connection.execute("SELECT crc FROM catalog").fetchone() != (_crc(found),):
        raise _damaged(f"tables {sorted(name for _, name in found)[:20]}")
    return dict(found)


def _listed(connection: sqlite3.Connection) -> list[tuple[int, str]]:
    listed = "SELECT id, name FROM tables NOT INDEXED WHERE name IS NOT NULL ORDER BY id"
    return connection.execute(listed).fetchall()


def _crc(tables: list[tuple[int, str]]) -> int:
    return zlib.crc32(repr(tables).encode()) if tables else 0


def neighbours(
    connection: sqlite3.Connection, table: str, keys: Sequence[bytes]
) -> list[tuple[str, bytes, bytes]]:
    """Return the rows before and after where those of missing keys would be, with their tables."""
    names = check_tables(connection)
    table_id = _table_id(connection, names, table)
    found: list[tuple[str, bytes, bytes]] = []
    if table_id is None:
        return found
    for key in keys:
        before = _nearest(connection, table_id, key, "<", "DESC")
        after = _nearest(connection, table_id, key, ">=", "ASC")
        if after is not None and (after[0], after[1]) == (table_id, key):
            continue  # written since it was missing
        if before is not None and before[0] == table_id:
            # A row whose length is damaged is skipped by every search, but not by a step.
            step = "SELECT table_id, key, value FROM rows WHERE table_id = ? AND key >= ?"
            steps = connection.execute(f"{step} ORDER BY key LIMIT 2", before[:2]).fetchall()
            if len(steps) == 2 or (after is not None and after[0] == table_id):
                after = steps[-1] if steps else before
        for row in (before, after):
            if row is None:
                continue
            if row[0] in names and isinstance(row[1], bytes) and isinstance(row[2], bytes):
                found.append((names[row[0]], row[1], row[2]))
            elif not connection.execute("SELECT 1 FROM tables WHERE id = ?", row[:1]).fetchone():
                raise _damaged(f"a row of no table, with key {row[1]!r:.80}")
        if after is not None and after == before:
            raise _damaged(f"no row behind that of key {after[1]!r:.80}")
    return found


def _nearest(
    connection: sqlite3.Connection, table_id: int, key: bytes, compare: str, order: str
) -> tuple[Any, Any, Any] | None:
    """Return the next row in one direction, of this table or of the one beside it.

    Each question follows the order of the rows alone: one that compared whole rows again would pass
    over damaged ones.
    """
    within = f"table_id = ? AND key {compare} ? ORDER BY key {order}"
    beyond = f"table_id {compare[0]} ? ORDER BY table_id {order}, key {order}"
    for where, values in ((within, (table_id, key)), (beyond, (table_id,))):
        row: tuple[Any, Any, Any] | None = connection.execute(
            f"SELECT table_id, key, value FROM rows WHERE {where} LIMIT 1", values
        ).fetchone()
        if row is not None:
            break
    if row is None or row[0] != table_id:
        end = connection.execute(
            "SELECT key FROM rows WHERE table_id = ? ORDER BY key"
            f" {'ASC' if order == 'DESC' else 'DESC'} LIMIT 1",
            (table_id,),
        ).fetchone()
        if end is not None and (end[0] is None or (end[0] < key) == (order == "DESC")):
            raise _damaged(f"a row that is skipped, behind that of key {end[0]!r:.80}")
    return row


def _table_id(connection: sqlite3.Connection, names: dict[int, str], table: str) -> int | None:
    """Return the id of a table by its name, which the index of names must know too."""
    listed = next((number for number, name in names.items() if name == table), None)
    row = connection.execute("SELECT id FROM tables WHERE name = ?", (table,)).fetchone()
    if (None if row is None else row[0]) != listed:
        raise _damaged(f"the index of names has no table {table!r}")
    return listed


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
    found = list(itertools.takewhile(lambda row: row[0].startswith(prefix), rows))
    if not found and after is None:
        _table_id(connection, check_tables(connection), table)
    return found


def open_to_read(path: Path, **options: Any) -> tuple[sqlite3.Connection, bool]:
    """Return a connection that only reads, and whether it is good for more than one use.

    In a directory that cannot be written SQLite cannot set up the WAL. When there is none, the file
    alone holds everything, and nobody changes it while it is read.

    Args:
        path: the file, absolute.
        options: see `sqlite3.connect`.
    """
    address = f"{path.as_uri()}?mode=ro"
    connection = sqlite3.connect(address, uri=True, **options)
    try:
        connection.execute("SELECT 1 FROM sqlite_schema").fetchall()
    except sqlite3.OperationalError:
        connection.close()
        wal = path.with_name(path.name + "-wal")
        if wal.exists() and wal.stat().st_size:
            raise
        return sqlite3.connect(f"{address}&immutable=1", uri=True, **options), False
    except BaseException:  # no SQLite file
        connection.close()
        raise
    return connection, True


def beside(path: Path) -> set[tuple[str, int, int]]:
    """Return which files SQLite has beside ``path`` now: its log, and the index of that."""
    seen = set()
    for name in (f"{path}-wal", f"{path}-shm"):
        with contextlib.suppress(FileNotFoundError):
            found = os.stat(name)
            seen.add((name, found.st_dev, found.st_ino))
    return seen


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
