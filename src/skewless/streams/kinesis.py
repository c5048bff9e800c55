"""A Kinesis data stream (``skewless[kinesis]``), read with boto3.

    sl.Kinesis("payments", region="eu-west-1")

Shards are split and merged: a child is read once its parents are read to their end, so that rows of
a key keep their order. A position says, for each shard, which record was read last and up to when
nothing was left to read. Kinesis lets go of records without a word when they are older than the
stream keeps them, so a reader that was away, or behind, for longer than that is an error.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import boto3
import botocore.exceptions
import msgspec

from skewless.errors import CorruptData, InputError, StoreUnavailable
from skewless.streams.base import EARLIEST, LATEST, Batch, Start, StreamReader
from skewless.streams.messages import Messages
from skewless.streams.records import Record
from skewless.variables import expand

if TYPE_CHECKING:
    from skewless.definitions.tables import Located
    from skewless.types import DType

_MOST_RECORDS = 10_000
_PAUSE, _LONG_PAUSE = 0.2, 1.0  # a shard may be asked five times a second
_HOUR = 3600 * 10**6
_EXPIRED = "ExpiredIteratorException"
_THROTTLED = ("ProvisionedThroughputExceededException", "LimitExceededException")


class ShardPosition(NamedTuple):
    """How far a shard was read.

    Attributes:
        last: sequence number of the last record that was read; empty: none was.
        rows: how many were read.
        since: where nothing was read, begin with records of that time; UTC microseconds.
        seen: every record that arrived before was read; UTC microseconds.
        done: whether it is closed and was read to its end.
    """

    last: str = ""
    rows: int = 0
    since: int = 0
    seen: int = 0
    done: bool = False


Positions = dict[str, ShardPosition]


class KinesisReader(StreamReader):
    """Reads `skewless.Kinesis`; each shard has a position of its own."""

    lag_unit = "milliseconds"

    def __init__(self, stream: Located, base: Path | None = None, *, consumer: str = "") -> None:
        super().__init__(stream, base, consumer=consumer)
        self._name = str(stream.options["stream"])
        options = dict(expand(stream.options.get("options") or {}, f"options of {self._where}"))
        self._messages = Messages(stream, f"stream {self._name}", options, base)
        self._client = boto3.client("kinesis", region_name=stream.options.get("region"), **options)
        self._at: Positions = {}
        self._iterators: dict[str, str] = {}
        self._due: dict[str, float] = {}
        self._behind: dict[str, int] = {}
        self._keeps = 0
        self._fresh = False

    @property
    def name(self) -> str:
        return self._name

    @property
    def _where(self) -> str:
        return f"Kinesis stream {self.stream.options['stream']!r}"

    def typed(self, columns: Mapping[str, DType]) -> None:
        super().typed(columns)
        self._messages.typed(self.columns)

    def split(self, position: bytes) -> dict[str, bytes]:
        return {shard: _encode({shard: at}) for shard, at in _decode(position).items()}

    def join(self, positions: Mapping[str, bytes]) -> bytes | None:
        found: Positions = {}
        for each in positions.values():
            found |= _decode(each)
        return _encode(found) if found else None

    def open(self, position: bytes | None, *, start: Start = EARLIEST) -> None:
        self.close()
        self._fresh, now = position is None, _now()
        if start not in (EARLIEST, LATEST) and not isinstance(start, int):
            expected = f"{EARLIEST}, {LATEST} or a time"
            raise InputError("a start that is none", got=repr(start), expected=expected)
        self._at = {} if position is None else _decode(position)
        summary = self._call("describe_stream_summary", StreamName=self._name)
        self._keeps = summary["StreamDescriptionSummary"]["RetentionPeriodHours"] * _HOUR
        shards = self._shards()
        if position is None:
            since = {EARLIEST: 0, LATEST: now}[start] if isinstance(start, str) else start
            if since and now - since > self._keeps:
                hours = self._keeps // _HOUR
                expected = f"one of the last {hours} hours, which the stream keeps, or {EARLIEST}"
                raise InputError("a start that is too old", expected=expected, where=self._where)
            roots = [name for name, parents in shards.items() if not parents & shards.keys()]
            self._at = dict.fromkeys(roots, ShardPosition(since=since, seen=now))
        self._grow(shards)

    def read(self, max_rows: int, timeout: float) -> Batch:
        if self._fresh:  # so that the place to start from is kept before any row is
            self._fresh = False
            return self._batch("", [])
        end = time.monotonic() + timeout
        while True:
            for shard in sorted(self._live(), key=lambda name: self._due.get(name, 0)):
                if self._due.get(shard, 0) <= time.monotonic():
                    batch = self._read_shard(shard, min(max_rows, _MOST_RECORDS))
                    if batch is not None:
                        return batch
            now = time.monotonic()
            if now >= end:
                return self._batch("", [])
            soonest = min((self._due.get(name, 0) for name in self._live()), default=end)
            time.sleep(max(min(soonest, end) - now, 0.001))

    def lag(self) -> int | None:
        live = self._live()
        if any(shard not in self._behind for shard in live):
            return None
        return max((self._behind[shard] for shard in live), default=0)

    def describe(self, position: bytes) -> dict[str, int]:
        found = sorted(_decode(position).items())
        return {f"{self._name}[{shard}]": at.rows for shard, at in found}

    def close(self) -> None:
        self._iterators, self._due, self._behind = {}, {}, {}

    # ------------------------------------------------------------------------------------ private

    def _live(self) -> list[str]:
        return [shard for shard, at in self._at.items() if not at.done]

    def _shards(self) -> dict[str, set[str]]:
        """Return the shards that there are, each with its parents."""
        found: dict[str, set[str]] = {}
        asked: dict[str, Any] = {"StreamName": self._name}
        while asked:
            page = self._call("list_shards", **asked)
            for shard in page["Shards"]:
                parents = {shard.get("ParentShardId"), shard.get("AdjacentParentShardId")}
                found[shard["ShardId"]] = parents - {None}
            asked = {"NextToken": page["NextToken"]} if "NextToken" in page else {}
        return found

    def _grow(self, shards: Mapping[str, set[str]]) -> None:
        """Begin with children whose parents are read to their end; forget shards that are gone."""
        for shard in [shard for shard in self._at if shard not in shards]:
            if not self._at.pop(shard).done:
                raise self._gone(f"shard {shard}", "it is no more")
        for shard, parents in shards.items():
            read = [self._at[parent] for parent in parents & shards.keys() if parent in self._at]
            if shard in self._at or len(read) < len(parents & shards.keys()):
                continue
            if not parents & shards.keys():
                raise self._gone(
                    f"shard {shard}", "what came before it is no more, or another stream"
                )
            if all(at.done for at in read):
                since, seen = (min(getattr(at, name) for at in read) for name in ("since", "seen"))
                self._at[shard] = ShardPosition(since=since, seen=seen)

    def _read_shard(self, shard: str, most: int) -> Batch | None:
        """Read on in a shard; None if that brings neither rows nor an end."""
        self._due[shard] = time.monotonic() + _PAUSE
        at, asked = self._at[shard], _now()
        if asked - at.seen > self._keeps:
            raise self._gone(f"shard {shard}", "it was not read for longer than records are kept")
        try:
            iterator = self._iterators.get(shard) or self._iterator(shard)
            page = self._call("get_records", ShardIterator=iterator, Limit=most)
        except botocore.exceptions.ClientError as problem:
            self._iterators.pop(shard, None)
            self._due[shard] += _LONG_PAUSE if _code(problem) != _EXPIRED else 0
            return None
        records = page["Records"]
        self._behind[shard] = page.get("MillisBehindLatest", 0)
        arrived = [int(each["ApproximateArrivalTimestamp"].timestamp() * 1e6) for each in records]
        seen = max(arrived, default=at.seen) if self._behind[shard] else asked
        following = page.get("NextShardIterator")
        if not records and following and seen - at.seen < _HOUR:
            self._iterators[shard] = following
            return None
        last = records[-1]["SequenceNumber"] if records else at.last
        self._at = self._at | {
            shard: at._replace(
                last=last, rows=at.rows + len(records), seen=seen, done=following is None
            )
        }
        if following is None:
            self._iterators.pop(shard, None)
            self._grow(self._shards())
        else:
            self._iterators[shard] = following
        if len(records) == most:
            self._due[shard] = time.monotonic()  # there is more
        rows = [
            Record(0, n, each["PartitionKey"].encode(), each["Data"], when)
            for n, (each, when) in enumerate(zip(records, arrived, strict=True))
        ]
        return self._batch(shard, rows, [each["SequenceNumber"] for each in records])

    def _iterator(self, shard: str) -> str:
        at = self._at[shard]
        where: dict[str, Any] = {"ShardIteratorType": "TRIM_HORIZON"}
        if at.last:
            where = {
                "ShardIteratorType": "AFTER_SEQUENCE_NUMBER",
                "StartingSequenceNumber": at.last,
            }
        elif at.since:
            where = {"ShardIteratorType": "AT_TIMESTAMP", "Timestamp": at.since / 1e6}
        found = self._call("get_shard_iterator", StreamName=self._name, ShardId=shard, **where)
        return str(found["ShardIterator"])

    def _batch(self, shard: str, records: list[Record], numbers: list[str] | None = None) -> Batch:
        origins = [f"{self._name}[{shard}]@{number}" for number in numbers or []]
        return self._messages.batch(records, origins, _encode(self._at))

    def _call(self, verb: str, **arguments: Any) -> dict[str, Any]:
        """Call Kinesis.

        Raises:
            ClientError: an iterator has expired, or there were too many calls.
            SkewlessError: whatever else it refuses.
        """
        try:
            return dict(getattr(self._client, verb)(**arguments))
        except botocore.exceptions.ClientError as problem:
            code = _code(problem)
            if verb == "get_records" and (code == _EXPIRED or code in _THROTTLED):
                raise
            if code in _THROTTLED or problem.response["ResponseMetadata"]["HTTPStatusCode"] >= 500:
                raise self._unavailable(problem) from problem
            if code == "InvalidArgumentException" and "StartingSequenceNumber" in arguments:
                raise self._gone(
                    f"record {arguments['StartingSequenceNumber']}", str(problem)
                ) from None
            raise InputError(
                "Kinesis refuses a call", got=str(problem), where=self._where
            ) from None
        except botocore.exceptions.BotoCoreError as problem:
            raise self._unavailable(problem) from problem

    def _unavailable(self, problem: Exception) -> StoreUnavailable:
        return StoreUnavailable("Kinesis cannot be reached", got=str(problem), where=self._where)

    def _gone(self, what: str, why: str) -> CorruptData:
        return CorruptData(
            "records may be gone that were not read yet",
            got=f"{what}: {why}",
            where=self._where,
            hint="Keep records for longer; skewless stream reset begins again.",
        )


def _code(problem: botocore.exceptions.ClientError) -> str:
    return str(problem.response["Error"]["Code"])


def _encode(at: Mapping[str, ShardPosition]) -> bytes:
    return msgspec.msgpack.encode(dict(at))


def _decode(position: bytes) -> Positions:
    try:
        return msgspec.msgpack.decode(position, type=Positions)
    except msgspec.DecodeError as problem:
        raise CorruptData("a position that is none", got=str(problem)) from None


def _now() -> int:
    return time.time_ns() // 1000
