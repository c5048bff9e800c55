"""Files that grow: what is read, what waits, and what is refused."""

import os
from datetime import UTC, datetime
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import skewless as sl
from skewless.errors import CorruptData, DefinitionError, InputError
from skewless.streams.base import Batch
from skewless.streams.files import FilesReader
from skewless.types import Int64, String
from tests.ingest.stream.events import append

COLUMNS = {"n": Int64, "s": String}


def reader_of(
    path: Path, position: bytes | None = None, format: str = "json", start: str = "earliest"
) -> FilesReader:
    reader = FilesReader(sl.Files(path.name, format), path.parent)
    reader.typed(COLUMNS)
    reader.open(position, start=start)
    return reader


def numbers(batch: Batch) -> list[int]:
    rows = batch.rows if isinstance(batch.rows, list) else batch.rows.to_pylist()
    return [row["n"] for row in rows]


def objects(*values: int) -> str:
    return "".join(f'{{"n": {value}}}\n' for value in values)


@pytest.fixture
def landing(tmp_path: Path) -> Path:
    folder = tmp_path / "landing"
    folder.mkdir()
    return folder


def test_files_are_read_in_the_order_of_their_names(landing: Path) -> None:
    append(landing / "b.jsonl", objects(3))
    append(landing / "a.jsonl", objects(1, 2))
    append(landing / "c" / "x.ndjson", objects(4))
    batch = reader_of(landing).read(10, 0)
    assert numbers(batch) == [1, 2, 3, 4]
    origins = ["a.jsonl, byte 0", "a.jsonl, byte 9", "b.jsonl, byte 0", "c/x.ndjson, byte 0"]
    assert [batch.origin(row) for row in range(4)] == origins


def test_a_batch_has_at_most_the_rows_asked_for(landing: Path) -> None:
    append(landing / "a.jsonl", objects(*range(10)))
    reader = reader_of(landing)
    found = [numbers(reader.read(3, 0)) for _ in range(5)]
    assert found == [[0, 1, 2], [3, 4, 5], [6, 7, 8], [9], []]


def test_any_position_goes_on_with_the_next_row(landing: Path) -> None:
    append(landing / "a.jsonl", objects(*range(5)))
    append(landing / "b.jsonl", objects(*range(5, 9)))
    reader, read = reader_of(landing), []
    while numbers(batch := reader.read(2, 0)):
        read += numbers(batch)
        again = reader_of(landing, batch.position)
        rest = numbers(again.read(100, 0))
        assert read + rest == list(range(9))


def test_a_half_written_last_line_waits_for_its_end(landing: Path) -> None:
    append(landing / "a.jsonl", objects(1) + '{"n"')
    reader = reader_of(landing)
    assert numbers(reader.read(10, 0)) == [1]
    assert numbers(reader.read(10, 0)) == []
    assert reader.lag() == 0
    append(landing / "a.jsonl", ": 2}")
    assert numbers(reader.read(10, 0)) == []
    append(landing / "a.jsonl", "\n")
    assert numbers(reader.read(10, 0)) == [2]


def test_new_files_and_new_lines_are_picked_up(landing: Path) -> None:
    reader = reader_of(landing)
    assert numbers(reader.read(10, 0)) == []
    append(landing / "b.jsonl", objects(1))
    assert numbers(reader.read(10, 1)) == [1]
    append(landing / "a.jsonl", objects(2))
    append(landing / "b.jsonl", objects(3))
    assert numbers(reader.read(10, 1)) == [2, 3]


def test_reading_takes_what_is_there_and_does_not_wait_for_more(landing: Path) -> None:
    append(landing / "a.jsonl", objects(1))
    started = datetime.now(UTC)
    assert numbers(reader_of(landing).read(1000, 30)) == [1]
    assert (datetime.now(UTC) - started).total_seconds() < 15


def test_hidden_files_and_other_suffixes_are_passed_over(landing: Path) -> None:
    for name in (".a.jsonl", "_a.jsonl", "a.txt", "a.jsonl.tmp", ".git/a.jsonl"):
        append(landing / name, objects(1))
    assert numbers(reader_of(landing).read(10, 0)) == []


def test_blank_lines_and_windows_line_ends_and_a_mark_of_utf8_are_fine(landing: Path) -> None:
    append(landing / "a.jsonl", '\ufeff{"n": 1}\r\n\r\n  \n{"n": 2}\r\n')
    assert numbers(reader_of(landing).read(10, 0)) == [1, 2]


def test_poison_says_what_and_where(landing: Path) -> None:
    append(landing / "a.jsonl", objects(1) + "oops\n" + objects(2) + '{"n": "x"}\n')
    batch = reader_of(landing).read(10, 0)
    assert numbers(batch) == [1, 2]
    assert [(p.raw, p.origin) for p in batch.poison] == [
        (b"oops", "a.jsonl, byte 9"),
        (b'{"n": "x"}', "a.jsonl, byte 23"),
    ]
    assert batch.origin(1) == "a.jsonl, byte 14"


def test_a_line_longer_than_a_block_is_read_whole(landing: Path) -> None:
    append(landing / "a.jsonl", f'{{"n": 1, "s": "{"x" * 300_000}"}}\n' + objects(2))
    reader = reader_of(landing)
    assert numbers(reader.read(1, 0)) == [1]
    assert numbers(reader.read(1, 0)) == [2]


@pytest.mark.parametrize("fresh", [False, True])
@pytest.mark.parametrize("content", ["", '{"n": 7}\n', '{"n": 7}\n' * 50, '{"n": 7}\n' * 3])
def test_a_truncated_or_replaced_file_is_an_error(landing: Path, content: str, fresh: bool) -> None:
    append(landing / "a.jsonl", objects(1, 2, 3))
    reader = reader_of(landing)
    position = reader.read(10, 0).position
    (landing / "a.jsonl").write_text(content)
    reader = reader_of(landing, position) if fresh else reader
    with pytest.raises(CorruptData, match="truncated or replaced") as caught:
        reader.read(10, 0)
    assert "a.jsonl" in str(caught.value)


def test_a_file_that_differs_in_its_beginning_alone_was_replaced(landing: Path) -> None:
    """Rows that repeat make another file look the same just before the offset."""
    append(landing / "a.jsonl", objects(1) + objects(*[5] * 100))
    reader = reader_of(landing)
    batch = reader.read(1_000, 0)
    assert len(numbers(batch)) == 101
    for again in (reader, reader_of(landing, batch.position)):
        (landing / "a.jsonl").write_text(objects(2) + objects(*[5] * 200))
        with pytest.raises(CorruptData, match="truncated or replaced"):
            again.read(1_000, 0)


def test_a_file_that_was_copied_or_touched_is_still_the_same(landing: Path) -> None:
    append(landing / "a.jsonl", objects(1, 2, 3))
    position = reader_of(landing).read(2, 0).position
    content = (landing / "a.jsonl").read_bytes()
    (landing / "a.jsonl").unlink()
    (landing / "a.jsonl").write_bytes(content)
    os.utime(landing / "a.jsonl", (1, 1))
    assert numbers(reader_of(landing, position).read(10, 0)) == [3]


def test_files_that_were_read_may_be_removed(landing: Path) -> None:
    append(landing / "a.jsonl", objects(1))
    reader = reader_of(landing)
    assert numbers(reader.read(10, 0)) == [1]
    (landing / "a.jsonl").unlink()
    append(landing / "b.jsonl", objects(2))
    assert numbers(reader.read(10, 0)) == [2]


def test_one_file_may_come_into_being_later(tmp_path: Path) -> None:
    reader = reader_of(tmp_path / "rows.jsonl")
    assert numbers(reader.read(10, 0)) == []
    append(tmp_path / "rows.jsonl", objects(1))
    assert numbers(reader.read(10, 1)) == [1]


def test_a_folder_that_is_not_there_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no such file or folder"):
        reader_of(tmp_path / "landing")


def test_an_unknown_format_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="json, csv, parquet"):
        reader_of(tmp_path, format="xml")


def test_latest_leaves_what_is_there_and_takes_what_comes(landing: Path) -> None:
    append(landing / "a.jsonl", objects(1, 2) + '{"n": ')
    reader = reader_of(landing, start="latest")
    position = reader.read(10, 0).position
    append(landing / "a.jsonl", "3}\n")
    append(landing / "b.jsonl", objects(4))
    assert numbers(reader.read(10, 0)) == [3, 4]
    assert numbers(reader_of(landing, position).read(10, 0)) == [3, 4]


def test_files_cannot_start_at_a_time(landing: Path) -> None:
    with pytest.raises(InputError, match="no place that belongs to a time"):
        reader_of(landing, start=1_700_000_000_000_000)  # type: ignore[arg-type]


def test_lag_counts_bytes_of_whole_lines(landing: Path) -> None:
    append(landing / "a.jsonl", objects(1, 2))
    reader = reader_of(landing)
    assert reader.lag() == 18
    reader.read(1, 0)
    assert reader.lag() == 9
    reader.read(1, 0)
    assert reader.lag() == 0


def test_a_position_reads_as_how_far_each_file_was_read(landing: Path) -> None:
    append(landing / "a.jsonl", objects(1, 2))
    reader = reader_of(landing)
    assert reader.describe(reader.read(1, 0).position) == {"a.jsonl": 9}
    with pytest.raises(CorruptData, match="a position that is none"):
        reader.describe(b"\xc1")


def test_csv_files_may_have_different_headers(landing: Path) -> None:
    append(landing / "a.csv", "n,s\n1,a\n2,b\n")
    append(landing / "b.csv", "s,other,n\r\nc,0,3\r\n")
    reader = reader_of(landing, format="csv")
    first = reader.read(1, 0)
    assert numbers(first) == [1]
    rest = reader_of(landing, first.position, "csv").read(10, 0)
    assert rest.rows.to_pylist() == [{"n": 2, "s": "b"}, {"n": 3, "s": "c"}]


def test_a_half_written_header_waits(landing: Path) -> None:
    append(landing / "a.csv", "n,")
    reader = reader_of(landing, format="csv")
    assert numbers(reader.read(10, 0)) == []
    append(landing / "a.csv", "s\n1,a\n")
    assert numbers(reader.read(10, 0)) == [1]


def test_csv_that_is_not_text_is_poison(landing: Path) -> None:
    (landing / "a.csv").write_bytes(b"n,s\n1,a\n2,\xff\n3,x\nx,y\n")
    batch = reader_of(landing, format="csv").read(10, 0)
    assert numbers(batch) == [1, 3]
    assert [p.raw for p in batch.poison] == [b"2,\xff", b"x,y"]
    assert batch.origin(1) == "a.csv, byte 12"


def test_parquet_is_read_by_row_groups_once_it_is_whole(landing: Path) -> None:
    whole = landing.parent / "whole.parquet"
    table = pa.table({"n": range(10), "other": ["x"] * 10})
    pq.write_table(table, whole, row_group_size=4)
    content = whole.read_bytes()
    (landing / "a.parquet").write_bytes(content[:-5])
    reader = reader_of(landing, format="parquet")
    assert numbers(reader.read(10, 0)) == []
    (landing / "a.parquet").write_bytes(content)
    assert reader.lag() == 10
    first = reader.read(3, 0)
    assert first.rows.to_pylist() == [{"n": 0}, {"n": 1}, {"n": 2}]
    assert first.origin(1) == "a.parquet, row 1"
    assert reader.lag() == 7
    assert numbers(reader_of(landing, first.position, "parquet").read(100, 0)) == list(range(3, 10))


def test_parquet_files_of_other_types_come_in_batches_of_their_own(landing: Path) -> None:
    pq.write_table(pa.table({"n": pa.array([1], pa.int64())}), landing / "a.parquet")
    pq.write_table(pa.table({"n": pa.array([2], pa.int32())}), landing / "b.parquet")
    pq.write_table(pa.table({"n": pa.array([], pa.int32())}), landing / "c.parquet")
    reader = reader_of(landing, format="parquet")
    assert [numbers(reader.read(10, 0)) for _ in range(3)] == [[1], [2], []]


def test_a_replaced_or_damaged_parquet_file_is_an_error(landing: Path) -> None:
    pq.write_table(pa.table({"n": range(10)}), landing / "a.parquet")
    position = reader_of(landing, format="parquet").read(5, 0).position
    pq.write_table(pa.table({"n": range(20)}), landing / "a.parquet")
    with pytest.raises(CorruptData, match="truncated or replaced"):
        reader_of(landing, position, "parquet").read(5, 0)
    (landing / "a.parquet").write_bytes(b"PAR1 this is not really PAR1")
    with pytest.raises(CorruptData, match="damaged Parquet"):
        reader_of(landing, None, "parquet").read(5, 0)


@pytest.mark.parametrize("path", ["rows/*.jsonl", "rows/day-?.csv"])
def test_a_pattern_is_no_folder(path: str) -> None:
    """It named no file, and nothing was read, in silence."""
    with pytest.raises(DefinitionError, match="a pattern where a folder or a file is expected"):
        sl.Files(path)
