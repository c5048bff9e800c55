"""Where a topic was left: the next offset of each partition, and what the message before it was.

A topic that was removed and made again under its name has other messages at the same offsets. Going
on there would skip rows in silence, so a position holds a mark of the last message that was read of
each partition, and whoever opens the topic at it compares. (Ids of topics would say the same, where
brokers tell them; a topic that was restored message by message is, rightly, the same one.)
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

import confluent_kafka as ck
import msgspec

from skewless.errors import CorruptData
from skewless.streams._kafka_errors import ends_of, passes
from skewless.streams.records import Record

_SLICE_SECONDS = 0.5
_NOTHING_THERE = (ck.KafkaError._PARTITION_EOF, ck.KafkaError._AUTO_OFFSET_RESET)


class PartitionPosition(NamedTuple):
    """How far a partition was read.

    Attributes:
        next: offset of the next message.
        last: offset of the last message that was read; -1 if there was none.
        mark: of that message.
    """

    next: int
    last: int = -1
    mark: bytes = b""


Positions = dict[int, PartitionPosition]


def encode(places: Mapping[int, PartitionPosition]) -> bytes:
    """Return a position as bytes."""
    return msgspec.msgpack.encode(dict(places))


def decode(position: bytes) -> Positions:
    """Return the position that `encode` wrote.

    Raises:
        CorruptData: it is none.
    """
    try:
        return msgspec.msgpack.decode(position, type=dict[int, PartitionPosition])
    except msgspec.DecodeError as problem:
        raise CorruptData("a position that is none", got=str(problem)) from None


def after(places: Mapping[int, PartitionPosition], records: Iterable[Record]) -> Positions:
    """Return the position behind records that follow another position."""
    found = dict(places)
    last = {record.partition: record for record in records}
    for number, record in last.items():
        found[number] = PartitionPosition(record.offset + 1, record.offset, mark_of(record))
    return found


def mark_of(record: Record) -> bytes:
    """Return a mark by which a message is told from others at its offset."""
    found = hashlib.blake2b(repr(record.arrived).encode(), digest_size=8)
    for part in (record.key, record.value):
        found.update(b"-" if part is None else b"%d:%s" % (len(part), part))
    return found.digest()


def check(settings: Mapping[str, Any], topic: str, places: Positions, patience: float) -> None:
    """Compare the last messages that were read with those that are there now.

    What a topic no longer has (retention, compaction) or what lies behind its end is not compared:
    reading on tells.

    Args:
        settings: of a consumer.
        topic: its name.
        places: where it is to be read on.
        patience: seconds to wait for the broker.

    Raises:
        CorruptData: there is another message at an offset that was read.
        KafkaException: the broker cannot be reached.
    """
    wanted = {number: place for number, place in places.items() if place.mark}
    if not wanted:
        return
    consumer = ck.Consumer({**settings, "group.id": f"{settings['group.id']}-check"})
    try:
        places_there = {}
        for number, place in wanted.items():
            low, high = ends_of(consumer, ck.TopicPartition(topic, number), patience)
            if low <= place.last < high:
                places_there[number] = place
        consumer.assign([ck.TopicPartition(topic, n, p.last) for n, p in places_there.items()])
        _compare(consumer, topic, places_there, patience)
    finally:
        consumer.close()


def _compare(consumer: ck.Consumer, topic: str, wanted: Positions, patience: float) -> None:
    left, until = set(wanted), time.monotonic() + patience
    while left:
        message = consumer.poll(_SLICE_SECONDS)
        if message is None:
            if time.monotonic() > until:
                error = ck.KafkaError(ck.KafkaError._TIMED_OUT, "no message came in time")
                raise ck.KafkaException(error)
            continue
        number = message.partition() or 0
        problem = message.error()
        if problem is not None:
            if problem.code() in _NOTHING_THERE:
                left.discard(number)  # nothing is left of what was read
            elif not passes(problem):
                raise ck.KafkaException(problem)
        elif number in left:
            left.discard(number)
            found, place = Record.of(message), wanted[number]
            if found.offset == place.last and mark_of(found) != place.mark:
                raise CorruptData(
                    "the topic was made anew: it has other messages where some were read",
                    got=f"another message at offset {place.last} of partition {number}",
                    expected="the one that was read",
                    where=f"Kafka topic {topic!r}",
                    hint="Give the new topic another name, or the source another stream.",
                )
