"""The online store in a PostgreSQL that is there already.

    store = PostgresStore("postgresql://user@host/db")
    store.write("wafer_tests", [(b"f1", b"state of f1")])      # committed when it returns

Every promise of an online store, transactions included; slower than Redis. Plain writes run side by
side and transactions alone: both take one advisory lock of the database, shared or exclusive.
"""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, TypeVar

from skewless.errors import MissingDependency
from skewless.stores.online.base import (
    Capabilities,
    Item,
    Transaction,
    checked_table,
)
from skewless.stores.online.pool import Pool
from skewless.stores.online.remote import ServerStore

try:
    import psycopg
except ImportError as error:
    raise MissingDependency.of("psycopg", "postgres", needed_for="PostgresStore") from error

from psycopg.pq import TransactionStatus

from skewless.stores.online.postgres.connection import WRITE_PATIENCE
from skewless.stores.online.postgres.errors import DRIVER, is_lost, store_error
from skewless.stores.online.postgres.rows import Connection, Statements, connect, where_of

T = TypeVar("T")

DEFAULT_TIMEOUT_SECONDS = 10.0


class PostgresStore(ServerStore):
    """An online store in two tables of a PostgreSQL database (12 or newer).

    Reads that fail for lack of a connection are tried again, a few times and with growing random
    pauses; writes only if the server has not had them yet.

    Args:
        dsn: a connection URL or string, as libpq takes it. Its password never appears in an error.
        name: what the tables' names begin with, so that several stores can share a database; a
            schema may stand before it (`"features.online"`).
        timeout: seconds to wait for a connection, for the answer to a read, for another writer; a
            statement that writes may take six times as long.

    Raises:
        MissingDependency: the driver is not installed: `pip install 'skewless[postgres]'`.
        StoreUnavailable: the server cannot be reached.
    """

    capabilities = Capabilities(
        atomic_batch=True,
        transactions=True,
        compare_and_set=True,
        ordered_scan=True,
        atomic_drop=True,
        shared_by_processes=True,
        verified=True,
        max_value_bytes=(1 << 30) - (1 << 20),
    )
    _driver = DRIVER

    def __init__(
        self, dsn: str, *, name: str = "skewless_online", timeout: float = DEFAULT_TIMEOUT_SECONDS
    ) -> None:
        self.where = where_of(dsn)
        self._sql = Statements(name)
        self._timeout = timeout
        self._pool = Pool(
            lambda: connect(dsn, timeout),
            # Not one that broke, nor one that an error left inside a transaction.
            usable=lambda connection: connection.info.transaction_status == TransactionStatus.IDLE,
            closed=self.closed,
        )
        try:
            with self._begin(alone=True) as connection:
                self._sql.create(connection, self.where)
                durable = self._sql.is_durable(connection)
        except BaseException:
            self.close()
            raise
        self.capabilities = dataclasses.replace(type(self).capabilities, durable=durable)
        self._patience = timeout

    # --------------------------------------------------------------------------------- reading

    def read(self, table: str, keys: Sequence[bytes]) -> list[bytes | None]:
        return self._read(lambda connection: self._sql.read(connection, table, keys))

    def page(self, table: str, prefix: bytes, after: bytes | None, limit: int) -> list[Item]:
        return self._read(
            lambda connection: self._sql.page(connection, table, prefix, after, limit)
        )

    def now(self) -> int | None:
        return self._read(self._sql.now)

    def tables(self) -> list[str]:
        return self._read(self._sql.tables)

    def _read(self, work: Callable[[Connection], T]) -> T:
        def call() -> T:
            with self._pool.connection() as connection:
                return work(connection)

        return self._read_call(call)

    # --------------------------------------------------------------------------------- writing

    def write(self, table: str, items: Iterable[Item]) -> None:
        rows = list(items)
        if rows:
            checked_table(table)
            self._write(lambda connection: self._sql.write(connection, table, rows))

    def delete(self, table: str, keys: Iterable[bytes]) -> None:
        keys = list(keys)
        self._write(lambda connection: self._sql.delete(connection, table, keys))

    def drop(self, table: str) -> None:
        with self._begin(alone=True) as connection:
            self._sql.forget(connection, table)
        # All tables whose removal is not finished, those of an interrupted drop too.
        while self._write(self._sql.remove_some_dropped):
            pass

    def _write(self, work: Callable[[Connection], T]) -> T:
        """Do ``work`` in a transaction beside those of other plain writes."""

        def call() -> T:
            with self._begin(alone=False, raw=True) as connection:
                return work(connection)

        return self._write_call(call)

    @contextlib.contextmanager
    def transaction(self) -> Iterator[Transaction]:
        with self._begin(alone=True) as connection:
            yield _PostgresTransaction(self._sql, connection)

    @contextlib.contextmanager
    def _begin(self, *, alone: bool, raw: bool = False) -> Iterator[Connection]:
        try:
            with self._pool.one_writer_a_thread(self.where), contextlib.ExitStack() as lent:
                connection = self._begun(lent, alone)
                try:
                    yield connection
                    connection.execute("COMMIT")
                except BaseException:
                    if not connection.closed:
                        connection.execute("ROLLBACK")
                    raise
        except psycopg.Error as error:
            if raw:
                raise
            raise store_error(error, self.where, wrote=True) from error

    def _begun(self, lent: contextlib.ExitStack, alone: bool) -> Connection:
        def call() -> Connection:
            try:
                connection = lent.enter_context(self._pool.connection())
                self._sql.begin(connection, self._timeout, alone=alone)
                lent.enter_context(_patient(connection))
                return connection
            except psycopg.Error:
                lent.close()
                raise

        return self._read_call(call)  # nothing was written yet

    def _after(self, error: Any) -> None:
        if is_lost(error):
            self._pool.discard_idle()

    def close(self) -> None:
        self._pool.close()


@contextlib.contextmanager
def _patient(connection: Connection) -> Iterator[None]:
    """Let the statements of a transaction take longer than reads."""
    patience = connection.patience
    connection.patience *= WRITE_PATIENCE
    try:
        yield
    finally:
        connection.patience = patience


class _PostgresTransaction(Transaction):
    def __init__(self, statements: Statements, connection: Connection) -> None:
        self._sql = statements
        self._connection = connection

    def read(self, table: str, keys: Sequence[bytes]) -> list[bytes | None]:
        return self._sql.read(self._connection, table, keys)

    def page(self, table: str, prefix: bytes, after: bytes | None, limit: int) -> list[Item]:
        return self._sql.page(self._connection, table, prefix, after, limit)

    def write(self, table: str, items: Iterable[Item]) -> None:
        rows = list(items)
        if rows:
            self._sql.write(self._connection, checked_table(table), rows)

    def delete(self, table: str, keys: Iterable[bytes]) -> None:
        self._sql.delete(self._connection, table, list(keys))
