"""Which errors of a Kafka broker pass by themselves, and waiting for that.

A topic that was just made, a leader that changes, a broker that starts: its answers are errors for
some milliseconds. Clients ask again. librdkafka does so for what it fetches, but not for what it is
asked once (offsets of a partition, names of topics).

Source: the protocol's table of error codes, column "Retriable"
(https://kafka.apache.org/protocol#protocol_error_codes).
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

import confluent_kafka as ck

T = TypeVar("T")

TOPIC_IS_AWAY = (
    ck.KafkaError.UNKNOWN_TOPIC_OR_PART,
    ck.KafkaError._UNKNOWN_TOPIC,
    ck.KafkaError._UNKNOWN_PARTITION,
)
_PASSING = frozenset(
    {
        ck.KafkaError.LEADER_NOT_AVAILABLE,
        ck.KafkaError.NOT_LEADER_FOR_PARTITION,
        ck.KafkaError.REQUEST_TIMED_OUT,
        ck.KafkaError.REPLICA_NOT_AVAILABLE,
        ck.KafkaError.NETWORK_EXCEPTION,
        ck.KafkaError.KAFKA_STORAGE_ERROR,
        ck.KafkaError.FENCED_LEADER_EPOCH,
        ck.KafkaError.UNKNOWN_LEADER_EPOCH,
        ck.KafkaError.OFFSET_NOT_AVAILABLE,
    }
)
_AGAIN_SECONDS, _LEARN_SECONDS = 0.05, 2.0


def passes(error: ck.KafkaError) -> bool:
    """Return whether the broker means "ask again"."""
    return error.code() in _PASSING


def ask(question: Callable[[float], T], patience: float) -> T:
    """Return the answer to a question, which is asked again while its errors pass.

    That a partition is unknown is asked again for a moment only: a broker may learn of it after
    another one told, but most often it is gone.

    Args:
        question: is given the seconds that are left.
        patience: seconds for all attempts.

    Raises:
        KafkaException: the broker cannot be reached, refuses, or the error did not pass in time.
    """
    begin = time.monotonic()
    while True:
        spent = time.monotonic() - begin
        try:
            return question(max(patience - spent, 0.0))
        except ck.KafkaException as problem:
            error = problem.args[0]
            enough = min(patience, _LEARN_SECONDS) if error.code() in TOPIC_IS_AWAY else patience
            if spent >= enough or not (passes(error) or error.code() in TOPIC_IS_AWAY):
                raise
        time.sleep(_AGAIN_SECONDS)


def ends_of(consumer: ck.Consumer, place: ck.TopicPartition, patience: float) -> tuple[int, int]:
    """Return the offsets of a partition's first message and behind its last one.

    Raises:
        KafkaException: as of `ask`.
    """
    found: tuple[int, int] = ask(
        lambda left: consumer.get_watermark_offsets(place, timeout=left), patience
    )
    return found


def offsets_at(
    consumer: ck.Consumer, asked: list[ck.TopicPartition], patience: float
) -> list[ck.TopicPartition]:
    """Return where each partition has its first message at or after a time; -1: it has none.

    Args:
        asked: partitions with the time (ms of the epoch, UTC) in place of their offset.

    Raises:
        KafkaException: as of `ask`. A partition that did not answer is never one without messages.
    """

    def question(left: float) -> list[ck.TopicPartition]:
        found: list[ck.TopicPartition] = consumer.offsets_for_times(asked, timeout=left)
        for each in found:
            if each.error is not None:
                raise ck.KafkaException(each.error)
        return found

    return ask(question, patience)
