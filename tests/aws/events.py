"""Events as AWS Lambda gives them to functions, for rows of tests."""

import base64
import json
import zlib
from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, datetime
from typing import Any

STREAM = "arn:aws:kinesis:eu-west-1:123456789012:stream/tests"
QUEUE = "arn:aws:sqs:eu-west-1:123456789012:tests.fifo"
TABLE = "arn:aws:dynamodb:eu-west-1:123456789012:table/tests/stream/2026-01-01T00:00:00.000"
FIRST = 49590338271490256608559692538361571095921575989136588898
"""As long as numbers of Kinesis are."""
Record = dict[str, Any]
Row = Mapping[str, Any]


def now() -> float:
    return datetime.now(UTC).timestamp()


def of_kinesis(
    rows: Iterable[Row], *, key: Callable[[Row], str] = lambda row: str(row["fab"])
) -> list[Record]:
    """Records of rows, in one of two shards by their partition key."""
    return [
        {
            "kinesis": {
                "partitionKey": key(row),
                "sequenceNumber": str(FIRST + number),
                "data": base64.b64encode(json.dumps(row).encode()).decode(),
                "approximateArrivalTimestamp": now(),
            },
            "eventSource": "aws:kinesis",
            "eventID": f"shardId-{zlib.crc32(key(row).encode()) % 2:012}:{FIRST + number}",
            "eventSourceARN": STREAM,
        }
        for number, row in enumerate(rows)
    ]


def of_queue(rows: Iterable[Row], *, fifo: bool = True) -> list[Record]:
    order = {"MessageGroupId": "", "SequenceNumber": ""}
    return [
        {
            "messageId": f"m{number}",
            "body": json.dumps(row),
            "attributes": {"SentTimestamp": str(int(now() * 1000))}
            | {
                name: row["fab"] if name == "MessageGroupId" else str(18849496460467696128 + number)
                for name in (order if fifo else ())
            },
            "eventSource": "aws:sqs",
            "eventSourceARN": QUEUE if fifo else QUEUE.removesuffix(".fifo"),
        }
        for number, row in enumerate(rows)
    ]


def of_table(rows: Iterable[Row], kind: str = "INSERT") -> list[Record]:
    made = []
    for number, row in enumerate(rows):
        item = {
            name: {"N": repr(value)} if isinstance(value, (int, float)) else {"S": value}
            for name, value in row.items()
        }
        image = {} if kind == "REMOVE" else {"NewImage": item}
        made.append(
            {
                "eventName": kind,
                "eventSource": "aws:dynamodb",
                "dynamodb": {
                    "Keys": {"id": item["id"]},
                    "SequenceNumber": str(4421584500000000017450439091 + number),
                    "ApproximateCreationDateTime": int(now()),
                    **image,
                },
                "eventSourceARN": TABLE,
            }
        )
    return made


def event(records: list[Record]) -> dict[str, Any]:
    return {"Records": records}
