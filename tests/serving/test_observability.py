"""Metrics, logs, readiness, the served log, traces and the description of the interface."""

import json
import os
import re
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

import skewless as sl
from skewless.codec import read_back
from skewless.errors import StoreUnavailable
from skewless.parity.served import read_log
from skewless.serving import app as application
from skewless.serving.app import App
from skewless.serving.operate.keys import ANYBODY
from skewless.serving.operate.logs import MOST_A_SECOND, event
from skewless.serving.operate.metrics import Counter as MetricCounter
from skewless.serving.operate.metrics import Histogram, Metrics
from skewless.serving.read import served_log
from skewless.serving.settings import Settings
from skewless.testing.clock import SettableClock
from skewless.types import Float64
from tests.serving.calling import call
from tests.serving.conftest import NOW
from tests.serving.test_features import CARDS, read
from tests.serving.test_writes import ROW

LINE = re.compile(r'([a-z_]+)(\{(?:[a-z]+="(?:[^"\\]|\\.)*",?)+\})? (\S+)\Z')


def samples(text: bytes) -> dict[str, float]:
    """Name and labels to value; every line must be well formed."""
    found = {}
    for line in text.decode().splitlines():
        if not line.startswith("#"):
            match = LINE.match(line)
            assert match, line
            found[match[1] + (match[2] or "")] = float(match[3])
    return found


def metrics(app: App) -> dict[str, float]:
    answer = call(app, "GET", "/metrics")
    assert answer.headers["content-type"].startswith("text/plain; version=0.0.4")
    return samples(answer.body)


def test_requests_values_ages_and_pushes_are_counted(app: App) -> None:
    read(app, service="fraud")
    call(app, "POST", "/v1/features", {"service": "no", "entities": CARDS})
    call(app, "POST", "/v1/push", {"source": "payments", "rows": [ROW, ROW | {"paid_at": "?"}]})
    app.upkeep.note_freshness()
    found = metrics(app)
    assert found['skewless_http_requests_total{route="/v1/features",status="200"}'] == 1
    assert found['skewless_http_requests_total{route="/v1/features",status="404"}'] == 1
    assert (
        found['skewless_http_request_duration_seconds_count{route="/v1/features",size="small"}']
        == 2
    )
    assert (
        found[
            'skewless_http_request_duration_seconds_bucket{route="/v1/push",size="small",le="+Inf"}'
        ]
        == 1
    )
    assert found['skewless_values_total{status="present"}'] == 10
    assert found['skewless_values_total{status="unknown"}'] == 3
    assert found['skewless_values_total{status="empty"}'] == 2
    assert found['skewless_served_value_age_seconds_count{view="Spend"}'] == 1
    assert found["skewless_store_read_duration_seconds_count"] == 1
    assert found['skewless_push_rows_total{source="payments",outcome="accepted"}'] == 1
    assert found['skewless_push_rows_total{source="payments",outcome="quarantined"}'] == 1
    assert found['skewless_view_last_event_timestamp_seconds{view="Spend"}'] == NOW / 1e6 - 60
    assert found['skewless_view_freshness_promise_seconds{view="Spend"}'] == 3600
    assert found['skewless_view_fresh{view="Spend"}'] == 1
    assert found["skewless_store_up"] == 1
    assert found["skewless_registry_revision"] >= 1
    assert found["process_resident_memory_bytes"] > 1e6


def test_a_broken_promise_of_freshness_shows(app: App, clock: SettableClock) -> None:
    clock.time = NOW + 7_200_000_000
    app.upkeep.note_freshness()
    assert metrics(app)['skewless_view_fresh{view="Spend"}'] == 0


def test_checks_that_fail_show_until_they_hold(app: App) -> None:
    fs = app.upkeep._store
    check = sl.Check.row_count(greatest=0)
    fs.runtime.ledger.record(
        "check",
        {
            "of": "payments",
            "point": "history",
            "rows": 1,
            "results": [{"check": str(check), "ok": False}],
        },
    )
    app.upkeep.note_freshness()
    name = (
        'skewless_check_failing{of="payments",point="history",check="rows between anything and 0"}'
    )
    assert metrics(app)[name] == 1
    assert metrics(app)["skewless_ledger_unrecorded"] == 0
    fs.runtime.ledger.record(
        "check",
        {
            "of": "payments",
            "point": "history",
            "rows": 0,
            "results": [{"check": str(check), "ok": True}],
        },
    )
    app.upkeep.note_freshness()
    assert name not in metrics(app)


def test_no_label_is_made_of_what_callers_send(app: App) -> None:
    for number in range(20):
        call(app, "GET", f"/nothing/{number}")
        call(app, "GET", f"/v1/jobs/{number}")
        call(app, "POST", "/v1/push", {"source": f"s{number}", "rows": [{}]})
    routes = {name for name in metrics(app) if name.startswith("skewless_http_requests_total")}
    assert routes == {
        'skewless_http_requests_total{route="none",status="404"}',
        'skewless_http_requests_total{route="/v1/jobs/{id}",status="404"}',
        'skewless_http_requests_total{route="/v1/push",status="404"}',
    }


def test_labels_are_escaped_and_histograms_add_up() -> None:
    counter = MetricCounter("a_total", "A.", ("name",))
    counter.add(('say "hi"\n\\',), 2)
    assert list(counter.lines())[-1] == 'a_total{name="say \\"hi\\"\\n\\\\"} 2'
    histogram = Histogram("b_seconds", "B.", (), (0.1, 1.0))
    for value in (0.05, 0.1, 0.5, 5.0):
        histogram.observe((), value)
    assert list(histogram.lines())[2:] == [
        'b_seconds_bucket{le="0.1"} 2',
        'b_seconds_bucket{le="1"} 3',
        'b_seconds_bucket{le="+Inf"} 4',
        "b_seconds_sum 5.65",
        "b_seconds_count 4",
    ]


def test_workers_are_summed_and_a_successor_goes_on(tmp_path: Path) -> None:
    first, second = Metrics(tmp_path, 0), Metrics(tmp_path, 1)
    first.requests.add(("/health", "200"), 3)
    first.duration.observe(("/health", "small"), 0.01)
    second.requests.add(("/health", "200"), 4)
    first.write()
    second.write()
    successor = Metrics(tmp_path, 0)
    successor.requests.add(("/health", "200"))
    found = samples(successor.text())
    assert found['skewless_http_requests_total{route="/health",status="200"}'] == 8
    assert found['skewless_http_request_duration_seconds_count{route="/health",size="small"}'] == 1


def test_what_was_shown_is_counted_on_from_when_a_worker_is_killed(tmp_path: Path) -> None:
    killed = Metrics(tmp_path, 0)
    killed.requests.add(("/health", "200"), 3)
    shown = samples(killed.text())
    killed.requests.add(("/health", "200"), 9)  # never shown, never written
    found = samples(Metrics(tmp_path, 0).text())
    name = 'skewless_http_requests_total{route="/health",status="200"}'
    assert found[name] == shown[name] == 3
    assert found["process_cpu_seconds_total"] >= shown["process_cpu_seconds_total"]


def test_gauges_of_workers_are_shown_as_the_worst_or_their_sum(tmp_path: Path) -> None:
    first, second = Metrics(tmp_path, 0), Metrics(tmp_path, 1)
    first.store_up.set((), 1)
    second.store_up.set((), 0)
    first.lag.set((), 0.5)
    second.lag.set((), 0.1)
    second.write()
    text = first.text()
    found = samples(text)
    assert found["skewless_store_up"] == 0
    assert found["skewless_event_loop_lag_seconds"] == 0.5
    alone = samples(Metrics().text())["process_resident_memory_bytes"]
    assert found["process_resident_memory_bytes"] > 1.5 * alone
    assert b"# TYPE process_cpu_seconds_total counter" in text


def test_metrics_are_shown_when_they_cannot_be_written(tmp_path: Path) -> None:
    found = Metrics(tmp_path / "gone", 0)
    found.requests.add(("/health", "200"))
    assert b'skewless_http_requests_total{route="/health",status="200"} 1' in found.text()


def test_readiness_tells_why_not(app: App) -> None:
    assert call(app, "GET", "/ready").data == {
        "ready": True,
        "reasons": [],
        "building": [],
        "warnings": [],
    }
    app.reader.down = StoreUnavailable("no route to redis")
    answer = call(app, "GET", "/ready")
    assert (answer.status, answer.data["ready"]) == (503, False)
    assert "no route to redis" in answer.data["reasons"][0]


def test_a_server_is_not_ready_while_its_store_is_silent(
    app: App, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A stuck disk, or a large copy whose pages are looked at."""
    assert app.reader.silent == 0
    monkeypatch.setattr(application, "MOST_SILENT", 0.0)
    seen = []

    def asked(*_: object) -> None:
        seen.append(call(app, "GET", "/ready"))

    monkeypatch.setattr(app.reader.store, "read_one", asked)
    app.upkeep.probe()
    assert seen[0].status == 503
    assert "does not answer" in seen[0].data["reasons"][0]
    assert call(app, "GET", "/ready").status == 200


def test_a_line_of_the_log_is_written_in_one_piece(monkeypatch: pytest.MonkeyPatch) -> None:
    """The processes of a server share stderr, which containers do not buffer."""
    written: list[bytes] = []
    monkeypatch.setattr(os, "write", lambda _, data: written.append(data) or len(data))
    event("something", reason="a\nb")
    monkeypatch.undo()
    (line,) = written
    assert line.endswith(b"}\n")
    assert json.loads(line)["reason"] == "a\nb"


@pytest.mark.parametrize("reader", ["gone", "hung", "closed"])
def test_a_server_serves_on_when_nobody_reads_its_log(
    app: App, monkeypatch: pytest.MonkeyPatch, reader: str
) -> None:
    """An exception there would end what writes the line; a wait would hold everything up."""
    reading, writing = os.pipe()
    os.set_blocking(reading, False)
    with open(writing, "w", encoding="utf-8") as stream:
        monkeypatch.setattr(sys, "stderr", stream)
        if reader != "hung":
            os.close(reading)
        if reader == "closed":
            stream.close()
        for _ in range(2_000):
            event("something", text="x" * 100)
        app.reader.down = StoreUnavailable("gone")
        assert (
            call(app, "POST", "/v1/features", {"service": "fraud", "entities": CARDS}).status == 503
        )
        if reader == "hung":
            while len(os.read(reading, 1 << 16)) == 1 << 16:
                pass
            event("something else")
            assert json.loads(os.read(reading, 1 << 16))["lines_lost"] > 0
            os.close(reading)


def test_an_outage_does_not_fill_the_disk_with_its_log(
    app: App, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    second = 1.0
    monkeypatch.setattr("skewless.serving.operate.logs.time.monotonic", lambda: second)
    app.reader.down = StoreUnavailable("gone")
    many = MOST_A_SECOND + 7

    def logged() -> list[dict[str, Any]]:
        for _ in range(many):
            assert (
                call(app, "POST", "/v1/features", {"service": "fraud", "entities": CARDS}).status
                == 503
            )
        return [json.loads(line) for line in capfd.readouterr().err.splitlines()]

    assert [line["event"] for line in logged()] == ["request"] * MOST_A_SECOND
    second = 2.0
    first, *more = logged()
    assert (first["event"], first["count"]) == ("requests not logged", 7)
    assert len(more) == MOST_A_SECOND
    app.log.everything = True
    assert len(logged()) == many


def test_requests_have_ids_the_callers_or_new_ones(app: App) -> None:
    given = call(app, "GET", "/health", headers={"x-request-id": "abc-1"})
    assert given.headers["x-request-id"] == "abc-1"
    bad = [
        call(app, "GET", "/health", headers={"x-request-id": text}) for text in ("a b", "x" * 500)
    ]
    made = {answer.headers["x-request-id"] for answer in bad}
    assert len(made) == 2
    assert not made & {"a b", "x" * 500}


def test_logs_are_lines_of_json_without_what_was_asked(
    store: sl.FeatureStore, capsys: pytest.CaptureFixture[str]
) -> None:
    app = App(store, Settings(log="requests"))
    app.start()
    read(app, service="fraud")
    app.at_once(b"/v1/features", {b"x-request-id": b"quick"}, b"{")
    lines = [json.loads(line) for line in capsys.readouterr().err.splitlines()]
    assert [(x["event"], x["path"], x["status"]) for x in lines] == [
        ("request", "/v1/features", 200),
        ("request", "/v1/features", 422),
    ]
    assert lines[1]["id"] == "quick"
    assert "c1" not in json.dumps(lines[0] | {"id": ""})


def log_of(store: sl.FeatureStore, fraction: float = 1.0) -> tuple[App, Path]:
    app = App(store, Settings(served_log=fraction))
    app.start()
    return app, store.config.folder / ".skewless" / "served"


def test_what_was_served_is_logged_to_the_last_bit(store: sl.FeatureStore) -> None:
    app, folder = log_of(store)
    read(app, service="fraud")
    app.upkeep.work()
    lines = list(served_log.read(folder))
    expected = store.get_online_features("fraud", CARDS)
    assert [line["entity"] for line in lines] == CARDS
    assert lines[0]["features"] == ["Spend@v1:total", "Spend@v1:count", "Spend@v1:mean"]
    assert [line["statuses"] for line in lines] == [[s.value for s in r] for r in expected.statuses]
    assert [read_back(line["values"][0], Float64) for line in lines] == [
        r[0] for r in expected.values
    ]
    assert lines[0]["at"] == NOW
    answers = list(read_log(folder, store.runtime.state(), Counter()))
    assert [list(row) for row in answers[0].values] == expected.values


def test_an_entity_is_in_the_log_always_or_never(store: sl.FeatureStore) -> None:
    app, folder = log_of(store, 0.3)
    entities = [{"card_id": f"x{n}"} for n in range(400)]
    read(app, service="fraud", entities=entities)
    read(app, service="fraud", entities=entities)
    app.upkeep.work()
    seen = Counter(line["entity"]["card_id"] for line in served_log.read(folder))
    assert set(seen.values()) == {2}
    assert 60 < len(seen) < 180


def test_files_of_the_served_log_are_begun_anew_and_the_oldest_removed(
    store: sl.FeatureStore, tmp_path: Path
) -> None:
    app, _ = log_of(store)
    log = served_log.ServedLog(tmp_path / "log", 1.0, app.metrics, file_bytes=1, files=3)
    plan = app.reader.plan_of(ANYBODY, "fraud", lambda _: "fraud", full_names=False, where="")
    found = app.reader.read_now(plan, plan.lookup, CARDS[:1], NOW)
    for _ in range(6):
        log.note(plan, CARDS[:1], found, NOW)
        assert log.write() == 1
    assert len(list((tmp_path / "log").iterdir())) == 3
    assert len(list(served_log.read(tmp_path / "log"))) == 3


def test_the_served_log_drops_rather_than_grows(
    store: sl.FeatureStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(served_log, "MOST_WAITING", 2)
    app, folder = log_of(store)
    read(app, service="fraud")
    app.upkeep.work()
    assert len(list(served_log.read(folder))) == 2
    assert metrics(app)['skewless_served_log_entities_total{outcome="dropped"}'] == 3


def test_traces_are_spans_within_the_callers_trace(app: App) -> None:
    pytest.importorskip("opentelemetry.sdk")
    from opentelemetry import trace
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import SimpleSpanProcessor
    from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

    from skewless.serving.operate.traces import traced

    exporter = InMemorySpanExporter()
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    trace.set_tracer_provider(provider)
    parent = "00-" + "a" * 32 + "-" + "b" * 16 + "-01"
    wrapped: Any = traced(app)
    answer = call(wrapped, "GET", "/health", headers={"traceparent": parent})
    assert answer.status == 200
    (span,) = exporter.get_finished_spans()
    assert span.name == "GET /health"
    assert format(span.context.trace_id, "032x") == "a" * 32
    assert span.attributes is not None
    assert span.attributes["http.response.status_code"] == 200


def test_what_there_is_can_be_listed_without_addresses_of_stores(app: App) -> None:
    views = {view["name"]: view for view in call(app, "GET", "/v1/views").data["views"]}
    assert views["Spend"]["features"]["total"]["type"] == "Float64"
    assert views["Payment"]["requests"] == {"asked": "Float64"}
    features = {f["feature"] for f in call(app, "GET", "/v1/features").data["features"]}
    assert {"Spend:total", "Payment:ratio", "Trip:km"} <= features
    found = call(app, "GET", "/v1/features?q=total+spent&limit=1").data["features"]
    assert found[0]["feature"] == "Spend@v1:total"
    assert call(app, "GET", "/v1/entities").data["entities"][1]["join_keys"] == {
        "driver": "Int64", "code": "Bytes",
    }  # fmt: skip
    sources = call(app, "GET", "/v1/sources").data["sources"]
    assert [source["name"] for source in sources] == ["payments", "trips"]
    services = call(app, "GET", "/v1/services").data["services"]
    assert services[0]["features"] == ["Spend@v1:total", "Spend@v1:count", "Spend@v1:mean"]


def test_a_value_is_explained_by_its_rows(app: App) -> None:
    found = call(app, "GET", f"/v1/explain?feature=Spend:count&card_id=c1&at={NOW}").data
    assert found["value"] == 2
    counted = [row for row in found["aggregates"][0]["rows"] if row["verdict"] == "counted"]
    assert len(counted) == 2


@pytest.mark.parametrize("step", [-7_200_000_000, 7_200_000_000, -86_400_000_000 * 365])
def test_a_clock_that_steps_changes_what_is_read_and_nothing_that_is_waited_for(
    store: sl.FeatureStore, clock: SettableClock, step: int
) -> None:
    """Looks, limits and notes go by time that passes; ages and moments by the clock."""
    app = App(store, Settings(anonymous=True))
    app.start()
    before = read(app, service="fraud", entities=CARDS)
    app.upkeep.work()
    noted = store.runtime.registry.progress("read/")
    assert noted
    clock.time += step
    app.upkeep.probe()
    app.upkeep.look_at_freshness()
    assert call(app, "GET", "/ready").status == 200
    read(app, service="fraud", entities=CARDS)
    app.upkeep.work()
    assert store.runtime.registry.progress("read/") == noted, "noted once an hour that passes"
    store.apply([sl.FeatureService("another", ["Spend:total"])])
    app.upkeep.work()
    assert read(app, service="another", entities=CARDS)["statuses"].keys() == {"total"}
    clock.time -= step
    again = read(app, service="fraud", entities=CARDS)
    assert again["values"] == before["values"]
