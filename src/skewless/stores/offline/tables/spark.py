"""Tables of Spark's catalogs: Hive, Glue, Unity, Iceberg, Delta, whatever the session knows.

    SparkTableReader(SparkTable("lake.payments"))

The engine `spark` reads them by Spark's own readers, on its executors. Every other verb asks Spark
a query, whose answer comes here.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from skewless.errors import MissingDependency, StoreError
from skewless.stores.offline.tables._sql import Session, SQLReader, database

if TYPE_CHECKING:
    import pyarrow as pa


class SparkTableReader(SQLReader):
    """Reads `skewless.SparkTable` in the session that is active, else in one of its own."""

    dialect = "spark"
    support = database("Spark 4.3", "spark")

    def notes(self) -> list[str]:
        return []

    def row_count(self) -> int:
        with self._connected() as session:
            counted = f"SELECT count(*) AS n FROM ({self.statement()})"
            return sum(batch.column(0)[0].as_py() for batch in session.batches(counted))

    @contextmanager
    def _connected(self) -> Iterator[Session]:
        try:
            from pyspark.errors import PySparkException
            from pyspark.sql import SparkSession
        except ImportError:
            raise MissingDependency.of("pyspark", "spark", needed_for=self.where) from None
        session = SparkSession.getActiveSession() or SparkSession.builder.getOrCreate()
        try:
            yield _Queries(session)
        except PySparkException as error:
            raise StoreError(
                "Spark cannot read a table of its catalog",
                got=str(error).splitlines()[0][:300],
                where=self.where,
                hint="Name its catalog and database too, as catalog.database.table.",
            ) from error


class _Queries:
    def __init__(self, session: Any) -> None:
        self._session = session

    def schema(self, statement: str) -> pa.Schema:
        from pyspark.sql.pandas.types import to_arrow_schema

        return to_arrow_schema(self._session.sql(statement).schema, timezone="UTC")

    def batches(self, statement: str) -> Iterator[pa.RecordBatch]:
        yield from self._session.sql(statement).toArrow().to_batches()
