"""A Kafka topic as a stream (``skewless[kafka]``), read with confluent-kafka.

    sl.Kafka("wafer-tests", "localhost:9092")
    sl.Kafka("wafer-tests", "broker:9093", format="avro", options={
        "schema.registry.url": "https://registry:8081",
        "security.protocol": "SASL_SSL", "sasl.password": "${KAFKA_PASSWORD}", ...})

Where to go on is said by the position that is kept with the rows. Offsets are committed to the
consumer group as well, but only so that its tools show the lag: nothing reads them back. A group
has one member here, the worker that holds the source's lease; were another program to join it, the
partitions it takes would be missing, and go on where they were left once it is gone.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import confluent_kafka as ck

from skewless.errors import CorruptData, InputError, StoreUnavailable
from skewless.streams._kafka_position import (
    PartitionPosition,
    Positions,
    after,
    check,
    decode,
    encode,
)
from skewless.streams._payloads import decoders
from skewless.streams._records import Record, alike
from skewless.streams.base import (
    EARLIEST,
    LATEST,
    Batch,
    Poison,
    Start,
    StreamReader,
    Tombstone,
)
from skewless.streams.envelopes import BesideValue, parts_of, paths_of
from skewless.variables import expand

if TYPE_CHECKING:
    from skewless.definitions.tables import Located
    from skewless.types import DType

PATIENCE_SECONDS = 15.0
_BEGINNING = PartitionPosition(ck.OFFSET_BEGINNING)
_TOPIC_IS_AWAY = (
    ck.KafkaError.UNKNOWN_TOPIC_OR_PART,
    ck.KafkaError._UNKNOWN_TOPIC,
    ck.KafkaError._UNKNOWN_PARTITION,
)
_OURS = ("auto.offset.reset", "enable.auto.commit", "enable.auto.offset.store")
_DEFAULTS = {
    "client.id": "skewless",
    "partition.assignment.strategy": "range",
    "queued.max.messages.kbytes": 32 << 10,  # what may wait here, read but not asked for
    "session.timeout.ms": 10_000,
}
_COMMIT_EVERY_SECONDS = 1.0


class KafkaReader(StreamReader):
    """Reads `skewless.Kafka`. Its position is that of `_kafka_position`."""

    lag_unit = "messages"

    def __init__(self, stream: Located, base: Path | None = None, *, consumer: str = "") -> None:
        super().__init__(stream, base, consumer=consumer)
        self._topic = str(stream.options["topic"])
        options = dict(expand(stream.options.get("options", {}), f"options of {self._where}"))
        for name in _OURS:
            if name in options:
                raise InputError(f"the option {name!r} is not for you to set", where=self._where)
        format = stream.options.get("format", "json")
        places = stream.options.get("columns") or {}
        paths = paths_of(places)
        self._payload, self._keys = decoders(format, self._topic, options, base, paths)
        self._parts = parts_of(places)
        self._beside = BesideValue({}, {}, self._keys.decode)
        servers = expand(stream.options["servers"], f"servers of {self._where}")
        group = {"group.id": consumer or f"skewless-{self._topic}"}
        self._settings = {"bootstrap.servers": servers, **_DEFAULTS, **group, **options}
        self._settings |= {"auto.offset.reset": "error", "enable.auto.commit": False}
        self._settings["enable.partition.eof"] = True
        self._consumer: ck.Consumer | None = None
        self._next: Positions = {}
        self._ends: dict[int, int] = {}
        """Up to where each partition turned out to have nothing more."""
        self._assigned: set[int] = set()
        self._waiting: list[Record] = []
        self._fresh = False
        self._doubtful = False
        """Whether the topic was away for a moment, and may be another one now."""
        self._committed = 0.0

    @property
    def name(self) -> str:
        return self._topic

    def typed(self, columns: Mapping[str, DType]) -> None:
        super().typed(columns)
        self._beside = BesideValue(self.columns, self._parts, self._keys.decode)

    @property
    def _where(self) -> str:
        return f"Kafka topic {self.stream.options['topic']!r}"

    def open(self, position: bytes | None, *, start: Start = EARLIEST) -> None:
        self.close()
        try:
            self._consumer = ck.Consumer(self._settings, logger=_quiet())
        except ck.KafkaException as problem:
            raise InputError(
                "settings of a Kafka consumer", got=_text(problem), where=self._where
            ) from None
        try:
            partitions = self._partitions()
            self._fresh = position is None
            if position is None:
                begin = self._starts(partitions, start)
                self._next = {number: PartitionPosition(offset) for number, offset in begin.items()}
            else:
                self._next = decode(position)
                check(self._settings, self._topic, self._next, PATIENCE_SECONDS)
            self._consumer.subscribe(
                [self._topic], on_assign=self._on_assign, on_revoke=self._on_revoke,
                on_lost=self._on_revoke,
            )  # fmt: skip
        except ck.KafkaException as problem:
            raise self._unavailable(problem) from problem

    def read(self, max_rows: int, timeout: float) -> Batch:
        if self._fresh:  # so that the place to start from is kept before any row is
            self._fresh = False
            return self._batch([])
        if not self._waiting:
            self._waiting = self._fetch(max_rows, timeout)
        run = alike(self._waiting, max_rows)
        batch = self._batch(self._waiting[:run])
        del self._waiting[:run]  # not before they were decoded
        return batch

    def lag(self) -> int | None:
        if self._consumer is None or not self._assigned:
            return None
        total = 0
        for number in self._assigned:
            try:
                place = ck.TopicPartition(self._topic, number)
                low, high = self._consumer.get_watermark_offsets(place, cached=True)
            except ck.KafkaException:
                return None
            if high < 0:  # nothing was fetched of it yet
                return None
            at = self._next.get(number, _BEGINNING).next
            # Behind the last message there may be marks of transactions, which nobody is given.
            total += max(high - max(low if at < 0 else at, self._ends.get(number, 0)), 0)
        return total

    def describe(self, position: bytes) -> dict[str, int]:
        return {f"{self._topic}[{n}]": place.next for n, place in sorted(decode(position).items())}

    def commit(self, position: bytes) -> None:
        now = time.monotonic()
        if self._consumer is not None and now - self._committed >= _COMMIT_EVERY_SECONDS:
            self._committed = now
            self._hint(position)

    def close(self) -> None:
        consumer, self._consumer = self._consumer, None
        if consumer is not None:
            consumer.close()
        self._assigned, self._waiting = set(), []

    # ------------------------------------------------------------------------------------ private

    def _hint(self, position: bytes) -> None:
        offsets = [
            ck.TopicPartition(self._topic, number, place.next)
            for number, place in decode(position).items()
            if place.next >= 0 and number in self._assigned
        ]
        try:
            if offsets and self._consumer is not None:
                self._consumer.commit(offsets=offsets, asynchronous=True)
        except ck.KafkaException:
            pass  # it is a hint; the next one may get through

    def _partitions(self) -> list[int]:
        if self._consumer is None:
            raise StoreUnavailable("the stream is not open", where=self._where)
        found = self._consumer.list_topics(self._topic, timeout=PATIENCE_SECONDS)
        topic = found.topics[self._topic]
        if topic.error is not None:
            raise InputError(
                "there is no such topic, or it may not be read",
                got=str(topic.error),
                where=self._where,
            )
        return sorted(topic.partitions)

    def _starts(self, partitions: Sequence[int], start: Start) -> dict[int, int]:
        """Return where to begin with each partition that there is."""
        if start == EARLIEST or self._consumer is None:
            return dict.fromkeys(partitions, ck.OFFSET_BEGINNING)
        if start == LATEST:
            return {number: self._watermarks(number)[1] for number in partitions}
        if not isinstance(start, int):
            raise InputError(
                "a start that is none",
                got=repr(start),
                expected=f"{EARLIEST}, {LATEST} or a time",
                where=self._where,
            )
        millis = -(-start // 1000)
        asked = [ck.TopicPartition(self._topic, number, millis) for number in partitions]
        found = self._consumer.offsets_for_times(asked, timeout=PATIENCE_SECONDS)
        return {
            p.partition: p.offset if p.offset >= 0 else self._watermarks(p.partition)[1]
            for p in found
        }

    def _watermarks(self, number: int) -> tuple[int, int]:
        if self._consumer is None:
            return 0, 0
        place = ck.TopicPartition(self._topic, number)
        low, high = self._consumer.get_watermark_offsets(place, timeout=PATIENCE_SECONDS)
        return low, high

    def _on_assign(self, consumer: ck.Consumer, partitions: list[ck.TopicPartition]) -> None:
        """Go to our own position, whatever the group says."""
        numbers = {each.partition for each in partitions}
        self._waiting = [m for m in self._waiting if m.partition not in numbers]
        for each in partitions:
            # A partition that came into being later is read from its beginning.
            each.offset = self._next.setdefault(each.partition, _BEGINNING).next
        if "cooperative" in str(self._settings["partition.assignment.strategy"]):
            consumer.incremental_assign(partitions)
        else:
            consumer.assign(partitions)
        self._assigned |= numbers

    def _on_revoke(self, _: ck.Consumer, partitions: list[ck.TopicPartition]) -> None:
        numbers = {each.partition for each in partitions}
        self._waiting = [m for m in self._waiting if m.partition not in numbers]
        self._assigned -= numbers

    def _fetch(self, max_rows: int, timeout: float) -> list[Record]:
        """Return messages that are there; wait only for the first one."""
        if self._consumer is None:
            raise StoreUnavailable("the stream is not open", where=self._where)
        try:
            if self._doubtful:
                check(self._settings, self._topic, self._next, PATIENCE_SECONDS)
                self._doubtful = False
            first = self._consumer.poll(timeout)
            if first is None:
                return []
            more = self._consumer.consume(max_rows - 1, 0) if max_rows > 1 else []
        except ck.KafkaException as problem:
            raise self._unavailable(problem) from problem
        good, reached = [], {number: place.next for number, place in self._next.items()}
        for message in (first, *more):
            error = message.error()
            if error is not None:
                self._check(error, message)
                continue
            found = Record.of(message)
            if found.offset >= reached.get(found.partition, 0):
                reached[found.partition] = found.offset + 1
                good.append(found)
        return good

    def _check(self, error: ck.KafkaError, message: ck.Message) -> None:
        """Note the end of a partition; raise what another error means."""
        partition = message.partition()
        if error.code() == ck.KafkaError._AUTO_OFFSET_RESET:
            place = None if partition is None else self._next.get(partition)
            offset = None if place is None else place.next
            raise CorruptData(
                "messages are gone that were not read yet",
                got=error.str(),
                expected=f"offset {offset} of partition {partition}",
                where=self._where,
                hint="The topic was made anew, or keeps messages for too short a time.",
            )
        self._doubtful = self._doubtful or error.code() in _TOPIC_IS_AWAY
        if error.code() == ck.KafkaError._PARTITION_EOF:
            self._ends[partition or 0] = message.offset() or 0
        elif not error.retriable():
            raise self._unavailable(ck.KafkaException(error))

    def _batch(self, records: list[Record]) -> Batch:
        """Return messages that are all rows or all tombstones."""
        behind = after(self._next, records)
        position = encode(behind)
        arrived = min((r.arrived for r in records if r.arrived is not None), default=None)
        places = [(record.partition, record.offset) for record in records]

        def origin(number: int) -> str:
            return "{}[{}]@{}".format(self._topic, *places[number])

        values = [record.value for record in records if record.value is not None]
        if records and not values:
            graves = tuple(self._tombstone(r, origin(n)) for n, r in enumerate(records))
            self._next = behind
            return Batch([], position, str, tombstones=graves, arrived=arrived)
        headers = None
        if any(record.headers for record in records):
            headers = [record.headers for record in records if record.value is not None]
        made = self._payload.decode(values, self._beside.of_values, headers)
        made = self._beside.added(made, records)
        self._next = behind
        return Batch(
            made.rows,
            position,
            lambda row: origin(made.taken[row]),
            tuple(Poison(values[n], reason, origin(n)) for n, reason in made.poison),
            arrived=arrived,
            ignored=made.ignored,
        )

    def _tombstone(self, record: Record, origin: str) -> Tombstone:
        try:
            said = self._keys.decode(record.key, record.headers)
        except ValueError as problem:
            return Tombstone(record.key, origin, problem=str(problem))
        if isinstance(said, bytes):
            return Tombstone(said, origin)
        return Tombstone(record.key, origin, named=said)

    def _unavailable(self, problem: ck.KafkaException) -> StoreUnavailable:
        return StoreUnavailable("Kafka cannot be reached", got=_text(problem), where=self._where)


def _text(problem: ck.KafkaException) -> str:
    error: Any = problem.args[0] if problem.args else problem
    return str(error.str()) if hasattr(error, "str") else str(error)


def _quiet() -> Any:
    """Return a logger, so that librdkafka does not write to stderr."""
    import logging

    return logging.getLogger("skewless.kafka")
