"""Messages of a topic as plain values."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple, Self, cast

if TYPE_CHECKING:
    from confluent_kafka import Message

Headers = list[tuple[str, Any]] | None
_NO_TIMESTAMP = 0  # confluent_kafka.TIMESTAMP_NOT_AVAILABLE


class Record(NamedTuple):
    """A message.

    Attributes:
        partition, offset: where it lies.
        key, value: what it holds; a value of None deletes the row of the key.
        arrived: when it was written to the topic, UTC microseconds, if the topic knows.
        headers: name and value of each; None where it has none.
    """

    partition: int
    offset: int
    key: bytes | None
    value: bytes | None
    arrived: int | None
    headers: Headers = None

    @classmethod
    def of(cls, message: Message) -> Self:
        """Return a message of confluent-kafka that is no error."""
        kind, millis = message.timestamp()
        return cls(
            message.partition() or 0,
            message.offset() or 0,
            _bytes(message.key()),
            _bytes(message.value()),
            None if kind == _NO_TIMESTAMP else millis * 1000,
            cast("Headers", message.headers()),
        )


def alike(records: Sequence[Record], most: int) -> int:
    """Return how many of the first records are all rows, or all deletions."""
    for number, record in enumerate(records[:most]):
        if (record.value is None) != (records[0].value is None):
            return number
    return min(len(records), most)


def _bytes(value: str | bytes | None) -> bytes | None:
    return value.encode() if isinstance(value, str) else value
