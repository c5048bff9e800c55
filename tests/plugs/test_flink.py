"""A job of Flink against real servers: kills of anything at any moment lose nothing, double nothing."""

import json
import os
import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.plugs.real import needs

needs("pyflink", "flink")

import skewless as sl  # noqa: E402
from skewless.errors import ConfigError  # noqa: E402
from skewless.ingest.stream.worker import StreamWorker  # noqa: E402
from skewless.plugs.flink import Job  # noqa: E402
from skewless.testing.kafka_servers import KafkaServer, kafka  # noqa: E402
from skewless.testing.servers import Server, downloaded, running  # noqa: E402
from tests.cli.running import ran, run_in  # noqa: E402
from tests.ingest.stream.events import FABS, bits, event, served_and_computed  # noqa: E402
from tests.plugs.flink_cluster import Cluster, flink  # noqa: E402
from tests.plugs.flink_repos import counted, online_of, repo  # noqa: E402

KILLS = int(os.environ.get("SKEWLESS_FLINK_KILLS", "2"))
"""How often something is killed."""
PARTITIONS = 4
Rows = list[dict[str, Any]]


@pytest.fixture(scope="module")
def broker() -> Iterator[KafkaServer]:
    with kafka("kafka") as started:
        yield started


@pytest.fixture(scope="module")
def redis() -> Iterator[Server]:
    with running("redis") as server:
        yield server


@pytest.fixture(scope="module")
def jar() -> str:
    (found,) = downloaded("flink-kafka").glob("*.jar")
    return str(found)


@pytest.fixture
def topic(request: pytest.FixtureRequest, broker: KafkaServer) -> str:
    name = request.node.name
    broker.create(name, PARTITIONS)
    return name


@pytest.fixture
def fs(tmp_path: Path, redis: Server, broker: KafkaServer, topic: str) -> Iterator[sl.FeatureStore]:
    """The repo whose states the job keeps up."""
    with repo(tmp_path / "repo", online_of(redis, topic), broker, topic) as fs:
        yield fs


def produce(broker: KafkaServer, topic: str, rows: Rows) -> None:
    broker.produce(topic, [(row["fab"].encode(), json.dumps(row).encode()) for row in rows])


def assert_as_a_worker_has_it(
    fs: sl.FeatureStore, folder: Path, broker: KafkaServer, topic: str
) -> None:
    """What is served is what a worker with a journal makes of the topic, and that is its history."""
    with repo(folder / "truth", 'kind = "lmdb"\n', broker, topic) as truth:
        StreamWorker(truth.runtime, "tests").run(once=True)
        at = truth.runtime.clock.now()
        entities = [{"fab": fab} for fab in [*FABS, "nobody"]]
        of_both = [
            {name: list(map(bits, values)) for name, values in found.to_dict().items()}
            for found in (
                each.get_online_features("Rolling", entities, at=at) for each in (fs, truth)
            )
        ]
        assert of_both[0] == of_both[1]
        served, computed = served_and_computed(truth)
        assert served == computed
        ran(run_in(folder / "truth", "verify"))


def test_kills_of_managers_and_jobs_neither_lose_nor_double_a_row(
    fs: sl.FeatureStore, tmp_path: Path, broker: KafkaServer, topic: str, jar: str
) -> None:
    chance, rows = random.Random(7), [event(number) for number in range(400 * (KILLS + 1))]
    with flink(tmp_path) as cluster, pytest.MonkeyPatch.context() as patch:
        for name, value in cluster.environment.items():
            patch.setenv(name, value)
        submit(fs, cluster, jar)
        for number in range(KILLS):
            done = 400 * number
            produce(broker, topic, rows[done : done + 400])
            reached = done + chance.randrange(400)
            cluster.wait_for(lambda: counted(fs) > reached, "the job does not go on")  # noqa: B023
            cluster.kill("taskmanager")
            if number % 2:  # and with it the job itself
                cluster.kill("jobmanager")
                cluster.start("jobmanager")
                submit(fs, cluster, jar)
            cluster.start("taskmanager")
        produce(broker, topic, rows[400 * KILLS :])
        cluster.wait_for(lambda: counted(fs) == len(rows), "the job does not come to an end")
    assert_as_a_worker_has_it(fs, tmp_path, broker, topic)


def submit(fs: sl.FeatureStore, cluster: Cluster, jar: str) -> None:
    words = ["flink", "submit", "tests", "--jobmanager", cluster.address, "--jar", jar]
    told = ran(run_in(fs.config.folder, *words, "--parallelism", "2", "--checkpoint", "1"))
    assert "Submitted: job" in told.output


def test_a_missing_connector_is_named(fs: sl.FeatureStore) -> None:
    with pytest.raises(ConfigError, match=r"lacks the connector.*flink-sql-connector-kafka"):
        Job(str(fs.config.folder), "tests").run()
