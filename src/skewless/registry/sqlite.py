"""The registry of a laptop or a single machine: one SQLite file in WAL mode.

    with SQLiteRegistry("repo/.skewless/registry.db") as registry:
        registry.state().current                       # {"Spend": 2}

Readers are not held up by the writer; writers of all threads and processes take turns. The file
belongs on a local disk. One that this user cannot write is read all the same.
"""

from __future__ import annotations

import os
import sqlite3
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from skewless.clock import Clock
from skewless.config import DEFAULT_PROJECT, make_private, make_private_file
from skewless.errors import Conflict, CorruptData, RegistryError, SkewlessError, StoreError
from skewless.forks import sqlite_gate
from skewless.registry.sql import Execute, Row, SQLRegistry
from skewless.stores.online.sqlite.rows import open_to_read

BUSY_SECONDS = 30.0
_OPTIONS: dict[str, Any] = {
    "timeout": BUSY_SECONDS, "isolation_level": None, "check_same_thread": False,
}  # fmt: skip
_inherited: list[sqlite3.Connection] = []
"""Connections from before a fork: never used here and never closed, as closing drops locks."""


class SQLiteRegistry(SQLRegistry):
    """A registry in one SQLite file (and its -wal and -shm), on a local disk.

    Args:
        path: the file; made with its directory by the first change.
        clock: tells when things happen.
        folder: the repo's, where the functions of on-demand views are looked for.
        project: whose definitions these are; those of others are neither seen nor changed.

    Raises:
        RegistryError: the file is of a newer release, or another program's.
        CorruptData: it is damaged or no SQLite file.
        Conflict: another process keeps it locked for longer than half a minute.
    """

    def __init__(
        self,
        path: str | Path,
        *,
        clock: Clock | None = None,
        folder: str | Path | None = None,
        project: str = DEFAULT_PROJECT,
    ) -> None:
        super().__init__(clock, folder, project)
        self._path = Path(path).absolute()
        self.where = str(path)
        self._closed = False
        self._reader = _Connection(self._path, self._open_to_read)
        self._writer = _Connection(self._path, self._open_to_write)

    @contextmanager
    def _transaction(self, *, write: bool) -> Iterator[Execute | None]:
        with (
            self._translated_errors(),
            (self._writer if write else self._reader).taken() as connection,
        ):
            if connection is None:
                yield None
                return
            connection.execute("BEGIN IMMEDIATE" if write else "BEGIN")
            try:
                yield _session(connection)
                connection.execute("COMMIT")
            except BaseException:
                if connection.in_transaction:
                    connection.execute("ROLLBACK")
                raise

    def _table_names(self, run: Execute) -> set[str]:
        return {name for (name,) in run("SELECT name FROM sqlite_master WHERE type = 'table'")}

    def close(self) -> None:
        """Release the file; a second call does nothing."""
        self._closed = True
        self._reader.close()
        self._writer.close()

    def _open_to_read(self) -> tuple[sqlite3.Connection | None, bool]:
        if not self._path.exists():
            return None, False
        self._check_open()
        return open_to_read(self._path, **_OPTIONS)

    def _open_to_write(self) -> tuple[sqlite3.Connection | None, bool]:
        self._check_open()
        make_private(self._path.parent)
        make_private_file(self._path)
        connection = sqlite3.connect(f"{self._path.as_uri()}?mode=rwc", uri=True, **_OPTIONS)
        try:
            connection.execute("PRAGMA journal_mode = WAL")
            connection.execute("PRAGMA synchronous = FULL")
        except BaseException:  # a file that this user cannot write
            connection.close()
            raise
        return connection, True

    def _check_open(self) -> None:
        if self._closed:
            raise RegistryError("this registry is closed", where=self.where)

    @contextmanager
    def _translated_errors(self) -> Iterator[None]:
        """Turn SQLite's errors into this package's."""
        try:
            yield
        except SkewlessError:
            raise
        except sqlite3.OperationalError as problem:
            if "locked" in str(problem) or "busy" in str(problem):
                raise Conflict(
                    "another process keeps the registry locked",
                    got=str(problem),
                    where=self.where,
                    hint=f"It was waited for {BUSY_SECONDS:.0f} s; try again.",
                ) from problem
            raise StoreError(
                "the registry cannot be used",
                got=str(problem),
                where=self.where,
                hint="Look at the permissions of the file and its directory, and at the disk.",
            ) from problem
        except sqlite3.DatabaseError as problem:
            raise CorruptData(
                "the registry is damaged, or no SQLite file",
                got=str(problem),
                where=self.where,
                hint="Restore it from a backup, or move it away and apply the repo again.",
            ) from problem
        except OSError as problem:
            raise StoreError(
                "the registry cannot be used", got=str(problem), where=self.where
            ) from problem


class _Connection:
    """One connection that threads take in turn.

    It is opened when first taken, and again after a fork or when the file was replaced. What
    ``open`` returns besides is whether the connection is good for more than one use.
    """

    def __init__(
        self, path: Path, open: Callable[[], tuple[sqlite3.Connection | None, bool]]
    ) -> None:
        self._path = path
        self._open = open
        self._forget()

    def _forget(self) -> None:
        self._lock = threading.RLock()
        self._process = os.getpid()
        self._file: tuple[int, int] | None = None
        self._connection: sqlite3.Connection | None = None

    @contextmanager
    def taken(self) -> Iterator[sqlite3.Connection | None]:
        if self._process != os.getpid():
            if self._connection is not None:
                _inherited.append(self._connection)
            self._forget()
        with sqlite_gate, self._lock:
            if self._connection is not None and self._file != self._identity():
                self._drop()
            keep = True
            if self._connection is None:
                self._connection, keep = self._open()
                self._file = self._identity()
            try:
                yield self._connection
            finally:
                if not keep:
                    self._drop()

    def close(self) -> None:
        if self._process == os.getpid():
            with sqlite_gate, self._lock:
                self._drop()

    def _drop(self) -> None:
        if self._connection is not None:
            self._connection.close()
        self._connection = None

    def _identity(self) -> tuple[int, int] | None:
        try:
            found = self._path.stat()
        except FileNotFoundError:
            return None
        return found.st_dev, found.st_ino


def _session(connection: sqlite3.Connection) -> Execute:
    def run(statement: str, parameters: Sequence[Any] = ()) -> list[Row]:
        return connection.execute(statement, parameters).fetchall()

    return run
