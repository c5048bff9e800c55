"""PostgreSQL as the table of a source, against a real server."""

import datetime
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any
from urllib.parse import unquote
from uuid import uuid4

import numpy as np
import psycopg
import pyarrow as pa
import pytest
from adbc_driver_postgresql import dbapi

import skewless as sl
from skewless.clock import to_micros
from skewless.config import TableSettings
from skewless.definitions.tables import Postgres
from skewless.errors import (
    ConfigError,
    DefinitionError,
    InputError,
    MissingColumn,
    StoreError,
    StoreUnavailable,
)
from skewless.stores.offline.base import TableReader
from skewless.stores.offline.cast import to_source_columns
from skewless.stores.offline.tables.postgres import PostgresReader
from skewless.testing.offline_store import OfflineStoreSuite, Read
from skewless.testing.servers import PASSWORD, free_port, running

pytestmark = pytest.mark.server("postgres")


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    with running("postgres") as server:
        yield server.url


@pytest.fixture
def settings(url: str) -> TableSettings:
    return TableSettings(connections={"postgres": {"uri": url}})


@pytest.fixture
def name(url: str) -> str:
    """A table name of one test's own."""
    return f"t{uuid4().hex}"


class TestPostgres(OfflineStoreSuite):
    @pytest.fixture
    def read(self, url: str, settings: TableSettings, name: str) -> Read:
        def read(rows: pa.Table) -> TableReader:
            with dbapi.connect(url) as connection:
                with connection.cursor() as cursor:
                    cursor.adbc_ingest(name, rows)
                connection.commit()
            return PostgresReader(Postgres(name), settings=settings)

        return read


def execute(url: str, *statements: str) -> None:
    with psycopg.connect(url) as connection:
        for statement in statements:
            connection.execute(statement.encode())


def reader_of(settings: TableSettings, source: sl.Source, *names: str, **options: Any) -> Any:
    reader = PostgresReader(Postgres(*names, **options), settings=settings)
    reader.typed(source.columns)
    return reader


def rows_of(reader: TableReader, source: sl.Source) -> list[dict[str, Any]]:
    columns = list(source.columns)
    return [
        row
        for chunk in reader.chunks(columns)
        for row in to_source_columns(
            chunk.table, source, columns, timezone=reader.timezone
        ).to_pylist()
    ]


# ------------------------------------------------------------------------------------------ types


def test_the_types_of_the_database_become_those_of_the_source(
    url: str, settings: TableSettings, name: str
) -> None:
    execute(
        url,
        f"CREATE TYPE mood_{name} AS ENUM ('sad', 'ok')",
        f"CREATE TABLE {name} (i INT, s SMALLINT, b BIGINT, r REAL, d DOUBLE PRECISION, price NUMERIC(12,2),"
        f" ratio NUMERIC, n NUMERIC, flag BOOL, t TEXT, v VARCHAR(9), u UUID, mood mood_{name}, raw BYTEA, day DATE,"
        ' doc JSONB, at TIMESTAMPTZ, list BIGINT[], "Mixed Case" TEXT)',
        f"INSERT INTO {name} VALUES (1, 2, 3, 0.5, 0.1, 12345.67, 0.1, 7, true, 'a', 'b',"
        " '11111111-1111-1111-1111-111111111111', 'ok', '\\x00ff', '2026-01-02', '{\"k\": 1}',"
        " '2026-01-02 03:04:05.000006+00', ARRAY[1,2], 'c'), (NULL, NULL, NULL, NULL, 'NaN', NULL, 'NaN', NULL,"
        " NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, '2026-01-02 03:04:05+02', NULL, NULL)",
    )
    source = sl.Source(
        "rows",
        schema={
            "i": int, "s": int, "b": int, "r": sl.Float32, "d": float, "price": sl.Decimal(12, 2),
            "ratio": float, "n": int, "flag": bool, "t": str, "v": str, "u": str, "mood": str, "raw": bytes,
            "day": datetime.date, "doc": sl.Json, "list": list[int], "Mixed Case": str,
        },
        event_time="at",
    )  # fmt: skip
    first, second = rows_of(reader_of(settings, source, name), source)
    assert first == {
        "i": 1, "s": 2, "b": 3, "r": 0.5, "d": 0.1, "price": Decimal("12345.67"), "ratio": 0.1, "n": 7,
        "flag": True, "t": "a", "v": "b", "u": "11111111-1111-1111-1111-111111111111", "mood": "ok",
        "raw": b"\x00\xff", "day": datetime.date(2026, 1, 2), "doc": '{"k":1}', "list": [1, 2],
        "Mixed Case": "c", "at": datetime.datetime(2026, 1, 2, 3, 4, 5, 6, tzinfo=datetime.UTC),
    }  # fmt: skip
    assert {value for key, value in second.items() if key != "at"} == {None}


def test_a_schema_is_read_from_the_table(url: str, settings: TableSettings, name: str) -> None:
    execute(url, f"CREATE TABLE {name} (card TEXT, amount FLOAT8, at TIMESTAMPTZ)")
    schema = PostgresReader(Postgres(name), settings=settings).schema()
    assert schema == {"card": sl.String, "amount": sl.Float64, "at": sl.Timestamp}


def test_numbers_of_any_length_need_a_declared_type(
    url: str, settings: TableSettings, name: str
) -> None:
    execute(url, f"CREATE TABLE {name} (amount NUMERIC)")
    with pytest.raises(InputError, match=r"'amount' has any number of digits.*sl.Decimal"):
        PostgresReader(Postgres(name), settings=settings).schema()


def test_times_without_a_zone_are_in_the_zone_that_the_table_names(
    url: str, settings: TableSettings, name: str
) -> None:
    execute(
        url,
        f"CREATE TABLE {name} (n INT, at TIMESTAMP)",
        f"INSERT INTO {name} SELECT n, TIMESTAMP '2026-01-01' + n * INTERVAL '1 hour' FROM generate_series(0, 99) n",
    )
    source = sl.Source("rows", schema={"n": int}, event_time="at")
    reader = reader_of(settings, source, name, timezone="Asia/Tokyo")
    start = to_micros("2026-01-02T12:00:00Z")
    reader.narrow("at", start=start, end=start + 1)
    found = {row["at"]: row["n"] for row in rows_of(reader, source)}
    assert found[datetime.datetime(2026, 1, 2, 12, tzinfo=datetime.UTC)] == 45
    assert len(found) < 60


def test_a_value_that_does_not_fit_names_its_column(
    url: str, settings: TableSettings, name: str
) -> None:
    execute(
        url, f"CREATE TABLE {name} (n NUMERIC, at TIMESTAMPTZ)", f"INSERT INTO {name} VALUES (0.5)"
    )
    source = sl.Source("rows", schema={"n": int}, event_time="at")
    with pytest.raises(InputError, match=f"column 'n' of postgres {name}"):
        rows_of(reader_of(settings, source, name), source)


# ------------------------------------------------------------------------------------ pushed down

PAYMENTS = sl.Source("payments", schema={"card": str, "amount": float}, event_time="at")


@pytest.fixture
def payments(url: str, name: str) -> str:
    execute(
        url,
        f"CREATE TABLE {name} (card TEXT, amount FLOAT8, other TEXT, at TIMESTAMPTZ)",
        f"INSERT INTO {name} SELECT 'c' || n % 10, n, 'x', TIMESTAMPTZ '2026-01-01Z' + n * INTERVAL '1 minute'"
        " FROM generate_series(0, 999) n",
    )
    return name


def test_only_declared_columns_and_rows_that_matter_are_asked_for(
    settings: TableSettings, payments: str
) -> None:
    reader = reader_of(settings, PAYMENTS, payments)
    start = to_micros("2026-01-01T01:00:00Z")
    reader.narrow("at", start=start, end=start + 3_600_000_000, keys={"card": ["c1", "c'2"]})
    statement = reader.statement()
    assert "other" not in statement
    assert "2026-01-01 01:00:00.000000+00:00" in statement
    assert "'c''2'" in statement
    assert [row["amount"] for row in rows_of(reader, PAYMENTS)] == [61, 71, 81, 91, 101, 111]


def test_a_training_set_asks_for_the_times_and_keys_of_its_spine(
    url: str, payments: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = []
    monkeypatch.setattr(
        PostgresReader, "_look", noting(PostgresReader._look, lambda r: asked.append(r.statement()))
    )
    (tmp_path / "skewless.toml").write_text(f'[connections.shop]\nuri = "{url}"\n')
    source = sl.Source("payments", event_time="at", table=Postgres(payments, connection="shop"))
    with sl.FeatureStore(tmp_path) as fs:
        source_schema(fs, source)
        card = sl.Entity("card", card=str)
        view = sl.FeatureView(
            "Spend",
            entity=card,
            source=source,
            features={"total": source["amount"].sum("10m"), "now": source["amount"].latest()},
        )
        fs.apply(view)
        asked.clear()  # of building its states
        spine = [
            {"card": "c1", "when": "2026-01-01T01:05:00Z"},
            {"card": "c2", "when": "2026-01-01T02:05:00Z"},
        ]
        found = fs.get_historical_features(spine, "Spend", timestamp="when").to_dict()
    assert (found["total"], found["now"]) == ([61.0, 122.0], [61.0, 122.0])
    (statement,) = asked
    assert """"card" IN ('c1', 'c2')""" in statement
    assert "2026-01-01 02:05:00" in statement


def source_schema(fs: sl.FeatureStore, source: sl.Source) -> None:
    """Read the schema of a source by the settings of a repo, as importing its files does."""
    fs.runtime.wanted(source)


def noting(method: Any, note: Any) -> Any:
    def noted(self: Any) -> Any:
        note(self)
        return method(self)

    return noted


def test_values_of_a_source_with_row_ids_need_every_version(
    url: str, settings: TableSettings, tmp_path: Path, name: str
) -> None:
    """The version that corrects a row may be of another time and another key."""
    execute(
        url,
        f"CREATE TABLE {name} (id TEXT, card TEXT, amount FLOAT8, at TIMESTAMPTZ)",
        f"INSERT INTO {name} VALUES ('p1', 'c1', 1, '2026-01-01 00:00Z'), ('p1', 'c2', 2, '2026-01-01 01:00Z')",
    )
    (tmp_path / "skewless.toml").write_text(f'[connections.postgres]\nuri = "{url}"\n')
    source = sl.Source(
        "payments",
        schema={"id": str, "card": str, "amount": float},
        event_time="at",
        row_id="id",
        table=Postgres(name),
    )
    view = sl.FeatureView(
        "Spend",
        entity=sl.Entity("card", card=str),
        source=source,
        features={"now": source["amount"].latest()},
    )
    with sl.FeatureStore(tmp_path) as fs:
        fs.apply(view)
        spine = [{"card": "c1", "when": "2026-01-01T00:30:00Z"}]
        early = fs.get_historical_features(spine, "Spend", timestamp="when", as_of="event_time")
        assert early.to_dict()["now"] == [None]


def test_a_query_in_place_of_a_table(settings: TableSettings, payments: str) -> None:
    query = f"SELECT card, sum(amount) AS amount, max(at) AS at FROM {payments} GROUP BY 1"
    reader = reader_of(settings, PAYMENTS, query=query)
    assert sorted(row["amount"] for row in rows_of(reader, PAYMENTS))[0] == 49_500
    assert reader.row_count() == 10


# --------------------------------------------------------------------------------------- snapshot


def test_a_reader_keeps_its_rows_and_a_refreshed_one_sees_new_ones(
    url: str, settings: TableSettings, payments: str
) -> None:
    reader = reader_of(settings, PAYMENTS, payments)
    before = reader.parts()
    assert reader.row_count() == 1000
    execute(url, f"INSERT INTO {payments} VALUES ('c1', 1, '', '2027-01-01Z')")
    assert reader.take(np.array([999]), ["amount"])["amount"].to_pylist() == [999]
    assert reader.row_count() == 1000
    reader.refresh()
    assert reader.row_count() == 1001
    assert reader.parts() != before


def test_the_version_of_a_table_is_known_without_its_rows(
    settings: TableSettings, payments: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(PostgresReader, "_look", None)
    reader = reader_of(settings, PAYMENTS, payments)
    (part,) = reader.parts()
    assert part.version.startswith("1000-2026-01-01T16:39:00")


def test_the_answer_is_removed_from_the_disk_when_nobody_reads_it(
    settings: TableSettings, payments: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    reader = reader_of(settings, PAYMENTS, payments)
    chunks = reader.chunks(["card"])
    reader.refresh()
    assert sum(chunk.table.num_rows for chunk in chunks) == 1000
    del chunks
    assert list(tmp_path.rglob("*.parquet")) == []


# ----------------------------------------------------------------------------------------- errors


def test_wrong_credentials_are_told_without_them(url: str) -> None:
    wrong = url.replace(url.split(":")[2].split("@", maxsplit=1)[0], "hush-hush")
    settings = TableSettings(connections={"postgres": {"uri": wrong}})
    with pytest.raises(StoreError, match="refuses these credentials") as caught:
        reader_of(settings, PAYMENTS, "payments").schema()
    assert "hush-hush" not in str(caught.value)
    assert not isinstance(caught.value, StoreUnavailable)


def test_a_server_that_is_not_there_is_an_outage() -> None:
    uri = f"postgresql://ada:hush-hush@127.0.0.1:{free_port()}/db"
    settings = TableSettings(connections={"postgres": {"uri": uri}})
    with pytest.raises(StoreUnavailable, match="postgres payments") as caught:
        reader_of(settings, PAYMENTS, "payments").schema()
    assert "hush-hush" not in str(caught.value)
    assert PASSWORD not in str(caught.value)


def test_a_table_that_is_not_there_is_named(settings: TableSettings) -> None:
    with pytest.raises(StoreError, match=r"not in the database.*nothing_here"):
        reader_of(settings, PAYMENTS, "nothing_here").schema()


def test_a_table_that_may_not_be_read_is_named(
    url: str, settings: TableSettings, name: str
) -> None:
    execute(url, f"CREATE TABLE {name} (x INT)", f"CREATE ROLE r{name} LOGIN PASSWORD 'r'")
    user = url.split("//")[1].split("@", maxsplit=1)[0]
    other = TableSettings(connections={"postgres": {"uri": url.replace(user, f"r{name}:r")}})
    with pytest.raises(StoreError, match=f"refuses these credentials.*permission denied.*{name}"):
        reader_of(other, sl.Source("x", schema={"x": int}, event_time="x2"), name).row_count()


def test_a_column_that_the_table_lost_is_named(
    url: str, settings: TableSettings, payments: str
) -> None:
    execute(url, f"ALTER TABLE {payments} RENAME amount TO amout")
    with pytest.raises(MissingColumn, match="lacks the column 'amount'"):
        rows_of(reader_of(settings, PAYMENTS, payments), PAYMENTS)


def test_a_connection_that_is_not_configured_is_named() -> None:
    with pytest.raises(ConfigError, match=r"connection 'warehouse'.*\[connections.warehouse\]"):
        PostgresReader(Postgres("payments", connection="warehouse")).schema()


def test_a_connection_with_another_option_is_refused() -> None:
    settings = TableSettings(connections={"postgres": {"url": "postgresql://x"}})
    with pytest.raises(ConfigError, match="wrong options.*url.*uri"):
        PostgresReader(Postgres("payments"), settings=settings).schema()


@pytest.mark.parametrize("query", ["DELETE FROM payments", "SELEC 1", "SELECT 1; SELECT 2"])
def test_what_is_no_query_is_refused_before_anything_is_sent(
    settings: TableSettings, query: str
) -> None:
    with pytest.raises(ConfigError, match="not a query|cannot be understood"):
        PostgresReader(Postgres(query=query), settings=settings).schema()


def test_an_address_in_a_definition_has_no_password(
    monkeypatch: pytest.MonkeyPatch, url: str, payments: str
) -> None:
    with pytest.raises(DefinitionError, match="a password in a definition"):
        Postgres("payments", connection=url)
    head, _, tail = url.partition(":")[2].partition("@")
    user = head.removeprefix("//").partition(":")[0]
    monkeypatch.setenv("PG_SECRET", unquote(head.rpartition(":")[2]))
    table = Postgres(payments, connection=f"postgresql://{user}:${{PG_SECRET}}@{tail}")
    assert PostgresReader(table).row_count() == 1000


def test_a_table_and_a_query_together_are_refused() -> None:
    with pytest.raises(DefinitionError, match="a table or a query"):
        Postgres("payments", query="SELECT 1")
