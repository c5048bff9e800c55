"""Snowflake as the table of a source, by its connector: rows come as Arrow columns.

SnowflakeReader(Snowflake("payments"), settings=settings)    # [connections.snowflake] account
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing, contextmanager
from typing import TYPE_CHECKING, Any

from skewless.errors import MissingDependency, StoreError, StoreUnavailable
from skewless.stores.offline.tables._sql import Session, SQLReader, database

if TYPE_CHECKING:
    import pyarrow as pa

LOGIN_SECONDS = 30
_REFUSED = ("incorrect username or password", "jwt token is invalid", "insufficient privileges")
_REFUSED_NUMBERS = {251006, 390100, 390144, 3001}
_MISSING = ("42", "02")
"""Classes of SQLSTATE: syntax or access, no such object."""


class SnowflakeReader(SQLReader):
    """Reads `skewless.Snowflake`; unquoted columns are found whatever their case."""

    dialect = "snowflake"
    support = database("fakesnow, an imitation", "snowflake")

    @contextmanager
    def _connected(self) -> Iterator[Session]:
        try:
            from snowflake import connector
            from snowflake.connector.errors import Error
        except ImportError:
            raise MissingDependency.of(
                "snowflake-connector-python", self.support.extra, needed_for=self.where
            ) from None
        options = {"login_timeout": LOGIN_SECONDS} | self._connection()
        try:
            with (
                closing(connector.connect(**options)) as connection,
                closing(connection.cursor()) as cursor,
            ):
                yield _Cursor(cursor)
        except Error as error:
            raise self._store_error(error) from error

    def _store_error(self, error: Any) -> StoreError:
        """Return an error of the connector as one of this package."""
        from snowflake.connector.errors import InterfaceError, OperationalError

        text = (error.raw_msg or str(error) or type(error).__name__).splitlines()[0][:300]
        state = error.sqlstate or ""
        if error.errno in _REFUSED_NUMBERS or any(each in text.lower() for each in _REFUSED):
            return StoreError(
                "a database refuses these credentials",
                got=text,
                where=self.where,
                hint="Look at the connection, and at what its role was granted.",
            )
        if state.startswith(_MISSING):
            return StoreError(
                "a table or column is not in the database",
                got=text,
                where=self.where,
                hint="Name its schema too, as schema.table, or give the connection a schema.",
            )
        if isinstance(error, (OperationalError, InterfaceError)) or state.startswith("08"):
            return StoreUnavailable("a database cannot be reached", got=text, where=self.where)
        return StoreError("a database cannot answer", got=text, where=self.where)


class _Cursor:
    def __init__(self, cursor: Any) -> None:
        self._cursor = cursor

    def schema(self, statement: str) -> pa.Schema:
        import pyarrow as pa

        return pa.schema([(each.name, _arrow(each)) for each in self._cursor.describe(statement)])

    def batches(self, statement: str) -> Iterator[pa.RecordBatch]:
        self._cursor.execute(statement)
        for table in self._cursor.fetch_arrow_batches():
            yield from table.combine_chunks().to_batches()


def _arrow(column: Any) -> pa.DataType:
    """Return the type of a column: the widest that its answers may have."""
    import pyarrow as pa
    from snowflake.connector.constants import FIELD_ID_TO_NAME

    kind = FIELD_ID_TO_NAME.get(column.type_code, "TEXT")
    if kind == "FIXED":
        return pa.decimal128(38, column.scale) if column.scale else pa.int64()
    return {
        "REAL": pa.float64(),
        "DATE": pa.date32(),
        "BOOLEAN": pa.bool_(),
        "BINARY": pa.binary(),
        "TIMESTAMP": pa.timestamp("ns"),
        "TIMESTAMP_NTZ": pa.timestamp("ns"),
        "TIMESTAMP_LTZ": pa.timestamp("ns", "UTC"),
        "TIMESTAMP_TZ": pa.timestamp("ns", "UTC"),
    }.get(kind, pa.string())
