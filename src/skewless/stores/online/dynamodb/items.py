"""How rows lie in the DynamoDB table: items, their keys, and the queries that find them.

    p  partition key, text     SHARD/TABLE, the shard by the CRC of the key
    s  sort key, binary        "=" and the key; of a long key its head and its hash
    v  binary                  the value
    k  binary                  the key, if it is long

The partition `tables` names the tables, with `v` saying whether each is live.
"""

from __future__ import annotations

import zlib
from typing import Any

from skewless.stores.online.base import Item
from skewless.stores.online.remote import too_large
from skewless.stores.online.stored_keys import is_long, stored_key, stored_size

PARTITION, SORT, VALUE, LONG_KEY = "p", "s", "v", "k"
MAX_ITEM_BYTES = 400 * 1024
HEAD_BYTES = 960  # a sort key holds 1,024
SHARDS = 16
CATALOG = "tables"
LIVE, DROPPED = b"live", b"dropped"
_HINT = (
    "Shorten the view's windows, give them a resolution=, or keep its features in another store."
)
_MARK = b"="  # a sort key must not be empty, and the empty key is a key

Attributes = dict[str, dict[str, Any]]
"""An item, or the key of one, as DynamoDB takes it: ``{"v": {"B": b"..."}}``."""


def sort_key(key: bytes) -> bytes:
    """Return the sort key of the row of ``key``."""
    return _MARK + stored_key(key, HEAD_BYTES)


def place_of(table: str, key: bytes) -> Attributes:
    """Return partition and sort key of a row."""
    return {PARTITION: _partition(table, shard_of(key)), SORT: {"B": sort_key(key)}}


def shard_of(key: bytes) -> int:
    """Return which shard of its table a key belongs to."""
    return zlib.crc32(key) % SHARDS


def item_of(table: str, key: bytes, value: bytes) -> Attributes:
    """Return the item of a row."""
    item = place_of(table, key) | {VALUE: {"B": value}}
    if is_long(key, HEAD_BYTES):
        item[LONG_KEY] = {"B": key}
    return item


def condition(expected: bytes | None) -> dict[str, Any]:
    """Return the condition that a row has a value; None: that there is no row."""
    if expected is None:
        return {"ConditionExpression": f"attribute_not_exists({PARTITION})"}
    values = {":expected": {"B": expected}}
    return {"ConditionExpression": f"{VALUE} = :expected", "ExpressionAttributeValues": values}


def conditional(
    name: str, table: str, key: bytes, expected: bytes | None, new: bytes | None
) -> dict[str, Any]:
    """Return a change of a row, in the DynamoDB table of that name, as a part of a transaction."""
    request = {"TableName": name, **condition(expected)}
    if expected == new:
        return {"ConditionCheck": request | {"Key": place_of(table, key)}}
    if new is None:
        return {"Delete": request | {"Key": place_of(table, key)}}
    return {"Put": request | {"Item": item_of(table, key, new)}}


def check_size(table: str, key: bytes, value: bytes, where: str) -> None:
    """Refuse a row that DynamoDB would refuse after others were written."""
    texts = len(_partition(table, shard_of(key))["S"].encode()) + len("psvk")
    keys = len(_MARK) + stored_size(key, HEAD_BYTES) + len(key) * is_long(key, HEAD_BYTES)
    size = texts + keys + len(value)
    if size > MAX_ITEM_BYTES:
        got, most = f"{size:,} bytes", f"{MAX_ITEM_BYTES:,} bytes, key included"
        raise too_large("DynamoDB", (table, key), got=got, most=most, where=where, hint=_HINT)


def row_of(item: Attributes) -> tuple[bytes, Item]:
    """Return the stored key of an item, and its key and value."""
    stored: bytes = item[SORT]["B"][len(_MARK) :]
    key = item[LONG_KEY]["B"] if LONG_KEY in item else stored
    return stored, (key, item[VALUE]["B"])


def query_of(table: str, shard: int, low: bytes = b"", end: bytes | None = None) -> dict[str, Any]:
    """Return the query for the rows of a shard whose stored keys are in ``[low, end]``."""
    condition = f"{PARTITION} = :p AND {SORT} >= :low"
    values = {":p": _partition(table, shard), ":low": {"B": _MARK + low}}
    if end is not None:
        condition = f"{PARTITION} = :p AND {SORT} BETWEEN :low AND :end"
        # DynamoDB refuses an interval that ends before it begins.
        values[":end"] = {"B": _MARK + max(low, end)}
    return {"KeyConditionExpression": condition, "ExpressionAttributeValues": values}


def catalog_query() -> dict[str, Any]:
    """Return the query for the names of tables."""
    return {
        "KeyConditionExpression": f"{PARTITION} = :p",
        "ExpressionAttributeValues": {":p": {"S": CATALOG}},
    }


def catalog_item(table: str, live: bool) -> Attributes:
    """Return the item that notes a table as live or dropped."""
    place: Attributes = {PARTITION: {"S": CATALOG}, SORT: {"B": table.encode()}}
    return place | {VALUE: {"B": LIVE if live else DROPPED}}


def _partition(table: str, shard: int) -> dict[str, str]:
    return {"S": f"{shard}/{table}"}
