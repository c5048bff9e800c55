"""Tables on Azure and Google Cloud Storage, against the emulators that can be had."""

from collections.abc import Iterator
from uuid import uuid4

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from deltalake import write_deltalake

import skewless as sl
from skewless.config import TableSettings
from skewless.errors import StoreError
from skewless.stores.offline.base import TableReader
from skewless.stores.offline.files import filesystems
from skewless.stores.offline.tables.delta import DeltaReader
from skewless.stores.offline.tables.parquet import ParquetReader
from skewless.testing.offline_store import OfflineStoreSuite, Read
from skewless.testing.servers import running

# Azurite's own, known to everybody.
KEY = "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw=="


@pytest.fixture(scope="module")
def azure() -> Iterator[TableSettings]:
    with running("azure") as server:
        options = {
            "account_name": "devstoreaccount1",
            "account_key": KEY,
            "blob_storage_authority": server.url,
            "dfs_storage_authority": server.url,
        }
        settings = TableSettings(filesystem={"abfs": options})
        filesystem, _, _ = filesystems.locate("abfs://lake/", None, settings)
        filesystem.create_dir("lake")
        yield settings


@pytest.fixture(scope="module")
def google() -> Iterator[TableSettings]:
    with running("gcs") as server:
        options = {"anonymous": True, "endpoint_override": server.url, "retry_time_limit": 10}
        yield TableSettings(filesystem={"gs": options})


def parquet_at(address: str, settings: TableSettings, rows: pa.Table) -> ParquetReader:
    filesystem, _, _ = filesystems.locate(address, None, settings)
    folder = f"lake/{address.rpartition('/')[2]}"
    for number, name in enumerate(["b/x.parquet", "a.parquet", "b/c/y.parquet"]):
        part = rows.slice(number * 1000, 1000 if number < 2 else None)
        pq.write_table(part, f"{folder}/{name}", filesystem=filesystem, row_group_size=300)
    return ParquetReader(sl.Parquet(address), settings=settings)


@pytest.mark.server("azure")
class TestParquetOnAzure(OfflineStoreSuite):
    @pytest.fixture
    def read(self, azure: TableSettings) -> Read:
        return lambda rows: parquet_at(f"abfs://lake/{uuid4().hex}", azure, rows)


@pytest.mark.server("azure")
class TestDeltaOnAzure(OfflineStoreSuite):
    @pytest.fixture
    def read(self, azure: TableSettings) -> Read:
        def read(rows: pa.Table) -> TableReader:
            address = f"abfs://lake/{uuid4().hex}"
            options = filesystems.delta_options(address, azure)
            write_deltalake(address, rows, storage_options=options)
            return DeltaReader(sl.Delta(address), settings=azure)

        return read


@pytest.mark.server("gcs")
class TestParquetOnGoogle(OfflineStoreSuite):
    @pytest.fixture
    def read(self, google: TableSettings) -> Read:
        return lambda rows: parquet_at(f"gs://lake/{uuid4().hex}", google, rows)


@pytest.mark.server("azure")
def test_what_azure_does_not_have_is_named(azure: TableSettings) -> None:
    for address in ("abfs://lake/nowhere", "abfs://nowhere/rows.parquet"):
        with pytest.raises(StoreError, match="nowhere"):
            ParquetReader(sl.Parquet(address), settings=azure).row_count()


@pytest.mark.server("gcs")
def test_what_google_does_not_have_is_named(google: TableSettings) -> None:
    with pytest.raises(StoreError, match="nowhere"):
        ParquetReader(sl.Parquet("gs://lake/nowhere"), settings=google).row_count()


def test_hosts_of_azure_are_told_to_delta_as_it_takes_them() -> None:
    def endpoint(authority: str) -> str:
        options = {"account_name": "lab", "blob_storage_authority": authority}
        settings = TableSettings(filesystem={"abfs": options})
        return filesystems.delta_options("abfs://lake/x", settings)["AZURE_STORAGE_ENDPOINT"]

    assert endpoint(".blob.core.chinacloudapi.cn") == "https://lab.blob.core.chinacloudapi.cn"
    assert endpoint("http://127.0.0.1:10000") == "http://127.0.0.1:10000/lab"
