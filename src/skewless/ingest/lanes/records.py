"""Records of a stream that is read in lanes.

A lane is what a stream keeps in order, whoever reads it: a partition of Kafka, a partition key of a
shard, a message group of a queue, an item of a table. A record's number is greater than that of
every earlier one of its lane, and the same whenever it comes again.
"""

from __future__ import annotations

from dataclasses import dataclass

from skewless.streams.records import Headers


@dataclass(frozen=True)
class LaneRecord:
    """A record.

    Attributes:
        lane: within which records are in order.
        number: of the record.
        value: what it holds; None: that an item was deleted.
        key: of the record, as its writer chose it.
        arrived: when it came to the log, as that says, UTC microseconds.
        id: how whoever brings it is told that it is to come again.
        expired: whether the item has only reached the end of its time to live.
        headers: name and value of each; None where there are none.
        known: when its row is known, UTC microseconds; None: since it arrived.
    """

    lane: bytes
    number: int
    value: bytes | None
    key: bytes | None
    arrived: int
    id: str = ""
    expired: bool = False
    headers: Headers = None
    known: int | None = None

    @property
    def known_at(self) -> int:
        """When its row is known."""
        return self.arrived if self.known is None else self.known
