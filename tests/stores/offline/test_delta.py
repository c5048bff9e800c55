"""Delta tables: time travel, deletion vectors, what the log says of files, errors."""

import base64
import json
import os
import struct
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from deltalake import DeltaTable, write_deltalake

from skewless.clock import to_micros
from skewless.definitions.tables import Delta
from skewless.errors import CorruptData, DefinitionError, MissingColumn, StoreError
from skewless.stores.offline.base import TableReader
from skewless.stores.offline.tables import parquet_files
from skewless.stores.offline.tables.delta import DeltaReader
from skewless.testing.offline_store import OfflineStoreSuite, Read


class TestDeltaWithDeletionVectors(OfflineStoreSuite):
    @pytest.fixture
    def read(self, tmp_path: Path) -> Read:
        def read(rows: pa.Table) -> TableReader:
            gone = rows.slice(0, 3).set_column(
                0, "n", pa.array([-1] * min(3, rows.num_rows), pa.int64())
            )
            for begin in range(0, max(rows.num_rows, 1), 1100):
                padded = pa.concat_tables([gone, rows.slice(begin, 1100), gone])
                write_deltalake(tmp_path, padded.combine_chunks(), mode="append")
            for path in paths(tmp_path):
                stored = pq.read_table(tmp_path / path)["n"].to_numpy()
                if len(stored):
                    delete_by_vector(tmp_path, path, np.flatnonzero(stored == -1).tolist())
            return DeltaReader(Delta(str(tmp_path)))

        return read


def paths(folder: Path) -> list[str]:
    return pa.table(DeltaTable(folder).get_add_actions(flatten=True))["path"].to_pylist()


def delete_by_vector(folder: Path, path: str, positions: list[int]) -> None:
    """Commit a deletion vector, as the protocol has it: deltalake itself writes none."""
    log = folder / "_delta_log"
    entries = [
        json.loads(line)
        for file in sorted(log.glob("*.json"))
        for line in file.read_text().splitlines()
    ]
    add = next(e["add"] for e in reversed(entries) if e.get("add", {}).get("path") == path)
    protocol = {
        "minReaderVersion": 3,
        "minWriterVersion": 7,
        "readerFeatures": ["deletionVectors"],
        "writerFeatures": ["deletionVectors"],
    }
    bitmap = struct.pack("<IIHHI", 12346, 1, 0, len(positions) - 1, 16)
    bitmap += struct.pack(f"<{len(positions)}H", *positions)
    blob = struct.pack("<IQI", 1681511377, 1, 0) + bitmap
    vector = {
        "storageType": "i",
        "pathOrInlineDv": z85(blob + bytes(-len(blob) % 4)),
        "sizeInBytes": len(blob),
        "cardinality": len(positions),
    }
    remove = {"path": path, "deletionTimestamp": 1, "dataChange": True}
    actions = [
        {"protocol": protocol},
        {"remove": remove},
        {"add": add | {"deletionVector": vector}},
    ]
    number = len(list(log.glob("*.json")))
    (log / f"{number:020d}.json").write_text("\n".join(map(json.dumps, actions)))


def z85(data: bytes) -> str:
    plain = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz!#$%&()*+-;<=>?@^_`{|}~"
    wanted = "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ.-:+=^!/*?&<>()[]{}@%$#"
    return base64.b85encode(data).decode().translate(str.maketrans(plain, wanted))


def values(reader: TableReader, column: str) -> list[Any]:
    return [v for c in reader.chunks([column]) for v in c.table[column].to_pylist()]


def reader_of(folder: Path, **options: Any) -> DeltaReader:
    return DeltaReader(Delta(str(folder), **options))


# ------------------------------------------------------------------------------------ time travel


def dated(folder: Path) -> list[datetime]:
    """Write three versions; return when each was committed."""
    moments = []
    for number in range(3):
        write_deltalake(folder, pa.table({"x": [number]}), mode="append")
        file = folder / f"_delta_log/{number:020d}.json"
        moment = datetime(2026, 1, 1 + number, tzinfo=UTC)
        at = int(moment.timestamp() * 1000)
        lines = [json.loads(line) for line in file.read_text().splitlines()]
        for line in lines:
            if "commitInfo" in line:
                line["commitInfo"] |= {"timestamp": at, "inCommitTimestamp": at}
        file.write_text("\n".join(map(json.dumps, lines)))
        os.utime(file, (moment.timestamp(), moment.timestamp()))
        moments.append(moment)
    return moments


def test_a_version_is_read_by_its_number_or_by_a_moment(tmp_path: Path) -> None:
    moments = dated(tmp_path)
    assert sorted(values(reader_of(tmp_path), "x")) == [0, 1, 2]
    assert sorted(values(reader_of(tmp_path, version=1), "x")) == [0, 1]
    assert sorted(values(reader_of(tmp_path, as_of=moments[1]), "x")) == [0, 1]
    between = moments[1] + timedelta(hours=3)
    assert sorted(values(reader_of(tmp_path, as_of=between), "x")) == [0, 1]
    later = moments[2] + timedelta(days=300)
    assert sorted(values(reader_of(tmp_path, as_of=later), "x")) == [0, 1, 2]


def test_a_version_that_is_not_there_is_named(tmp_path: Path) -> None:
    moments = dated(tmp_path)
    with pytest.raises(StoreError, match=r"does not have this version.*Got: 9.*at most 2"):
        reader_of(tmp_path, version=9).row_count()
    with pytest.raises(StoreError, match=r"does not have this version.*since the table was made"):
        reader_of(tmp_path, as_of=moments[0] - timedelta(days=1)).row_count()


def test_a_version_and_a_moment_together_are_refused() -> None:
    with pytest.raises(DefinitionError, match="version and as_of both say which version"):
        Delta("lake", version=1, as_of="2026-01-01T00:00:00Z")


def test_what_was_read_is_read_again_by_what_the_reader_was_pinned_to(tmp_path: Path) -> None:
    write_deltalake(tmp_path, pa.table({"x": [1]}))
    pinned = reader_of(tmp_path).pinned()
    write_deltalake(tmp_path, pa.table({"x": [2]}), mode="overwrite")
    assert pinned == {"version": 0, "as_of": None}
    assert values(reader_of(tmp_path, **pinned), "x") == [1]


# ------------------------------------------------------------------------- what the log says


def test_files_whose_statistics_exclude_the_time_are_not_opened(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    start = datetime(2026, 1, 1, tzinfo=UTC)
    for day in range(5):
        at = pa.array([start + timedelta(days=day, microseconds=7)], pa.timestamp("us", "UTC"))
        write_deltalake(tmp_path, pa.table({"at": at, "x": [day]}), mode="append")
    opened = []
    read_footer = parquet_files.read_footer

    def noting(filesystem: Any, file: Any, **options: Any) -> Any:
        opened.append(file.name)
        return read_footer(filesystem, file, **options)

    monkeypatch.setattr(parquet_files, "read_footer", noting)
    reader = reader_of(tmp_path)
    third = to_micros(start + timedelta(days=2, microseconds=7))
    chunks = list(reader.chunks(["x"], time_column="at", start=third, end=third + 1))
    assert [chunk.table["x"].to_pylist() for chunk in chunks] == [[2]]
    assert (len(opened), reader.row_count()) == (1, 5)


def test_rows_that_a_vector_takes_out_are_gone_and_the_others_keep_their_numbers(
    tmp_path: Path,
) -> None:
    write_deltalake(tmp_path, pa.table({"x": [10, 11, 12, 13]}))
    (path,) = paths(tmp_path)
    delete_by_vector(tmp_path, path, [1, 3])
    reader = reader_of(tmp_path)
    assert [(c.rows.tolist(), c.table["x"].to_pylist()) for c in reader.chunks(["x"])] == [
        ([0, 2], [10, 12])
    ]
    assert reader.take(np.array([2]), ["x"])["x"].to_pylist() == [12]
    assert (reader.row_count(), reader.parts()[0].rows) == (2, 2)


# ----------------------------------------------------------------------------------------- errors


def test_a_column_that_was_dropped_from_the_table_is_named(tmp_path: Path) -> None:
    write_deltalake(tmp_path, pa.table({"x": [1], "y": [1]}))
    write_deltalake(tmp_path, pa.table({"x": [1]}), mode="overwrite", schema_mode="overwrite")
    with pytest.raises(MissingColumn, match="lacks the column 'y'"):
        values(reader_of(tmp_path), "y")


def test_column_mapping_is_refused(tmp_path: Path) -> None:
    write_deltalake(
        tmp_path, pa.table({"x": [1]}), configuration={"delta.columnMapping.mode": "none"}
    )
    file = tmp_path / "_delta_log/00000000000000000000.json"
    file.write_text(file.read_text().replace('Mapping.mode":"none"', 'Mapping.mode":"name"'))
    with pytest.raises(StoreError, match="column mapping|cannot be opened"):
        reader_of(tmp_path).schema()


def test_a_log_that_is_damaged_is_named(tmp_path: Path) -> None:
    write_deltalake(tmp_path, pa.table({"x": [1]}))
    (tmp_path / "_delta_log/00000000000000000000.json").write_text("{no json")
    with pytest.raises(CorruptData, match=str(tmp_path)):
        reader_of(tmp_path).schema()


def test_a_file_that_was_vacuumed_meanwhile_is_an_error(tmp_path: Path) -> None:
    write_deltalake(tmp_path, pa.table({"x": [1]}))
    reader = reader_of(tmp_path)
    reader.row_count()
    for file in tmp_path.glob("*.parquet"):
        file.unlink()
    with pytest.raises(StoreError, match="a file is not there"):
        values(reader, "x")


def test_a_table_partitioned_by_its_times_is_pushed_down_and_read(tmp_path: Path) -> None:
    times = [datetime(2024, 1, 1, hour, tzinfo=UTC) for hour in (10, 11)]
    at = pa.array(times, pa.timestamp("us", "UTC"))
    write_deltalake(tmp_path, pa.table({"n": [1, 2], "at": at}), partition_by=["at"])
    found = DeltaReader(Delta(str(tmp_path)))
    start = to_micros(times[1])
    chunks = found.chunks(["n"], time_column="at", start=start, end=start + 1)
    assert [n for chunk in chunks for n in chunk.table["n"].to_pylist()] == [2]
    assert sorted(found.take(np.array([0, 1]), ["at"])["at"].to_pylist()) == times
