"""A Kafka topic as a stream (``skewless[kafka]``), read with confluent-kafka.

    sl.Kafka("wafer-tests", "localhost:9092")
    sl.Kafka("wafer-tests", "broker:9093", format="avro", options={
        "schema.registry.url": "https://registry:8081",
        "security.protocol": "SASL_SSL", "sasl.password": "${KAFKA_PASSWORD}", ...})

Where to go on is said by the position that is kept with the rows: the reader assigns itself the
partitions and never joins a consumer group, so no rebalance of one gives or takes any. Offsets are
committed to the group's name, but only so that its tools show the lag: nothing reads them back.
"""

from __future__ import annotations

import time
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import confluent_kafka as ck

from skewless.errors import CorruptData, InputError, StoreUnavailable
from skewless.streams._kafka_errors import TOPIC_IS_AWAY, ask, ends_of, offsets_at, passes
from skewless.streams._kafka_position import (
    PartitionPosition,
    Positions,
    after,
    check,
    decode,
    encode,
)
from skewless.streams.base import (
    EARLIEST,
    LATEST,
    Batch,
    Start,
    StreamReader,
)
from skewless.streams.messages import Messages
from skewless.streams.records import Record, alike
from skewless.variables import expand

if TYPE_CHECKING:
    from skewless.definitions.tables import Located
    from skewless.types import DType

PATIENCE_SECONDS = 15.0
_NEW = PartitionPosition(0)
"""Where a partition begins that came into being after the topic was first read."""
_OURS = ("auto.offset.reset", "enable.auto.commit", "enable.auto.offset.store")
_DEFAULTS = {
    "client.id": "skewless",
    "queued.max.messages.kbytes": 32 << 10,  # what may wait here, read but not asked for
    "fetch.queue.backoff.ms": 10,  # a second by default: so long none comes once so much waits
    "fetch.error.backoff.ms": 50,  # half a second by default, whenever a leader changes
    "socket.nagle.disable": True,  # a request does not wait for the answer to another one
}
_COMMIT_EVERY_SECONDS = 1.0
_LOOK_EVERY_SECONDS, _LOOK_SECONDS = 5.0, 1.0
"""How often new partitions are looked for, and how long messages that are here wait for that."""


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
        self._messages = Messages(stream, f"topic {self._topic}", options, base)
        servers = expand(stream.options["servers"], f"servers of {self._where}")
        group = {"group.id": consumer or f"skewless-{self._topic}"}
        self._settings = {"bootstrap.servers": servers, **_DEFAULTS, **group, **options}
        self._settings |= {"auto.offset.reset": "error", "enable.auto.commit": False}
        self._settings["enable.partition.eof"] = True
        self._consumer: ck.Consumer | None = None
        self._next: Positions = {}
        self._ends: dict[int, int] = {}
        """Up to where each partition turned out to have nothing more."""
        self._only: frozenset[int] | None = None
        self._known: list[int] = []
        self._looked = 0.0
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
        self._messages.typed(self.columns)

    @property
    def settings(self) -> dict[str, Any]:
        """Those of its consumer, as librdkafka calls them, secrets among them."""
        return dict(self._settings)

    @property
    def _where(self) -> str:
        return f"Kafka topic {self.stream.options['topic']!r}"

    def parts(self) -> list[str]:
        if self._known and time.monotonic() - self._looked < _LOOK_EVERY_SECONDS:
            return [str(number) for number in self._known]
        consumer = self._consumer or self._connected()
        try:
            self._known = self._partitions(
                consumer, _LOOK_SECONDS if self._known else PATIENCE_SECONDS
            )
        except ck.KafkaException as problem:
            if not self._known:
                raise self._unavailable(problem) from problem
        except InputError:  # it may only be away for a moment; reading on tells
            if not self._known:
                raise
        finally:
            if consumer is not self._consumer:
                consumer.close()
        self._looked = time.monotonic()
        return [str(number) for number in self._known]

    def only(self, parts: Collection[str] | None) -> None:
        self._only = None if parts is None else frozenset(map(int, parts))

    def split(self, position: bytes) -> dict[str, bytes]:
        return {str(number): encode({number: at}) for number, at in decode(position).items()}

    def join(self, positions: Mapping[str, bytes]) -> bytes | None:
        found: Positions = {}
        for each in positions.values():
            found |= decode(each)
        return encode(found) if found else None

    def open(self, position: bytes | None, *, start: Start = EARLIEST) -> None:
        self.close()
        self._consumer = self._connected()
        try:
            self._known = self._partitions(self._consumer, PATIENCE_SECONDS)
            self._looked = time.monotonic()
            self._fresh = position is None
            if position is None:
                begin = self._starts(self._consumer, self._wanted(), start)
                self._next = {number: PartitionPosition(offset) for number, offset in begin.items()}
            else:
                self._next = decode(position)
                self._check_partitions()
                check(self._settings, self._topic, self._next, PATIENCE_SECONDS)
            self._assign()
        except ck.KafkaException as problem:
            raise self._unavailable(problem) from problem

    def read(self, max_rows: int, timeout: float) -> Batch:
        if self._fresh:  # so that the place to start from is kept before any row is
            self._fresh = False
            return self._batch([])
        if not self._waiting:
            if self._only is None and set(map(int, self.parts())) - self._next.keys():
                self._assign()
                return self._batch([])  # likewise, for partitions that are new
            self._waiting = self._fetch(max_rows, timeout)
        run = alike(self._waiting, max_rows)
        batch = self._batch(self._waiting[:run])
        del self._waiting[:run]  # not before they were decoded
        return batch

    def lag(self) -> int | None:
        if self._consumer is None:
            return None
        total = 0
        for number, reached in self._next.items():
            try:
                place = ck.TopicPartition(self._topic, number)
                _, high = self._consumer.get_watermark_offsets(place, cached=True)
            except ck.KafkaException:
                return None
            if high < 0:  # nothing was fetched of it yet
                return None
            # Behind the last message there may be marks of transactions, which nobody is given.
            total += max(high - max(reached.next, self._ends.get(number, 0)), 0)
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
        self._waiting = []

    # ------------------------------------------------------------------------------------ private

    def _hint(self, position: bytes) -> None:
        offsets = [
            ck.TopicPartition(self._topic, number, place.next)
            for number, place in decode(position).items()
        ]
        try:
            if offsets and self._consumer is not None:
                self._consumer.commit(offsets=offsets, asynchronous=True)
        except ck.KafkaException:
            pass  # it is a hint; the next one may get through

    def _connected(self) -> ck.Consumer:
        try:
            return ck.Consumer(self._settings, logger=_quiet())
        except ck.KafkaException as problem:
            raise InputError(
                "settings of a Kafka consumer", got=_text(problem), where=self._where
            ) from None

    def _partitions(self, consumer: ck.Consumer, patience: float) -> list[int]:
        def question(left: float) -> Any:
            found = consumer.list_topics(self._topic, timeout=left)
            topic = found.topics[self._topic]
            if topic.error is not None and passes(topic.error):
                raise ck.KafkaException(topic.error)
            return topic

        topic = ask(question, patience)
        if topic.error is not None:
            raise InputError(
                "there is no such topic, or it may not be read",
                got=str(topic.error),
                where=self._where,
            )
        return sorted(topic.partitions)

    def _wanted(self) -> list[int]:
        return [n for n in self._known if self._only is None or n in self._only]

    def _assign(self) -> None:
        """Have the consumer read what is wanted, each partition from where it was left."""
        for number in self._wanted():
            self._next.setdefault(number, _NEW)
        if self._consumer is not None:
            self._waiting = []
            self._consumer.assign(
                [ck.TopicPartition(self._topic, n, place.next) for n, place in self._next.items()]
            )

    def _check_partitions(self) -> None:
        if gone := self._next.keys() - set(self._known):
            raise CorruptData(
                "the topic was made anew: partitions are gone",
                got=f"{len(self._known)} partitions",
                expected=f"partition {max(gone)}, which was read",
                where=self._where,
            )

    def _starts(
        self, consumer: ck.Consumer, partitions: Sequence[int], start: Start
    ) -> dict[int, int]:
        """Return where to begin with each partition that there is."""
        if start in (EARLIEST, LATEST):
            places = [ck.TopicPartition(self._topic, number) for number in partitions]
            found = [ends_of(consumer, place, PATIENCE_SECONDS) for place in places]
            return {
                number: low if start == EARLIEST else high
                for number, (low, high) in zip(partitions, found, strict=True)
            }
        if not isinstance(start, int):
            raise InputError(
                "a start that is none",
                got=repr(start),
                expected=f"{EARLIEST}, {LATEST} or a time",
                where=self._where,
            )
        millis = -(-start // 1000)
        asked = [ck.TopicPartition(self._topic, number, millis) for number in partitions]
        later = offsets_at(consumer, asked, PATIENCE_SECONDS)
        ends = self._starts(consumer, [p.partition for p in later if p.offset < 0], LATEST)
        return {p.partition: ends.get(p.partition, p.offset) for p in later}

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
        self._doubtful = self._doubtful or error.code() in TOPIC_IS_AWAY
        if error.code() == ck.KafkaError._PARTITION_EOF:
            self._ends[partition or 0] = message.offset() or 0
        elif not passes(error):
            raise self._unavailable(ck.KafkaException(error))

    def _batch(self, records: list[Record]) -> Batch:
        """Return messages that are all rows or all tombstones."""
        behind = after(self._next, records)
        origins = [f"{self._topic}[{record.partition}]@{record.offset}" for record in records]
        batch = self._messages.batch(records, origins, encode(behind))
        self._next = behind
        return batch

    def _unavailable(self, problem: ck.KafkaException) -> StoreUnavailable:
        return StoreUnavailable("Kafka cannot be reached", got=_text(problem), where=self._where)


def _text(problem: ck.KafkaException) -> str:
    error: Any = problem.args[0] if problem.args else problem
    return str(error.str()) if hasattr(error, "str") else str(error)


def _quiet() -> Any:
    """Return a logger, so that librdkafka does not write to stderr."""
    import logging

    return logging.getLogger("skewless.kafka")
