"""The worker, end to end on files: what goes in and what is set aside."""

import random
import threading
from datetime import UTC, datetime, timedelta
from pathlib import Path

import skewless as sl
from skewless.ingest.stream.metrics import StreamMetrics
from skewless.ingest.stream.status import stream_status
from skewless.ingest.stream.worker import StreamWorker
from tests.ingest.stream.events import (
    LANDING,
    append,
    event,
    lines,
    run,
    served_and_computed,
    source,
    store,
    taken_in,
)


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
        "at lies in the future: 202",
        "at: a time without a time ",
        "not JSON: Expecting value:",
        "vdd: 'much' (str) is no Fl",
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
