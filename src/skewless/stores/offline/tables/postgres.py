"""PostgreSQL as the table of a source, by its ADBC driver: rows come as Arrow columns.

PostgresReader(Postgres("shop.payments"), settings=settings)    # [connections.postgres] uri
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing, contextmanager
from typing import TYPE_CHECKING, Any

from skewless.errors import ConfigError, MissingDependency, StoreError, StoreUnavailable
from skewless.stores.offline.tables._sql import Session, SQLReader, database

if TYPE_CHECKING:
    import pyarrow as pa

_REFUSED = ("password authentication failed", "no password supplied", "permission denied")
_OUTAGES = ("08", "53", "57", "58")
"""Classes of SQLSTATE: connection, resources, operator intervention, system."""


class PostgresReader(SQLReader):
    """Reads `skewless.Postgres` in a read-only transaction."""

    dialect = "postgres"
    support = database("PostgreSQL 15", "postgres")

    @contextmanager
    def _connected(self) -> Iterator[Session]:
        try:
            from adbc_driver_manager import Error
            from adbc_driver_postgresql import dbapi
        except ImportError:
            raise MissingDependency.of(
                "adbc_driver_postgresql", self.support.extra, needed_for=self.where
            ) from None
        options = self._connection()
        unknown = sorted(options.keys() - {"uri", "kind"})
        if "uri" not in options or unknown:
            raise ConfigError(
                f"the connection of {self.where} has wrong options",
                got=", ".join(unknown) or "no uri",
                expected="uri",
            )
        try:
            with (
                closing(dbapi.connect(options["uri"])) as connection,
                closing(connection.cursor()) as cursor,
            ):
                self._begin(cursor)
                yield _Cursor(cursor)
        except Error as error:
            raise self._store_error(error) from error

    def _begin(self, cursor: Any) -> None:
        cursor.execute("SET TRANSACTION READ ONLY")

    def _store_error(self, error: Any) -> StoreError:
        """Return an error of the driver as one of this package; it holds no password."""
        state, text = error.sqlstate or "", str(error)
        first = text.splitlines()[0][:300]
        if state.startswith("28") or any(known in text for known in _REFUSED):
            return StoreError(
                "a database refuses these credentials",
                got=first,
                where=self.where,
                hint="Look at the connection, and at what its user was granted.",
            )
        if state.startswith(("42", "3D", "3F")):
            return StoreError(
                "a table or column is not in the database",
                got=first,
                where=self.where,
                hint="Name its schema too, as schema.table.",
            )
        if not state.strip("0") or state.startswith(_OUTAGES):
            return StoreUnavailable("a database cannot be reached", got=first, where=self.where)
        return StoreError("a database cannot answer", got=first, where=self.where)


class _Cursor:
    def __init__(self, cursor: Any) -> None:
        self._cursor = cursor

    def schema(self, statement: str) -> pa.Schema:
        found: pa.Schema = self._cursor.adbc_execute_schema(statement)
        return found

    def batches(self, statement: str) -> Iterator[pa.RecordBatch]:
        self._cursor.execute(statement)
        yield from self._cursor.fetch_record_batch()
