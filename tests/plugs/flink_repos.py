"""Repos over a topic of Kafka, whose states a job of Flink keeps up on Redis."""

from pathlib import Path
from typing import Any

import skewless as sl
from skewless.online.log_owned import lanes_table
from skewless.testing.kafka_servers import KafkaServer
from skewless.testing.servers import Server
from tests.ingest.stream.events import source, view


def online_of(redis: Server, namespace: str) -> str:
    return f'kind = "redis"\nurl = "{redis.url}"\nnamespace = "{namespace}"\n'


def repo(
    folder: Path, online: str, broker: KafkaServer, topic: str, **options: Any
) -> sl.FeatureStore:
    folder.mkdir()
    (folder / "skewless.toml").write_text(f"[online]\n{online}")
    fs = sl.FeatureStore(folder)
    fs.apply(fs.plan(view(source(sl.Kafka(topic, broker.address), **options))))
    return fs


def counted(fs: sl.FeatureStore) -> int:
    """How many messages the states hold, of all partitions."""
    return sum(int(number) + 1 for _, number in fs.runtime.home.states.scan(lanes_table("tests")))
