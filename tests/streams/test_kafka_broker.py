"""What only Kafka itself does: transactions, compaction, retention, partitions that are added."""

import contextlib
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import skewless as sl
from skewless.errors import CorruptData
from skewless.ingest.stream.worker import StreamWorker
from skewless.testing.kafka_servers import KafkaServer, kafka, wait_for
from tests.ingest.stream.events import run, served_and_computed, source, store, taken_in
from tests.streams.test_kafka import messages, reader_of, shop, until

ck = pytest.importorskip("confluent_kafka")
pytestmark = pytest.mark.server("kafka")


@pytest.fixture(scope="module")
def server() -> Iterator[KafkaServer]:
    with kafka("kafka") as started:
        yield started


@pytest.fixture
def topic(request: pytest.FixtureRequest) -> str:
    """A name of its own for each test's topic."""
    return f"t{abs(hash(request.node.name))}"


@contextlib.contextmanager
def transaction(server: KafkaServer, topic: str, *numbers: int) -> Iterator[None]:
    """Write rows in a transaction that is open while the block runs; one that raises aborts it."""
    producer = ck.Producer({"bootstrap.servers": server.address, "transactional.id": topic})
    producer.init_transactions(60)
    producer.begin_transaction()
    for key, value in messages(*numbers):
        producer.produce(topic, value, key)
    assert producer.flush(60) == 0
    try:
        yield
    except BaseException:
        producer.abort_transaction(60)
        raise
    producer.commit_transaction(60)


def delete_up_to(server: KafkaServer, topic: str, offset: int) -> None:
    """Let go of the first messages of partition 0, as retention does."""
    place = ck.TopicPartition(topic, 0, offset)
    (done,) = server.admin.delete_records([place]).values()
    assert done.result(60).low_watermark == offset


def test_rows_of_a_transaction_count_once_it_is_committed_and_never_if_it_is_not(
    server: KafkaServer, topic: str, tmp_path: Path
) -> None:
    server.create(topic, 2)
    server.produce(topic, messages(*range(10)))
    rows = source(sl.Kafka(topic, server.address))
    with store(tmp_path, rows) as fs, StreamWorker(fs.runtime, "tests") as worker:
        until(lambda: worker.step() is None and worker.metrics.rows == 10)
        with transaction(server, topic, *range(10, 20)):
            for _ in range(3):
                assert worker.step() is None
        until(lambda: worker.step() is None and worker.metrics.rows == 20)
        with pytest.raises(RuntimeError, match="abort"), transaction(server, topic, 77, 78):
            raise RuntimeError("abort")
        server.produce(topic, messages(20))
        until(lambda: worker.step() is None and worker.metrics.rows == 21)
        until(lambda: worker.step() is None and worker.reader.lag() == 0)
        assert taken_in(fs) == list(range(21))
    with store(tmp_path, rows) as fs:
        assert run(fs).rows == 0


def test_a_compacted_topic_gives_what_is_left_and_its_tombstones_delete(
    server: KafkaServer, topic: str, tmp_path: Path
) -> None:
    """Offsets with holes, the message before the position among them."""
    compacted = {
        "cleanup.policy": "compact",
        "segment.ms": "100",
        "min.cleanable.dirty.ratio": "0.001",
        "max.compaction.lag.ms": "100",
        "delete.retention.ms": "3600000",
    }
    server.create(topic, 1, config=compacted)
    with shop(tmp_path, server, topic) as fs:
        server.produce(topic, messages(*range(20)))
        assert run(fs).rows == 20
        began = time.monotonic()

        def has_holes() -> bool:
            # A segment is compacted when a later one was begun.
            server.produce(topic, messages(*range(5, 20)))
            return len(offsets(server, topic)) < high(server, topic) - 40

        wait_for(has_holes, "nothing was compacted")
        print(f"compacted after {time.monotonic() - began:.1f} s")
        assert run(fs).corrections > 0
        server.produce(topic, [(b"3", None), (b"19", None)])
        assert run(fs).deleted == 2
        live = [row for row in taken_in(fs) if row not in (3, 19)]
        assert set(live) == set(range(20)) - {3, 19}
        served, computed = served_and_computed(fs)
        assert served == computed
    (tmp_path / "late").mkdir()
    with shop(tmp_path / "late", server, topic) as late:  # who comes later sees the same
        run(late)
        assert set(taken_in(late)) >= set(live)


def test_retention_that_overtakes_a_position_is_said(
    server: KafkaServer, topic: str, tmp_path: Path
) -> None:
    server.create(topic, 1)
    server.produce(topic, messages(*range(30)))
    with shop(tmp_path, server, topic) as fs:
        assert run(fs, max_rows=10).rows == 30
        delete_up_to(server, topic, 30)  # what was read may go
        server.produce(topic, messages(*range(30, 60)))
        assert run(fs).rows == 30
        server.produce(topic, messages(*range(60, 90)))
        delete_up_to(server, topic, 70)
        with pytest.raises(CorruptData, match="gone that were not read yet") as caught:
            run(fs)
        assert "offset 60 of partition 0" in str(caught.value)
        assert taken_in(fs) == list(range(60))


def test_retention_that_overtakes_a_worker_at_work_is_said(
    server: KafkaServer, topic: str, tmp_path: Path
) -> None:
    """Also where nothing was read yet but the place to begin at."""
    server.create(topic, 1)
    with shop(tmp_path, server, topic) as fs:
        with StreamWorker(fs.runtime, "tests") as worker:
            worker.step()
        server.produce(topic, messages(*range(10)))
        delete_up_to(server, topic, 4)
        with pytest.raises(CorruptData, match="gone that were not read yet"):
            run(fs)
        assert taken_in(fs) == []


def test_partitions_that_are_added_are_read_from_their_beginning(
    server: KafkaServer, topic: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("skewless.streams.kafka._LOOK_EVERY_SECONDS", 0.1)
    server.create(topic, 1)
    rows = source(sl.Kafka(topic, server.address))
    with store(tmp_path, rows) as fs:
        with StreamWorker(fs.runtime, "tests", start="latest") as worker:
            worker.step()
            from confluent_kafka import admin

            more: Any = vars(admin)["NewPartitions"](topic, 3)
            (done,) = server.admin.create_partitions([more]).values()
            done.result(60)
            wait_for(lambda: len(server.leaders(topic)) == 3, "no leaders")
            for partition in range(3):
                server.produce(topic, messages(partition), partition=partition)
            until(lambda: worker.step() is None and worker.metrics.rows == 3)
        assert taken_in(fs) == [0, 1, 2]
        assert run(fs).rows == 0


def test_a_topic_that_was_made_anew_with_fewer_partitions_is_an_error(
    server: KafkaServer, topic: str, tmp_path: Path
) -> None:
    server.create(topic, 3)
    server.produce(topic, messages(1), partition=0)
    with shop(tmp_path, server, topic) as fs:
        assert run(fs).rows == 1
        server.remove(topic)
        wait_for(lambda: topic not in server.admin.list_topics().topics, "still there")
        server.create(topic, 1)
        with pytest.raises(CorruptData, match="partitions are gone"):
            run(fs)


def test_a_restart_of_kafka_is_waited_for(tmp_path: Path) -> None:
    with kafka("kafka") as own:
        own.create("rows", 2)
        own.produce("rows", messages(*range(50)))
        with (
            store(tmp_path, source(sl.Kafka("rows", own.address))) as fs,
            StreamWorker(fs.runtime, "tests") as worker,
        ):
            until(lambda: worker.step() is None and worker.metrics.rows == 50)
            own.stop()
            for _ in range(3):
                assert worker.step() is None
            own.start()
            own.produce("rows", messages(*range(50, 80)))
            until(lambda: worker.step() is None and worker.metrics.rows == 80)
            assert taken_in(fs) == list(range(80))


def test_one_position_of_all_partitions_is_taken_apart(
    server: KafkaServer, topic: str, tmp_path: Path
) -> None:
    """As it was kept before workers could share a stream."""
    from skewless.ingest.stream.positions import StreamPositions
    from skewless.online.lease import POSITIONS

    server.create(topic, 3)
    server.produce(topic, messages(*range(30)))
    with store(tmp_path, source(sl.Kafka(topic, server.address))) as fs:
        assert run(fs).rows == 30
        with reader_of(server, topic) as reader:
            places = StreamPositions(fs.runtime.journal, fs.runtime.source("tests"), reader)
            whole = reader.join(places.read())
        with fs.runtime.journal.transaction() as rows:
            places.forget(rows)
            rows.write(POSITIONS, [(places.stream.encode(), whole)])
        server.produce(topic, messages(30, 31))
        assert run(fs).rows == 2
        assert sorted(places.read()) == ["0", "1", "2"]
        assert taken_in(fs) == list(range(32))


def offsets(server: KafkaServer, topic: str) -> list[int]:
    """The offsets that partition 0 still has."""
    found: list[int] = []
    settings = {"bootstrap.servers": server.address, "group.id": "offsets"}
    consumer = ck.Consumer(settings | {"enable.partition.eof": True})
    consumer.assign([ck.TopicPartition(topic, 0, 0)])
    try:
        while True:
            message = consumer.poll(60)
            assert message is not None
            if message.error() is not None:
                assert message.error().code() == ck.KafkaError._PARTITION_EOF
                return found
            found.append(message.offset())
    finally:
        consumer.close()


def high(server: KafkaServer, topic: str) -> int:
    consumer = ck.Consumer({"bootstrap.servers": server.address, "group.id": "high"})
    try:
        return int(consumer.get_watermark_offsets(ck.TopicPartition(topic, 0), timeout=60)[1])
    finally:
        consumer.close()
