"""The conformance suite of streams: what every reader must do, shipped for yours too.

    pytest.register_assert_rewrite("skewless.testing")     # before the import: readable failures
    from skewless.testing.stream import Row, StreamSuite

    class TestMyReader(StreamSuite):
        @pytest.fixture
        def open_reader(self, tmp_path):
            return lambda: MyReader(sl.Files("rows"), tmp_path)

        @pytest.fixture
        def write(self, tmp_path):
            def write(rows: Sequence[Row], part: str) -> None:
                ...   # append rows to the partition `part`; when it returns, they can be read
            return write

`open_reader` returns what makes a reader of one and the same stream, which is there and empty when
a test begins. `write_poison`, if overridden, appends one message that is no row and returns its
bytes.
"""

# ruff: noqa: D102 - the names of the tests say it

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import pytest

from skewless.errors import SkewlessError
from skewless.streams.base import EARLIEST, LATEST, Batch, Start, StreamReader
from skewless.types import Int64, String

Row = dict[str, Any]
"""``n``, a whole number; ``s``, a text; ``extra``, a column that is not asked for."""
Open = Callable[[], StreamReader]
Write = Callable[[Sequence[Row], str], None]

COLUMNS = {"n": Int64, "s": String, "missing": String}
PARTS = ("a", "b", "c")


class StreamSuite:
    """Inherit it and say how to open and write the stream.

    Attributes:
        patience: seconds that rows may take until they can be read.
        keeps_order: whether a part is one partition, whose rows come in the order written.
        text: what texts contain; odd characters, as far as the format has them.
    """

    patience: float = 60.0
    keeps_order: bool = True
    text: str = ' "ü", \\ ;\n'

    @pytest.fixture
    def open_reader(self) -> Open:
        """Override: return what makes a reader, not opened yet."""
        pytest.fail(f"{type(self).__name__} must override the fixture open_reader")

    @pytest.fixture
    def write(self) -> Write:
        """Override: return what appends rows to a part of the stream."""
        pytest.fail(f"{type(self).__name__} must override the fixture write")

    @pytest.fixture
    def write_poison(self) -> Callable[[], bytes]:
        """Override where messages are decoded: return what appends one that is no row."""
        pytest.skip("has no messages that are no rows")

    # ----------------------------------------------------------------------------------- what comes

    def test_every_row_comes_once_with_the_columns_asked_for(
        self, open_reader: Open, write: Write
    ) -> None:
        rows = self._rows(range(60))
        for number, part in enumerate(PARTS):
            write(rows[number::3], part)
        with self._opened(open_reader) as reader:
            found = [row for batch in self._read(reader, 60) for row in _rows(batch)]
            assert _rows(reader.read(100, 0)) == []
        expected = [{"n": row["n"], "s": row["s"], "missing": None} for row in rows]
        assert sorted((_plain(row) for row in found), key=_number) == expected

    def test_rows_of_a_part_come_in_the_order_written(
        self, open_reader: Open, write: Write
    ) -> None:
        if not self.keeps_order:
            pytest.skip("keeps no order")
        for start in range(0, 40, 10):
            for number, part in enumerate(PARTS):
                write(self._rows(range(1000 * number + start, 1000 * number + start + 10)), part)
        with self._opened(open_reader) as reader:
            found = _numbers(self._read(reader, 120, max_rows=7))
        for number in range(len(PARTS)):
            of_part = [n for n in found if n // 1000 == number]
            assert of_part == list(range(1000 * number, 1000 * number + 40))

    def test_a_batch_has_at_most_the_rows_asked_for(self, open_reader: Open, write: Write) -> None:
        write(self._rows(range(25)), "a")
        with self._opened(open_reader) as reader:
            batches = self._read(reader, 25, max_rows=4)
        assert max(len(batch.rows) for batch in batches) <= 4

    def test_rows_written_later_are_picked_up(self, open_reader: Open, write: Write) -> None:
        with self._opened(open_reader) as reader:
            assert _rows(reader.read(10, 0)) == []
            for number in range(3):
                write(self._rows([number]), "a")
                assert _numbers(self._read(reader, 1)) == [number]

    def test_what_is_there_is_taken_without_waiting_for_more(
        self, open_reader: Open, write: Write
    ) -> None:
        write(self._rows([1]), "a")
        with self._opened(open_reader) as reader:
            began, patience = time.monotonic(), 10 * self.patience
            while not _rows(reader.read(1_000, patience)):
                assert time.monotonic() < began + patience
            assert time.monotonic() < began + patience / 2

    def test_a_row_has_an_origin_of_its_own(self, open_reader: Open, write: Write) -> None:
        for part in PARTS:
            write(self._rows(range(10)), part)
        with self._opened(open_reader) as reader:
            origins = [
                batch.origin(number)
                for batch in self._read(reader, 30)
                for number in range(len(batch.rows))
            ]
        assert all(origins)
        assert len(set(origins)) == 30

    # ------------------------------------------------------------------------------------ positions

    def test_any_position_goes_on_with_the_next_row(self, open_reader: Open, write: Write) -> None:
        for number, part in enumerate(PARTS):
            write(self._rows(range(10 * number, 10 * number + 10)), part)
        with self._opened(open_reader) as reader:
            batches = self._read(reader, 30, max_rows=7)
        assert sorted(_numbers(batches)) == list(range(30))
        for end in range(1, len(batches)):
            rest = _numbers(batches[end:])
            if not rest:
                continue
            with self._opened(open_reader, batches[end - 1].position) as again:
                assert sorted(_numbers(self._read(again, len(rest)))) == sorted(rest)

    def test_the_last_position_brings_nothing_until_more_is_written(
        self, open_reader: Open, write: Write
    ) -> None:
        write(self._rows(range(5)), "a")
        with self._opened(open_reader) as reader:
            last = self._read(reader, 5)[-1].position
        with self._opened(open_reader, last) as again:
            assert _rows(again.read(100, 0)) == []
            write(self._rows(range(5, 8)), "a")
            write(self._rows(range(8, 9)), "b")
            assert sorted(_numbers(self._read(again, 4))) == [5, 6, 7, 8]

    def test_committing_changes_nothing_that_is_read(self, open_reader: Open, write: Write) -> None:
        write(self._rows(range(10)), "a")
        with self._opened(open_reader) as reader:
            first = self._read(reader, 1, max_rows=5)
            reader.commit(first[-1].position)
            rest = self._read(reader, 10 - len(_numbers(first)))
        assert sorted(_numbers([*first, *rest])) == list(range(10))
        with self._opened(open_reader) as anew:
            assert sorted(_numbers(self._read(anew, 10))) == list(range(10))

    def test_a_position_as_plain_data_counts_what_was_read(
        self, open_reader: Open, write: Write
    ) -> None:
        write(self._rows(range(10)), "a")
        with self._opened(open_reader) as reader:
            batches = self._read(reader, 10, max_rows=3)
            told = [reader.describe(batch.position) for batch in batches if len(batch.rows)]
        assert all(isinstance(name, str) for each in told for name in each)
        totals = [sum(each.values()) for each in told]
        assert totals == sorted(set(totals))

    def test_a_position_that_is_none_is_refused(self, open_reader: Open) -> None:
        with pytest.raises(SkewlessError):
            self._opened(open_reader, b"\xffno position")

    # -------------------------------------------------------------------------------- the beginning

    def test_latest_leaves_out_what_is_there(self, open_reader: Open, write: Write) -> None:
        write(self._rows(range(5)), "a")
        with self._opened(open_reader, start=LATEST) as reader:
            begun = reader.read(100, 0)
            assert _rows(begun) == []
        write(self._rows(range(5, 8)), "a")
        with self._opened(open_reader, begun.position) as again:
            assert sorted(_numbers(self._read(again, 3))) == [5, 6, 7]

    def test_a_start_that_is_none_is_refused(self, open_reader: Open) -> None:
        with pytest.raises(SkewlessError):
            self._opened(open_reader, start="yesterday")

    # --------------------------------------------------------------------------------- what is told

    def test_the_lag_falls_to_nothing(self, open_reader: Open, write: Write) -> None:
        write(self._rows(range(20)), "a")
        with self._opened(open_reader) as reader:
            first = self._read(reader, 1, max_rows=5)
            before = reader.lag()
            assert before is None or before > 0
            self._read(reader, 20 - len(_numbers(first)))
            self._until(lambda: not reader.read(10, 0.2).rows and reader.lag() in (0, None))
            assert reader.lag_unit in ("messages", "bytes", "rows", "milliseconds")

    def test_readers_of_one_stream_have_its_name(self, open_reader: Open) -> None:
        names = {reader.name for reader in (open_reader(), open_reader())}
        assert len(names) == 1
        assert all(names)

    def test_closing_twice_is_fine(self, open_reader: Open) -> None:
        reader = self._opened(open_reader)
        reader.close()
        reader.close()

    def test_what_is_no_row_comes_as_poison_with_reason_and_origin(
        self, open_reader: Open, write: Write, write_poison: Callable[[], bytes]
    ) -> None:
        write(self._rows([1]), "a")
        raw = write_poison()
        write(self._rows([2]), "a")
        with self._opened(open_reader) as reader:
            batches = self._read(reader, 3)
        assert sorted(_numbers(batches)) == [1, 2]
        (poison,) = [each for batch in batches for each in batch.poison]
        assert poison.raw == raw
        assert poison.reason
        assert poison.origin
        with self._opened(open_reader, batches[-1].position) as again:
            assert again.read(10, 0).poison == ()

    # -------------------------------------------------------------------------------------- private

    def _rows(self, numbers: Iterable[int]) -> list[Row]:
        """Return rows that are told apart by ``n``."""
        return [{"n": n, "s": f"{n}{self.text}{n % 3}", "extra": 2 * n} for n in numbers]

    def _opened(
        self, open_reader: Open, position: bytes | None = None, *, start: Start = EARLIEST
    ) -> StreamReader:
        reader = open_reader()
        try:
            reader.typed(COLUMNS)
            reader.open(position, start=start)
        except BaseException:
            reader.close()
            raise
        return reader

    def _read(self, reader: StreamReader, count: int, max_rows: int = 1_000) -> list[Batch]:
        """Read batches until at least so many rows (or messages that are none) have come."""
        found: list[Batch] = []

        def come() -> bool:
            found.append(reader.read(max_rows, 0.2))
            return sum(len(batch.rows) + len(batch.poison) for batch in found) >= count

        self._until(come)
        return found

    def _until(self, ready: Callable[[], bool]) -> None:
        deadline = time.monotonic() + self.patience
        while not ready():
            assert time.monotonic() < deadline, f"not within {self.patience} s"


def _rows(batch: Batch) -> list[Row]:
    return batch.rows if isinstance(batch.rows, list) else batch.rows.to_pylist()


def _plain(row: Row) -> Row:
    """Return a row of what was asked for; what a decoder leaves out is null."""
    assert row.keys() <= COLUMNS.keys()
    return {name: row.get(name) for name in COLUMNS}


def _number(row: Row) -> int:
    return int(row["n"])


def _numbers(batches: Iterable[Batch]) -> list[int]:
    return [_number(row) for batch in batches for row in _rows(batch)]
