"""Records of the events that AWS Lambda gives to functions: in lanes, with their numbers.

A lane is what AWS keeps in order, also where it calls several functions at once: a partition key
of a shard, a message group of a queue, an item of a table.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Callable, Mapping
from typing import Any

import msgspec

from skewless.errors import InputError
from skewless.ingest.lanes.records import LaneRecord

_AGGREGATED = b"\xf3\x89\x9a\xc2"  # how the producer library begins records of several
_EXPIRY = "dynamodb.amazonaws.com"


def records_of(event: Mapping[str, Any]) -> tuple[str, list[LaneRecord]]:
    """Return the ARN of the stream of an event, and its records in order.

    Raises:
        InputError: it is none of a known kind, of several streams, or without an order.
    """
    found = event.get("Records")
    if not isinstance(found, list) or not found:
        raise InputError("an event without records", got=", ".join(event), where="AWS Lambda")
    streams = {(str(r.get("eventSource")), str(r.get("eventSourceARN"))) for r in found}
    kind, stream = min(streams)
    if len(streams) > 1 or kind not in _KINDS:
        raise InputError(
            "an event that skewless.aws cannot take",
            got=", ".join(sorted(f"{kind} {arn}" for kind, arn in streams)),
            expected=" or ".join(_KINDS),
            where="AWS Lambda",
        )
    return stream, [_KINDS[kind](record, stream) for record in found]


def _of_kinesis(record: Mapping[str, Any], stream: str) -> LaneRecord:
    data = record["kinesis"]
    value = base64.b64decode(data["data"])
    if value.startswith(_AGGREGATED):
        raise InputError(
            "records that the Kinesis Producer Library has aggregated",
            got=f"record {data['sequenceNumber']}",
            where=stream,
            hint="Set AggregationEnabled = false there.",
        )
    # A key may be sent to any shard (ExplicitHashKey): only within one is it in order.
    shard, key = str(record["eventID"]).split(":")[0], data["partitionKey"].encode()
    number, arrived = data["sequenceNumber"], _micros(data["approximateArrivalTimestamp"], 10**6)
    return LaneRecord(shard.encode() + b"/" + key, int(number), value, key, arrived, number)


def _of_queue(record: Mapping[str, Any], stream: str) -> LaneRecord:
    said = record.get("attributes", {})
    if "SequenceNumber" not in said:
        raise InputError(
            "messages of a standard queue have no order and may come twice, unnoticed",
            expected="a FIFO queue, which numbers its messages",
            where=stream,
            hint="Or let skewless stream run or push take rows with a row id.",
        )
    group, arrived = said["MessageGroupId"].encode(), _micros(said["SentTimestamp"], 1000)
    number = int(said["SequenceNumber"])
    return LaneRecord(group, number, record["body"].encode(), group, arrived, record["messageId"])


def _of_table(record: Mapping[str, Any], stream: str) -> LaneRecord:
    data, value = record["dynamodb"], None
    if record["eventName"] != "REMOVE":
        if "NewImage" not in data:
            raise InputError(
                "a stream of DynamoDB without the items themselves",
                got=data.get("StreamViewType"),
                expected="StreamViewType NEW_IMAGE or NEW_AND_OLD_IMAGES",
                where=stream,
            )
        value = _json(data["NewImage"])
    key, number = _json(data["Keys"]), data["SequenceNumber"]
    arrived = _micros(data["ApproximateCreationDateTime"], 10**6)
    by = (record.get("userIdentity") or {}).get("principalId")
    return LaneRecord(key, int(number), value, key, arrived, number, by == _EXPIRY)


_KINDS: dict[str, Callable[[Mapping[str, Any], str], LaneRecord]] = {
    "aws:kinesis": _of_kinesis,
    "aws:sqs": _of_queue,
    "aws:dynamodb": _of_table,
}


def _micros(time: str | float, unit: int) -> int:
    return round(float(time) * unit)


def _json(item: Mapping[str, Any]) -> bytes:
    """Return an item of DynamoDB as a JSON object, its numbers digit by digit.

    >>> _json({"card": {"S": "c1"}, "amount": {"N": "0.10"}, "tags": {"L": [{"NULL": True}]}})
    b'{"amount":0.10,"card":"c1","tags":[null]}'
    """
    return msgspec.json.encode({name: _plain(item[name]) for name in sorted(item)})


def _plain(value: Mapping[str, Any]) -> Any:
    (kind, inner), *_ = value.items()
    if kind == "N":
        return msgspec.Raw(json.dumps(inner)[1:-1].encode())
    if kind == "NS":
        return [_plain({"N": each}) for each in inner]
    if kind == "L":
        return [_plain(each) for each in inner]
    if kind == "M":
        return {name: _plain(each) for name, each in inner.items()}
    return None if kind == "NULL" else inner
