"""Parquet as it really is: damaged, changed, too large for memory, in many folders."""

import os
import subprocess
import sys
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal as D
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from skewless.definitions.tables import CSV, Delta, Frame, Parquet, Recorded
from skewless.errors import ConfigError, CorruptData, InputError, MissingColumn, StoreError
from skewless.parquet import read_parquet
from skewless.stores.offline.base import TableReader
from skewless.stores.offline.tables import parquet_files
from skewless.stores.offline.tables.csv import CSVReader
from skewless.stores.offline.tables.delta import DeltaReader
from skewless.stores.offline.tables.frame import FrameReader
from skewless.stores.offline.tables.parquet import ParquetReader
from skewless.types import Bool, Date, Decimal, DType, Float64, Int32, Int64, String, Timestamp


def reader(folder: Path) -> ParquetReader:
    return ParquetReader(Parquet(str(folder)))


def write(path: Path, **columns: object) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(pa.table(columns), path)


def values(found: TableReader, column: str) -> list[object]:
    return [value for c in found.chunks([column]) for value in c.table[column].to_pylist()]


# ----------------------------------------------------------------------------------------- files


def test_a_folder_that_is_not_there_is_an_error_that_names_it(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match=r"no Parquet files at '.*nowhere'.*no such path"):
        reader(tmp_path / "nowhere").schema()


def test_a_folder_without_parquet_files_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "readme.txt").write_text("nothing")
    with pytest.raises(StoreError, match="no Parquet files at"):
        reader(tmp_path).row_count()


def test_hidden_files_and_folders_are_passed_over(tmp_path: Path) -> None:
    write(tmp_path / "a.parquet", x=[1])
    for name in ("_SUCCESS.parquet", ".a.parquet.crc.parquet", "_temporary/0/b.parquet"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(b"no parquet")
    assert values(reader(tmp_path), "x") == [1]


def test_a_pattern_chooses_files_and_two_stars_cross_folders(tmp_path: Path) -> None:
    write(tmp_path / "2025/a.parquet", x=[1])
    write(tmp_path / "2026/b.parquet", x=[2])
    write(tmp_path / "2026/deep/c.parquet", x=[3])
    assert values(ParquetReader(Parquet("202?/*.parquet"), tmp_path), "x") == [1, 2]
    assert values(ParquetReader(Parquet("**/[bc].parquet"), tmp_path), "x") == [2, 3]


def test_rows_are_numbered_by_sorted_paths(tmp_path: Path) -> None:
    for name in ("c", "a", "b"):
        write(tmp_path / f"{name}.parquet", x=[f"{name}0", f"{name}1"])
    assert values(reader(tmp_path), "x") == ["a0", "a1", "b0", "b1", "c0", "c1"]
    assert reader(tmp_path).take(np.array([1, 2, 5]), ["x"])["x"].to_pylist() == ["a1", "b0", "c1"]


def test_an_address_of_an_unknown_kind_is_refused() -> None:
    with pytest.raises(ConfigError, match="address of a table cannot be understood"):
        ParquetReader(Parquet("gopher://host/file.parquet")).schema()


def test_a_file_that_is_no_parquet_is_named(tmp_path: Path) -> None:
    write(tmp_path / "a.parquet", x=[1])
    (tmp_path / "b.parquet").write_bytes(b"PAR1 is not enough")
    with pytest.raises(CorruptData, match=r"b\.parquet"):
        reader(tmp_path).row_count()


def test_a_file_cut_short_is_named(tmp_path: Path) -> None:
    write(tmp_path / "a.parquet", x=list(range(1000)))
    whole = (tmp_path / "a.parquet").read_bytes()
    (tmp_path / "a.parquet").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(CorruptData, match=r"a\.parquet"):
        list(reader(tmp_path).chunks(["x"]))


def test_damaged_pages_are_an_error_that_names_the_file(tmp_path: Path) -> None:
    path = tmp_path / "a.parquet"
    rows = pa.table({"x": np.random.default_rng(0).integers(0, 1 << 40, 50_000)})
    pq.write_table(rows, path, write_page_checksum=True)
    content = bytearray(path.read_bytes())
    content[1000:9000] = bytes(8000)
    path.write_bytes(content)
    with pytest.raises(CorruptData, match=r"a\.parquet"):
        list(reader(tmp_path).chunks(["x"]))


def test_a_file_that_is_replaced_while_the_table_is_read_is_noticed(tmp_path: Path) -> None:
    path = tmp_path / "a.parquet"
    write(path, x=[1, 2, 3])
    found = reader(tmp_path)
    assert found.row_count() == 3
    write(path, x=[1, 2, 4, 5])
    with pytest.raises(StoreError, match="changed while the table was being read"):
        found.take(np.array([0]), ["x"])
    found.refresh()
    assert found.take(np.array([2]), ["x"])["x"].to_pylist() == [4]


def test_a_file_that_is_removed_while_the_table_is_read_is_noticed(tmp_path: Path) -> None:
    write(tmp_path / "a.parquet", x=[1])
    found = reader(tmp_path)
    found.row_count()
    (tmp_path / "a.parquet").unlink()
    with pytest.raises(StoreError, match="file"):
        list(found.chunks(["x"]))


def test_new_files_are_seen_after_refresh(tmp_path: Path) -> None:
    write(tmp_path / "b.parquet", x=[2])
    found = reader(tmp_path)
    before = found.parts()
    write(tmp_path / "a.parquet", x=[1])
    assert values(found, "x") == [2]
    found.refresh()
    assert values(found, "x") == [1, 2]
    assert before[0] in found.parts()


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_a_file_that_may_not_be_read_is_named(tmp_path: Path) -> None:
    write(tmp_path / "a.parquet", x=[1])
    (tmp_path / "a.parquet").chmod(0)
    with pytest.raises(StoreError, match=r"Permission denied.*a\.parquet"):
        reader(tmp_path).row_count()


# ---------------------------------------------------------------------------------------- schemas


def test_a_file_that_lacks_a_column_is_named_when_the_column_is_asked_for(tmp_path: Path) -> None:
    write(tmp_path / "a.parquet", x=[1], y=[1])
    write(tmp_path / "b.parquet", x=[2])
    assert values(reader(tmp_path), "x") == [1, 2]
    with pytest.raises(MissingColumn, match=r"b\.parquet.* lacks the column 'y'"):
        values(reader(tmp_path), "y")


def test_a_column_that_changes_its_type_is_named_when_it_is_asked_for(tmp_path: Path) -> None:
    write(tmp_path / "a.parquet", x=[1], y=[1])
    write(tmp_path / "b.parquet", x=[2], y=["one"])
    assert values(reader(tmp_path), "x") == [1, 2]
    with pytest.raises(StoreError, match=r"'y' changes its type.*Got: string.*int64.*b\.parquet"):
        values(reader(tmp_path), "y")


def test_files_may_differ_in_width_unit_and_encoding(tmp_path: Path) -> None:
    at = datetime(2026, 1, 1, tzinfo=UTC)
    for number, (integer, unit, text) in enumerate(
        [
            (pa.int32(), "ms", pa.string()),
            (pa.int64(), "us", pa.dictionary(pa.int32(), pa.string())),
        ]
    ):
        write(
            tmp_path / f"{number}.parquet",
            i=pa.array([number], integer),
            t=pa.array([at], pa.timestamp(unit, "UTC")),
            s=pa.array(["a"], pa.string()).cast(text),
            empty=pa.nulls(1) if number else pa.array(["b"]),
        )
    found = reader(tmp_path)
    assert found.schema() == {"i": Int64, "t": Timestamp, "s": String, "empty": String}
    rows = found.take(np.array([0, 1]), ["i", "t", "s", "empty"])
    assert rows.to_pylist() == [
        {"i": 0, "t": at, "s": "a", "empty": "b"},
        {"i": 1, "t": at, "s": "a", "empty": None},
    ]


def test_a_column_that_is_there_twice_is_an_error(tmp_path: Path) -> None:
    twice = pa.Table.from_arrays([pa.array([1]), pa.array([2])], names=["x", "x"])
    pq.write_table(twice, tmp_path / "a.parquet")
    with pytest.raises(StoreError, match="'x' is there 2 times"):
        values(reader(tmp_path), "x")


def test_times_of_spark_outside_of_nanoseconds_are_what_they_are(tmp_path: Path) -> None:
    times = [datetime(1066, 10, 14), datetime(2024, 1, 1), datetime(9999, 12, 31)]
    table = pa.table({"t": pa.array(times, pa.timestamp("us"))})
    pq.write_table(table, tmp_path / "a.parquet", use_deprecated_int96_timestamps=True)
    assert values(reader(tmp_path), "t") == times
    assert read_parquet(tmp_path / "a.parquet")["t"].to_pylist() == times


@pytest.mark.parametrize(
    ("column", "texts", "dtype", "expected"),
    [
        ("k", ["1", "02"], String, ["1", "02"]),
        ("month", ["01", "02"], Int64, [1, 2]),
        ("dt", ["20240101", "20240102"], String, ["20240101", "20240102"]),
        ("day", ["2024-01-01", "2024-01-02"], String, ["2024-01-01", "2024-01-02"]),
        ("day", ["2024-01-01", "2024-01-02"], Date, [date(2024, 1, 1), date(2024, 1, 2)]),
        ("share", ["0.5", "1"], Float64, [0.5, 1.0]),
        ("paid", ["false", "TRUE"], Bool, [False, True]),
        ("price", ["0.50", "1"], Decimal(9, 2), [D("0.50"), D("1.00")]),
        (
            "at",
            ["2024-01-01 10%3A00%3A00Z", "2024-01-01T11:00:00+01:00"],
            Timestamp,
            [datetime(2024, 1, 1, 10, tzinfo=UTC)] * 2,
        ),
    ],
)
def test_folders_are_read_as_their_column_is_declared(
    tmp_path: Path, column: str, texts: list, dtype: DType, expected: list
) -> None:
    for number, text in enumerate(texts):
        write(tmp_path / f"n={number}" / f"{column}={text}" / "f.parquet", x=[number])
        (tmp_path / f"n={number}" / f"{column}={text}" / "f.csv").write_text(f"x\n{number}\n")
    for found in (reader(tmp_path), CSVReader(CSV(str(tmp_path)))):
        found.typed({"x": Int64, column: dtype})
        assert values(found, column) == expected


@pytest.mark.parametrize(
    ("text", "dtype"), [("ab", Int64), ("1.5", Int64), ("maybe", Bool), ("2024-01-01", Timestamp)]
)
def test_a_folder_that_is_no_value_of_its_declared_type_is_named(
    tmp_path: Path, text: str, dtype: DType
) -> None:
    write(tmp_path / f"k={text}/f.parquet", x=[1])
    found = reader(tmp_path)
    found.typed({"k": dtype})
    with pytest.raises(InputError, match=rf"folder k={text} of file"):
        values(found, "k")


def test_a_column_that_a_file_lacks_is_null_in_its_rows_unless_every_row_needs_it(
    tmp_path: Path,
) -> None:
    write(tmp_path / "a.parquet", x=[1])
    write(tmp_path / "b.parquet", x=[2], y=[5])
    found = reader(tmp_path)
    found.typed({"x": Int64, "y": Int64})
    assert values(found, "y") == [None, 5]
    (note,) = found.notes()
    assert "'y'" in note
    assert "a.parquet" in note
    found.typed({"x": Int64, "y": Int64}, {"y"})
    with pytest.raises(MissingColumn, match=r"a\.parquet.* lacks the column 'y'"):
        values(found, "y")


@pytest.mark.parametrize("order", ["ab", "ba"])
def test_a_file_without_rows_conflicts_with_nothing(tmp_path: Path, order: str) -> None:
    write(tmp_path / f"{order[0]}.parquet", x=["a"])
    for empty in ({}, {"x": pa.array([], pa.float64())}, {"y": pa.array([], pa.bool_())}):
        write(tmp_path / f"{order[1]}.parquet", **empty)
        found = reader(tmp_path)
        assert values(found, "x") == ["a"]
        found.typed({"x": String})
        assert (values(found, "x"), found.notes()) == (["a"], [])
        (tmp_path / f"{order[1]}.parquet").unlink()


def test_a_table_of_files_without_rows_has_the_declared_columns(tmp_path: Path) -> None:
    write(tmp_path / "a.parquet", x=pa.array([], pa.float64()))
    found = reader(tmp_path)
    found.typed({"x": String, "y": Int64})
    assert found.take(np.array([], np.int64), ["x", "y"]).schema.types == [pa.string(), pa.int64()]


def test_each_file_is_held_to_the_declared_types_and_not_to_the_others(tmp_path: Path) -> None:
    at = datetime(2026, 1, 1, tzinfo=UTC)
    write(tmp_path / "a.parquet", x=[1], t=pa.array([at], pa.timestamp("us", "UTC")))
    write(tmp_path / "b.parquet", x=[2.0], t=["2026-01-01T01:00:00+01:00"])
    found = reader(tmp_path)
    found.typed({"x": Int64, "t": Timestamp})
    assert (values(found, "x"), values(found, "t")) == ([1, 2], [at, at])
    write(tmp_path / "c.parquet", x=[2.5], t=[at])
    found.refresh()
    with pytest.raises(InputError, match=r"2\.5.*'x' of file.*c\.parquet"):
        values(found, "x")


def test_folders_give_columns_of_the_narrowest_type(tmp_path: Path) -> None:
    write(tmp_path / "day=2026-01-01/shard=1/fab=a%20b/x.parquet", x=[1])
    write(tmp_path / "day=2026-01-02/shard=2/fab=__HIVE_DEFAULT_PARTITION__/x.parquet", x=[2])
    found = reader(tmp_path)
    assert found.schema() == {"x": Int64, "day": Date, "shard": Int64, "fab": String}
    assert values(found, "day") == [date(2026, 1, 1), date(2026, 1, 2)]
    assert values(found, "fab") == ["a b", None]


# --------------------------------------------------------------------------------------- pushdown


def test_row_groups_that_cannot_hold_the_time_are_not_read(tmp_path: Path) -> None:
    times = pa.array(range(0, 1_000_000, 1000), pa.timestamp("us", "UTC"))
    pq.write_table(pa.table({"t": times, "n": range(1000)}), tmp_path / "a.parquet", 100)
    chunks = list(reader(tmp_path).chunks(["n"], time_column="t", start=350_000, end=420_000))
    assert [(c.row_base, c.table["n"].to_pylist()[0]) for c in chunks] == [(300, 300)]
    assert sum(c.table.num_rows for c in chunks) == 200


@pytest.mark.parametrize("unit", ["ms", "us", "ns"])
def test_times_of_every_unit_are_pushed_down(tmp_path: Path, unit: str) -> None:
    times = pa.array(range(10), pa.timestamp("s", "UTC")).cast(pa.timestamp(unit, "UTC"))
    pq.write_table(pa.table({"t": times}), tmp_path / "a.parquet", 1)
    chunks = reader(tmp_path).chunks(["t"], time_column="t", start=3_000_000, end=5_000_000)
    assert np.concatenate([chunk.rows for chunk in chunks]).tolist() == [3, 4]


def test_folders_named_after_days_are_pushed_down_with_room_for_time_zones(tmp_path: Path) -> None:
    for day in range(1, 29):
        write(tmp_path / f"day=2026-02-{day:02d}/x.parquet", x=[day])
    start = int(datetime(2026, 2, 10, tzinfo=UTC).timestamp()) * 1_000_000
    chunks = reader(tmp_path).chunks(["x"], time_column="day", start=start, end=start + 1)
    assert [v for c in chunks for v in c.table["x"].to_pylist()] == [9, 10]


# ----------------------------------------------------------------------------------------- memory


def test_long_row_groups_come_in_bounded_chunks(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(parquet_files, "CHUNK_ROWS", 1000)
    pq.write_table(pa.table({"x": range(3500)}), tmp_path / "a.parquet")
    found = reader(tmp_path)
    assert [(c.row_base, c.table.num_rows) for c in found.chunks(["x"])] == [
        (0, 1000), (1000, 1000), (2000, 1000), (3000, 500),
    ]  # fmt: skip
    rows = np.array([0, 999, 1000, 3499])
    assert found.take(rows, ["x"])["x"].to_pylist() == rows.tolist()


def test_wide_rows_come_in_bounded_chunks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parquet_files, "CHUNK_BYTES", 1 << 16)
    vectors = pa.FixedSizeListArray.from_arrays(
        pa.array(np.random.default_rng(0).random(256 * 1000, np.float32)), 256
    )
    pq.write_table(pa.table({"v": vectors}), tmp_path / "a.parquet", 250)
    sizes = [chunk.table.nbytes for chunk in reader(tmp_path).chunks(["v"])]
    assert max(sizes) <= 1 << 17
    assert sum(chunk.table.num_rows for chunk in reader(tmp_path).chunks(["v"])) == 1000


def test_memory_does_not_grow_with_the_file(tmp_path: Path) -> None:
    columns = {f"f{i}": np.random.default_rng(i).random(1 << 18) for i in range(4)}
    rows = pa.table(columns)
    with pq.ParquetWriter(tmp_path / "a.parquet", rows.schema) as writer:
        for _ in range(40):
            writer.write_table(rows)
    script = (
        "import resource, sys\n"
        "from skewless.definitions.tables import Parquet\n"
        "from skewless.stores.offline.tables.parquet import ParquetReader\n"
        "import pyarrow.parquet\n"
        "reader = ParquetReader(Parquet(sys.argv[1]))\n"
        "names = reader.arrow_schema().names\n"
        "before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss\n"
        "rows = sum(chunk.table.num_rows for chunk in reader.chunks(names))\n"
        "print(rows, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)\n"
    )
    command = [sys.executable, "-c", script, str(tmp_path)]
    found, grown = subprocess.check_output(command, text=True).split()
    content_kib = 40 * (1 << 18) * 32 // 1024  # 336 MB
    assert int(found) == 40 << 18
    assert int(grown) < content_kib * 0.6


# ----------------------------------------------------------------------------------- other tables


def test_csv_types_are_found_by_reading_all_of_it(tmp_path: Path) -> None:
    body = ["id,i,f,b,d,t,z,s,e", "1,1,1,true,2026-01-01,2026-01-01 01:02:03,2026-01-01T00:00Z,NA,"]
    body += ["2,NA,1.5,false,2026-01-02,2026-01-01 01:02:04,2026-01-01T00:00+01:00,x,"]
    (tmp_path / "a.csv").write_text("\n".join(body))
    found = CSVReader(CSV("a.csv"), tmp_path)
    kinds = {name: dtype.kind for name, dtype in found.schema().items()}
    assert kinds == {
        "id": "int64", "i": "int64", "f": "float64", "b": "bool", "d": "date",
        "t": "timestamp", "z": "timestamp", "s": "str", "e": "str",
    }  # fmt: skip
    assert found.arrow_schema().field("t").type.tz is None
    assert values(found, "i") == [1, None]
    midnight = datetime(2026, 1, 1, tzinfo=UTC)
    assert values(found, "z") == [midnight, midnight - timedelta(hours=1)]


def test_csv_values_that_do_not_fit_a_declared_type_name_file_and_value(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("x\n1\nmany\n")
    found = CSVReader(CSV(str(tmp_path / "a.csv")))
    found.typed({"x": Int32})
    with pytest.raises(CorruptData, match=r"many.*a\.csv.*nulls="):
        values(found, "x")


def test_csv_fields_may_hold_line_breaks_and_other_delimiters(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text('x;y\n"one\ntwo";-\n')
    found = CSVReader(CSV(str(tmp_path / "a.csv"), nulls=["-"], delimiter=";"))
    assert next(found.chunks(["x", "y"])).table.to_pylist() == [{"x": "one\ntwo", "y": None}]


def test_a_column_that_a_csv_file_lacks_is_null_in_its_rows_and_said(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("x,y\n1,2\n")
    (tmp_path / "b.csv").write_text("x\n1\n")
    (tmp_path / "c.csv").write_text("")
    (tmp_path / "d.csv").write_text("y\n")
    found = CSVReader(CSV(str(tmp_path)))
    found.typed({"x": Int64, "y": Int64, "z": Int64}, {"x"})
    assert values(found, "y") == [2, None]
    assert found.notes() == [
        f"Column 'y' of table {str(tmp_path)!r} is null in the rows of files without it: b.csv."
    ]
    assert values(found, "x") == [1, 1]
    assert found.row_count() == 2
    with pytest.raises(MissingColumn, match="'z'"):
        values(found, "z")
    found.typed({"x": Int64, "y": Int64}, {"y"})
    with pytest.raises(MissingColumn, match=r"b\.csv.* lacks the column 'y'"):
        values(found, "y")


@pytest.mark.parametrize("file", ["a.csv", "b.csv"])
def test_a_header_that_names_a_column_twice_is_an_error(tmp_path: Path, file: str) -> None:
    (tmp_path / "a.csv").write_text("x,y\n1,2\n")
    (tmp_path / file).write_text("x,y,x\n1,2,3\n")
    found = CSVReader(CSV(str(tmp_path)))
    found.typed({"x": Int64, "y": Int64})
    with pytest.raises(InputError, match=rf"column 'x' twice.*{file}"):
        values(found, "y")


def test_a_damaged_zip_is_named(tmp_path: Path) -> None:
    (tmp_path / "a.csv.zip").write_bytes(b"PK no zip")
    with pytest.raises(CorruptData, match=r"a\.csv\.zip"):
        CSVReader(CSV(str(tmp_path))).schema()


def test_a_delta_version_stays_while_the_table_grows(tmp_path: Path) -> None:
    deltalake = pytest.importorskip("deltalake")
    deltalake.write_deltalake(tmp_path, pa.table({"x": [1]}))
    grown = pa.table({"x": [2], "y": [0.5]})
    deltalake.write_deltalake(tmp_path, grown, mode="append", schema_mode="merge")
    assert values(DeltaReader(Delta(str(tmp_path), version=0)), "x") == [1]
    newest = DeltaReader(Delta(str(tmp_path)))
    assert newest.schema() == {"x": Int64, "y": Float64}
    assert sorted(map(str, values(newest, "y"))) == ["0.5", "None"]


def test_a_folder_that_is_no_delta_table_says_so(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="no Delta table"):
        DeltaReader(Delta(str(tmp_path))).schema()


def test_rows_deleted_from_a_delta_table_are_gone(tmp_path: Path) -> None:
    deltalake = pytest.importorskip("deltalake")
    deltalake.write_deltalake(tmp_path, pa.table({"x": [1, 2, 3]}))
    deltalake.DeltaTable(tmp_path).delete("x = 2")
    assert sorted(map(str, values(DeltaReader(Delta(str(tmp_path))), "x"))) == ["1", "3"]


def test_a_frame_that_was_recorded_cannot_be_read_and_says_why() -> None:
    with pytest.raises(StoreError, match="not in the memory of this process"):
        FrameReader(Recorded(Frame(pa.table({"x": [1]}), "mine").to_dict())).schema()


def test_what_is_no_frame_is_refused() -> None:
    with pytest.raises(InputError, match="not a table"):
        FrameReader(Frame(42)).schema()


def test_rows_as_dicts_are_a_frame() -> None:
    assert values(FrameReader(Frame([{"x": 1}, {"x": 2}])), "x") == [1, 2]


def test_small_files_come_together_with_the_numbers_of_their_rows(tmp_path: Path) -> None:
    for number in range(10):
        required = pa.schema([pa.field("x", pa.int64(), nullable=number % 2 == 0)])
        table = pa.table({"x": range(100 * number, 100 * number + 100)}, schema=required)
        pq.write_table(table, tmp_path / f"{number}.parquet")
    found = reader(tmp_path)
    (chunk,) = found.chunks(["x"])
    assert chunk.table["x"].to_pylist() == chunk.rows.tolist() == list(range(1000))
    (some,) = found.chunks(["x"], parts=["2.parquet", "7.parquet"])
    assert some.table["x"].to_pylist() == some.rows.tolist()
    assert some.rows.tolist() == [*range(200, 300), *range(700, 800)]


def test_joined_files_keep_within_the_rows_of_a_chunk(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(parquet_files, "CHUNK_ROWS", 8 * 250)
    for number, rows in enumerate((100, 100, 100, 1900, 10, 0, 20)):
        pq.write_table(pa.table({"x": range(rows)}), tmp_path / f"{number}.parquet")
    chunks = list(reader(tmp_path).chunks(["x"]))
    assert [(chunk.row_base, chunk.table.num_rows) for chunk in chunks] == [
        (0, 200), (200, 100), (300, 1900), (2200, 30),
    ]  # fmt: skip
