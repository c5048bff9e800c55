"""What is told of streams, and what a worker stops for."""

from pathlib import Path

import pytest

import skewless as sl
from skewless.errors import Conflict, CorruptData, InputError
from skewless.ingest.stream.metrics import StreamMetrics, prometheus
from skewless.ingest.stream.status import forget_position, stream_status
from skewless.ingest.stream.worker import StreamWorker
from skewless.online.runtime import Runtime
from tests.ingest.stream.events import (
    LANDING,
    append,
    event,
    lines,
    run,
    source,
    store,
    view,
)


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
        with pytest.raises(Conflict, match="defined again"):
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
    from skewless.online.lease import Fenced

    fenced = Fenced.of(fs.runtime, {"tests/files:landing": b"elsewhere"})
    assert isinstance(fs.runtime, Runtime)
    assert fenced.clock is fs.runtime.clock
    with pytest.raises(Conflict), fenced.journal.transaction():
        pass
