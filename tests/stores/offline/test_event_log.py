"""The event log: what is acknowledged is there, once, whatever happens."""

import random
import subprocess
import sys
import threading
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from skewless.clock import SECOND, to_micros
from skewless.definitions import Source
from skewless.errors import CorruptData, InputError, StoreError
from skewless.stores.offline.base import Chunk
from skewless.stores.offline.log import settle as _settle
from skewless.stores.offline.log.journal import MANIFEST_KEY, STATE_KEY, log_table
from skewless.stores.offline.log.log import EventLog
from skewless.stores.offline.log.manifest import Manifest
from skewless.stores.online.lmdb.store import LMDBStore
from skewless.testing.memory import MemoryStore
from skewless.types import Int32
from tests.stores.offline.log_worker import SOURCE, batch_of

WORKER = Path(__file__).parent / "log_worker.py"


class Log(EventLog):
    """An event log with a store of its own and a shorter way to append."""

    def __init__(self, folder: Path, source: Source = SOURCE, store: MemoryStore | None = None):
        self.store = store or MemoryStore()
        super().__init__(source, self.store, folder)

    def add(self, rows: int = 1, **options: object) -> int:
        with self.store.transaction() as transaction:
            first = self.last_sequence(transaction) + 1
            batch = batch_of(self, first, rows)
            return self.append(transaction, batch, np.arange(first, first + rows), **options)

    def manifest(self) -> Manifest:
        return Manifest.decode(self.store.read_one(log_table(SOURCE.name), MANIFEST_KEY), "")


@pytest.fixture
def log(tmp_path: Path) -> Log:
    return Log(tmp_path)


def numbers(chunks: Iterator[Chunk]) -> list[int]:
    """Return the sequences, having checked that each row is what its sequence says."""
    found: list[int] = []
    for chunk in chunks:
        sequences = chunk.rows.tolist()
        assert chunk.table["n"].to_pylist() == sequences
        assert chunk.table["text"].to_pylist() == [f"row {number}" for number in sequences]
        found += sequences
    return sorted(found)


def all_of(log: EventLog) -> list[int]:
    return numbers(log.reader().chunks(["n", "text"]))


# -------------------------------------------------------------------------------------- appending


def test_sequences_begin_at_one_and_have_no_gaps(log: Log) -> None:
    assert [log.add(), log.add(3), log.add()] == [1, 2, 5]
    assert log.last_sequence() == 5


def test_what_a_transaction_takes_back_was_never_there(log: Log) -> None:
    def take_back() -> None:
        with log.store.transaction() as transaction:
            log.append(transaction, batch_of(log, 3, 1), np.array([3]))
            raise RuntimeError("undo")

    log.add(2)
    with pytest.raises(RuntimeError, match="undo"):
        take_back()
    assert all_of(log) == [1, 2]
    assert log.add() == 3


def test_an_empty_batch_changes_nothing(log: Log) -> None:
    assert log.add(0) == 1
    assert log.last_sequence() == 0
    assert log.newest_event() is None


def test_the_newest_event_is_known_without_reading_rows(log: Log) -> None:
    log.add(7)
    assert log.newest_event() == 4 * 86_400 * SECOND + 4


def test_a_batch_of_other_columns_is_refused(log: Log) -> None:
    batch = pa.RecordBatch.from_pydict({"n": [1]})
    with log.store.transaction() as rows, pytest.raises(InputError, match="not those of its"):
        log.append(rows, batch, np.array([1]))


def test_an_array_of_another_length_is_refused(log: Log) -> None:
    with pytest.raises(InputError, match="another length"):
        log.add(2, late=np.array([True]))


@pytest.mark.parametrize("settled", [False, True])
def test_rows_keep_what_is_noted_of_them(log: Log, settled: bool) -> None:
    log.add(3)
    log.add(
        3,
        late=np.array([False, True, False]),
        deleted=np.array([True, False, False]),
        supersedes=np.array([2, 0, 1]),
    )
    if settled:
        log.settle()
    columns = ["_known", "_sequence", "_late", "_deleted", "_supersedes"]
    found = log.reader().take(np.arange(1, 7), columns)
    assert found["_known"].cast(pa.int64()).to_pylist() == [1, 2, 3, 4, 5, 6]
    assert found["_sequence"].to_pylist() == [1, 2, 3, 4, 5, 6]
    assert found["_late"].to_pylist() == [False, False, False, False, True, False]
    assert found["_deleted"].to_pylist() == [False, False, False, True, False, False]
    assert found["_supersedes"].to_pylist() == [0, 0, 0, 2, 0, 1]


@pytest.mark.parametrize("settled", [False, True])
def test_late_rows_that_a_backfill_lets_in_are_known_from_then_on(log: Log, settled: bool) -> None:
    log.add(2, late=np.array([True, False]))
    log.include_late(1000)
    log.add(2, late=np.array([True, True]))
    log.include_late(2000)
    log.add(1, late=np.array([True]))
    if settled:
        log.settle()
    found = log.reader().take(np.arange(1, 6), ["_known", "_late"])
    assert found["_known"].cast(pa.int64()).to_pylist() == [1000, 2, 2000, 2000, 5]
    assert found["_late"].to_pylist() == [False, False, False, False, True]
    (chunk,) = log.reader().chunks(["_known"])
    assert sorted(chunk.table["_known"].cast(pa.int64()).to_pylist()) == [2, 5, 1000, 2000, 2000]


# --------------------------------------------------------------------------------------- settling


def test_settled_rows_are_parquet_by_event_date_that_any_tool_reads(
    log: Log, tmp_path: Path
) -> None:
    log.add(12)
    done = log.settle()
    assert (done.rows, done.written, log.unsettled()) == (12, 5, 0)
    folder = tmp_path / "log" / "events"
    assert sorted(path.name for path in folder.glob("event_date=*")) == [
        f"event_date=1970-01-0{day}" for day in range(1, 6)
    ]
    found = pq.read_table(folder)
    assert sorted(found["n"].to_pylist()) == list(range(1, 13))
    assert found["at"].type == pa.timestamp("us", "UTC")


def test_settling_twice_does_nothing_more(log: Log) -> None:
    log.add(12)
    log.settle()
    assert log.settle() == _settle.Settled()


def test_settling_waits_for_enough_rows(log: Log) -> None:
    log.add(12)
    assert log.settle(at_least=13).rows == 0
    assert log.settle(at_least=12).rows == 12


def test_many_small_files_of_a_date_are_joined(log: Log) -> None:
    for _ in range(64):
        log.add(5)
        log.settle()
    files = log.manifest().files
    assert len({file.date for file in files}) == 5
    assert len(files) <= 5 * 14
    assert {path.name for path in log.folder.rglob("*.parquet")} == {
        Path(file.name).name for file in files
    }
    assert all_of(log) == list(range(1, 321))


def test_a_reader_keeps_its_rows_while_they_are_settled_and_joined(log: Log) -> None:
    expected = 0
    readers = []
    for round_ in range(30):
        expected += 7
        log.add(7)
        reader = log.reader()
        assert reader.row_count() == expected
        readers.append((expected, reader))
        if round_ % 3 == 2:
            log.settle()
    for rows, reader in readers:
        assert numbers(reader.chunks(["n", "text"])) == list(range(1, rows + 1))
        found = reader.take(np.arange(1, rows + 1), ["n"])
        assert found["n"].to_pylist() == list(range(1, rows + 1))


def test_a_scan_that_has_begun_finds_rows_that_move_before_it(
    log: Log, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("skewless.stores.offline.log.reader.CHUNK_ROWS", 10)
    monkeypatch.setattr("skewless.stores.offline.log.reader.JOURNAL_ROWS", 10)
    for _ in range(8):
        log.add(10)
        log.settle()
    for _ in range(40):
        log.add(10)
    chunks = log.reader().chunks(["n", "text"])
    first = next(chunks)
    for _ in range(20):
        log.add(10)
        log.settle()
    found = numbers(iter([first, *chunks]))
    assert found == list(range(1, 481))


def test_reading_goes_on_while_another_thread_appends_and_settles(tmp_path: Path) -> None:
    store = LMDBStore(tmp_path / "kv", sync=False, map_size=1 << 28)
    log = EventLog(SOURCE, store, tmp_path)
    done = threading.Event()
    failures: list[BaseException] = []

    def write() -> None:
        try:
            while not done.is_set():
                with store.transaction() as rows:
                    first = log.last_sequence(rows) + 1
                    log.append(rows, batch_of(log, first, 20), np.arange(first, first + 20))
                log.settle()
        except BaseException as error:
            failures.append(error)
            raise

    writer = threading.Thread(target=write)
    writer.start()
    try:
        seen = 0
        for _ in range(30):
            reader = log.reader()
            rows = reader.row_count()
            assert rows >= seen
            seen = rows
            assert numbers(reader.chunks(["n", "text"])) == list(range(1, rows + 1))
            some = np.arange(1, rows + 1, 3)
            assert reader.take(some, ["n"])["n"].to_pylist() == some.tolist()
    finally:
        done.set()
        writer.join()
        store.close()
    assert failures == []


def test_chunks_are_bounded_however_much_was_pushed_at_once(
    log: Log, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("skewless.stores.offline.log.reader.CHUNK_ROWS", 100)
    log.add(250)
    log.add(30)
    sizes = [chunk.table.num_rows for chunk in log.reader().chunks(["n"])]
    assert (max(sizes), sum(sizes)) == (100, 280)
    assert all_of(log) == list(range(1, 281))


def test_only_one_of_several_settles_at_a_time(log: Log) -> None:
    log.add(3)
    with _settle._lock(log.folder) as alone:
        assert alone
        assert log.settle().busy
    assert log.settle().rows == 3


def test_files_of_a_killed_run_are_ignored_and_removed(log: Log) -> None:
    log.add(10)
    log.settle()
    stray = log.folder / "event_date=1970-01-01" / f"{11:020d}-{15:020d}.parquet"
    stray.write_bytes(b"half")
    stray.with_suffix(".parquet.tmp").write_bytes(b"less")
    mine = log.folder / "event_date=1970-01-01" / "notes.txt"
    mine.write_text("not the log's")
    assert all_of(log) == list(range(1, 11))
    log.add(10)
    log.settle()
    assert all_of(log) == list(range(1, 21))
    assert not stray.exists()
    assert not stray.with_suffix(".parquet.tmp").exists()
    assert mine.exists()


@pytest.mark.slow
@pytest.mark.parametrize("attempt", range(3))
def test_a_kill_at_any_instant_loses_nothing_and_doubles_nothing(
    tmp_path: Path, seed: int, attempt: int
) -> None:
    chance = random.Random(seed + attempt)
    for _ in range(3):
        command = [sys.executable, str(WORKER), str(tmp_path), str(chance.random())[2:8]]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as worker:
            assert worker.stdout is not None
            acknowledged = 0
            for _ in range(chance.randint(1, 120)):
                acknowledged = int(worker.stdout.readline())
            worker.kill()
            for line in worker.stdout:
                if line.endswith("\n"):
                    acknowledged = int(line)
        store = LMDBStore(tmp_path / "kv", map_size=1 << 28)
        log = EventLog(SOURCE, store, tmp_path)
        last = log.last_sequence()
        assert last >= acknowledged
        assert all_of(log) == list(range(1, last + 1))
        log.settle()
        assert all_of(log) == list(range(1, last + 1))
        named = {file.name for file in _manifest(store).files}
        assert {str(p.relative_to(log.folder)) for p in log.folder.rglob("*.parquet*")} == named
        store.close()


def test_a_full_disk_leaves_every_row_where_it_was(tmp_path: Path) -> None:
    script = (
        "import resource, signal, sys\n"
        "from pathlib import Path\n"
        "sys.path.insert(0, sys.argv[2])\n"
        "from tests.stores.offline.test_event_log import Log, all_of\n"
        "from skewless.errors import StoreError\n"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        "log = Log(Path(sys.argv[1]))\n"
        "log.add(20_000)\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, resource.RLIM_INFINITY))\n"
        "try:\n"
        "    log.settle()\n"
        "except StoreError as error:\n"
        "    print(error)\n"
        "assert all_of(log) == list(range(1, 20_001))\n"
        "assert list(log.folder.rglob('*.parquet*')) == []\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY,) * 2)\n"
        "assert log.settle().rows == 20_000\n"
        "assert all_of(log) == list(range(1, 20_001))\n"
    )
    root = str(Path(__file__).parents[3])
    command = [sys.executable, "-c", script, str(tmp_path), root]
    printed = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    assert "cannot be settled into files. Got: " in printed
    assert "File too large" in printed


def test_a_file_that_is_lost_is_an_error_and_never_fewer_rows(log: Log) -> None:
    log.add(10)
    log.settle()
    next(log.folder.rglob("*.parquet")).unlink()
    with pytest.raises(StoreError, match="a file of the event log is missing"):
        all_of(log)
    with pytest.raises(StoreError, match="a file of the event log is missing"):
        log.reader().take(np.arange(1, 11), ["n"])


def test_a_file_that_is_damaged_is_an_error_that_names_it(log: Log) -> None:
    log.add(10_000)
    log.settle()
    path = next(log.folder.rglob("*.parquet"))
    content = bytearray(path.read_bytes())
    content[200:400] = bytes(200)
    path.write_bytes(content)
    with pytest.raises(CorruptData, match=path.name):
        all_of(log)


def test_rows_that_are_missing_from_the_journal_are_an_error(log: Log) -> None:
    log.add(5)
    log.add(5)
    log.store.delete(log_table(SOURCE.name), [b"j" + (1).to_bytes(8, "big")])
    with pytest.raises(CorruptData, match="no sequences 1 to 5"):
        all_of(log)


def test_row_numbers_that_no_row_has_are_refused(log: Log) -> None:
    log.add(3)
    with pytest.raises(InputError, match="row numbers that an event log does not have"):
        log.reader().take(np.array([3, 4]), ["n"])


# ---------------------------------------------------------------------------------------- reading


@pytest.mark.parametrize("settled", [0, 6, 12])
def test_only_rows_after_a_sequence_are_read_on_request(log: Log, settled: int) -> None:
    for number in range(1, 13):
        log.add(2)
        if number == settled:
            log.settle()
    for after in (0, 1, 11, 12, 13, 23, 24):
        found = numbers(log.reader().chunks(["n", "text"], after=after))
        assert found == list(range(after + 1, 25))


def test_files_and_entries_outside_the_time_asked_for_are_not_read(log: Log) -> None:
    log.add(500)
    log.settle()
    for _ in range(10):
        log.add(1)
    day = 86_400 * SECOND
    chunks = log.reader().chunks(["n", "text"], time_column="at", start=day, end=2 * day)
    assert numbers(chunks) == [number for number in range(1, 511) if number % 5 == 1]


# ------------------------------------------------------------------------------------ growing older


def test_rows_from_before_a_column_was_added_have_nulls_in_it(tmp_path: Path) -> None:
    old = Log(tmp_path)
    old.add(3)
    old.settle()
    old.add(3)
    grown = Source("events", schema={"n": int, "text": str, "extra": float}, event_time="at")
    new = EventLog(grown, old.store, tmp_path)
    at = pa.array([datetime(2026, 1, 1, tzinfo=UTC)], pa.timestamp("us", "UTC"))
    row = pa.RecordBatch.from_arrays(
        [pa.array([7]), pa.array(["row 7"]), pa.array([0.5]), at], schema=new.schema
    )
    with old.store.transaction() as rows:
        new.append(rows, row, np.array([7]))
    for _ in range(2):
        found = new.reader().take(np.arange(1, 8), ["n", "extra"])
        assert found["extra"].to_pylist() == [None] * 6 + [0.5]
        assert numbers(new.reader().chunks(["n", "text"])) == list(range(1, 8))
        # By a process that does not know of the new column: it must not lose it.
        old.settle()


def test_a_column_that_becomes_wider_is_read_from_older_rows(tmp_path: Path) -> None:
    narrow = Source("events", schema={"x": Int32}, event_time="at")
    wide = Source("events", schema={"x": int}, event_time="at")
    store = MemoryStore()
    at = pa.array([datetime(2026, 1, 1, tzinfo=UTC)], pa.timestamp("us", "UTC"))
    for number, source in enumerate((narrow, wide)):
        log = EventLog(source, store, tmp_path)
        value = pa.array([number], log.schema.field("x").type)
        batch = pa.RecordBatch.from_arrays([value, at], schema=log.schema)
        with store.transaction() as rows:
            log.append(rows, batch, np.array([to_micros("2026-01-01T00:00:00Z")]))
    log = EventLog(wide, store, tmp_path)
    for _ in range(2):
        assert log.reader().take(np.array([1, 2]), ["x"])["x"].to_pylist() == [0, 1]
        log.settle()


def test_a_log_of_a_newer_format_is_refused(log: Log) -> None:
    log.add(3)
    state = log.store.read_one(log_table("events"), STATE_KEY)
    assert state is not None
    log.store.write(log_table("events"), [(STATE_KEY, bytes([9]) + state[1:])])
    with pytest.raises(StoreError, match=r"newer skewless.*format 9.*Upgrade"):
        log.add(1)
    with pytest.raises(StoreError, match="newer skewless"):
        all_of(log)


def test_a_manifest_of_a_newer_format_is_refused(log: Log) -> None:
    log.add(3)
    log.settle()
    manifest = Manifest(format=9, files=log.manifest().files)
    log.store.write(log_table("events"), [(MANIFEST_KEY, manifest.encode())])
    with pytest.raises(StoreError, match="newer skewless"):
        all_of(log)
    with pytest.raises(StoreError, match="newer skewless"):
        log.settle()


def _manifest(store: LMDBStore) -> Manifest:
    return Manifest.decode(store.read_one(log_table(SOURCE.name), MANIFEST_KEY), "")
