"""Iceberg tables of a catalog: conformance, time travel, columns that change, deleted rows."""

import pickle
import sqlite3
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import uuid4

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from pyiceberg.catalog import Catalog, load_catalog
from pyiceberg.manifest import (
    DataFile,
    DataFileContent,
    FileFormat,
    ManifestContent,
    ManifestWriterV2,
)
from pyiceberg.typedef import Record
from pyiceberg.types import LongType, StringType
from sqlalchemy.exc import OperationalError

from skewless.clock import to_micros
from skewless.config import TableSettings
from skewless.definitions import Source
from skewless.definitions.tables import Iceberg
from skewless.engines.shares import shares_of
from skewless.engines.shipping import packed
from skewless.errors import (
    ConfigError,
    CorruptData,
    DefinitionError,
    InputError,
    MissingColumn,
    NaiveTime,
    StoreError,
    StoreUnavailable,
)
from skewless.stores.offline.base import TableReader
from skewless.stores.offline.cast import to_source_columns
from skewless.stores.offline.history import History
from skewless.stores.offline.tables import parquet_files
from skewless.stores.offline.tables.iceberg import IcebergReader, open_catalog
from skewless.testing.offline_store import OfflineStoreSuite, Read
from skewless.testing.servers import free_port
from skewless.types import Int64, String

ROWS = Source("rows", schema={"x": int}, event_time="at")


@pytest.fixture
def settings(tmp_path: Path) -> TableSettings:
    place = {
        "type": "sql",
        "uri": f"sqlite:///{tmp_path}/catalog.db",
        "warehouse": f"file://{tmp_path}/warehouse",
    }
    return TableSettings(connections={"lake": place})


@pytest.fixture
def catalog(settings: TableSettings) -> Catalog:
    made = load_catalog("lake", **settings.connection("lake"))
    made.create_namespace("shop")
    return made


class TestIceberg(OfflineStoreSuite):
    @pytest.fixture
    def read(self, catalog: Catalog, settings: TableSettings) -> Read:
        def read(rows: pa.Table) -> TableReader:
            table = catalog.create_table("shop.rows", schema=rows.schema)
            for begin in range(0, rows.num_rows, 1100):
                table.append(rows.slice(begin, 1100))
            return IcebergReader(Iceberg("shop.rows", "lake"), settings=settings)

        return read


class TestIcebergWithDeletedRows(OfflineStoreSuite):
    @pytest.fixture
    def read(self, catalog: Catalog, settings: TableSettings) -> Read:
        def read(rows: pa.Table) -> TableReader:
            table = catalog.create_table("shop.rows", schema=rows.schema)
            for begin in range(0, rows.num_rows, 1100):
                part = rows.slice(begin, 1100)
                gone = pa.concat_tables([part.slice(0, 7), part, part.slice(0, 3)])
                table.append(gone)
            for task in table.scan().plan_files():
                count = task.file.record_count
                delete_by_position(
                    table, task.file.file_path, [*range(7), *range(count - 3, count)]
                )
            return IcebergReader(Iceberg("shop.rows", "lake"), settings=settings)

        return read


class DeletesWriter(ManifestWriterV2):
    """Writes a manifest of deletes: pyiceberg itself has none."""

    def content(self) -> ManifestContent:
        return ManifestContent.DELETES

    @property
    def _meta(self) -> dict[str, str]:
        return super()._meta | {"content": "deletes"}


def delete_by_position(table: Any, path: str, positions: list[int]) -> None:
    """Commit a file of position deletes, as other engines write them."""
    location = f"{table.location()}/data/delete-{uuid4().hex}.parquet"
    rows = pa.table({"file_path": [path] * len(positions), "pos": pa.array(positions, pa.int64())})
    with table.io.new_output(location).create() as stream:
        pq.write_table(rows, stream)
    file = DataFile.from_args(
        content=DataFileContent.POSITION_DELETES,
        file_path=location,
        file_format=FileFormat.PARQUET,
        partition=Record(),
        record_count=len(positions),
        file_size_in_bytes=len(table.io.new_input(location)),
    )
    file.spec_id = 0
    with table.transaction() as transaction:
        append = transaction.update_snapshot().fast_append()
        append.new_manifest_writer = lambda spec: DeletesWriter(
            spec, table.schema(), append.new_manifest_output(), append.snapshot_id, "null"
        )
        append.append_data_file(file)
        append.commit()


def values(reader: TableReader, column: str) -> list[Any]:
    return [v for c in reader.chunks([column]) for v in c.table[column].to_pylist()]


def reader_of(settings: TableSettings, name: str = "shop.rows", **options: Any) -> IcebergReader:
    return IcebergReader(Iceberg(name, "lake", **options), settings=settings)


# ------------------------------------------------------------------------------------ time travel


def test_a_snapshot_is_read_by_its_id_or_by_a_moment(
    catalog: Catalog, settings: TableSettings
) -> None:
    table = catalog.create_table("shop.rows", schema=pa.schema([("x", pa.int64())]))
    for number in (1, 2, 3):
        table.append(pa.table({"x": [number]}))
    second = table.history()[1]
    moment = datetime.fromtimestamp(second.timestamp_ms / 1000, UTC)
    assert sorted(values(reader_of(settings), "x")) == [1, 2, 3]
    assert sorted(values(reader_of(settings, snapshot=second.snapshot_id), "x")) == [1, 2]
    assert sorted(values(reader_of(settings, as_of=moment), "x")) == [1, 2]


def test_a_share_of_a_table_is_of_the_snapshot_that_was_looked_at(
    catalog: Catalog, settings: TableSettings
) -> None:
    moments = pa.array([5, 6], pa.timestamp("us", "UTC"))
    table = catalog.create_table(
        "shop.rows", schema=pa.schema([("x", pa.int64()), ("at", moments.type)])
    )
    table.append(pa.table({"x": [1, 2], "at": moments}))
    history = History(ROWS, reader_of(settings))
    (share,) = [pickle.loads(packed(share)) for share in shares_of(history, ["x", "at"])]
    table.append(pa.table({"x": [3, 4], "at": moments}))
    (chunk,) = share.chunks(["x"], None, None)
    assert chunk.table.to_pydict() == {"x": [1, 2]}


def test_what_was_read_is_read_again_by_what_the_reader_was_pinned_to(
    catalog: Catalog, settings: TableSettings
) -> None:
    table = catalog.create_table("shop.rows", schema=pa.schema([("x", pa.int64())]))
    table.append(pa.table({"x": [1]}))
    pinned = reader_of(settings).pinned()
    table.append(pa.table({"x": [2]}))
    assert values(reader_of(settings, **pinned), "x") == [1]


def test_a_snapshot_that_is_not_there_is_named(catalog: Catalog, settings: TableSettings) -> None:
    table = catalog.create_table("shop.rows", schema=pa.schema([("x", pa.int64())]))
    table.append(pa.table({"x": [1]}))
    with pytest.raises(StoreError, match=r"does not have this snapshot.*Got: 7"):
        reader_of(settings, snapshot=7).row_count()
    with pytest.raises(StoreError, match=r"does not have this snapshot.*2001"):
        reader_of(settings, as_of="2001-01-01T00:00:00Z").row_count()


def test_a_snapshot_and_a_moment_together_are_refused() -> None:
    with pytest.raises(DefinitionError, match="snapshot and as_of both say which version"):
        Iceberg("shop.rows", snapshot=1, as_of="2026-01-01T00:00:00Z")


def test_a_moment_without_a_zone_is_refused() -> None:
    with pytest.raises(NaiveTime):
        Iceberg("shop.rows", as_of="2026-01-01T00:00:00")


def test_a_reader_keeps_its_snapshot_until_it_is_refreshed(
    catalog: Catalog, settings: TableSettings
) -> None:
    table = catalog.create_table("shop.rows", schema=pa.schema([("x", pa.int64())]))
    table.append(pa.table({"x": [1]}))
    reader = reader_of(settings)
    assert values(reader, "x") == [1]
    table.overwrite(pa.table({"x": [2]}))
    assert values(reader, "x") == [1]
    reader.refresh()
    assert values(reader, "x") == [2]


# ------------------------------------------------------------------------- columns that change


def evolved(catalog: Catalog) -> Any:
    table = catalog.create_table(
        "shop.rows", schema=pa.schema([("x", pa.int32()), ("old", pa.string())])
    )
    table.append(pa.table({"x": pa.array([1], pa.int32()), "old": ["a"]}))
    with table.update_schema() as change:
        change.rename_column("old", "new")
        change.update_column("x", LongType())
        change.add_column("added", StringType())
    table.append(pa.table({"x": [2], "new": ["b"], "added": ["c"]}))
    return table


def test_renamed_widened_and_added_columns_are_read_from_older_files(
    catalog: Catalog, settings: TableSettings
) -> None:
    evolved(catalog)
    reader = reader_of(settings)
    assert reader.schema() == {"x": Int64, "new": String, "added": String}
    rows = reader.take(np.array([0, 1]), ["x", "new", "added"]).sort_by("x").to_pylist()
    assert rows == [{"x": 1, "new": "a", "added": None}, {"x": 2, "new": "b", "added": "c"}]


def test_a_column_that_was_renamed_is_missed_by_its_old_name(
    catalog: Catalog, settings: TableSettings
) -> None:
    evolved(catalog)
    with pytest.raises(MissingColumn, match=r"'shop.rows'.*lacks the column 'old'.*x, new, added"):
        values(reader_of(settings), "old")


def test_a_snapshot_from_before_a_change_has_the_columns_of_then(
    catalog: Catalog, settings: TableSettings
) -> None:
    first = evolved(catalog).history()[0].snapshot_id
    assert values(reader_of(settings, snapshot=first), "old") == ["a"]


def test_a_renamed_field_within_a_column_is_an_error_and_never_null(
    catalog: Catalog, settings: TableSettings
) -> None:
    struct = pa.struct([("a", pa.int64())])
    table = catalog.create_table("shop.rows", schema=pa.schema([("s", struct), ("x", pa.int64())]))
    table.append(pa.table({"s": pa.array([{"a": 1}], struct), "x": [1]}))
    assert values(reader_of(settings), "s") == [{"a": 1}]
    with table.update_schema() as change:
        change.add_column(("s", "more"), LongType())
    assert values(reader_of(settings), "s") == [{"a": 1, "more": None}]
    with table.update_schema() as change:
        change.rename_column(("s", "a"), "b")
    with pytest.raises(StoreError, match="a field within a column was renamed"):
        values(reader_of(settings), "s")


def test_a_dropped_column_that_is_added_again_is_another_one(
    catalog: Catalog, settings: TableSettings
) -> None:
    table = catalog.create_table(
        "shop.rows", schema=pa.schema([("x", pa.int64()), ("y", pa.int64())])
    )
    table.append(pa.table({"x": [1], "y": [1]}))
    with table.update_schema() as change:
        change.delete_column("y")
    with table.update_schema() as change:
        change.add_column("y", LongType())
    assert values(reader_of(settings), "y") == [None]


def test_a_column_of_another_type_than_declared_is_an_error_that_names_it(
    catalog: Catalog, settings: TableSettings
) -> None:
    table = catalog.create_table("shop.rows", schema=pa.schema([("x", pa.string())]))
    table.append(pa.table({"x": ["one"]}))
    with pytest.raises(InputError, match=r"values that are no|a column that is no.*column 'x' of"):
        to_source_columns(reader_of(settings).take(np.array([0]), ["x"]), ROWS, ["x"])


def test_the_column_of_a_partition_that_files_lack_comes_from_the_manifest(
    catalog: Catalog, settings: TableSettings, tmp_path: Path
) -> None:
    schema = pa.schema([("x", pa.int64()), ("shop", pa.string())])
    table = catalog.create_table("shop.rows", schema=schema)
    with table.update_spec() as change:
        change.add_identity("shop")
    table.append(pa.table({"x": [1, 2], "shop": ["a", "b"]}))
    for task in table.scan().plan_files():
        path = task.file.file_path.removeprefix("file://")
        pq.write_table(pq.read_table(path, partitioning=None).drop_columns(["shop"]), path)
    assert sorted(values(reader_of(settings), "shop")) == ["a", "b"]


# ------------------------------------------------------------------------------------ pushed down


def test_files_whose_manifest_excludes_the_time_are_not_opened(
    catalog: Catalog, settings: TableSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    start = datetime(2026, 1, 1, tzinfo=UTC)
    table = catalog.create_table(
        "shop.rows", schema=pa.schema([("at", pa.timestamp("us", "UTC")), ("x", pa.int64())])
    )
    for day in range(5):
        at = pa.array([start + timedelta(days=day)], pa.timestamp("us", "UTC"))
        table.append(pa.table({"at": at, "x": [day]}))
    opened = []
    read_footer = parquet_files.read_footer

    def noting(filesystem: Any, file: Any, **options: Any) -> Any:
        opened.append(file.name)
        return read_footer(filesystem, file, **options)

    monkeypatch.setattr(parquet_files, "read_footer", noting)
    reader = reader_of(settings)
    third = to_micros(start + timedelta(days=2))
    chunks = list(reader.chunks(["x"], time_column="at", start=third, end=third + 1))
    assert [chunk.table["x"].to_pylist() for chunk in chunks] == [[2]]
    assert (len(opened), reader.row_count()) == (1, 5)


# ----------------------------------------------------------------------------------------- errors


def test_a_table_that_is_not_there_is_named(catalog: Catalog, settings: TableSettings) -> None:
    for name in ("shop.nothing", "nowhere.rows"):
        with pytest.raises(StoreError, match=f"no such Iceberg table.*{name}.*'lake'"):
            reader_of(settings, name).schema()


def test_a_catalog_that_nobody_has_configured_is_named() -> None:
    with pytest.raises(ConfigError, match=r"no Iceberg catalog 'pond'.*\[connections.pond\]"):
        IcebergReader(Iceberg("shop.rows", "pond")).schema()


def test_a_catalog_that_cannot_be_reached_is_an_outage() -> None:
    address = {"type": "rest", "uri": f"http://127.0.0.1:{free_port()}"}
    settings = TableSettings(connections={"lake": address})
    with pytest.raises(StoreUnavailable, match="lake"):
        reader_of(settings).schema()


def test_a_database_of_a_catalog_that_cannot_be_opened_is_an_outage(tmp_path: Path) -> None:
    address = {"type": "sql", "uri": f"sqlite:///{tmp_path}/no/such/folder/catalog.db"}
    settings = TableSettings(connections={"lake": address})
    with pytest.raises(StoreUnavailable, match="an Iceberg catalog cannot be reached"):
        reader_of(settings).schema()


def test_a_file_that_expired_meanwhile_is_an_error_that_names_it(
    catalog: Catalog, settings: TableSettings
) -> None:
    table = catalog.create_table("shop.rows", schema=pa.schema([("x", pa.int64())]))
    table.append(pa.table({"x": [1]}))
    reader = reader_of(settings)
    reader.row_count()
    (task,) = table.scan().plan_files()
    Path(task.file.file_path.removeprefix("file://")).unlink()
    with pytest.raises(StoreError, match="a file is not there"):
        values(reader, "x")


def test_a_file_with_other_rows_than_its_manifest_says_is_damaged(
    catalog: Catalog, settings: TableSettings
) -> None:
    table = catalog.create_table("shop.rows", schema=pa.schema([("x", pa.int64())]))
    table.append(pa.table({"x": [1]}))
    (task,) = table.scan().plan_files()
    pq.write_table(pa.table({"x": [1, 2]}), task.file.file_path.removeprefix("file://"))
    with pytest.raises(CorruptData, match=r"another number of rows.*Got: 2. Expected: 1"):
        values(reader_of(settings), "x")


def test_a_new_catalog_opens_though_others_make_each_of_its_tables_first(
    settings: TableSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    made_by_others = ["iceberg_tables", "iceberg_namespace_properties"]

    def load(name: str, **properties: str) -> Catalog:
        if made_by_others:
            lost = sqlite3.OperationalError(f"table {made_by_others.pop(0)} already exists")
            raise OperationalError("CREATE TABLE", None, lost)
        return load_catalog(name, **properties)

    monkeypatch.setattr("pyiceberg.catalog.load_catalog", load)
    assert open_catalog("lake", settings).list_namespaces() == []
