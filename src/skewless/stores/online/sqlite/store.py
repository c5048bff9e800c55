"""The embedded online store for those who want one ordinary file: SQLite in WAL mode.

    store = SQLiteStore("repo/.skewless/online.sqlite")
    store.write("wafer_tests", [(b"f1", b"state of f1")])      # on disk when it returns

It keeps the same promises as the LMDB store and is some five times slower to read. Readers are not
held up by the writer; writers of all threads and processes take turns.
"""

from __future__ import annotations

import contextlib
import dataclasses
import os
import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import cast

from skewless.config import make_private, make_private_file
from skewless.errors import CorruptData, StoreError
from skewless.forks import sqlite_gate
from skewless.stores.online.base import (
    Capabilities,
    Item,
    OnlineStore,
    Transaction,
    may_write,
    only_read,
    other_format,
)
from skewless.stores.online.open_file import OpenFile
from skewless.stores.online.pool import Pool
from skewless.stores.online.sqlite import rows as sql

DROP_ROWS = 5_000


class _Connection(sqlite3.Connection):
    """A connection, the file that it was made to, and whether it was used."""

    file: OpenFile | None = None
    was_used = False


class SQLiteStore(OnlineStore):
    """An online store in one SQLite file (and its -wal and -shm), on a local disk.

    Args:
        path: the file; made if missing, its directory too.
        sync: whether each write is flushed to disk before it returns. Without it a loss of power
            may take the last writes back, but never damages the file.

    Raises:
        CorruptData: the file there is damaged or no SQLite file.
        StoreError: another program's SQLite file, or no permission.
    """

    capabilities = Capabilities(
        atomic_batch=True,
        transactions=True,
        compare_and_set=True,
        ordered_scan=True,
        atomic_drop=True,
        shared_by_processes=True,
        durable=True,
        verified=True,
        max_value_bytes=1_000_000_000 - 1_000,
    )

    def __init__(self, path: str | Path, *, sync: bool = True) -> None:
        self.where = str(path)
        self._sync = sync
        file = Path(path).absolute()
        self._read_only = file.exists() and not may_write(
            str(file.parent), file.name, f"{file.name}-wal", f"{file.name}-shm"
        )
        self.capabilities = dataclasses.replace(type(self).capabilities, durable=sync)
        self._file: OpenFile | None = None
        self._is_prepared = False
        self._beside: set[tuple[str, int, int]] = set()
        self._pool = Pool(self._connect, usable=self._is_usable, closed=self.closed)
        try:
            self._prepare()
            self._file, self._is_prepared = OpenFile(file), True
        except BaseException:
            self.close()
            raise

    # --------------------------------------------------------------------------------- reading

    def read_one(self, table: str, key: bytes) -> bytes | None:
        with self._connection() as connection:
            return sql.read_one(connection, table, key)

    def read(self, table: str, keys: Sequence[bytes]) -> list[bytes | None]:
        with self._connection() as connection:
            if len(keys) <= sql.KEYS_A_STATEMENT:
                return sql.read(connection, table, keys)
            connection.execute("BEGIN")
            try:
                return sql.read(connection, table, keys)
            finally:
                connection.execute("COMMIT")

    def page(self, table: str, prefix: bytes, after: bytes | None, limit: int) -> list[Item]:
        with self._connection() as connection:
            return sql.page(connection, table, prefix, after, limit)

    def neighbours(self, table: str, keys: Sequence[bytes]) -> list[tuple[str, bytes, bytes]]:
        with self._connection() as connection:
            connection.execute("BEGIN")  # one moment, or a row written meanwhile seems damage
            try:
                return sql.neighbours(connection, table, keys)
            finally:
                connection.execute("COMMIT")

    def tables(self) -> list[str]:
        with self._connection() as connection:
            names = connection.execute("SELECT name FROM tables WHERE name IS NOT NULL")
            return sorted(name for (name,) in names)

    # --------------------------------------------------------------------------------- writing

    def drop(self, table: str) -> None:
        with self._begin() as connection:
            sql.check_tables(connection)
            connection.execute("UPDATE tables SET name = NULL WHERE name = ?", (table,))
            sql.tables_changed(connection)
        # All tables whose removal is not finished, those of an interrupted drop too.
        while self._remove_some_dropped():
            pass

    def _remove_some_dropped(self) -> bool:
        with self._begin() as connection:
            dropped = connection.execute("SELECT min(id) FROM tables WHERE name IS NULL").fetchone()
            if dropped[0] is None:
                return False
            removed = connection.execute(
                "DELETE FROM rows WHERE table_id = ?1 AND key IN"
                " (SELECT key FROM rows WHERE table_id = ?1 LIMIT ?2)",
                (dropped[0], DROP_ROWS),
            ).rowcount
            if removed < DROP_ROWS:
                connection.execute("DELETE FROM tables WHERE id = ?", dropped)
            return True

    @contextlib.contextmanager
    def transaction(self) -> Iterator[Transaction]:
        with self._begin() as connection:
            yield _SQLiteTransaction(connection)

    @contextlib.contextmanager
    def _begin(self) -> Iterator[sqlite3.Connection]:
        if self._read_only:
            raise only_read(self.where)
        if self._file is not None:
            self._file.check()  # what is written to the file of before is lost
        with self._pool.one_writer_a_thread(self.where), self._connection() as connection:
            connection.execute("BEGIN IMMEDIATE")
            try:
                yield connection
                connection.execute("COMMIT")
            except BaseException:
                if connection.in_transaction:
                    connection.execute("ROLLBACK")
                raise

    def follow(self) -> bool:
        if self._file is not None and self._file.is_replaced:
            now = OpenFile(Path(self.where).absolute())
            if now.known is None:
                self._file.check()
            self._file, self._is_prepared = now, False
            # SQLite would put what is in the log of the file of before over pages of this one.
            for name, _, _ in self._beside & sql.beside(Path(self.where).absolute()):
                os.unlink(name)
            self._beside.clear()
            self._pool.discard_idle()
        if self._is_prepared:
            return False
        self._prepare()
        self._is_prepared = True
        return True

    def flush(self) -> None:
        with self._connection() as connection:
            connection.execute("PRAGMA wal_checkpoint(FULL)").fetchone()

    def flaws(self) -> Iterator[str]:
        with self._connection() as connection:
            sql.check_tables(connection)
            found = [text for (text,) in connection.execute("PRAGMA integrity_check")]
        yield from (text for text in found if text != "ok")

    def close(self) -> None:
        self._pool.close()

    # ----------------------------------------------------------------------------- connections

    @contextlib.contextmanager
    def _connection(self) -> Iterator[sqlite3.Connection]:
        try:
            with sqlite_gate, self._pool.connection() as connection:
                yield connection
        except sqlite3.Error as error:
            raise sql.store_error(error, self.where) from error
        except UnicodeDecodeError as error:  # of a damaged schema, which the error quotes
            raise CorruptData(
                "the online store's file is damaged",
                got=str(error),
                where=self.where,
                hint=sql.RESTORE,
            ) from error

    def _is_usable(self, connection: _Connection) -> bool:
        if not connection.was_used and connection.file is self._file:
            self._beside |= sql.beside(Path(self.where).absolute())  # there as long as it is open
            connection.was_used = True
        # One that only reads may have been told that nobody changes the file.
        return not (
            connection.in_transaction or self._read_only or connection.file is not self._file
        )

    def _connect(self) -> _Connection:
        if self._file is not None:
            self._file.check()  # SQLite would make an empty one in its place
        connection = self._opened()
        connection.file = self._file
        return connection

    def _opened(self) -> _Connection:
        if self._read_only:
            options = {"isolation_level": None, "check_same_thread": False, "factory": _Connection}
            path = Path(self.where).absolute()
            found, _ = sql.open_to_read(path, timeout=sql.BUSY_SECONDS, **options)
            return cast(_Connection, found)
        connection = sqlite3.connect(
            self.where, timeout=sql.BUSY_SECONDS, isolation_level=None, check_same_thread=False,
            factory=_Connection,
        )  # fmt: skip
        connection.execute(f"PRAGMA synchronous = {'FULL' if self._sync else 'NORMAL'}")
        connection.execute("PRAGMA mmap_size = 1073741824")
        return connection

    def _prepare(self) -> None:
        if self._read_only:
            with self._connection() as connection:
                self._is_ours(connection)
            return
        try:
            make_private(Path(self.where).absolute().parent)
            make_private_file(Path(self.where))
        except OSError as error:
            raise StoreError(
                "the directory of the online store cannot be made",
                got=error.strerror,
                where=self.where,
                hint="Check the path and its permissions.",
            ) from error
        with self._connection() as connection:
            if not self._is_ours(connection):
                connection.execute("PRAGMA journal_mode = WAL").fetchone()
        with self._begin() as connection:
            if not self._is_ours(connection):
                for statement in sql.SCHEMA:
                    connection.execute(statement)

    def _is_ours(self, connection: sqlite3.Connection) -> bool:
        """Say whether the tables are there; refuse a file that somebody else wrote."""
        if not connection.execute("SELECT 1 FROM sqlite_schema LIMIT 1").fetchone():
            return False
        (owner,) = connection.execute("PRAGMA application_id").fetchone()
        (version,) = connection.execute("PRAGMA user_version").fetchone()
        if owner != sql.APPLICATION_ID:
            raise StoreError(
                "this SQLite file was not written by skewless",
                where=self.where,
                hint="Give the online store a file of its own.",
            )
        if version != sql.FORMAT:
            raise other_format(version, sql.FORMAT, self.where)
        return True


class _SQLiteTransaction(Transaction):
    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection

    def read(self, table: str, keys: Sequence[bytes]) -> list[bytes | None]:
        return sql.read(self._connection, table, keys)

    def neighbours(self, table: str, keys: Sequence[bytes]) -> list[tuple[str, bytes, bytes]]:
        return sql.neighbours(self._connection, table, keys)

    def page(self, table: str, prefix: bytes, after: bytes | None, limit: int) -> list[Item]:
        return sql.page(self._connection, table, prefix, after, limit)

    def write(self, table: str, items: Iterable[Item]) -> None:
        sql.write(self._connection, table, items)

    def delete(self, table: str, keys: Iterable[bytes]) -> None:
        sql.delete(self._connection, table, keys)
