"""Event logs that settle into Delta and Iceberg tables: the same promises as with own files."""

import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import deltalake
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest
from pyiceberg.catalog import load_catalog

import skewless as sl
from skewless.clock import SECOND
from skewless.config import TableSettings
from skewless.definitions import Source
from skewless.errors import ConfigError, StoreError
from skewless.stores.offline.base import TableReader
from skewless.stores.offline.log import settle as _settle
from skewless.stores.offline.log.lake import lake_table
from skewless.stores.offline.log.log import EventLog
from skewless.testing.memory import MemoryStore
from skewless.testing.offline_store import SOURCE, OfflineStoreSuite, Read
from tests.stores.offline import lake_worker
from tests.stores.offline.lake_worker import STEPS, lake_of, opened

DAY = 86_400 * SECOND
EVENTS = lake_worker.SOURCE
KINDS = ["delta", "iceberg"]


@pytest.fixture(params=KINDS)
def kind(request: pytest.FixtureRequest) -> str:
    name: str = request.param
    return name


@pytest.fixture
def log(kind: str, tmp_path: Path) -> EventLog:
    return EventLog(EVENTS, MemoryStore(), tmp_path, lake_of(kind, tmp_path))


class _LakeSuite(OfflineStoreSuite):
    kind = ""

    @pytest.fixture
    def read(self, tmp_path: Path) -> Read:
        def read(rows: pa.Table) -> TableReader:
            shuffled = rows.take(np.random.default_rng(3).permutation(rows.num_rows))
            log = EventLog(SOURCE, MemoryStore(), tmp_path, lake_of(self.kind, tmp_path, SOURCE))
            pushed(log, shuffled.slice(0, 1000))
            log.settle()
            pushed(log, shuffled.slice(1000, 1000))
            log.settle()
            pushed(log, shuffled.slice(2000))
            return log.reader()

        return read


class TestLogInDelta(_LakeSuite):
    kind = "delta"


class TestLogInIceberg(_LakeSuite):
    kind = "iceberg"


def pushed(log: EventLog, rows: pa.Table) -> None:
    for batch in rows.to_batches(max_chunksize=130):
        known = np.asarray(batch.column(log.source.event_time).cast(pa.int64()))
        with log._store.transaction() as transaction:
            log.append(transaction, batch, known)


def rows_of(first: int, count: int) -> pa.Table:
    """Return rows whose every column follows from their sequence."""
    numbers = np.arange(first, first + count)
    at = pa.array(numbers % 5 * DAY + numbers).cast(pa.timestamp("us", "UTC"))
    return pa.table({"n": numbers, "text": [f"row {n}" for n in numbers], "at": at})


def push(log: EventLog, count: int) -> None:
    pushed(log, rows_of(log.last_sequence() + 1, count))


def contents(log: EventLog) -> list[tuple[int, int, str]]:
    """Return sequence, n and text of every row."""
    found = [
        row
        for chunk in log.reader().chunks(["n", "text"])
        for row in zip(
            chunk.rows.tolist(),
            chunk.table["n"].to_pylist(),
            chunk.table["text"].to_pylist(),
            strict=True,
        )
    ]
    return sorted(found)


def expected(count: int) -> list[tuple[int, int, str]]:
    return [(n, n, f"row {n}") for n in range(1, count + 1)]


def as_others_see_it(kind: str, folder: Path) -> pa.Table:
    """Return the table as any tool reads it."""
    if kind == "delta":
        return deltalake.DeltaTable(folder / "lake/events").to_pyarrow_table()
    place = f"sqlite:///{folder}/catalog.db"
    catalog = load_catalog("pond", type="sql", uri=place, warehouse=f"file://{folder}/warehouse")
    return catalog.load_table("skewless.events").scan().to_arrow()


# --------------------------------------------------------------------------------------- settling


def test_settled_rows_are_in_a_table_that_any_tool_reads(
    log: EventLog, kind: str, tmp_path: Path
) -> None:
    push(log, 12)
    done = log.settle()
    push(log, 3)
    table = as_others_see_it(kind, tmp_path).sort_by("_sequence")
    assert (done.rows, log.unsettled(), table.num_rows) == (12, 3, 12)
    assert table["n"].to_pylist() == list(range(1, 13))
    days = [str(day) for day in pc.unique(table["event_date"]).sort().to_pylist()]
    assert days == [f"1970-01-0{day}" for day in range(1, 6)]
    assert contents(log) == expected(15)
    assert list(log.folder.rglob("*.parquet")) == []


def test_single_rows_are_found_by_their_sequence_wherever_they_lie(log: EventLog) -> None:
    push(log, 30)
    log.settle()
    push(log, 10)
    rows = np.array([1, 17, 30, 31, 40])
    assert log.reader().take(rows, ["n"])["n"].to_pylist() == rows.tolist()
    after = [n for c in log.reader().chunks(["n"], after=28) for n in c.rows.tolist()]
    assert sorted(after) == list(range(29, 41))


def test_settling_twice_does_nothing_more(log: EventLog) -> None:
    push(log, 4)
    log.settle()
    assert log.settle() == _settle.Settled()


def test_rows_that_were_settled_into_files_before_stay_there(kind: str, tmp_path: Path) -> None:
    store = MemoryStore()
    before = EventLog(EVENTS, store, tmp_path)
    push(before, 10)
    before.settle()
    log = EventLog(EVENTS, store, tmp_path, lake_of(kind, tmp_path))
    push(log, 10)
    log.settle()
    push(log, 10)
    assert as_others_see_it(kind, tmp_path).num_rows == 10
    assert contents(log) == expected(30)


def test_a_log_whose_table_is_no_longer_named_is_an_error_and_never_fewer_rows(
    log: EventLog, kind: str, tmp_path: Path
) -> None:
    push(log, 3)
    log.settle()
    without = EventLog(EVENTS, log._store, tmp_path)
    with pytest.raises(ConfigError, match="settled rows of an event log are in another place"):
        contents(without)
    push(without, 1)
    with pytest.raises(ConfigError, match="settled rows of an event log are in another place"):
        without.settle()
    other = KINDS[KINDS.index(kind) - 1]
    with pytest.raises(ConfigError, match="in another place"):
        EventLog(EVENTS, log._store, tmp_path, lake_of(other, tmp_path)).settle()
    assert contents(log) == expected(4)


def test_a_table_of_another_log_is_not_touched(log: EventLog, kind: str, tmp_path: Path) -> None:
    push(log, 3)
    log.settle()
    stranger = EventLog(EVENTS, MemoryStore(), tmp_path / "other", lake_of(kind, tmp_path))
    push(stranger, 5)
    with pytest.raises(StoreError, match="is not its own"):
        stranger.settle()
    assert (contents(log), stranger.unsettled()) == (expected(3), 5)


def test_a_table_that_somebody_else_made_is_not_touched(tmp_path: Path) -> None:
    deltalake.write_deltalake(tmp_path / "lake/events", pa.table({"x": [1]}))
    log = EventLog(EVENTS, MemoryStore(), tmp_path, lake_of("delta", tmp_path))
    push(log, 1)
    with pytest.raises(StoreError, match="is not its own"):
        log.settle()


def test_columns_that_were_added_are_null_in_older_rows(kind: str, tmp_path: Path) -> None:
    store = MemoryStore()
    log = EventLog(EVENTS, store, tmp_path, lake_of(kind, tmp_path))
    push(log, 2)
    log.settle()
    wider = Source(
        "events",
        schema={"n": int, "text": str, "more": float, "v": sl.Vector(2)},
        event_time="at",
    )
    log = EventLog(wider, store, tmp_path, lake_of(kind, tmp_path, wider))
    more = pa.array([2.5], pa.float64())
    vector = pa.array([[1.0, 2.0]], pa.list_(pa.float32(), 2))
    rows = rows_of(3, 1).append_column("more", more).append_column("v", vector)
    pushed(log, rows.select(log.schema.names))
    log.settle()
    found = log.reader().take(np.arange(1, 4), ["n", "more", "v"])
    assert found["more"].to_pylist() == [None, None, 2.5]
    assert found["v"].to_pylist() == [None, None, [1.0, 2.0]]


def test_every_type_of_a_source_comes_back_from_a_lake(kind: str, tmp_path: Path) -> None:
    source = Source(
        "every",
        schema={
            "i": sl.Int32, "f": sl.Float32, "b": bool, "raw": bytes, "day": sl.Date, "doc": sl.Json,
            "price": sl.Decimal(12, 2), "list": list[int], "v": sl.Vector(2), "moment": sl.Timestamp,
            "map": sl.Map(float), "struct": sl.Struct({"x": int, "y": list[str]}),
        },
        event_time="at",
    )  # fmt: skip
    log = EventLog(source, MemoryStore(), tmp_path, lake_of(kind, tmp_path, source))
    values = {
        "i": 1, "f": 0.5, "b": True, "raw": b"\x00", "day": date(2026, 1, 1), "doc": "{}",
        "price": Decimal("1.25"), "list": [1, 2], "v": [0.5, 1.5], "at": datetime.now(UTC),
        "moment": datetime.now(UTC), "map": [("k", 1.5)], "struct": {"x": 1, "y": ["a", None]},
    }  # fmt: skip
    nothing = dict.fromkeys(values) | {"at": values["at"]}
    for _ in range(2):
        pushed(log, pa.Table.from_pylist([values, nothing], schema=log.schema))
        assert log.settle().rows == 2
    found = log.reader().take(np.arange(1, 5), log.schema.names)
    assert found.schema.types == log.schema.types
    assert found.to_pylist() == [values, nothing] * 2


def test_a_type_that_changes_leaves_the_rows_in_the_journal(kind: str, tmp_path: Path) -> None:
    store = MemoryStore()
    log = EventLog(EVENTS, store, tmp_path, lake_of(kind, tmp_path))
    push(log, 2)
    log.settle()
    other = Source("events", schema={"n": float, "text": str}, event_time="at")
    log = EventLog(other, store, tmp_path, lake_of(kind, tmp_path, other))
    rows = rows_of(3, 1).set_column(0, "n", pa.array([2.5], pa.float64()))
    pushed(log, rows)
    with pytest.raises(StoreError, match="cannot be written to"):
        log.settle()
    assert log.unsettled() == 1
    assert log.reader().take(np.arange(1, 4), ["n"])["n"].to_pylist() == [1.0, 2.0, 2.5]


def test_rows_outside_the_time_asked_for_are_not_read(log: EventLog) -> None:
    push(log, 50)
    log.settle()
    chunks = log.reader().chunks(["n"], time_column="at", start=2 * DAY, end=3 * DAY)
    assert sorted(n for c in chunks for n in c.table["n"].to_pylist()) == list(range(2, 51, 5))


# ----------------------------------------------------------------------------------- compaction


def test_small_files_of_a_date_are_joined_and_every_row_keeps_its_place(
    log: EventLog, kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_settle, "JOINED_FILES", 4)
    for _ in range(4):
        push(log, 10)
        done = log.settle()
    assert (done.joined, done.written) == (20, 6)
    assert len(log.reader().parts()) == 5
    assert contents(log) == expected(40)
    assert as_others_see_it(kind, tmp_path).num_rows == 40
    push(log, 10)
    log.settle()
    assert contents(log) == expected(50)


def test_a_reader_keeps_its_rows_while_files_are_joined_and_removed(
    log: EventLog, kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_settle, "JOINED_FILES", 2)
    push(log, 10)
    log.settle()
    reader = log.reader()
    reader.parts()
    push(log, 10)
    assert log.settle().joined == 10
    vacuumed(kind, tmp_path)
    assert sorted(n for c in reader.chunks(["n"]) for n in c.table["n"].to_pylist()) == list(
        range(1, 11)
    )
    assert reader.take(np.array([3, 9]), ["n"])["n"].to_pylist() == [3, 9]


def vacuumed(kind: str, folder: Path) -> None:
    """Remove the files that no version needs, at once."""
    if kind == "delta":
        table = deltalake.DeltaTable(folder / "lake/events")
        table.vacuum(0, dry_run=False, enforce_retention_duration=False)
        return
    place = f"sqlite:///{folder}/catalog.db"
    catalog = load_catalog("pond", type="sql", uri=place, warehouse=f"file://{folder}/warehouse")
    table = catalog.load_table("skewless.events")
    used = {task.file.file_path.removeprefix("file://") for task in table.scan().plan_files()}
    for path in (folder / "warehouse").rglob("*.parquet"):
        if str(path) not in used:
            path.unlink()


def test_files_that_another_engine_has_shuffled_are_read(tmp_path: Path) -> None:
    log = EventLog(EVENTS, MemoryStore(), tmp_path, lake_of("delta", tmp_path))
    push(log, 50)
    log.settle()
    table = deltalake.DeltaTable(tmp_path / "lake/events")
    table.optimize.z_order(["text"])
    push(log, 5)
    log.settle()
    assert contents(log) == expected(55)
    assert log.reader().take(np.array([2, 49, 55]), ["n"])["n"].to_pylist() == [2, 49, 55]


# ------------------------------------------------------------------------- kills and other writers


@pytest.mark.parametrize("step", STEPS)
def test_a_kill_after_any_step_loses_nothing_and_doubles_nothing(
    kind: str, step: str, tmp_path: Path
) -> None:
    log = opened(kind, tmp_path)
    push(log, 12)
    log._store.close()
    run_worker(tmp_path, kind, step)
    log = opened(kind, tmp_path)
    assert contents(log) == expected(12)
    push(log, 4)
    log.settle()
    assert (contents(log), log.unsettled()) == (expected(16), 0)
    table = as_others_see_it(kind, tmp_path)
    assert sorted(table["_sequence"].to_pylist()) == list(range(1, 17))
    log._store.close()


def run_worker(folder: Path, kind: str, step: str) -> None:
    command = [sys.executable, lake_worker.__file__, str(folder), kind, step]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 9, done.stderr


def test_of_two_that_settle_at_once_from_different_machines_nothing_is_doubled(
    kind: str, tmp_path: Path
) -> None:
    """The folder, whose lock would keep them apart, is not shared; the journal and lake are."""
    store = MemoryStore()
    logs = [
        EventLog(EVENTS, store, tmp_path / name, lake_of(kind, tmp_path)) for name in ("a", "b")
    ]
    for _ in range(4):
        push(logs[0], 15)
        with ThreadPoolExecutor(2) as pool:
            list(pool.map(lambda log: log.settle(), logs))
    logs[0].settle()
    table = as_others_see_it(kind, tmp_path)
    assert sorted(table["_sequence"].to_pylist()) == list(range(1, 61))
    assert contents(logs[1]) == expected(60)


def test_reading_goes_on_while_another_thread_appends_settles_and_joins(
    kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_settle, "JOINED_FILES", 2)
    store = MemoryStore()
    log = EventLog(EVENTS, store, tmp_path, lake_of(kind, tmp_path))
    push(log, 5)

    def write() -> None:
        for _ in range(6):
            push(log, 7)
            log.settle()

    with ThreadPoolExecutor(1) as pool:
        writing = pool.submit(write)
        while not writing.done():
            reader = log.reader()
            seen = reader.last_sequence()
            found = [n for c in reader.chunks(["n"]) for n in c.table["n"].to_pylist()]
            assert sorted(found) == list(range(1, seen + 1))
        writing.result()
    assert contents(log) == expected(47)


def test_a_journal_that_was_restored_from_an_older_backup_is_noticed(
    kind: str, tmp_path: Path
) -> None:
    store = MemoryStore()
    log = EventLog(EVENTS, store, tmp_path, lake_of(kind, tmp_path))
    push(log, 5)
    log.settle()
    backup = {name: dict(store.scan(name)) for name in [log._table]}
    push(log, 5)
    log.settle()
    restored = MemoryStore()
    restored.write(log._table, backup[log._table].items())
    older = EventLog(EVENTS, restored, tmp_path, lake_of(kind, tmp_path))
    pushed(older, rows_of(100, 6))
    with pytest.raises(StoreError, match="has other rows than the log"):
        older.settle()


# ------------------------------------------------------------------------------------ the product


def test_a_repo_whose_log_is_a_table_trains_and_serves_as_any(kind: str, tmp_path: Path) -> None:
    log = {
        "delta": 'log = { kind = "delta", path = "lake" }',
        "iceberg": 'log = { kind = "iceberg", catalog = "pond", namespace = "logs" }',
    }[kind]
    (tmp_path / "skewless.toml").write_text(
        f"""
        [offline]
        {log}
        [connections.pond]
        type = "sql"
        uri = "sqlite:///{tmp_path}/catalog.db"
        warehouse = "file://{tmp_path}/warehouse"
        """
    )
    tests = sl.Source("tests", schema={"fab": str, "vdd": float}, event_time="at", row_id="fab")
    fab = sl.Entity("fab", fab=str)
    view = sl.FeatureView("Fab", entity=fab, source=tests, features={"vdd": tests.vdd.latest()})
    with sl.FeatureStore(tmp_path) as fs:
        fs.apply(view)
        rows = [
            {"fab": f"f{n}", "vdd": float(n), "at": f"2026-01-0{n}T00:00:00Z"} for n in range(1, 6)
        ]
        fs.push("tests", rows, backdate=True)
        assert fs.compact() == {"tests": 5}
        fs.push("tests", [{"fab": "f2", "vdd": 22.0, "at": "2026-01-02T00:00:00Z"}])
        fs.compact()
        spine = [{"fab": f"f{n}", "when": "2026-01-09T00:00:00Z"} for n in range(1, 6)]
        training = fs.get_historical_features(
            spine, "Fab", timestamp="when", as_of="event_time"
        ).to_dict()
        served = fs.get_online_features("Fab", [{"fab": f"f{n}"} for n in range(1, 6)]).to_dict()
        assert training["vdd"] == served["vdd"] == [1.0, 22.0, 3.0, 4.0, 5.0]


@pytest.mark.parametrize(
    ("options", "problem"),
    [
        ({"kind": "hudi"}, "hudi.*delta, iceberg"),
        ({"kind": "delta"}, "needs 'path'"),
        ({"kind": "delta", "path": "x", "catalog": "y"}, "catalog"),
        ({"kind": "iceberg"}, "needs 'catalog'"),
    ],
)
def test_a_wrong_setting_is_named(options: Any, problem: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=problem):
        lake_table(options, EVENTS, tmp_path, TableSettings())
