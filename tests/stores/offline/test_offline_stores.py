"""Every reader of tables passes the conformance suite."""

import gzip
import zipfile
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv as pacsv
import pyarrow.dataset as pads
import pyarrow.parquet as pq
import pytest
from deltalake import write_deltalake

from skewless.definitions.tables import CSV, Delta, Frame, Parquet
from skewless.stores.offline.base import TableReader
from skewless.stores.offline.log.log import EventLog
from skewless.stores.offline.tables.csv import CSVReader
from skewless.stores.offline.tables.delta import DeltaReader
from skewless.stores.offline.tables.frame import FrameReader
from skewless.stores.offline.tables.parquet import ParquetReader
from skewless.testing.memory import MemoryStore
from skewless.testing.offline_store import SOURCE, OfflineStoreSuite, Read


class TestParquetFile(OfflineStoreSuite):
    @pytest.fixture
    def read(self, tmp_path: Path) -> Read:
        def read(rows: pa.Table) -> TableReader:
            pq.write_table(rows, tmp_path / "rows.parquet", row_group_size=170)
            return ParquetReader(Parquet("rows.parquet"), tmp_path)

        return read


class TestParquetFolder(OfflineStoreSuite):
    @pytest.fixture
    def read(self, tmp_path: Path) -> Read:
        def read(rows: pa.Table) -> TableReader:
            for number, name in enumerate(["b/x.parquet", "a.parquet", "b/c/y.parquet"]):
                part = rows.slice(number * 1000, 1000 if number < 2 else None)
                (tmp_path / name).parent.mkdir(exist_ok=True, parents=True)
                pq.write_table(part, tmp_path / name, row_group_size=300)
            return ParquetReader(Parquet(str(tmp_path)))

        return read


class TestParquetByFolderOfDay(OfflineStoreSuite):
    @pytest.fixture
    def read(self, tmp_path: Path) -> Read:
        def read(rows: pa.Table) -> TableReader:
            days = pc.unique(rows["day"])
            for day in days:
                folder = tmp_path / f"day={day}"
                folder.mkdir()
                part = rows.filter(pc.equal(rows["day"], day)).drop_columns(["day"])
                pq.write_table(part, folder / "0.parquet")
            if not len(days):
                (tmp_path / "day=2026-01-01").mkdir()
                pq.write_table(rows.drop_columns(["day"]), tmp_path / "day=2026-01-01/0.parquet")
            return ParquetReader(Parquet(f"{tmp_path}/day=*/*.parquet"))

        return read


class TestParquetByURI(OfflineStoreSuite):
    @pytest.fixture
    def read(self, tmp_path: Path) -> Read:
        def read(rows: pa.Table) -> TableReader:
            pads.write_dataset(
                rows, tmp_path, format="parquet", max_rows_per_file=700, max_rows_per_group=300
            )
            if not rows.num_rows:
                pq.write_table(rows, tmp_path / "empty.parquet")
            return ParquetReader(Parquet(tmp_path.as_uri()))

        return read


class TestCSVFile(OfflineStoreSuite):
    @pytest.fixture
    def read(self, tmp_path: Path) -> Read:
        def read(rows: pa.Table) -> TableReader:
            _write_csv(rows, tmp_path / "rows.csv")
            return CSVReader(CSV("rows.csv"), tmp_path)

        return read


class TestCSVCompressed(OfflineStoreSuite):
    @pytest.fixture
    def read(self, tmp_path: Path) -> Read:
        def read(rows: pa.Table) -> TableReader:
            plain = tmp_path / "rows"
            _write_csv(rows.slice(0, 900), plain)
            with gzip.open(tmp_path / "1.csv.gz", "wb") as file:
                file.write(plain.read_bytes())
            _write_csv(rows.slice(900), plain)
            with zipfile.ZipFile(tmp_path / "2.csv.zip", "w", zipfile.ZIP_DEFLATED) as archive:
                archive.write(plain, "inner.csv")
            return CSVReader(CSV(str(tmp_path)))

        return read


class TestDelta(OfflineStoreSuite):
    @pytest.fixture
    def read(self, tmp_path: Path) -> Read:
        def read(rows: pa.Table) -> TableReader:
            for begin in range(0, max(rows.num_rows, 1), 1100):
                part = rows.slice(begin, 1100)
                write_deltalake(tmp_path, part, mode="append", partition_by=["flag"])
            return DeltaReader(Delta(str(tmp_path)))

        return read


class TestArrowFrame(OfflineStoreSuite):
    @pytest.fixture
    def read(self) -> Read:
        return lambda rows: FrameReader(Frame(rows))


class TestPolarsFrame(OfflineStoreSuite):
    @pytest.fixture
    def read(self) -> Read:
        polars = pytest.importorskip("polars")
        return lambda rows: FrameReader(Frame(polars.from_arrow(rows)))


class TestPandasFrame(OfflineStoreSuite):
    @pytest.fixture
    def read(self) -> Read:
        pandas = pytest.importorskip("pandas")
        return lambda rows: FrameReader(
            Frame(rows.to_pandas(types_mapper=pandas.ArrowDtype, date_as_object=True))
        )


class TestLogInJournal(OfflineStoreSuite):
    @pytest.fixture
    def read(self, tmp_path: Path) -> Read:
        return lambda rows: _logged(rows, tmp_path).reader()


class TestLogSettled(OfflineStoreSuite):
    @pytest.fixture
    def read(self, tmp_path: Path) -> Read:
        def read(rows: pa.Table) -> TableReader:
            log = _logged(rows, tmp_path)
            log.settle()
            return log.reader()

        return read


class TestLogInBoth(OfflineStoreSuite):
    @pytest.fixture
    def read(self, tmp_path: Path) -> Read:
        def read(rows: pa.Table) -> TableReader:
            shuffled = rows.take(np.random.default_rng(3).permutation(rows.num_rows))
            log = _logged(shuffled.slice(0, 2000), tmp_path)
            log.settle()
            return _logged(shuffled.slice(2000), tmp_path, log).reader()

        return read


def _write_csv(rows: pa.Table, path: Path) -> None:
    at = pc.strftime(rows["at"], "%Y-%m-%dT%H:%M:%SZ")
    pacsv.write_csv(rows.set_column(rows.column_names.index("at"), "at", at), path)


def _logged(rows: pa.Table, folder: Path, log: EventLog | None = None) -> EventLog:
    if log is None:
        log = EventLog(SOURCE, MemoryStore(), folder)
    for batch in rows.to_batches(max_chunksize=130):
        known = np.asarray(batch.column("at").cast(pa.int64()))
        with log._store.transaction() as transaction:
            log.append(transaction, batch, known)
    return log
