"""Kafka, against servers that speak its protocol."""

import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

import skewless as sl
from skewless.errors import CorruptData, InputError, StoreUnavailable
from skewless.ingest.stream.worker import StreamWorker
from skewless.streams.base import Batch
from skewless.testing.kafka_servers import KAFKA, KafkaServer, Message, kafka
from skewless.types import Int64, String
from tests.ingest.stream.events import (
    event,
    line,
    run,
    served_and_computed,
    source,
    store,
    taken_in,
)

ck = pytest.importorskip("confluent_kafka")
KafkaReader = pytest.importorskip("skewless.streams.kafka").KafkaReader

PATIENCE = 300.0
pytestmark = pytest.mark.server("kafka")


@pytest.fixture(autouse=True)
def patience(monkeypatch: pytest.MonkeyPatch) -> None:
    """A broker on a busy machine may take its time to answer; a worker would wait and ask again."""
    monkeypatch.setattr("skewless.streams.kafka.PATIENCE_SECONDS", PATIENCE)


@pytest.fixture(scope="module")
def server(request: pytest.FixtureRequest) -> Iterator[KafkaServer]:
    """The quick one, unless a test asks for all."""
    with kafka(getattr(request, "param", "noida")) as started:
        yield started


_SLOW = {"tansu": [pytest.mark.slow]}  # it takes seconds to form a group
every_server = pytest.mark.parametrize(
    "server", [pytest.param(name, marks=_SLOW.get(name, [])) for name in KAFKA], indirect=True
)


@pytest.fixture
def topic(server: KafkaServer, request: pytest.FixtureRequest) -> str:
    """A topic of its own for each test, of three partitions."""
    name = f"t{abs(hash(request.node.name))}"
    server.create(name, 3)
    return name


def messages(*numbers: int, **changes: Any) -> list[Message]:
    return [(str(n).encode(), line(event(n, **changes)).encode()) for n in numbers]


def shop(folder: Path, server: KafkaServer, topic: str, **options: Any) -> sl.FeatureStore:
    rows = source(sl.Kafka(topic, server.address, **options), row_id="id")
    return store(folder, rows)


def until(ready: Callable[[], bool]) -> None:
    deadline = time.monotonic() + PATIENCE
    while not ready():
        assert time.monotonic() < deadline


def reader_of(
    server: KafkaServer, topic: str, position: bytes | None = None, **options: Any
) -> Any:
    start = options.pop("start", "earliest")
    reader = KafkaReader(sl.Kafka(topic, server.address, options=options or None))
    reader.typed({"id": Int64, "fab": String})
    reader.open(position, start=start)
    return reader


def read(reader: Any, count: int, max_rows: int = 1000) -> list[Batch]:
    """Read batches until so many rows have come."""
    found: list[Batch] = []
    until(lambda: found.append(reader.read(max_rows, 0.2)) or sum(map(_rows, found)) >= count)
    return found


def _rows(batch: Batch) -> int:
    return len(batch.rows)


def ids(batches: list[Batch]) -> list[int]:
    return [
        number for batch in batches if len(batch.rows) for number in batch.rows["id"].to_pylist()
    ]


@every_server
def test_rows_of_all_partitions_go_in_once(server: KafkaServer, topic: str, tmp_path: Path) -> None:
    server.produce(topic, messages(*range(200)))
    with shop(tmp_path, server, topic) as fs:
        assert run(fs, max_rows=64).rows == 200
        server.produce(topic, messages(*range(150, 250)))
        again = run(fs, max_rows=64)
        # The same numbers a moment later are other rows: corrections.
        assert (again.rows, again.corrections) == (100, 50)
        assert set(taken_in(fs)) == set(range(250))
        served, computed = served_and_computed(fs)
        assert served == computed


def test_messages_do_not_wait_for_a_broker_that_does_not_tell_partitions(
    server: KafkaServer, topic: str
) -> None:
    asked = []

    class Silent:
        """A consumer whose brokers do not say which partitions there are."""

        def __init__(self, consumer: Any) -> None:
            self.consumer = consumer

        def list_topics(self, _topic: str, timeout: float) -> Any:
            asked.append(timeout)
            raise ck.KafkaException(ck.KafkaError(ck.KafkaError._TIMED_OUT))

        def __getattr__(self, name: str) -> Any:
            return getattr(self.consumer, name)

    server.produce(topic, messages(*range(20)))
    options = {"fetch.error.backoff.ms": 70}
    reader = KafkaReader(sl.Kafka(topic, server.address, options=options))
    assert reader._settings["fetch.error.backoff.ms"] == 70
    assert reader._settings["fetch.queue.backoff.ms"] < 100
    reader.typed({"id": Int64})
    with reader:
        reader.open(None)
        reader._consumer, reader._looked = Silent(reader._consumer), -1e9
        assert sorted(ids(read(reader, 20))) == list(range(20))
        assert asked
        assert max(asked) <= 1


def test_poison_is_quarantined_with_topic_partition_and_offset(
    server: KafkaServer, topic: str, tmp_path: Path
) -> None:
    server.produce(topic, [(b"k", b"oops"), *messages(1), (b"k", b'{"id": "x"}')], partition=1)
    with shop(tmp_path, server, topic) as fs:
        metrics = run(fs)
        assert (metrics.rows, metrics.quarantined) == (1, 2)
        found = {row.values: row.reason for row in fs.quarantine("tests")}
        assert found["oops"].endswith(f"({topic}[1]@0)")
        assert found['{"id": "x"}'].endswith(f"({topic}[1]@2)")


def test_a_tombstone_deletes_the_row_of_its_key(
    server: KafkaServer, topic: str, tmp_path: Path
) -> None:
    """In its place between the rows before it and those after it."""
    graves: list[Message] = [(b"1", None), (b"2", None)]
    sent = [*messages(1, 2, 3, fab="f1"), *graves, *messages(2, fab="f1"), (b"?", None)]
    server.produce(topic, sent, partition=0)
    with shop(tmp_path, server, topic) as fs:
        metrics = run(fs)
        assert (metrics.rows, metrics.deleted, metrics.quarantined) == (4, 2, 1)
        found = fs.get_online_features(["Rolling:tests"], [{"fab": "f1"}]).to_dict()
        assert found["tests"] == [2]
        served, computed = served_and_computed(fs)
        assert served == computed
        server.produce(topic, [(b"77", None), (b"1", None)], partition=0)
        metrics = run(fs)
        assert (metrics.deleted, metrics.unmatched, metrics.quarantined) == (0, 2, 0)


def test_a_tombstone_whose_key_names_a_schema_deletes_its_row_or_says_why(
    server: KafkaServer, topic: str, tmp_path: Path
) -> None:
    pytest.importorskip("fastavro")
    from tests.streams.registry import schema_registry
    from tests.streams.test_record_types import framed

    with schema_registry() as registry:
        key = framed(registry, "long", 1, key=True)
        server.produce(topic, [*messages(1, 2, fab="f1"), (key, None)], partition=0)
        for name, url, expected in (("none", None, (0, 1)), ("one", registry.url, (1, 0))):
            options = {} if url is None else {"schema.registry.url": url}
            (tmp_path / name).mkdir()
            with shop(tmp_path / name, server, topic, options=options) as fs:
                metrics = run(fs)
                assert (metrics.deleted, metrics.quarantined) == expected
                reasons = [row.reason for row in fs.quarantine("tests")]
                assert all("'schema.registry.url'" in reason for reason in reasons)


def test_any_position_goes_on_with_the_next_row(server: KafkaServer, topic: str) -> None:
    server.produce(topic, messages(*range(30)))
    with reader_of(server, topic) as reader:
        batches = read(reader, 30, max_rows=7)
    for number in (1, len(batches) // 2, len(batches) - 2):
        with reader_of(server, topic, batches[number].position) as again:
            before, rest = batches[: number + 1], batches[number + 1 :]
            assert sorted(ids(read(again, sum(map(_rows, rest))))) == sorted(ids(rest))
            assert sorted(ids(before) + ids(rest)) == list(range(30))


def test_rows_of_a_partition_keep_their_order(server: KafkaServer, topic: str) -> None:
    server.produce(topic, messages(*range(50)), partition=2)
    with reader_of(server, topic) as reader:
        assert ids(read(reader, 50, max_rows=9)) == list(range(50))


def test_the_place_to_start_from_is_kept_before_any_row(server: KafkaServer, topic: str) -> None:
    """Else a worker that was killed before its first row would start somewhere else again."""
    server.produce(topic, messages(1, 2, 3))
    with reader_of(server, topic, start="latest") as reader:
        first = reader.read(10, 0.2)
        assert len(first.rows) == 0
    server.produce(topic, messages(4, 5))
    with reader_of(server, topic, first.position) as again:
        assert sorted(ids(read(again, 2))) == [4, 5]


def test_a_stream_may_start_at_a_time(server: KafkaServer, topic: str) -> None:
    """Within the last minute: a broker lets go of messages that are old by their own time."""
    began = time.time_ns() // 1_000_000 - 60_000
    for number in range(5):
        server.produce(topic, messages(number), at=began + number * 1000)
    with reader_of(server, topic, start=(began + 2500) * 1000) as reader:
        assert sorted(ids(read(reader, 2))) == [3, 4]


def test_our_position_counts_and_not_the_groups(server: KafkaServer, topic: str) -> None:
    server.produce(topic, messages(*range(10)), partition=0)
    with reader_of(server, topic) as reader:
        first = read(reader, 1, max_rows=5)
        read(reader, 10 - len(ids(first)))
        # The group has read everything, says the hint; what is kept is less.
        reader.commit(reader.read(5, 0).position)
        until(lambda: len(reader.read(5, 0.1).rows) == 0 and reader.lag() == 0)
    with reader_of(server, topic, first[-1].position) as again:
        assert ids(first) + ids(read(again, 10 - len(ids(first)))) == list(range(10))


@every_server
def test_another_program_in_the_group_takes_no_partition_away(
    server: KafkaServer, topic: str, tmp_path: Path
) -> None:
    options = {"group.id": f"group-of-{topic}"}
    server.produce(topic, messages(*range(60)))
    with (
        shop(tmp_path, server, topic, options=options) as fs,
        StreamWorker(fs.runtime, "tests", max_rows=7) as worker,
    ):
        until(lambda: worker.step() is not None and worker.metrics.rows >= 14)
        guest = ck.Consumer({"bootstrap.servers": server.address, **options})
        guest.subscribe([topic])

        def both() -> None:
            guest.poll(0.05)
            worker.step(0.05)

        until(lambda: both() or len(guest.assignment()) > 0)
        server.produce(topic, messages(*range(60, 120)))
        until(lambda: both() or worker.metrics.rows >= 120)
        guest.close()
        assert taken_in(fs) == list(range(120))


def test_a_restart_of_the_broker_is_waited_for(tmp_path: Path) -> None:
    with kafka("noida") as server:
        server.create("rows", 2)
        server.produce("rows", messages(*range(50)))
        with shop(tmp_path, server, "rows") as fs, StreamWorker(fs.runtime, "tests") as worker:
            until(lambda: worker.step() is not None and worker.metrics.rows == 50)
            server.stop()
            for _ in range(3):
                assert worker.step() is None
            server.start()
            server.produce("rows", messages(*range(50, 80)))
            until(lambda: worker.step() is not None and worker.metrics.rows == 80)
            assert taken_in(fs) == list(range(80))


def test_messages_that_are_gone_are_an_error(
    server: KafkaServer, topic: str, tmp_path: Path
) -> None:
    """A topic that was made anew: rows that were not read yet are never skipped in silence."""
    server.produce(topic, messages(*range(50)), partition=0)
    with shop(tmp_path, server, topic) as fs:
        assert run(fs).rows == 50
        server.remove(topic)
        server.create(topic, 3)
        server.produce(topic, messages(1), partition=0)
        with pytest.raises(CorruptData, match="gone that were not read yet") as caught:
            run(fs)
        assert "offset 50 of partition 0" in str(caught.value)


@pytest.mark.parametrize("again", [51, 80])
def test_a_topic_that_was_made_anew_and_is_longer_is_an_error(
    server: KafkaServer, topic: str, tmp_path: Path, again: int
) -> None:
    """It has the offset to go on at, and before it rows that nobody read."""
    server.produce(topic, messages(*range(50)), partition=0)
    server.produce(topic, messages(*range(50, 60)), partition=1)
    with shop(tmp_path, server, topic) as fs:
        assert run(fs).rows == 60
        assert run(fs).rows == 0
        server.produce(topic, messages(60), partition=1)
        assert run(fs).rows == 1
        server.remove(topic)
        server.create(topic, 3)
        server.produce(topic, messages(*range(100, 100 + again)), partition=0)
        with pytest.raises(CorruptData, match="made anew") as caught:
            run(fs)
        assert "offset 49 of partition 0" in str(caught.value)
        assert taken_in(fs) == list(range(61))


def test_a_topic_that_is_not_there_is_an_error(server: KafkaServer) -> None:
    with pytest.raises(InputError, match="no such topic"):
        reader_of(server, "nowhere")


def test_a_broker_that_cannot_be_reached_is_an_outage(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr("skewless.streams.kafka.PATIENCE_SECONDS", 0.5)
    reader = KafkaReader(sl.Kafka("rows", "127.0.0.1:1"))
    with pytest.raises(StoreUnavailable, match="Kafka cannot be reached"):
        reader.open(None)
    reader.close()


def test_secrets_come_from_the_environment_and_are_not_shown(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    from skewless.ingest.stream.status import stream_status

    options = {
        "sasl.username": "me",
        "sasl.password": "${KAFKA_PASSWORD}",
        "sasl.mechanism": "PLAIN",
    }
    rows = source(sl.Kafka("rows", "127.0.0.1:1", options=options | {"ssl.key.password": "hush"}))
    with store(tmp_path, rows) as fs:
        with pytest.raises(sl.SkewlessError, match="KAFKA_PASSWORD is not set"):
            StreamWorker(fs.runtime, "tests")
        monkeypatch.setenv("KAFKA_PASSWORD", "secret")
        (status,) = stream_status(fs.runtime)
        assert "secret" not in str(status)
        assert "hush" not in str(status)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"auto.offset.reset": "latest"}, "not for you to set"),
        ({"no.such.setting": "1"}, "settings of a Kafka consumer"),
    ],
)
def test_settings_that_cannot_be_are_errors(options: dict[str, str], said: str) -> None:
    with pytest.raises(InputError, match=said):
        KafkaReader(sl.Kafka("rows", "127.0.0.1:1", options=options)).open(None)
