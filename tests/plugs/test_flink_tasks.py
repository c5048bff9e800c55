"""What tasks of a Flink job do with messages, and what a job is refused: against a real broker."""

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

import skewless as sl
from skewless.errors import Conflict, CorruptData, DefinitionError, InputError
from skewless.online.log_owned import lanes_table
from skewless.plugs.flink import Job, TakeIn, _of_java
from skewless.streams.kafka import KafkaReader
from skewless.testing.kafka_servers import KafkaServer, kafka, wait_for
from skewless.testing.servers import Server, running
from tests.ingest.stream.events import event, source, view
from tests.plugs.flink_repos import counted, online_of, repo

ck = pytest.importorskip("confluent_kafka")
pd = pytest.importorskip("pandas")
pytestmark = [pytest.mark.server("kafka"), pytest.mark.server("redis")]


@pytest.fixture(scope="module")
def broker() -> Iterator[KafkaServer]:
    with kafka("kafka") as started:
        yield started


@pytest.fixture(scope="module")
def redis() -> Iterator[Server]:
    with running("redis") as server:
        yield server


@pytest.fixture
def topic(request: pytest.FixtureRequest, broker: KafkaServer) -> str:
    name = request.node.name
    broker.create(name, 2)
    return name


@pytest.fixture
def fs(tmp_path: Path, redis: Server, broker: KafkaServer, topic: str) -> Iterator[sl.FeatureStore]:
    """The repo whose states the job keeps up."""
    with repo(tmp_path / "repo", online_of(redis, topic), broker, topic) as fs:
        yield fs


def begun(fs: sl.FeatureStore) -> TakeIn:
    """What the tasks of a job do, called here in place of Flink."""
    return Job(str(fs.config.folder), "tests")._begun()[1]


def columns(rows: Sequence[tuple[int, int, dict[str, Any] | None]]) -> tuple[Any, ...]:
    """Messages as Flink hands them to a task: partition, offset, what they say."""
    times = pd.Series(pd.to_datetime([0] * len(rows), unit="ms", utc=True))
    values = [None if row is None else json.dumps(row).encode() for *_, row in rows]
    numbers = pd.Series([p for p, *_ in rows]), pd.Series([o for _, o, _ in rows])
    empty = pd.Series([[]] * len(rows))
    return pd.Series([b"k"] * len(rows)), pd.Series(values), *numbers, times, empty, empty


def test_what_lies_between_states_and_the_next_message_is_missed(
    fs: sl.FeatureStore, broker: KafkaServer, topic: str
) -> None:
    rows = [event(number) for number in range(10)]
    value = [(b"k", json.dumps(row).encode()) for row in rows]
    broker.produce(topic, value, partition=1)
    take = begun(fs)
    take(*columns([(1, n, rows[n]) for n in range(4)]))
    begun(fs)(*columns([(1, n, rows[n]) for n in range(2, 6)]))  # another attempt
    assert counted(fs) == 6
    with pytest.raises(CorruptData, match="messages lie between"):
        begun(fs)(*columns([(1, n, rows[n]) for n in range(8, 10)]))
    states = fs.runtime.home.states
    states.write(lanes_table("tests"), [(b"1", b"2")])  # an older copy of the store
    with pytest.raises(CorruptData, match="older copy"):
        take(*columns([(1, 4, rows[4])]))


def test_another_topic_of_the_name_and_messages_that_are_gone_are_refused(
    fs: sl.FeatureStore, broker: KafkaServer, topic: str
) -> None:
    rows = [event(number) for number in range(6)]
    broker.produce(topic, [(b"k", json.dumps(row).encode()) for row in rows], partition=0)
    take = begun(fs)
    take(*columns([(0, n, rows[n]) for n in range(2)]))
    for done in broker.admin.delete_records([ck.TopicPartition(topic, 0, 4)]).values():
        done.result(60)
    with pytest.raises(CorruptData, match="gone that were not read"):
        begun(fs)
    fresh = TakeIn(str(fs.config.folder), "tests", take._stream)
    with pytest.raises(CorruptData, match="gone that were not read"):
        fresh(*columns([(0, 4, rows[4])]))
    broker.remove(topic)
    wait_for(lambda: topic not in broker.admin.list_topics(timeout=60).topics, "it is still there")
    broker.create(topic, 2)
    with pytest.raises(Conflict, match="another stream"):
        take(*columns([(0, 2, rows[2])]))


def test_bad_messages_and_deletions_are_set_aside_and_null_keys_taken(
    fs: sl.FeatureStore, broker: KafkaServer, topic: str
) -> None:
    take = begun(fs)
    told = columns([(0, 0, event(1)), (0, 1, None), (0, 2, {"fab": "f0", "vdd": "high"})])
    told[0][0] = None
    take(*told)
    assert counted(fs) == 3
    reasons = [row.reason for row in fs.quarantine("tests")]
    assert len(reasons) == 2
    assert sum("deletion" in reason for reason in reasons) == 1
    with pytest.raises(Conflict, match="written by log"):
        fs.push("tests", [event(3)])


def test_what_cannot_be_exact_or_has_no_topic_is_refused(
    tmp_path: Path, redis: Server, broker: KafkaServer, topic: str
) -> None:
    with repo(tmp_path / "ids", online_of(redis, topic), broker, topic, row_id="id") as fs:
        with pytest.raises(DefinitionError, match="its row id"):
            begun(fs)
    (tmp_path / "none").mkdir()
    with sl.FeatureStore(tmp_path / "none") as fs:
        fs.apply(fs.plan(view(source(None))))
        with pytest.raises(InputError, match="no topic of Kafka"):
            begun(fs)


def test_settings_of_kafka_are_handed_to_java_in_its_words() -> None:
    options = {
        "security.protocol": "SASL_SSL",
        "sasl.mechanisms": "SCRAM-SHA-256",
        "ssl.ca.location": "/ca.pem",
        "sasl.username": "me",
        "sasl.password": 'a"b',
    }
    stream = sl.Kafka("t", "b:9093", options=options)
    found = _of_java(KafkaReader(stream).settings, stream)
    login = 'org.apache.kafka.common.security.scram.ScramLoginModule required username="me" password="a\\"b";'
    assert found == {
        "bootstrap.servers": "b:9093",
        "security.protocol": "SASL_SSL",
        "sasl.mechanism": "SCRAM-SHA-256",
        "ssl.truststore.location": "/ca.pem",
        "ssl.truststore.type": "PEM",
        "sasl.jaas.config": login,
    }
    other = sl.Kafka("t", "b:9093", options={"ssl.key.location": "/key.pem"})
    with pytest.raises(InputError, match=r"'ssl\.key\.location'.*--kafka NAME=VALUE"):
        _of_java(KafkaReader(other).settings, other)
