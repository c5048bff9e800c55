"""Snowflake and BigQuery as tables of sources, against imitations; Redshift's dialect."""

import datetime
from collections.abc import Callable, Iterator
from typing import Any

import pyarrow as pa
import pytest

import skewless as sl
from skewless.clock import to_micros
from skewless.config import TableSettings
from skewless.errors import ConfigError, MissingColumn, StoreError, StoreUnavailable
from skewless.stores.offline.base import TableReader
from skewless.stores.offline.cast import to_source_columns
from skewless.stores.offline.tables._sql import SQLReader
from skewless.stores.offline.tables.bigquery import BigQueryReader
from skewless.stores.offline.tables.redshift import RedshiftReader
from skewless.stores.offline.tables.snowflake import SnowflakeReader
from skewless.testing.offline_store import OfflineStoreSuite, Read
from skewless.testing.servers import free_port, running

PAYMENTS = sl.Source("payments", schema={"card": str, "amount": float}, event_time="at")
TYPES = {
    "snowflake": 'n INT, key TEXT, value FLOAT, flag BOOLEAN, day DATE, "AT" TIMESTAMP_LTZ',
    "bigquery": "n INT64, key STRING, value FLOAT64, flag BOOL, day DATE, `at` TIMESTAMP",
}

MADE: dict[str, set[str]] = {"snowflake": set(), "bigquery": set()}
"""Tables that are there already: imitations take long to fill, and no test changes them."""


def literals(rows: pa.Table, time_type: str) -> Iterator[str]:
    for row in rows.to_pylist():
        yield "({}, {}, {}, {}, {}, {})".format(
            row["n"],
            "NULL" if row["key"] is None else repr(row["key"]),
            "NULL" if row["value"] is None else row["value"],
            "NULL" if row["flag"] is None else row["flag"],
            f"DATE '{row['day']}'",
            f"CAST('{row['at'].isoformat(sep=' ')}' AS {time_type})",
        )


def reading(
    kind: str,
    name: str,
    time_type: str,
    run: Callable[[str], Any],
    opened: Callable[[str], TableReader],
) -> Read:
    """Make tables of rows where they are not there yet, and open them."""

    def read(rows: pa.Table) -> TableReader:
        table = f"{name}_{rows.num_rows}"
        if table not in MADE[kind]:
            run(f"CREATE TABLE {table} ({TYPES[kind]})")
            if rows.num_rows:
                run(f"INSERT INTO {table} VALUES {', '.join(literals(rows, time_type))}")
            MADE[kind].add(table)
        return opened(table)

    return read


# -------------------------------------------------------------------------------------- Snowflake


@pytest.fixture(scope="module")
def snowflake() -> Iterator[dict[str, Any]]:
    with running("snowflake") as server:
        yield {
            "user": "fake",
            "password": "hush-hush",
            "account": "fakesnow",
            "host": "127.0.0.1",
            "port": int(server.url.rpartition(":")[2]),
            "protocol": "http",
            "database": "shop",
            "schema": "public",
        }


@pytest.fixture
def in_snowflake(snowflake: dict[str, Any]) -> Iterator[Any]:
    """Runs statements in Snowflake."""
    from snowflake import connector

    with connector.connect(**snowflake) as connection, connection.cursor() as cursor:
        cursor.execute("CREATE DATABASE IF NOT EXISTS shop")
        cursor.execute("CREATE SCHEMA IF NOT EXISTS shop.public")
        cursor.execute("USE SCHEMA shop.public")
        yield cursor.execute


def of_snowflake(options: dict[str, Any]) -> TableSettings:
    return TableSettings(connections={"snowflake": options})


@pytest.mark.server("snowflake")
class TestSnowflake(OfflineStoreSuite):
    @pytest.fixture
    def read(self, in_snowflake: Any, snowflake: dict[str, Any]) -> Read:
        def opened(name: str) -> TableReader:
            return SnowflakeReader(sl.Snowflake(name), settings=of_snowflake(snowflake))

        return reading("snowflake", "rows", "TIMESTAMP_LTZ", in_snowflake, opened)


@pytest.mark.server("snowflake")
def test_columns_of_snowflake_are_found_in_any_case_and_filtered_there(
    in_snowflake: Any, snowflake: dict[str, Any]
) -> None:
    in_snowflake(
        'CREATE OR REPLACE TABLE payments (card TEXT, amount NUMBER(12, 2), other INT, "AT" TIMESTAMP_NTZ)'
    )
    in_snowflake(
        "INSERT INTO payments VALUES ('c1', 1.5, 0, '2026-01-01 00:00:00'),"
        " ('c2', 2.5, 0, '2026-01-05 00:00:00'), ('c1', 3.5, 0, '2026-01-09 00:00:00')"
    )
    table = sl.Snowflake("payments", timezone="UTC")
    reader = SnowflakeReader(table, settings=of_snowflake(snowflake))
    schema = SnowflakeReader(table, settings=of_snowflake(snowflake)).arrow_schema()
    assert schema.names == ["card", "amount", "other", "at"]
    reader.typed(PAYMENTS.columns)
    start = to_micros("2026-01-04T00:00:00Z")
    reader.narrow("at", start=start, keys={"card": ["c1"]})
    assert '"CARD" AS "card"' in reader.statement()
    assert "other" not in reader.statement().lower()
    assert rows_of(reader) == [
        {"card": "c1", "amount": 3.5, "at": datetime.datetime(2026, 1, 9, tzinfo=datetime.UTC)}
    ]


@pytest.mark.server("snowflake")
def test_what_snowflake_does_not_have_is_named(
    in_snowflake: Any, snowflake: dict[str, Any]
) -> None:
    with pytest.raises(StoreError, match="not in the database"):
        SnowflakeReader(sl.Snowflake("nowhere"), settings=of_snowflake(snowflake)).schema()
    in_snowflake("CREATE OR REPLACE TABLE thin (card TEXT)")
    reader = SnowflakeReader(sl.Snowflake("thin"), settings=of_snowflake(snowflake))
    reader.typed(PAYMENTS.columns)
    with pytest.raises(MissingColumn, match="lacks the column 'amount'"):
        list(reader.chunks(["amount"]))


def test_snowflake_that_cannot_be_reached_is_an_outage_without_its_password() -> None:
    options = {"user": "a", "password": "hush-hush", "account": "x", "host": "127.0.0.1"}
    settings = of_snowflake(options | {"port": free_port(), "protocol": "http", "login_timeout": 1})
    with pytest.raises(StoreUnavailable) as caught:
        SnowflakeReader(sl.Snowflake("payments"), settings=settings).schema()
    assert "hush-hush" not in str(caught.value)


# --------------------------------------------------------------------------------------- BigQuery


@pytest.fixture(scope="module")
def bigquery() -> Iterator[dict[str, str]]:
    with running("bigquery") as server:
        yield {"project": "tests", "endpoint": server.url}


@pytest.fixture
def in_bigquery(bigquery: dict[str, str]) -> Any:
    """Runs statements in BigQuery."""
    from google.auth.credentials import AnonymousCredentials
    from google.cloud.bigquery import Client

    client = Client(
        project=bigquery["project"],
        credentials=AnonymousCredentials(),
        client_options={"api_endpoint": bigquery["endpoint"]},
    )
    client.create_dataset("shop", exists_ok=True)
    return lambda statement: list(client.query(statement).result())


def of_bigquery(options: dict[str, str]) -> TableSettings:
    return TableSettings(connections={"bigquery": options})


@pytest.mark.server("bigquery")
class TestBigQuery(OfflineStoreSuite):
    @pytest.fixture
    def read(self, in_bigquery: Any, bigquery: dict[str, str]) -> Read:
        def opened(name: str) -> TableReader:
            return BigQueryReader(sl.BigQuery(name), settings=of_bigquery(bigquery))

        return reading("bigquery", "shop.rows", "TIMESTAMP", in_bigquery, opened)


@pytest.mark.server("bigquery")
def test_what_bigquery_does_not_have_is_named(in_bigquery: Any, bigquery: dict[str, str]) -> None:
    with pytest.raises(StoreError, match="not in the database"):
        BigQueryReader(sl.BigQuery("shop.nowhere"), settings=of_bigquery(bigquery)).schema()


def test_a_connection_of_bigquery_with_another_option_is_refused() -> None:
    with pytest.raises(ConfigError, match="wrong options.*Got: projct"):
        BigQueryReader(sl.BigQuery("shop.x"), settings=of_bigquery({"projct": "x"})).schema()


# --------------------------------------------------------------------------------------- dialects


@pytest.mark.parametrize(
    ("reader", "expected"),
    [
        (
            RedshiftReader(sl.Redshift("shop.payments")),
            'SELECT "card" AS "card", "amount" AS "amount", "at" AS "at" FROM shop.payments WHERE'
            " \"at\" >= CAST('2026-01-01 00:00:00.000000+00:00' AS TIMESTAMP WITH TIME ZONE) AND \"card\" IN ('c1')",
        ),
        (
            BigQueryReader(sl.BigQuery("my-project.shop.payments")),
            "SELECT `card` AS `card`, `amount` AS `amount`, `at` AS `at` FROM my-project.shop.payments"
            " WHERE `at` >= CAST('2026-01-01 00:00:00.000000+00:00' AS TIMESTAMP) AND `card` IN ('c1')",
        ),
        (
            SnowflakeReader(sl.Snowflake(query="SELECT * FROM payments SAMPLE (10)")),
            'SELECT "card" AS "card", "amount" AS "amount", "at" AS "at" FROM (SELECT * FROM payments'
            ' TABLESAMPLE BERNOULLI (10)) AS rows_of_source WHERE "at" >= CAST('
            "'2026-01-01 00:00:00.000000+00:00' AS TIMESTAMPTZ) AND \"card\" IN ('c1')",
        ),
    ],
    ids=["redshift", "bigquery", "snowflake"],
)
def test_a_query_is_written_in_the_dialect_of_the_database(
    reader: SQLReader, expected: str
) -> None:
    reader._described = pa.schema(
        [("card", pa.string()), ("amount", pa.float64()), ("at", pa.timestamp("us", "UTC"))]
    )
    reader.typed(PAYMENTS.columns)
    reader.narrow("at", start=to_micros("2026-01-01T00:00:00Z"), keys={"card": ["c1"]})
    assert reader.statement() == expected


def rows_of(reader: TableReader) -> list[dict[str, Any]]:
    columns = list(PAYMENTS.columns)
    return [
        row
        for chunk in reader.chunks(columns)
        for row in to_source_columns(
            chunk.table, PAYMENTS, columns, timezone=reader.timezone
        ).to_pylist()
    ]
