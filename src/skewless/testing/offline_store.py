"""The conformance suite of offline stores: what every reader of tables must do.

A store passes by subclassing the suite with a fixture that writes an Arrow table its way:

    class TestParquetReader(OfflineStoreSuite):
        @pytest.fixture
        def read(self, tmp_path):
            def read(rows: pa.Table) -> TableReader:
                pq.write_table(rows, tmp_path / "rows.parquet")
                return ParquetReader(Parquet(str(tmp_path / "rows.parquet")))
            return read

Writers do well to spread the rows over several files and row groups.
"""

# ruff: noqa: D102 - the names of the tests say it

from __future__ import annotations

from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from skewless.clock import to_micros
from skewless.definitions.source import Source
from skewless.errors import MissingColumn, UnknownName
from skewless.stores.offline.base import CHUNK_ROWS, TableReader
from skewless.stores.offline.cast import to_source_columns
from skewless.types import Date

Read = Callable[[pa.Table], TableReader]

SOURCE = Source(
    "conformance",
    schema={"n": int, "key": str, "value": float, "flag": bool, "day": Date},
    event_time="at",
)
ROWS = 3_000
BEGIN = datetime(2026, 1, 1, tzinfo=UTC)


def example_rows(rows: int = ROWS) -> pa.Table:
    """Return rows of `SOURCE` over ten days; ``n`` counts them, some values are null."""
    numbers = np.arange(rows)
    times = [BEGIN + timedelta(days=10) * (int(number) / max(rows, 1)) for number in numbers]
    columns: dict[str, Any] = {
        "n": numbers,
        "key": [f"key {number % 7}" if number % 11 else None for number in numbers],
        "value": [None if number % 13 == 0 else number / 8 for number in numbers],
        "flag": [None if number % 17 == 0 else bool(number % 3) for number in numbers],
        "day": [time.date() for time in times],
        "at": times,
    }
    types = SOURCE.columns
    return pa.table({name: pa.array(columns[name], types[name].arrow()) for name in types})


class OfflineStoreSuite:
    """Tests of one reader; see the module."""

    @pytest.fixture
    def read(self) -> Read:
        raise NotImplementedError(
            "give the suite a fixture `read`: it writes rows, then reads them"
        )

    @pytest.fixture
    def reader(self, read: Read) -> TableReader:
        reader = read(example_rows())
        reader.typed(SOURCE.columns)
        return reader

    # ------------------------------------------------------------------------------------- chunks

    def test_every_row_comes_once_as_it_was_written(self, reader: TableReader) -> None:
        assert _sorted(_all(reader)) == example_rows()

    def test_chunks_have_the_columns_asked_for_in_that_order(self, reader: TableReader) -> None:
        names = [chunk.table.column_names for chunk in reader.chunks(["value", "n"])]
        assert names == [["value", "n"]] * len(names)

    def test_chunks_are_bounded(self, reader: TableReader) -> None:
        assert max(chunk.table.num_rows for chunk in reader.chunks(["n"])) <= CHUNK_ROWS

    def test_an_iteration_may_be_left_early(self, reader: TableReader) -> None:
        chunks = reader.chunks(["n"])
        next(chunks)
        del chunks
        assert reader.row_count() == ROWS

    def test_a_column_that_is_not_there_is_named(self, reader: TableReader) -> None:
        with pytest.raises(MissingColumn, match="valeu"):
            list(reader.chunks(["n", "valeu"]))

    def test_two_threads_share_a_reader(self, reader: TableReader) -> None:
        with ThreadPoolExecutor(2) as pool:
            tables = list(pool.map(lambda _: _sorted(_all(reader)), range(4)))
        assert tables == [example_rows()] * 4

    # -------------------------------------------------------------------------------- row numbers

    def test_row_numbers_ascend_within_a_chunk(self, reader: TableReader) -> None:
        assert all((np.diff(chunk.rows) > 0).all() for chunk in reader.chunks(["n"]))

    def test_row_numbers_are_distinct_and_not_negative(self, reader: TableReader) -> None:
        numbers = np.concatenate([chunk.rows for chunk in reader.chunks(["n"])])
        assert len(np.unique(numbers)) == ROWS
        assert numbers.min() >= 0

    def test_a_row_keeps_its_number_whatever_is_asked_for(self, reader: TableReader) -> None:
        start, end = _micros(3), _micros(4)
        of_all = _numbers(reader.chunks(["key", "n"]))
        of_some = _numbers(reader.chunks(["n"], time_column="at", start=start, end=end))
        assert of_some.items() <= of_all.items()

    def test_take_returns_the_rows_of_the_numbers_in_their_order(self, reader: TableReader) -> None:
        numbers = _numbers(reader.chunks(["n"]))
        chosen = np.sort(np.random.default_rng(7).choice(list(numbers), 200, replace=False))
        found = reader.take(chosen, ["n", "value"])
        expected = example_rows().select(["n", "value"]).take([numbers[n] for n in chosen.tolist()])
        assert to_source_columns(found, SOURCE, ["n", "value"]) == expected

    def test_take_of_all_rows_is_all_rows(self, reader: TableReader) -> None:
        numbers = np.sort(np.array(list(_numbers(reader.chunks(["n"])))))
        found = reader.take(numbers, list(SOURCE.columns))
        assert _sorted(to_source_columns(found, SOURCE, list(SOURCE.columns))) == example_rows()

    def test_take_of_no_rows_has_the_columns(self, reader: TableReader) -> None:
        found = reader.take(np.empty(0, np.int64), ["value", "n"])
        assert (found.num_rows, found.column_names) == (0, ["value", "n"])

    def test_take_of_a_column_that_is_not_there_names_it(self, reader: TableReader) -> None:
        with pytest.raises(MissingColumn, match="valeu"):
            reader.take(np.array([1]), ["valeu"])

    # ---------------------------------------------------------------------------------- pushdown

    @pytest.mark.parametrize(("first", "last"), [(0, 1), (3, 4), (9, 20), (-5, 0), (2.5, 2.6)])
    def test_no_row_between_start_and_end_is_left_out(
        self, reader: TableReader, first: float, last: float
    ) -> None:
        start, end = _micros(first), _micros(last)
        chunks = reader.chunks(["n"], time_column="at", start=start, end=end)
        expected = [n for n, at in enumerate(_times()) if start <= at < end]
        assert set(expected) <= set(_numbers(chunks).values())

    def test_one_bound_is_enough(self, reader: TableReader) -> None:
        late = _numbers(reader.chunks(["n"], time_column="at", start=_micros(8)))
        early = _numbers(reader.chunks(["n"], time_column="at", end=_micros(8)))
        assert set(late.values()) | set(early.values()) == set(range(ROWS))

    # -------------------------------------------------------------------------------------- parts

    def test_parts_together_are_the_table(self, reader: TableReader) -> None:
        found: dict[int, int] = {}
        for part in reader.parts():
            of_part = _numbers(reader.chunks(["n"], parts=[part.name]))
            assert part.rows in (None, len(of_part))
            assert not found.keys() & of_part.keys()
            found |= of_part
        assert found == _numbers(reader.chunks(["n"]))

    def test_no_parts_are_no_rows(self, reader: TableReader) -> None:
        assert list(reader.chunks(["n"], parts=[])) == []

    def test_parts_keep_their_versions_while_nothing_changes(self, reader: TableReader) -> None:
        before = {part.name: part.version for part in reader.parts()}
        reader.refresh()
        assert {part.name: part.version for part in reader.parts()} == before

    def test_a_part_that_is_not_there_is_named(self, reader: TableReader) -> None:
        with pytest.raises(UnknownName, match="no such part"):
            list(reader.chunks(["n"], parts=["no such part"]))

    # --------------------------------------------------------------------------------- as a whole

    def test_the_number_of_rows_is_known(self, reader: TableReader) -> None:
        assert reader.row_count() == ROWS

    def test_the_schema_has_the_types_of_the_columns(self, reader: TableReader) -> None:
        schema = reader.schema()
        assert {
            name: schema[name] for name in ("n", "key", "value", "flag", "day")
        } == SOURCE.schema

    def test_a_table_without_rows_is_read(self, read: Read) -> None:
        reader = read(example_rows(0))
        reader.typed(SOURCE.columns)
        assert _all(reader).num_rows == 0
        assert reader.row_count() == 0


def _all(reader: TableReader) -> pa.Table:
    columns = list(SOURCE.columns)
    tables = [to_source_columns(chunk.table, SOURCE, columns) for chunk in reader.chunks(columns)]
    return pa.concat_tables([example_rows(0), *tables])


def _sorted(table: pa.Table) -> pa.Table:
    return table.sort_by("n").combine_chunks()


def _numbers(chunks: Iterable[Any]) -> dict[int, int]:
    """Return what ``n`` each row number has."""
    found: dict[int, int] = {}
    for chunk in chunks:
        found |= zip(chunk.rows.tolist(), chunk.table.column("n").to_pylist(), strict=True)
    return found


def _micros(day: float) -> int:
    return to_micros(BEGIN + timedelta(days=day))


def _times() -> list[int]:
    return [to_micros(at) for at in example_rows().column("at").to_pylist()]
