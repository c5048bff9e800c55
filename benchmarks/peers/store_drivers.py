"""Bare drivers of stores: what each takes to get the same bytes by the same keys, nothing more.

Each function writes the rows once and returns what gets those of some keys.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from typing import Any

Get = Callable[[list[bytes]], Any]
Rows = dict[bytes, bytes]


def redis_mget(url: str, rows: Rows) -> Get:
    """Return what gets rows from Redis in one command."""
    client = _redis_with(url, rows)
    return lambda keys: client.mget([b"bare:" + key for key in keys])


def redis_pipeline(url: str, rows: Rows) -> Get:
    """Return what gets rows from Redis with a command each, sent at once."""
    client = _redis_with(url, rows)

    def get(keys: list[bytes]) -> Any:
        pipeline = client.pipeline(transaction=False)
        for key in keys:
            pipeline.get(b"bare:" + key)
        return pipeline.execute()

    return get


def _redis_with(url: str, rows: Rows) -> Any:
    import redis

    client = redis.Redis.from_url(url)
    client.mset({b"bare:" + key: value for key, value in rows.items()})
    return client


def postgres_any(url: str, rows: Rows) -> Get:
    """Return what gets rows from PostgreSQL in one prepared statement."""
    import psycopg

    connection = psycopg.connect(url, autocommit=True)
    connection.execute("DROP TABLE IF EXISTS bare")
    connection.execute("CREATE TABLE bare (key bytea PRIMARY KEY, value bytea NOT NULL)")
    with connection.cursor() as cursor:
        cursor.executemany("INSERT INTO bare VALUES (%s, %s)", list(rows.items()))
    select = "SELECT key, value FROM bare WHERE key = ANY(%s)"
    return lambda keys: connection.execute(select, (keys,), binary=True, prepare=True).fetchall()


def dynamodb_batch(url: str, rows: Rows) -> Get:
    """Return what gets rows from DynamoDB, consistently, in one call."""
    import boto3

    client = boto3.client("dynamodb", endpoint_url=url, region_name="eu-central-1")
    with contextlib.suppress(client.exceptions.ResourceInUseException):
        client.create_table(
            TableName="bare",
            BillingMode="PAY_PER_REQUEST",
            KeySchema=[{"AttributeName": "k", "KeyType": "HASH"}],
            AttributeDefinitions=[{"AttributeName": "k", "AttributeType": "B"}],
        )
    items = [{"k": {"B": key}, "v": {"B": value}} for key, value in rows.items()]
    for start in range(0, len(items), 25):
        puts = [{"PutRequest": {"Item": item}} for item in items[start : start + 25]]
        client.batch_write_item(RequestItems={"bare": puts})

    def get(keys: list[bytes]) -> Any:
        if len(keys) == 1:
            return client.get_item(TableName="bare", Key={"k": {"B": keys[0]}}, ConsistentRead=True)
        # DynamoDB refuses a key that is asked for twice.
        wanted = [{"k": {"B": key}} for key in dict.fromkeys(keys)]
        request = {"bare": {"Keys": wanted, "ConsistentRead": True}}
        return client.batch_get_item(RequestItems=request)

    return get
