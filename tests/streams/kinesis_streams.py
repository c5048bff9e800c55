"""Streams of a server that speaks Kinesis' protocol: made, filled, split and merged."""

from typing import Any

import skewless as sl

KEYS = 1 << 128


def kinesis_client(url: str) -> Any:
    import boto3

    client = boto3.client(
        "kinesis",
        region_name="eu-west-1",
        endpoint_url=url,
        aws_access_key_id="tests",
        aws_secret_access_key="tests",
    )
    client.url = url
    return client


def kinesis(stream: str, aws: Any, **options: Any) -> sl.Kinesis:
    """The stream as a source has it."""
    access = {"aws_access_key_id": "tests", "aws_secret_access_key": "tests"}
    options = {"endpoint_url": aws.url, **access, **options}
    return sl.Kinesis(stream, region="eu-west-1", options=options)


def create(aws: Any, name: str, shards: int) -> None:
    aws.create_stream(StreamName=name, ShardCount=shards)
    aws.get_waiter("stream_exists").wait(StreamName=name)


def put(aws: Any, name: str, data: bytes, part: int, *, of: int = 1) -> None:
    """Write a record into one of equal shares of all keys."""
    at = str(KEYS // of * part + 1)
    aws.put_record(StreamName=name, Data=data, PartitionKey=f"k{part}", ExplicitHashKey=at)


def shards(aws: Any, name: str) -> list[dict[str, Any]]:
    """The shards that are open, in the order of their keys."""
    found = aws.list_shards(StreamName=name)["Shards"]
    still = [s for s in found if "EndingSequenceNumber" not in s["SequenceNumberRange"]]
    return sorted(still, key=lambda shard: int(shard["HashKeyRange"]["StartingHashKey"]))


def split(aws: Any, name: str) -> None:
    """Split the first shard in two."""
    first = shards(aws, name)[0]
    ends = first["HashKeyRange"]
    middle = (int(ends["StartingHashKey"]) + int(ends["EndingHashKey"])) // 2
    aws.split_shard(StreamName=name, ShardToSplit=first["ShardId"], NewStartingHashKey=str(middle))
    aws.get_waiter("stream_exists").wait(StreamName=name)


def merge(aws: Any, name: str) -> None:
    """Merge the first two shards."""
    first, second = shards(aws, name)[:2]
    aws.merge_shards(
        StreamName=name, ShardToMerge=first["ShardId"], AdjacentShardToMerge=second["ShardId"]
    )
    aws.get_waiter("stream_exists").wait(StreamName=name)
