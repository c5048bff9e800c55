"""A Kafka topic seen from outside: which one it is, where it begins, from where a group goes on.

    topic = KafkaTopic(reader)                # the reader of its stream, which need not be open
    topic.name()                              # "kafka:uF3…/payments/Zk9…"
    topic.firsts()                            # {0: 0, 1: 0}: the first message of each partition

For what reads a topic by a client of its own, such as a job of Flink, and has to be held to it.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import closing
from typing import Any

import confluent_kafka as ck
from confluent_kafka.admin import AdminClient

from skewless.errors import CorruptData, StoreUnavailable
from skewless.forks import cached_property
from skewless.streams._kafka_errors import ends_of
from skewless.streams.kafka import PATIENCE_SECONDS, KafkaReader

_OF_CLIENTS = ("bootstrap.servers", "client.id", "security.protocol", "log_level")
_OF_SECURITY = ("sasl.", "ssl.", "enable.ssl.")


class KafkaTopic:
    """A topic.

    Args:
        reader: of its stream; its settings count.
    """

    def __init__(self, reader: KafkaReader) -> None:
        self._reader = reader
        self._settings = {"log_level": 0, **reader.settings}
        self._topic = reader.name
        self._where = f"Kafka topic {self._topic!r}"

    def name(self) -> str:
        """Return what tells this topic from all others, one of the same name made anew among them.

        Raises:
            StoreUnavailable: the cluster cannot be reached, or has no such topic.
        """
        try:
            (asked,) = self._admin.describe_topics(
                ck.TopicCollection([self._topic]), request_timeout=PATIENCE_SECONDS
            ).values()
            return f"kafka:{self._cluster}/{self._topic}/{asked.result().topic_id}"
        except ck.KafkaException as problem:
            raise self._unavailable(problem) from problem

    def firsts(self) -> dict[int, int]:
        """Return the offset of the first message that there is of each partition.

        Raises:
            InputError: there is no such topic.
            StoreUnavailable: the cluster cannot be reached.
        """
        numbers = [int(part) for part in self._reader.parts()]
        with closing(ck.Consumer(self._settings)) as consumer:
            try:
                return {number: self._first(consumer, number) for number in numbers}
            except ck.KafkaException as problem:
                raise self._unavailable(problem) from problem

    def let_begin(self, group: str, offsets: Mapping[int, int]) -> None:
        """Have a consumer group that nobody is a member of go on at some offsets.

        Raises:
            CorruptData: messages from there on are gone.
            StoreUnavailable: the cluster cannot be reached.
        """
        for number, first in self.firsts().items():
            if first > offsets.get(number, 0):
                raise self._gone(number, offsets.get(number, 0), first)
        places = [ck.TopicPartition(self._topic, n, offset) for n, offset in offsets.items()]
        with closing(ck.Consumer(self._settings | {"group.id": group})) as consumer:
            try:
                if places:
                    consumer.commit(offsets=places, asynchronous=False)
            except ck.KafkaException as problem:
                raise self._unavailable(problem) from problem

    def check_none_between(self, number: int, first: int, end: int) -> None:
        """Look whether nothing is to be read of a partition from one offset until another.

        Marks of transactions and what compaction removed lie there and are nothing to be read.

        Raises:
            CorruptData: there is something, or there was.
            StoreUnavailable: the cluster cannot be reached.
        """
        with closing(ck.Consumer(self._settings)) as consumer:
            try:
                low = self._first(consumer, number)
                if low > first:
                    raise self._gone(number, first, low)
                consumer.assign([ck.TopicPartition(self._topic, number, first)])
                message = consumer.poll(PATIENCE_SECONDS)
            except ck.KafkaException as problem:
                raise self._unavailable(problem) from problem
        if message is None or (message.error() and not _is_end(message)):
            raise StoreUnavailable("Kafka does not answer", where=self._where)
        if not message.error() and (message.offset() or 0) < end:
            raise CorruptData(
                "messages lie between what the states hold and what comes next",
                got=f"offset {end} of partition {number}",
                expected=f"offset {message.offset()}",
                where=self._where,
                hint="The states were set back, or the job begins too late. Start it anew without"
                " a checkpoint or savepoint: it goes on where the states are.",
            )

    @cached_property
    def _admin(self) -> Any:
        """A client; kept, since it is asked again and again."""
        return AdminClient(
            {
                name: value
                for name, value in self._settings.items()
                if name in _OF_CLIENTS or name.startswith(_OF_SECURITY)
            }
        )

    @cached_property
    def _cluster(self) -> str:
        found = self._admin.describe_cluster(request_timeout=PATIENCE_SECONDS).result()
        return str(found.cluster_id)

    def _first(self, consumer: ck.Consumer, number: int) -> int:
        return ends_of(consumer, ck.TopicPartition(self._topic, number), PATIENCE_SECONDS)[0]

    def _gone(self, number: int, first: int, low: int) -> CorruptData:
        return CorruptData(
            "messages are gone that were not read yet",
            got=f"offset {low} of partition {number}, the first that is there",
            expected=f"offset {first}",
            where=self._where,
            hint="The topic keeps messages for too short a time.",
        )

    def _unavailable(self, problem: ck.KafkaException) -> StoreUnavailable:
        told = problem.args[0] if problem.args else problem
        return StoreUnavailable("Kafka cannot be reached", got=str(told), where=self._where)


def _is_end(message: ck.Message) -> bool:
    error = message.error()
    return error is not None and error.code() == ck.KafkaError._PARTITION_EOF
