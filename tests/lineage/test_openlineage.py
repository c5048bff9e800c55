"""Events say what the ledger says, and reach a receiver or a file without holding a job up."""

import json
import os
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

import skewless as sl
from skewless.clock import from_micros
from skewless.config import Config
from skewless.errors import ConfigError, UnknownName
from skewless.ledger.lines import Record
from skewless.lineage.emit import MOST_WAITING, Emitter
from skewless.lineage.openlineage import Events
from tests.shop import HOUR, NOON, open_store, pay, payments, spend_of

PAYS = payments(row_id="pay_id", owner="payments", description="What was paid.")
SPEND = spend_of(PAYS, total=PAYS.amount.sum("1h"), big=PAYS.where(PAYS.n > 5).count("1d"))
RATIO = sl.OnDemandView("Ratio", features={"ratio": sl.Request("ask", float) / SPEND.total})
PATIENCE = 60.0  # seconds; what is waited for comes at once
DEFINITIONS = (SPEND, RATIO, sl.FeatureService("fraud", [SPEND.total, RATIO.ratio]))


def worked(fs: sl.FeatureStore) -> sl.TrainingSet:
    """Everything of which there are events, once."""
    fs.push("pays", [pay("p1", NOON - HOUR)], backdate=True)
    fs.materialize("Spend", start=NOON - HOUR, end=NOON)
    fs.backfill()
    fs.compact("pays")
    with pytest.raises(UnknownName):
        fs.materialize("Spent")
    spine = [{"card_id": "c1", "ask": 2.0, "t": from_micros(NOON)}]
    return fs.get_historical_features(spine, "fraud", timestamp="t")


@pytest.fixture
def events(tmp_path: Path) -> list[dict[str, Any]]:
    settings = {"kind": "file", "path": "lineage.jsonl"}
    with open_store(tmp_path, *DEFINITIONS, lineage=settings) as fs:
        worked(fs)
    lines = (tmp_path / "lineage.jsonl").read_text().splitlines()
    return [json.loads(line) for line in lines]


def kind_of(event: dict[str, Any]) -> str:
    return event["schemaURL"].rpartition("/")[2]


def test_every_job_has_a_start_and_an_end(events: list[dict[str, Any]]) -> None:
    runs: dict[str, list[str]] = {}
    for event in events:
        if kind_of(event) == "RunEvent":
            runs.setdefault(event["run"]["runId"], [event["job"]["name"]]).append(
                event["eventType"]
            )
    assert list(runs.values()) == [
        ["materialize", "START", "COMPLETE"],
        ["backfill", "START", "COMPLETE"],
        ["compact", "START", "COMPLETE"],
        ["materialize", "START", "FAIL"],
        ["training_set", "START", "COMPLETE"],
    ]


def test_an_apply_is_static(events: list[dict[str, Any]]) -> None:
    names = [(kind_of(e), (e.get("dataset") or e["job"])["name"]) for e in events[:4]]
    assert sorted(names) == [
        ("DatasetEvent", "Ratio@v1"),
        ("DatasetEvent", "Spend@v1"),
        ("DatasetEvent", "pays"),
        ("JobEvent", "materialize.Spend@v1"),
    ]


def test_columns_have_their_lineage(events: list[dict[str, Any]]) -> None:
    (view,) = [e["dataset"] for e in events if e.get("dataset", {}).get("name") == "Spend@v1"]
    fields = view["facets"]["columnLineage"]["fields"]
    total = {f["field"]: f for f in fields["total"]["inputFields"]}
    assert total["amount"]["name"] == "pays"
    assert total["amount"]["transformations"] == [
        {"type": "DIRECT", "subtype": "AGGREGATION", "description": "sum over sliding 1h",
         "masking": False},
    ]  # fmt: skip
    assert {f["field"] for f in fields["big"]["inputFields"]} == {"n", "at", "card_id", "pay_id"}
    made = events[-1]["outputs"][0]
    ratio = made["facets"]["columnLineage"]["fields"]["ratio"]["inputFields"]
    assert [(f["name"], f["field"]) for f in ratio] == [("Ratio@v1", "ratio")]
    assert made["facets"]["version"]["datasetVersion"].startswith("ts_")


def test_a_failed_run_says_why_and_an_interval_is_nominal(events: list[dict[str, Any]]) -> None:
    runs = [event for event in events if kind_of(event) == "RunEvent"]
    (failed,) = [event for event in runs if event["eventType"] == "FAIL"]
    assert "Spent" in failed["run"]["facets"]["errorMessage"]["message"]
    nominal = runs[0]["run"]["facets"]["nominalTime"]
    assert nominal["nominalStartTime"] == "2026-01-02T11:00:00Z"
    assert nominal["nominalEndTime"] == "2026-01-02T12:00:00Z"


class Receiver(ThreadingHTTPServer):
    """Keeps what is posted; `hold` keeps it from answering."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.events: list[Any] = []
        self.keys: set[str | None] = set()
        self.code = 201
        self.speaks_http = True
        self.free = threading.Event()
        self.free.set()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}/api/v1/lineage"


class _Handler(BaseHTTPRequestHandler):
    server: Receiver

    def do_POST(self) -> None:
        self.server.free.wait(30)
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.server.keys.add(self.headers["X-API-Key"])
        self.server.events.append(json.loads(body))
        if not self.server.speaks_http:
            self.wfile.write(b"what?\r\n\r\n")
            return
        self.send_response(self.server.code)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, format: str, *args: Any) -> None:
        pass


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    server = Receiver()
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield server
    server.free.set()
    server.shutdown()
    server.server_close()
    thread.join()


def test_a_receiver_gets_every_event_in_order(receiver: Receiver, tmp_path: Path) -> None:
    settings = {"kind": "http", "url": receiver.url, "key": "hush"}
    with open_store(tmp_path, *DEFINITIONS, lineage=settings) as fs:
        worked(fs)
    assert len(receiver.events) == 14
    assert receiver.keys == {"hush"}
    assert [e["eventType"] for e in receiver.events[4:6]] == ["START", "COMPLETE"]


def test_a_receiver_that_does_not_answer_holds_no_job_up(
    receiver: Receiver, tmp_path: Path
) -> None:
    receiver.free.clear()
    settings = {"kind": "http", "url": receiver.url}
    fs = open_store(tmp_path, *DEFINITIONS, lineage=settings)
    assert worked(fs).id
    emitter = fs._emitter
    assert emitter is not None
    assert receiver.events == []
    flood(fs)
    emitter.close(0.01)
    fs._emitter = None
    fs.close()


def test_a_file_that_cannot_be_written_yet_holds_no_job_up(tmp_path: Path) -> None:
    """A pipe that nobody reads blocks who opens it: the thread alone, until somebody reads."""
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    with open_store(tmp_path, *DEFINITIONS, lineage={"kind": "file", "path": "pipe"}) as fs:
        assert worked(fs).id
        assert fs._emitter is not None
        assert fs._emitter.sent == 0
        flood(fs)
        reader = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)
        fs._emitter.close(PATIENCE)
    try:
        told = os.read(reader, 1 << 20)
    finally:
        os.close(reader)
    events = [json.loads(line) for line in told.splitlines()]
    assert len(told) < 1 << 16  # what a pipe holds
    assert len(events) == fs._emitter.sent == 14


def flood(fs: sl.FeatureStore) -> None:
    """Tell the emitter of a store more than may wait, of which there are no events."""
    emitter = fs._emitter
    assert emitter is not None
    began = next(fs.runtime.ledger.records())
    for _ in range(2 * MOST_WAITING):
        emitter(began)
    assert emitter._waiting.qsize() <= MOST_WAITING
    assert emitter.dropped >= MOST_WAITING


def test_events_are_made_and_sent_by_one_thread_of_their_own(tmp_path: Path) -> None:
    threads: list[threading.Thread] = []
    with open_store(tmp_path, *DEFINITIONS) as fs:
        send = Emitter(
            Events("shop"), lambda _: threads.append(threading.current_thread()), fs.runtime.state
        )
        fs.runtime.ledger.listeners.append(send)
        worked(fs)
        send.close(PATIENCE)
    assert len(threads) == send.sent == 10
    assert {(each.name, each.daemon) for each in threads} == {("lineage", True)}
    assert len(set(threads)) == 1


def test_a_receiver_that_does_not_speak_http_ends_nothing(
    receiver: Receiver, tmp_path: Path
) -> None:
    receiver.speaks_http = False
    settings = {"kind": "http", "url": receiver.url}
    with open_store(tmp_path, *DEFINITIONS, lineage=settings) as fs:
        worked(fs)
        emitter = fs._emitter
    assert emitter is not None
    assert len(receiver.events) == 14
    assert (emitter.sent, emitter.dropped) == (0, 14)


def test_a_record_that_cannot_be_told_ends_nothing(tmp_path: Path) -> None:
    with open_store(tmp_path, *DEFINITIONS) as fs:
        records = list(fs.runtime.ledger.records(kinds=["run"]))
        state = fs.runtime.state()
    emitter = Emitter(Events("shop"), lambda _: None, lambda: state)
    emitter(Record(1, NOON, "run", {"job": "materialize"}))
    for record in records:
        emitter(record)
    emitter.close(PATIENCE)
    assert (emitter.sent, emitter.dropped) == (4, 1)


def test_a_receiver_that_refuses_or_is_gone_fails_no_job(
    receiver: Receiver, tmp_path: Path
) -> None:
    receiver.code = 500
    with open_store(
        tmp_path / "refused", *DEFINITIONS, lineage={"kind": "http", "url": receiver.url}
    ) as fs:
        worked(fs)
        emitter = fs._emitter
    assert emitter is not None
    assert (emitter.sent, emitter.dropped) == (0, 14)
    gone = {"kind": "http", "url": "http://127.0.0.1:9/api/v1/lineage"}
    with open_store(tmp_path / "gone", *DEFINITIONS, lineage=gone) as fs:
        worked(fs)
        emitter = fs._emitter
    assert emitter is not None
    assert emitter.dropped == 14


def test_a_registry_that_cannot_be_read_fails_no_job() -> None:
    def gone() -> Any:
        raise UnknownName("the registry is empty")

    emitter = Emitter(Events("shop"), lambda _: None, gone)
    emitter(Record(1, NOON, "run", {}))
    emitter.close()
    assert emitter.dropped == 1


@pytest.mark.parametrize(
    "settings",
    [
        {"kind": "pigeon"},
        {"kind": "http"},
        {"kind": "http", "url": "ftp://x"},
        {"kind": "file"},
        {"kind": "file", "path": "x", "url": "http://x"},
    ],
)
def test_other_settings_are_refused(settings: dict[str, str], tmp_path: Path) -> None:
    with pytest.raises(ConfigError):
        sl.FeatureStore(Config.of(tmp_path, {"lineage": settings}))


def test_without_the_section_nothing_is_sent(tmp_path: Path) -> None:
    with open_store(tmp_path, *DEFINITIONS) as fs:
        assert fs._emitter is None
        assert fs.runtime.ledger.listeners == []
