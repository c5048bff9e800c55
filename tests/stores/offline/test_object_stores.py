"""Tables on S3, over a network: Parquet, CSV and Delta, and what a store refuses."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from uuid import uuid4

import boto3
import numpy as np
import pyarrow as pa
import pyarrow.csv as pacsv
import pyarrow.fs as pafs
import pyarrow.parquet as pq
import pytest
from deltalake import DeltaTable, write_deltalake

import skewless as sl
from skewless.config import Config, TableSettings
from skewless.errors import ConfigError, StoreError, StoreUnavailable
from skewless.stores.offline.base import TableReader
from skewless.stores.offline.files import filesystems
from skewless.stores.offline.log.lake import lake_table
from skewless.stores.offline.log.log import EventLog
from skewless.stores.offline.tables.csv import CSVReader
from skewless.stores.offline.tables.delta import DeltaReader
from skewless.stores.offline.tables.iceberg import IcebergReader, open_catalog
from skewless.stores.offline.tables.parquet import ParquetReader
from skewless.testing.memory import MemoryStore
from skewless.testing.offline_store import OfflineStoreSuite, Read
from skewless.testing.servers import free_port, running

pytestmark = pytest.mark.server("s3")

SECRET = "of the tests"


@pytest.fixture(scope="module")
def endpoint() -> Iterator[str]:
    with running("s3") as server:
        boto3.client(
            "s3",
            endpoint_url=server.url,
            aws_access_key_id="tests",
            aws_secret_access_key=SECRET,
            region_name="us-east-1",
        ).create_bucket(Bucket="lake")
        yield server.url


@pytest.fixture
def settings(endpoint: str) -> TableSettings:
    return settings_of(endpoint)


def settings_of(endpoint: str, **changes: object) -> TableSettings:
    options = {
        "endpoint_override": endpoint,
        "access_key": "tests",
        "secret_key": SECRET,
        "region": "us-east-1",
    }
    return TableSettings(filesystem={"s3": options | changes})


@pytest.fixture
def place() -> str:
    """The address of a folder of one test's own."""
    return f"s3://lake/{uuid4().hex}"


@pytest.fixture
def files(settings: TableSettings) -> pafs.FileSystem:
    return filesystems.locate("s3://lake/", None, settings)[0]


class TestParquetOnS3(OfflineStoreSuite):
    @pytest.fixture
    def read(self, place: str, settings: TableSettings, files: pafs.FileSystem) -> Read:
        def read(rows: pa.Table) -> TableReader:
            for number, name in enumerate(["b/x.parquet", "a.parquet", "b/c/y.parquet"]):
                part = rows.slice(number * 1000, 1000 if number < 2 else None)
                pq.write_table(part, f"{place[5:]}/{name}", filesystem=files, row_group_size=300)
            return ParquetReader(sl.Parquet(place), settings=settings)

        return read


class TestDeltaOnS3(OfflineStoreSuite):
    @pytest.fixture
    def read(self, place: str, settings: TableSettings) -> Read:
        def read(rows: pa.Table) -> TableReader:
            options = filesystems.delta_options(place, settings)
            for begin in range(0, max(rows.num_rows, 1), 1100):
                part = rows.slice(begin, 1100)
                write_deltalake(place, part, mode="append", storage_options=options)
            return DeltaReader(sl.Delta(place), settings=settings)

        return read


class TestIcebergOnS3(OfflineStoreSuite):
    @pytest.fixture
    def read(self, tmp_path: Path, settings: TableSettings, place: str) -> Read:
        catalog = {"type": "sql", "uri": f"sqlite:///{tmp_path}/catalog.db", "warehouse": place}
        both = TableSettings(settings.filesystem, {"lake": catalog})

        def read(rows: pa.Table) -> TableReader:
            opened = open_catalog("lake", both)
            opened.create_namespace("shop")
            table = opened.create_table("shop.rows", schema=rows.schema)
            if rows.num_rows:
                table.append(rows)
            return IcebergReader(sl.Iceberg("shop.rows", "lake"), settings=both)

        return read


def test_an_event_log_settles_into_a_delta_table_on_s3(
    place: str, settings: TableSettings, tmp_path: Path
) -> None:
    source = sl.Source("events", schema={"n": int}, event_time="at")
    options = {"kind": "delta", "path": place}
    store = MemoryStore()
    logs = [
        EventLog(source, store, tmp_path / name, lake_table(options, source, tmp_path, settings))
        for name in ("a", "b")
    ]
    for first in (1, 11, 21):
        numbers = np.arange(first, first + 10)
        at = pa.array(numbers).cast(pa.timestamp("us", "UTC"))
        batch = pa.RecordBatch.from_arrays([pa.array(numbers), at], schema=logs[0].schema)
        with store.transaction() as transaction:
            logs[0].append(transaction, batch, numbers)
        with ThreadPoolExecutor(2) as pool:
            list(pool.map(lambda log: log.settle(), logs))
    logs[0].settle()
    assert logs[0].unsettled() == 0
    found = [n for c in logs[1].reader().chunks(["n"]) for n in c.table["n"].to_pylist()]
    assert sorted(found) == list(range(1, 31))
    stored = filesystems.delta_options(place, settings)
    table = DeltaTable(f"{place}/events", storage_options=stored).to_pyarrow_table()
    assert sorted(table["n"].to_pylist()) == list(range(1, 31))
    assert list(tmp_path.rglob("*.parquet")) == []


def test_csv_on_s3_is_read(place: str, settings: TableSettings, files: pafs.FileSystem) -> None:
    with files.open_output_stream(f"{place[5:]}/rows.csv") as stream:
        pacsv.write_csv(pa.table({"x": [1, 2]}), stream)
    reader = CSVReader(sl.CSV(f"{place}/*.csv"), settings=settings)
    assert [chunk.table["x"].to_pylist() for chunk in reader.chunks(["x"])] == [[1, 2]]


def test_a_training_set_reads_a_table_on_s3_by_the_settings_of_the_repo(
    tmp_path: Path,
    endpoint: str,
    place: str,
    files: pafs.FileSystem,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    at = pa.array([0, 60_000_000], pa.timestamp("us", "UTC"))
    rows = pa.table({"card": ["a", "a"], "amount": [1.0, 2.0], "at": at})
    pq.write_table(rows, f"{place[5:]}/rows.parquet", filesystem=files)
    (tmp_path / "skewless.toml").write_text(
        f"""
        [filesystem.s3]
        endpoint_override = "{endpoint}"
        region = "us-east-1"
        access_key = "tests"
        secret_key = "${{S3_SECRET}}"
        """
    )
    (tmp_path / "features.py").write_text(
        f"""
import skewless as sl

card = sl.Entity("card", card=str)
payments = sl.Source("payments", event_time="at", table=sl.Parquet("{place}"))


@sl.feature_view(entity=card, source=payments)
class Spend:
    total = payments["amount"].sum("1h")
"""
    )
    monkeypatch.setenv("S3_SECRET", SECRET)
    with sl.FeatureStore(tmp_path) as fs:
        fs.apply(fs.plan())
        spine = [{"card": "a", "when": "1970-01-01T00:00:30Z"}]
        assert fs.get_historical_features(spine, "Spend", timestamp="when").to_dict()["total"] == [
            1.0
        ]


def test_a_replaced_file_is_noticed(
    place: str, settings: TableSettings, files: pafs.FileSystem
) -> None:
    path = f"{place[5:]}/rows.parquet"
    pq.write_table(pa.table({"x": [1, 2, 3]}), path, filesystem=files)
    reader = ParquetReader(sl.Parquet(place), settings=settings)
    assert reader.row_count() == 3
    pq.write_table(pa.table({"x": [1, 2, 4, 5]}), path, filesystem=files)
    with pytest.raises(StoreError, match="changed while the table was being read"):
        reader.take(np.array([0]), ["x"])


def test_a_bucket_that_is_not_there_is_named(settings: TableSettings) -> None:
    for address in ("s3://nowhere", "s3://nowhere/rows.parquet"):
        with pytest.raises(StoreError, match="s3://nowhere"):
            ParquetReader(sl.Parquet(address), settings=settings).row_count()


def test_a_folder_that_is_not_there_is_named(settings: TableSettings) -> None:
    with pytest.raises(StoreError, match=r"no Parquet files at 's3://lake/no/where'"):
        ParquetReader(sl.Parquet("s3://lake/no/where"), settings=settings).row_count()
    with pytest.raises(StoreError, match="there is no Delta table"):
        DeltaReader(sl.Delta("s3://lake/no/where"), settings=settings).row_count()


@pytest.mark.parametrize("reader", [ParquetReader, DeltaReader])
def test_a_store_that_cannot_be_reached_is_an_outage(reader: type[TableReader]) -> None:
    gone = settings_of(f"http://127.0.0.1:{free_port()}", connect_timeout=1, request_timeout=1)
    table = sl.Parquet("s3://lake/x") if reader is ParquetReader else sl.Delta("s3://lake/x")
    with pytest.raises(StoreUnavailable, match="s3://lake/x|lake/x") as caught:
        reader(table, settings=gone).row_count()
    assert SECRET not in str(caught.value)


def test_a_setting_that_arrow_does_not_take_is_named() -> None:
    wrong = TableSettings(filesystem={"s3": {"endpont": "http://x"}})
    with pytest.raises(ConfigError, match=r"\[filesystem.s3\].*endpont"):
        ParquetReader(sl.Parquet("s3://lake/x"), settings=wrong).row_count()


def test_a_variable_of_the_settings_is_looked_up_when_a_table_is_read(tmp_path: Path) -> None:
    config = Config.of(tmp_path, {"filesystem": {"s3": {"secret_key": "${NOT_SET_ANYWHERE}"}}})
    assert "NOT_SET_ANYWHERE" in str(config.to_dict())
    with pytest.raises(ConfigError, match="NOT_SET_ANYWHERE is not set"):
        ParquetReader(sl.Parquet("s3://lake/x"), settings=config.tables).row_count()


def test_credentials_that_are_refused_are_no_outage() -> None:
    """As S3 says it; moto lets everybody in."""
    from skewless.stores.offline.files.paths import translated

    said = "AWS Error ACCESS_DENIED during HeadObject operation: No response body."
    with (
        pytest.raises(StoreError, match="does not let these credentials") as caught,
        translated("s3://lake/x", remote=True),
    ):
        raise OSError(said)
    assert not isinstance(caught.value, StoreUnavailable)
