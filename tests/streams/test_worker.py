"""The worker, end to end on files: what goes in, what is set aside, and who may work."""

import json
import random
import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

import skewless as sl
from skewless.config import Config
from skewless.errors import Conflict, CorruptData, InputError, StoreUnavailable
from skewless.jobs.runtime import Runtime
from skewless.jobs.stream import StreamWorker
from skewless.jobs.stream_lease import LEASES, Holder, Lease
from skewless.jobs.stream_metrics import StreamMetrics, prometheus
from skewless.jobs.stream_status import forget_position, stream_status
from skewless.testing.memory import MemoryStore
from tests.streams.events import (
    append,
    event,
    lines,
    served_and_computed,
    source,
    store,
    taken_in,
    view,
)

LANDING = sl.Files("landing")


@pytest.fixture
def landing(tmp_path: Path) -> Path:
    (tmp_path / "landing").mkdir()
    return tmp_path / "landing"


@pytest.fixture
def fs(landing: Path) -> Iterator[sl.FeatureStore]:
    with store(landing.parent, source(LANDING, row_id="id")) as opened:
        yield opened


def run(fs: sl.FeatureStore, **options: Any) -> StreamMetrics:
    return StreamWorker(fs.runtime, "tests", **options).run(once=True)


def test_served_values_are_those_of_history(fs: sl.FeatureStore, landing: Path) -> None:
    append(landing / "a.jsonl", lines(event(n) for n in range(500)))
    assert run(fs, max_rows=64).rows == 500
    served, computed = served_and_computed(fs)
    assert served == computed
    assert taken_in(fs) == list(range(500))


def test_shuffled_and_doubled_deliveries_count_once(
    fs: sl.FeatureStore, landing: Path, seed: int
) -> None:
    rng = random.Random(seed)
    rows = [event(n) for n in range(300)]
    delivered = rows + rng.sample(rows, 100)
    rng.shuffle(delivered)
    worker_sizes = [1, 7, 50, 400]
    for start in range(0, 400, 100):
        append(landing / f"{start}.jsonl", lines(delivered[start : start + 100]))
        metrics = run(fs, max_rows=worker_sizes.pop())
        assert metrics.rows + metrics.duplicates == 100
    assert taken_in(fs) == list(range(300))
    served, computed = served_and_computed(fs)
    assert served == computed


def test_a_second_row_of_an_id_is_a_correction(fs: sl.FeatureStore, landing: Path) -> None:
    append(landing / "a.jsonl", lines([event(1), event(2), event(1, vdd=9.5)]))
    assert run(fs).corrections == 1
    served, computed = served_and_computed(fs)
    assert served == computed


def test_fields_nobody_asked_for_are_passed_over_and_missing_ones_null(
    fs: sl.FeatureStore, landing: Path
) -> None:
    row = event(1, lot="L1", nested={"vdd": 2})
    del row["vdd"]
    append(landing / "a.jsonl", lines([row]))
    assert run(fs).rows == 1
    found = fs.get_online_features(["Rolling:tests", "Rolling:newest"], [{"fab": row["fab"]}])
    assert found.to_dict() == {"fab": [row["fab"]], "tests": [1], "newest": [None]}


def test_what_is_no_row_is_quarantined_with_its_place(fs: sl.FeatureStore, landing: Path) -> None:
    soon = (datetime.now(UTC) + timedelta(days=1)).isoformat()
    bad = [event(2, vdd="much"), event(3, at=soon), event(4, at="2026-01-01T00:00:00")]
    append(landing / "a.jsonl", lines([event(1)]) + "oops\n" + lines([*bad, event(5)]))
    metrics = run(fs)
    assert (metrics.rows, metrics.quarantined) == (2, 4)
    reasons = sorted(row.reason for row in fs.quarantine("tests"))
    assert [
        reason.rpartition(" (a.jsonl, byte ")[0].split(" - ")[0][:26] for reason in reasons
    ] == [
        "Expected `float | null`, g",
        "at lies in the future: 202",
        "at: a time without a time ",
        "not JSON: Expecting value:",
    ]
    assert "oops" in {row.values for row in fs.quarantine("tests")}


def test_poison_alone_moves_the_position_on(fs: sl.FeatureStore, landing: Path) -> None:
    append(landing / "a.jsonl", "oops\n")
    assert run(fs).quarantined == 1
    assert run(fs).quarantined == 0


def test_every_format_of_files_goes_in(tmp_path: Path) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    rows = [event(n) for n in range(10)]
    table = pa.Table.from_pylist(rows)
    at = table["at"].cast(pa.timestamp("us", "UTC"))
    table = table.set_column(table.column_names.index("at"), "at", at)
    for format in ("csv", "parquet"):
        folder = tmp_path / format
        (folder / "landing").mkdir(parents=True)
        if format == "csv":
            body = "".join(f"{r['id']},{r['fab']},{r['vdd']},{r['at']}\n" for r in rows)
            append(folder / "landing" / "a.csv", f"id,fab,vdd,at\n{body}")
        else:
            pq.write_table(table, folder / "landing" / "a.parquet")
        with store(folder, source(sl.Files("landing", format))) as fs:
            assert run(fs, max_rows=4).rows == 10
            served, computed = served_and_computed(fs)
            assert served == computed
            assert taken_in(fs) == list(range(10))


def test_late_rows_are_kept_and_counted_in_the_metrics(landing: Path) -> None:
    now = datetime.now(UTC)
    early = event(1, at=(now - timedelta(minutes=30)).isoformat())
    append(landing / "a.jsonl", lines([event(0, at=now.isoformat()), early]))
    with store(landing.parent, source(LANDING, lateness="5m")) as fs:
        metrics = run(fs)
        assert (metrics.rows, metrics.late) == (2, 1)
        assert metrics.newest_event == sl.clock.to_micros(now.isoformat())
        served, computed = served_and_computed(fs)
        assert served == computed


def test_a_worker_takes_what_comes_until_it_is_stopped(fs: sl.FeatureStore, landing: Path) -> None:
    worker = StreamWorker(fs.runtime, "tests", max_rows=10)
    told = threading.Event()

    def tell(metrics: StreamMetrics) -> None:
        if metrics.rows >= 30:
            told.set()

    thread = threading.Thread(target=lambda: worker.run(tell=tell))
    thread.start()
    for start in range(0, 30, 10):
        append(landing / "a.jsonl", lines(event(n) for n in range(start, start + 10)))
    assert told.wait(30)
    worker.stop()
    thread.join(30)
    assert not thread.is_alive()
    assert taken_in(fs) == list(range(30))
    (status,) = stream_status(fs.runtime)
    assert status.state == "stopped"


def test_what_is_at_hand_is_finished_and_kept_when_a_worker_is_stopped(
    fs: sl.FeatureStore, landing: Path
) -> None:
    append(landing / "a.jsonl", lines(event(n) for n in range(100)))
    worker = StreamWorker(fs.runtime, "tests", max_rows=10)
    metrics = worker.run(tell=lambda metrics: worker.stop() if metrics.rows >= 30 else None)
    assert metrics.rows == 30
    assert len(taken_in(fs)) == 30
    assert run(fs).rows == 70


# ----------------------------------------------------------------------------------------- outages


class Outage(MemoryStore):
    """A store that cannot be reached at times."""

    def __init__(self) -> None:
        super().__init__()
        self.before: list[bool] = []
        self.after: list[bool] = []

    def transaction(self) -> Any:
        return _Unreliable(super().transaction(), self)


class _Unreliable:
    def __init__(self, inner: Any, store: Outage) -> None:
        self.inner, self.store = inner, store

    def __enter__(self) -> Any:
        if self.store.before and self.store.before.pop(0):
            raise StoreUnavailable("cannot be reached")
        return self.inner.__enter__()

    def __exit__(self, *failure: Any) -> Any:
        result = self.inner.__exit__(*failure)
        if failure[0] is None and self.store.after and self.store.after.pop(0):
            raise StoreUnavailable("lost on the way")
        return result


def outages(landing: Path) -> tuple[Outage, sl.FeatureStore]:
    unreliable = Outage()
    fs = sl.FeatureStore(landing.parent, online=unreliable)
    fs.apply(fs.plan(view(source(LANDING))))
    return unreliable, fs


def test_an_outage_is_waited_for_and_nothing_is_lost_or_doubled(landing: Path) -> None:
    """Whether a transaction fails before it began or after it was kept."""
    unreliable, fs = outages(landing)
    append(landing / "a.jsonl", lines(event(n) for n in range(60)))
    worker = StreamWorker(fs.runtime, "tests", max_rows=20)
    with fs, worker:
        unreliable.before = [True]
        worker.step()
        unreliable.after = [True]
        worker.step()
        unreliable.after = [True]
        worker.step()
        assert (worker.metrics.retries, worker.metrics.rows) == (3, 60)
        assert worker.step(0) is None
        assert taken_in(fs) == list(range(60))
        served, computed = served_and_computed(fs)
        assert served == computed


def test_a_worker_that_may_give_up_does(landing: Path) -> None:
    unreliable, fs = outages(landing)
    append(landing / "a.jsonl", lines([event(1)]))
    with fs, StreamWorker(fs.runtime, "tests", give_up=0.2) as worker:
        unreliable.before = [True] * 50
        with pytest.raises(StoreUnavailable):
            worker.step()
        unreliable.before = []
        worker.step()
    assert taken_in(fs) == [1]


def test_states_in_a_store_of_their_own_catch_up(landing: Path) -> None:
    """The log is in another store than the states, which is lost between the two."""

    class Apart(MemoryStore):
        capabilities = MemoryStore.capabilities.__class__(atomic_batch=True, ordered_scan=True)
        refusals = 0

        def write(self, table: str, items: Any) -> None:
            if self.refusals:
                self.refusals -= 1
                raise StoreUnavailable("cannot be reached")
            super().write(table, items)

    online = Apart()
    config = Config.of(landing.parent, {})
    with sl.FeatureStore(config, online=online) as fs:
        fs.apply(fs.plan(view(source(LANDING))))
        append(landing / "a.jsonl", lines(event(n) for n in range(20)))
        online.refusals = 2
        assert run(fs, max_rows=10).retries == 2
        assert taken_in(fs) == list(range(20))
        served, computed = served_and_computed(fs)
        assert served == computed


# ----------------------------------------------------------------------------- one worker a source


def test_a_second_worker_waits_until_the_first_is_done(fs: sl.FeatureStore, landing: Path) -> None:
    append(landing / "a.jsonl", lines(event(n) for n in range(10)))
    first = StreamWorker(fs.runtime, "tests", max_rows=5)
    second = StreamWorker(fs.runtime, "tests")
    with first:
        first.step()
        waiting = threading.Thread(target=lambda: second.run(once=True))
        waiting.start()
        waiting.join(0.7)
        assert waiting.is_alive()
        assert len(taken_in(fs)) == 5
    waiting.join(30)
    assert second.metrics.rows == 5
    assert taken_in(fs) == list(range(10))


def test_a_worker_that_waits_can_be_stopped(fs: sl.FeatureStore) -> None:
    second = StreamWorker(fs.runtime, "tests")
    with StreamWorker(fs.runtime, "tests"):
        waiting = threading.Thread(target=second.run)
        waiting.start()
        second.stop()
        waiting.join(30)
        assert not waiting.is_alive()


def test_a_worker_whose_position_moved_keeps_nothing_and_stops(
    fs: sl.FeatureStore, landing: Path
) -> None:
    """Two that both think it is their turn: leases go by clocks, the position does not."""
    append(landing / "a.jsonl", lines(event(n) for n in range(10)))
    first = StreamWorker(fs.runtime, "tests", max_rows=5)
    second = StreamWorker(fs.runtime, "tests", max_rows=5)
    with first:
        fs.runtime.journal.delete(LEASES, [b"tests"])
        with second:
            second.step()
            with pytest.raises(Conflict, match="another worker went on"):
                first.step()
            second.step()
    assert taken_in(fs) == list(range(10))


def test_a_lost_lease_stops_a_worker(fs: sl.FeatureStore) -> None:
    with StreamWorker(fs.runtime, "tests", lease_seconds=0.3) as worker:
        fs.runtime.journal.delete(LEASES, [b"tests"])
        assert worker.lease.lost.wait(30)
        with pytest.raises(Conflict, match="took the stream over"):
            worker.step()


def test_the_lease_of_a_process_that_is_gone_is_not_waited_for(fs: sl.FeatureStore) -> None:
    journal = fs.runtime.journal
    lease = Lease(journal, "tests", dict, seconds=3600)
    assert lease.acquire(threading.Event())
    held = json.loads(journal.read_one(LEASES, b"tests") or b"")
    lease._end.set()  # its thread writes no more
    journal.write(LEASES, [(b"tests", json.dumps(held | {"pid": 2**22 + 1}).encode())])
    holder = Holder.read(journal, "tests")
    assert holder is not None
    assert not holder.alive
    assert run(fs).rows == 0


# --------------------------------------------------------------------------------- what it is told


def test_status_tells_state_position_and_counts(fs: sl.FeatureStore, landing: Path) -> None:
    (never,) = stream_status(fs.runtime)
    assert (never.state, never.position, never.worker) == ("never", None, None)
    append(landing / "a.jsonl", lines(event(n) for n in range(10)))
    with StreamWorker(fs.runtime, "tests", max_rows=5) as worker:
        worker.step()
        (running,) = stream_status(fs.runtime)
        assert running.state == "running"
    (stopped,) = stream_status(fs.runtime, ["tests"])
    assert stopped.state == "stopped"
    assert stopped.position is not None
    assert stopped.position["a.jsonl"] > 0
    assert stopped.metrics is not None
    assert stopped.metrics["rows"] == 5


def test_a_forgotten_position_begins_anew(fs: sl.FeatureStore, landing: Path) -> None:
    append(landing / "a.jsonl", lines(event(n) for n in range(10)))
    assert not forget_position(fs.runtime, "tests")
    run(fs)
    assert forget_position(fs.runtime, "tests")
    metrics = run(fs)
    assert (metrics.rows, metrics.duplicates) == (0, 10)
    with StreamWorker(fs.runtime, "tests"), pytest.raises(Conflict, match="at work"):
        forget_position(fs.runtime, "tests")


def test_metrics_are_prometheus_text() -> None:
    counted = StreamMetrics('te"sts', lag_unit="bytes", lag=7)
    counted.add(rows=10, late=1, waited_ms=2.5, newest_event=1_500_000)
    text = prometheus([counted])
    for wanted in (
        "# TYPE skewless_stream_rows_total counter\nskewless_stream_rows_total{",
        'skewless_stream_rows_total{source="te\\"sts"} 10',
        'skewless_stream_lag{source="te\\"sts",unit="bytes"} 7',
        'skewless_stream_newest_event_seconds{source="te\\"sts"} 1.500000',
        'event_to_readable_seconds{source="te\\"sts",quantile="0.99"} 0.002500',
    ):
        assert wanted in text


def test_the_time_from_arrival_to_readable_is_measured(fs: sl.FeatureStore, landing: Path) -> None:
    append(landing / "a.jsonl", lines(event(n) for n in range(10)))
    metrics = run(fs)
    assert metrics.p50_ms is not None
    assert 0 < metrics.p50_ms <= (metrics.p99_ms or 0)


def test_a_source_without_a_stream_has_no_worker(tmp_path: Path) -> None:
    with store(tmp_path, source(None)) as fs, pytest.raises(InputError, match="has no stream"):
        StreamWorker(fs.runtime, "tests")


def test_a_stream_that_was_defined_anew_stops_its_worker(
    fs: sl.FeatureStore, landing: Path
) -> None:
    with StreamWorker(fs.runtime, "tests") as worker:
        (landing.parent / "other").mkdir()
        fs.apply(fs.plan(view(source(sl.Files("other"), row_id="id"))), allow_breaking=True)
        fs.runtime.state(fresh=True)
        with pytest.raises(Conflict, match="defined anew"):
            worker.step()


def test_an_error_of_the_stream_is_no_outage(fs: sl.FeatureStore, landing: Path) -> None:
    append(landing / "a.jsonl", lines([event(1)]))
    run(fs)
    (landing / "a.jsonl").write_text("")
    with pytest.raises(CorruptData, match="truncated"):
        run(fs)
    assert stream_status(fs.runtime)[0].state == "stopped"


def test_workers_of_other_repos_have_consumer_names_of_their_own(tmp_path: Path) -> None:
    names = set()
    for name in ("one", "two"):
        (tmp_path / name / "landing").mkdir(parents=True)
        with store(tmp_path / name, source(LANDING)) as fs:
            names |= {StreamWorker(fs.runtime, "tests").reader.consumer for _ in range(2)}
    assert len(names) == 2


def test_a_runtime_is_fenced_without_being_copied(fs: sl.FeatureStore) -> None:
    from skewless.jobs.stream_lease import Fenced

    fenced = Fenced.of(fs.runtime, "tests/files:landing", b"elsewhere")
    assert isinstance(fs.runtime, Runtime)
    assert fenced.clock is fs.runtime.clock
    with pytest.raises(Conflict), fenced.journal.transaction():
        pass
