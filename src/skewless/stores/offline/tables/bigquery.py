"""BigQuery as the table of a source, by its Storage Read API: rows come as Arrow columns.

BigQueryReader(BigQuery("shop.payments"), settings=settings)   # [connections.bigquery] project
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from skewless.errors import ConfigError, MissingDependency, StoreError, StoreUnavailable
from skewless.stores.offline.tables._sql import Session, SQLReader, database

if TYPE_CHECKING:
    import pyarrow as pa

OPTIONS = ("project", "location", "endpoint")
RETRY_SECONDS = 60.0


class BigQueryReader(SQLReader):
    """Reads `skewless.BigQuery`; credentials are the application default ones.

    ``endpoint`` of the connection leads to an emulator: without credentials, and with rows by REST
    in place of the Storage Read API.
    """

    dialect = "bigquery"
    support = database("bqemulator, an imitation, by REST", "bigquery")

    @contextmanager
    def _connected(self) -> Iterator[Session]:
        try:
            from google.api_core.exceptions import GoogleAPIError, RetryError
            from google.auth.exceptions import GoogleAuthError
            from google.cloud import bigquery, bigquery_storage
        except ImportError:
            raise MissingDependency.of(
                "google-cloud-bigquery", self.support.extra, needed_for=self.where
            ) from None
        connection = self.table.options["connection"]
        options = self._connection() if connection in self.settings.connections else {}
        for key in options:
            if key not in ("kind", *OPTIONS):
                raise ConfigError(
                    f"the connection of {self.where} has wrong options",
                    got=key,
                    expected=", ".join(OPTIONS),
                )
        try:
            clients = _clients(options, bigquery, bigquery_storage)
            try:
                yield _Client(*clients)
            finally:
                clients[0].close()
        except GoogleAuthError as error:
            raise StoreError(
                "a database refuses these credentials",
                got=str(error).splitlines()[0][:300],
                where=self.where,
                hint="Run gcloud auth application-default login, or name a service account.",
            ) from error
        except RetryError as error:
            raise StoreUnavailable("a database cannot be reached", where=self.where) from error
        except GoogleAPIError as error:
            raise self._store_error(error) from error
        except ConnectionError as error:
            raise StoreUnavailable("a database cannot be reached", where=self.where) from error

    def _store_error(self, error: Any) -> StoreError:
        """Return an error of the client as one of this package."""
        code = getattr(error, "code", None)
        text = str(getattr(error, "message", error)).splitlines()[0][:300]
        if code in (401, 403):
            return StoreError(
                "a database refuses these credentials",
                got=text,
                where=self.where,
                hint="They need bigquery.jobs.create and bigquery.tables.getData.",
            )
        if code in (400, 404):
            return StoreError(
                "a table or column is not in the database",
                got=text,
                where=self.where,
                hint="Name its dataset too, as dataset.table.",
            )
        if code is None or code >= 500 or code == 429:
            return StoreUnavailable("a database cannot be reached", got=text, where=self.where)
        return StoreError("a database cannot answer", got=text, where=self.where)


def _clients(options: Mapping[str, Any], bigquery: Any, storage: Any) -> tuple[Any, Any]:
    given = {key: options[key] for key in ("project", "location") if key in options}
    if "endpoint" not in options:
        client = bigquery.Client(**given)
        return client, storage.BigQueryReadClient(credentials=client._credentials)
    from google.auth.credentials import AnonymousCredentials

    client = bigquery.Client(
        credentials=AnonymousCredentials(),  # type: ignore[no-untyped-call, unused-ignore]
        client_options={"api_endpoint": options["endpoint"]},
        **given,
    )
    return client, None


class _Client:
    def __init__(self, client: Any, storage: Any) -> None:
        from google.cloud.bigquery.retry import DEFAULT_RETRY

        self._client = client
        self._storage = storage
        self._retry = DEFAULT_RETRY.with_timeout(RETRY_SECONDS)

    def schema(self, statement: str) -> pa.Schema:
        import pyarrow as pa
        from google.cloud.bigquery import QueryJobConfig

        job = self._client.query(
            statement,
            job_config=QueryJobConfig(dry_run=True, use_query_cache=False),
            retry=self._retry,
            job_retry=None,
        )
        return pa.schema([(field.name, _arrow(field)) for field in job.schema])

    def batches(self, statement: str) -> Iterator[pa.RecordBatch]:
        job = self._client.query(statement, retry=self._retry, job_retry=None)
        rows = job.result(retry=self._retry, job_retry=None)
        yield from rows.to_arrow_iterable(bqstorage_client=self._storage)


def _arrow(field: Any) -> pa.DataType:
    """Return the Arrow type that the Storage Read API has for a field."""
    import pyarrow as pa

    if field.mode == "REPEATED":
        return pa.list_(_plain(field.field_type, field.fields))
    return _plain(field.field_type, field.fields)


def _plain(kind: str, fields: Sequence[Any]) -> pa.DataType:
    import pyarrow as pa

    if kind in ("RECORD", "STRUCT"):
        return pa.struct([pa.field(each.name, _arrow(each)) for each in fields])
    types = {
        "INTEGER": pa.int64(),
        "INT64": pa.int64(),
        "FLOAT": pa.float64(),
        "FLOAT64": pa.float64(),
        "NUMERIC": pa.decimal128(38, 9),
        "BIGNUMERIC": pa.decimal256(76, 38),
        "BOOLEAN": pa.bool_(),
        "BOOL": pa.bool_(),
        "BYTES": pa.binary(),
        "DATE": pa.date32(),
        "TIMESTAMP": pa.timestamp("us", "UTC"),
        "DATETIME": pa.timestamp("us"),
    }
    return types.get(kind, pa.string())
