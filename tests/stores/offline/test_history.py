"""The history of a source: table and log as one, with what counts and until when."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from skewless.clock import ALWAYS, NEVER, from_micros
from skewless.definitions import Source
from skewless.definitions.tables import CSV, Frame, Parquet
from skewless.engines.reference import HistoryRow, versions
from skewless.errors import InputError, NaiveTime, UnknownName
from skewless.stores.offline import superseded as _superseded
from skewless.stores.offline.history import LOG_ROWS, History
from skewless.stores.offline.log.log import EventLog
from skewless.stores.offline.tables.csv import CSVReader
from skewless.stores.offline.tables.frame import FrameReader
from skewless.stores.offline.tables.parquet import ParquetReader
from skewless.testing.memory import MemoryStore

SCHEMA = {"key": str, "x": float}


def source(**options: Any) -> Source:
    return Source("tests", schema=SCHEMA, event_time="at", **options)


def rows_of(origin: Source, rows: Sequence[Mapping[str, Any]]) -> pa.Table:
    """Return rows as a table; times are given as microseconds."""
    columns = {}
    for name, dtype in origin.columns.items():
        values = [row.get(name) for row in rows]
        if dtype.kind == "timestamp":
            values = [None if value is None else from_micros(value) for value in values]
        columns[name] = pa.array(values, dtype.arrow())
    return pa.table(columns)


def table_history(origin: Source, rows: Sequence[Mapping[str, Any]]) -> History:
    return History(origin, FrameReader(Frame(rows_of(origin, rows))))


def log_of(origin: Source, folder: Path, rows: Sequence[Mapping[str, Any]]) -> EventLog:
    """Return a log of rows: ``known``, ``late`` and ``deleted`` are what is noted of them."""
    log = EventLog(origin, MemoryStore(), folder)
    for row in rows:
        batch = rows_of(origin, [row]).to_batches()[0]
        with log._store.transaction() as transaction:
            log.append(
                transaction,
                batch,
                np.array([row["known"]]),
                late=np.array([row.get("late", False)]),
                deleted=np.array([row.get("deleted", False)]),
            )
    return log


def everything(history: History, columns: Sequence[str] = ("key", "x")) -> list[tuple[Any, ...]]:
    """Return key, x, event, known, tiebreak, late and row of every row."""
    return [
        row
        for chunk in history.chunks(columns)
        for row in zip(
            *(column.to_pylist() for column in chunk.table.columns),
            chunk.event.tolist(),
            chunk.known.tolist(),
            chunk.tiebreak.tolist(),
            chunk.late.tolist(),
            chunk.row.tolist(),
            strict=True,
        )
    ]


# ------------------------------------------------------------------------------------------- times


def test_rows_of_a_table_are_known_after_the_delay() -> None:
    history = table_history(source(delay="1s"), [{"key": "a", "x": 1.0, "at": 5}])
    assert everything(history) == [("a", 1.0, 5, 1_000_005, 0, False, 0)]


def test_rows_of_a_table_are_known_when_their_column_says() -> None:
    rows = [{"key": "a", "at": 5, "seen": 9}, {"key": "b", "at": 6, "seen": None}]
    history = table_history(source(known_time="seen"), rows)
    assert everything(history) == [
        ("a", None, 5, 9, 0, False, 0),
        ("b", None, 6, 6, 0, False, 1),
    ]


def test_rows_of_the_log_come_after_those_of_the_table(tmp_path: Path) -> None:
    origin = source()
    reader = FrameReader(Frame(rows_of(origin, [{"key": "a", "at": 1}])))
    log = log_of(origin, tmp_path, [{"key": "b", "at": 0, "known": 7, "late": True}])
    history = History(origin, reader, log)
    assert everything(history) == [
        ("a", None, 1, 1, 0, False, 0),
        ("b", None, 0, 7, 1, True, LOG_ROWS + 1),
    ]
    assert (history.row_count(), history.last_sequence()) == (2, 1)


def test_rows_without_an_event_time_are_left_out_and_counted() -> None:
    rows = [{"key": "a", "at": None}, {"key": "b", "at": 2}, {"key": "c", "at": None}]
    history = table_history(source(), rows)
    assert everything(history) == [("b", None, 2, 2, 0, False, 1)]
    assert [chunk.dropped for chunk in history.chunks(["x"])] == [2]


def test_rows_that_delete_others_are_left_out_and_not_counted(tmp_path: Path) -> None:
    rows = [{"key": "a", "at": 1, "known": 1}, {"key": "a", "known": 2, "deleted": True}]
    history = History(source(row_id="key"), None, log_of(source(row_id="key"), tmp_path, rows))
    assert [chunk.row.tolist() for chunk in history.chunks(["key"])] == [[LOG_ROWS + 1]]
    assert [chunk.dropped for chunk in history.chunks(["key"])] == [0]


def test_a_history_stays_as_it_was_when_first_looked_at(tmp_path: Path) -> None:
    log = log_of(source(), tmp_path, [{"key": "a", "at": 1, "known": 1}])
    history = History(source(), None, log)
    assert len(everything(history)) == 1
    with log._store.transaction() as rows:
        log.append(rows, rows_of(source(), [{"key": "b", "at": 2}]).to_batches()[0], np.array([2]))
    assert len(everything(history)) == 1
    assert len(everything(History(source(), None, log))) == 2


def test_times_without_a_zone_are_refused_unless_the_table_names_one(tmp_path: Path) -> None:
    naive = pa.table({"key": ["a"], "x": [1.0], "at": [datetime(2026, 1, 1)]})
    pq.write_table(naive, tmp_path / "a.parquet")
    plain, berlin = Parquet(str(tmp_path)), Parquet(str(tmp_path), timezone="Europe/Berlin")
    with pytest.raises(NaiveTime, match=r"column 'at' of file .*a\.parquet"):
        everything(History(source(), ParquetReader(plain)))
    (row,) = everything(History(source(), ParquetReader(berlin)))
    assert from_micros(row[2]) == datetime(2025, 12, 31, 23, tzinfo=UTC)


def test_csv_is_read_with_the_types_of_the_source(tmp_path: Path) -> None:
    lines = ["key,x,at", "007,1,2026-01-01T00:00:00Z", "NA,NaN,2026-01-01T00:00:01Z"]
    (tmp_path / "a.csv").write_text("\n".join(lines))
    history = History(source(), CSVReader(CSV(str(tmp_path))))
    assert [row[:2] for row in everything(history)] == [("007", 1.0), (None, None)]


def test_values_that_do_not_fit_the_source_name_column_and_table() -> None:
    frame = pa.table({"key": [1], "x": [1.0], "at": [datetime(2026, 1, 1, tzinfo=UTC)]})
    with pytest.raises(InputError, match="column 'key' of 'mine', the table of source 'tests'"):
        everything(History(source(), FrameReader(Frame(frame, name="mine"))))


def test_a_column_that_the_source_does_not_have_is_named() -> None:
    with pytest.raises(UnknownName, match="Did you mean 'key'"):
        list(table_history(source(), []).chunks(["kye"]))


# --------------------------------------------------------------------------------------- selection


def test_only_the_log_after_a_sequence_on_request(tmp_path: Path) -> None:
    origin = source()
    log = log_of(origin, tmp_path, [{"key": str(n), "at": n, "known": n} for n in range(6)])
    history = History(origin, FrameReader(Frame(rows_of(origin, [{"key": "t", "at": 0}]))), log)
    (chunk,) = history.chunks(["key"], after=4)
    assert chunk.table["key"].to_pylist() == ["4", "5"]


def test_only_parts_of_the_table_on_request(tmp_path: Path) -> None:
    origin = source()
    for number in range(3):
        rows = rows_of(origin, [{"key": str(number), "at": number}])
        pq.write_table(rows, tmp_path / f"{number}.parquet")
    log = log_of(origin, tmp_path / "log", [{"key": "log", "at": 0, "known": 0}])
    history = History(origin, ParquetReader(Parquet(str(tmp_path))), log)
    assert [part.name for part in history.parts()] == ["0.parquet", "1.parquet", "2.parquet"]
    (chunk,) = history.chunks(["key"], parts=["1.parquet"])
    assert (chunk.table["key"].to_pylist(), chunk.row.tolist()) == (["1"], [1])


def test_take_finds_rows_of_table_and_log_by_number(tmp_path: Path) -> None:
    origin = source()
    reader = FrameReader(Frame(rows_of(origin, [{"key": f"t{n}", "at": n} for n in range(4)])))
    log = log_of(origin, tmp_path, [{"key": f"l{n}", "at": n, "known": n} for n in range(4)])
    history = History(origin, reader, log)
    rows = np.array([1, 3, LOG_ROWS + 1, LOG_ROWS + 4])
    assert history.take(rows, ["key"])["key"].to_pylist() == ["t1", "t3", "l0", "l3"]
    assert history.take(rows[:0], ["key", "x"]).schema.types == [pa.string(), pa.float64()]


def test_the_content_hash_is_of_all_columns_and_of_no_storage(tmp_path: Path) -> None:
    origin = source()
    rows = [{"key": "a", "x": 1.0, "at": 5}, {"key": "a", "x": 1.0, "at": 6}]
    frame = rows_of(origin, rows)
    stored = frame.set_column(0, "key", frame["key"].dictionary_encode())
    pq.write_table(stored, tmp_path / "a.parquet", row_group_size=1)
    by_file = History(origin, ParquetReader(Parquet(str(tmp_path))))
    by_log = History(origin, None, log_of(origin, tmp_path, [row | {"known": 1} for row in rows]))
    found = table_history(origin, rows).content_hash(np.array([0, 1])).tolist()
    assert found[0] != found[1]
    assert by_file.content_hash(np.array([0, 1])).tolist() == found
    assert by_log.content_hash(LOG_ROWS + np.array([1, 2])).tolist() == found


# -------------------------------------------------------------------------------------- superseded


def superseded(history: History) -> dict[int, int]:
    found = history.superseded()
    return dict(zip(found.rows.tolist(), found.times.tolist(), strict=True))


def test_a_source_without_row_ids_has_no_corrections_and_reads_nothing() -> None:
    history = table_history(source(), [{"key": "a", "at": 1}, {"key": "a", "at": 2}])
    history._reader = None
    found = history.superseded()
    assert len(found) == 0
    assert found.of(np.array([0, 1])).tolist() == [NEVER, NEVER]


def test_a_correction_replaces_from_its_own_known_time_on() -> None:
    rows = [
        {"key": "a", "x": 1.0, "at": 1, "seen": 10},
        {"key": "b", "x": 1.0, "at": 1, "seen": 10},
        {"key": "a", "x": 2.0, "at": 1, "seen": 30},
        {"key": "a", "x": 3.0, "at": 1, "seen": 20},
    ]
    history = table_history(source(row_id="key", known_time="seen"), rows)
    assert superseded(history) == {0: 20, 3: 30}
    assert history.superseded().of(np.array([0, 1, 2, 3])).tolist() == [20, NEVER, NEVER, 30]


def test_later_row_of_the_log_replaces_one_that_was_known_later(tmp_path: Path) -> None:
    rows = [
        {"key": "a", "x": 1.0, "at": 1, "known": 50},
        {"key": "a", "x": 2.0, "at": 1, "known": 10},
        {"key": "a", "at": 1, "known": 40, "deleted": True},
    ]
    origin = source(row_id="key")
    log = log_of(origin, tmp_path, rows)
    assert superseded(History(origin, None, log)) == {LOG_ROWS + 1: 10, LOG_ROWS + 2: 40}
    # Known before the deletion, or with it, a row of the table is not the later version.
    for known, expected in ((40, {0: 10}), (50, {0: 10}), (51, {LOG_ROWS + 3: 51})):
        table = FrameReader(Frame(rows_of(origin, [{"key": "a", "x": 3.0, "at": known}])))
        assert superseded(History(origin, table, log)).items() >= expected.items()


def test_an_identical_delivery_again_never_counts() -> None:
    rows = [{"key": "a", "x": 1.0, "at": 1}, {"key": "a", "x": 1.0, "at": 1}]
    assert superseded(table_history(source(row_id="key"), rows)) == {1: ALWAYS}


def test_rows_whose_id_is_null_in_part_are_no_versions_of_each_other() -> None:
    rows = [{"key": None, "x": 1.0, "at": n} for n in range(3)]
    assert superseded(table_history(source(row_id=["key", "x"]), rows)) == {}


def test_a_row_of_the_log_corrects_one_of_the_table(tmp_path: Path) -> None:
    origin = source(row_id="key")
    reader = FrameReader(Frame(rows_of(origin, [{"key": "a", "x": 1.0, "at": 1}])))
    log = log_of(origin, tmp_path, [{"key": "a", "x": 2.0, "at": 1, "known": 50}])
    assert superseded(History(origin, reader, log)) == {0: 50}


def test_rows_beyond_the_lateness_correct_nothing_until_they_count(tmp_path: Path) -> None:
    origin = source(row_id="key")
    rows = [{"key": "a", "at": 5, "known": 5}, {"key": "a", "at": 1, "known": 6, "late": True}]
    log = log_of(origin, tmp_path, rows)
    history = History(origin, None, log)
    assert superseded(history) == {}
    assert len(history.superseded(late=True)) == 1
    log.include_late(90)
    assert superseded(History(origin, None, log)) == {LOG_ROWS + 1: 90}


def test_a_deletion_replaces_and_leaves_nothing(tmp_path: Path) -> None:
    rows = [{"key": "a", "at": 1, "known": 1}, {"key": "a", "known": 7, "deleted": True}]
    history = History(source(row_id="key"), None, log_of(source(row_id="key"), tmp_path, rows))
    assert superseded(history) == {LOG_ROWS + 1: 7}


def test_ids_whose_bits_match_by_chance_are_told_apart(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        _superseded, "id_bits", lambda table: np.full(table.num_rows, 2**64 - 1, np.uint64)
    )
    rows = [{"key": key, "x": x, "at": 1, "seen": n} for n, (key, x) in enumerate(
        [("a", 1.0), ("b", 1.0), ("a", 2.0), ("c", 1.0), ("b", 2.0), ("a", 3.0)]
    )]  # fmt: skip
    assert superseded(table_history(source(row_id="key", known_time="seen"), rows)) == {
        0: 2, 1: 4, 2: 5,
    }  # fmt: skip


def test_histories_that_need_several_passes_find_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    chance = np.random.default_rng(11)
    rows = [
        {"key": f"{chance.integers(60)}", "x": float(chance.integers(3)), "at": 1, "seen": n}
        for n in range(300)
    ]
    origin = source(row_id="key", known_time="seen")
    expected = superseded(table_history(origin, rows))
    assert len(expected) > 200
    monkeypatch.setattr(_superseded, "ROWS_A_PASS", 40)
    monkeypatch.setattr(_superseded, "ROWS_A_SLICE", 16)
    assert superseded(table_history(origin, rows)) == expected


row_values = st.fixed_dictionaries(
    {
        "key": st.sampled_from(["a", "b", "c", None]),
        "x": st.sampled_from([1.0, -0.0, 0.0, None]),
        "at": st.sampled_from([1, 2, 3, None]),
        "known": st.integers(0, 4),
        "late": st.booleans(),
        "deleted": st.booleans(),
        "in_log": st.booleans(),
    }
)


@given(st.lists(row_values, max_size=25))
def test_versions_are_those_of_the_reference_engine(
    tmp_path_factory: pytest.TempPathFactory, rows: list[dict[str, Any]]
) -> None:
    origin = source(row_id="key")
    # A deletion comes by the log; rows of a table are known at their event time, without delay.
    in_log = [row for row in rows if row["in_log"]]
    in_table = [row for row in rows if not row["in_log"]]
    log = log_of(origin, tmp_path_factory.mktemp("log"), in_log)
    frame = FrameReader(Frame(rows_of(origin, in_table)))
    history = History(origin, frame, log)
    hashes = history.content_hash(np.arange(len(in_table)))
    expected: list[tuple[int, HistoryRow]] = []
    for number, row in enumerate(in_table):
        values = {name: row[name] for name in ("key", "x", "at")}
        identity = None if row["key"] is None else (row["key"],)
        tiebreak = ALWAYS + (int(hashes[number]) >> 1)
        known = ALWAYS if row["at"] is None else row["at"]
        expected.append((number, HistoryRow(values, row["at"], known, tiebreak, row_id=identity)))
    for sequence, row in enumerate(in_log, start=1):
        values = {name: row[name] for name in ("key", "x", "at")}
        identity = None if row["key"] is None else (row["key"],)
        noted = HistoryRow(
            values, row["at"], row["known"], sequence, row["late"], identity, row["deleted"]
        )
        expected.append((LOG_ROWS + sequence, noted))
    found = versions([row for _, row in expected])
    replaced = {
        number: ALWAYS if version.duplicate else version.until
        for (number, _), version in zip(expected, found, strict=True)
        if version.duplicate or version.until != NEVER
    }
    assert superseded(history) == replaced
