"""The online store in a table of Amazon DynamoDB.

    store = DynamoDBStore("skewless_online", region="eu-central-1")
    store.write("wafer_tests", [(b"f1", b"state of f1")])      # on several disks when it returns

One DynamoDB table holds all tables of the store. Its partition key names a table and one of 16
shards of its keys; its sort key is the key. So rows of a table can be scanned in order, and no
partition takes more than a sixteenth of the traffic (DynamoDB splits it further by itself).
"""

from __future__ import annotations

import functools
import heapq
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from operator import itemgetter
from typing import Any, TypeVar

from skewless.errors import MissingDependency, StoreUnavailable
from skewless.stores.online.base import Capabilities, Change, Item, OnlineStore, checked_table
from skewless.stores.online.catalog import Catalog
from skewless.stores.online.dynamodb import items as layout
from skewless.stores.online.dynamodb.items import HEAD_BYTES, SHARDS, Attributes
from skewless.stores.online.remote import (
    READ_ATTEMPTS,
    PerProcess,
    at_once,
    patiently,
    pause,
    pieces,
    set_each,
)
from skewless.stores.online.stored_keys import end_of, first_stored, in_key_order, wanted

try:
    from skewless.stores.online.dynamodb import client as dynamodb
except ImportError as error:
    raise MissingDependency.of("boto3", "dynamodb", needed_for="DynamoDBStore") from error

T = TypeVar("T")

DEFAULT_TIMEOUT_SECONDS = 5.0
READ_KEYS, WRITE_ROWS, PAGE_ROWS = 100, 25, 1_000
_KEY_AND_VALUE = f"{layout.SORT}, {layout.VALUE}"


class DynamoDBStore(OnlineStore):
    """An online store in one DynamoDB table, which is made (billed per request) if missing.

    Reads are strongly consistent: they see every write that has returned. Reads that fail are
    tried again, a few times and with growing random pauses; writes only where DynamoDB says that
    it has not done them: a repeated write could undo a later one of somebody else.

    Args:
        table: name of the DynamoDB table.
        region: of it; by default what the AWS configuration says.
        endpoint: another address than the region's, such as that of DynamoDB Local.
        profile: of the AWS configuration. Credentials come from where boto3 finds them
            (environment, profile, role of the machine) and never appear in an error.
        timeout: seconds to wait for a connection or an answer.

    Raises:
        MissingDependency: the driver is not installed: `pip install 'skewless[dynamodb]'`.
        StoreUnavailable: DynamoDB cannot be reached.
        StoreError: no credentials, no permission, or a table of somebody else.
    """

    capabilities = Capabilities(
        compare_and_set=True,
        ordered_scan=True,
        shared_by_processes=True,
        durable=True,
        verified=True,
        max_value_bytes=layout.MAX_ITEM_BYTES - 4096,
    )

    def __init__(
        self,
        table: str = "skewless_online",
        *,
        region: str | None = None,
        endpoint: str | None = None,
        profile: str | None = None,
        timeout: float = DEFAULT_TIMEOUT_SECONDS,
    ) -> None:
        self.where = dynamodb.where_of(table, region, endpoint)
        self._table = table
        self._client = PerProcess(
            lambda: dynamodb.DynamoDBClient(region, endpoint, profile, timeout), closed=self.closed
        )
        self._catalog = Catalog(load=self._noted, save=self._note, has_rows=self._has_rows)
        try:
            self._safely(lambda: dynamodb.make_table(self._calls, table, self.where))
        except BaseException:
            self.close()
            raise

    # --------------------------------------------------------------------------------- reading

    def read(self, table: str, keys: Sequence[bytes]) -> list[bytes | None]:
        if len(keys) == 1:
            return [self.read_one(table, keys[0])]
        chunks = pieces(list(dict.fromkeys(keys)), READ_KEYS)
        found: dict[bytes, bytes] = {}
        for some in self._at_once(lambda chunk: self._get(table, chunk), chunks):
            found |= some
        return [found.get(key) for key in keys]

    def read_one(self, table: str, key: bytes) -> bytes | None:
        place = layout.place_of(table, key)
        answer = self._safely(
            lambda: self._calls.get_item(TableName=self._table, Key=place, ConsistentRead=True)
        )
        return answer["Item"][layout.VALUE]["B"] if "Item" in answer else None

    def _get(self, table: str, keys: Sequence[bytes]) -> dict[bytes, bytes]:
        by_sort_key = {layout.sort_key(key): key for key in keys}
        places = [layout.place_of(table, key) for key in keys]
        asked = {"Keys": places, "ConsistentRead": True, "ProjectionExpression": _KEY_AND_VALUE}
        request: Mapping[str, Any] = {self._table: asked}
        found: dict[bytes, bytes] = {}
        attempt = 0
        while request:
            before = len(found)
            get = functools.partial(self._calls.batch_get_item, RequestItems=request)
            answer = self._safely(get)
            for item in answer["Responses"].get(self._table, ()):
                found[by_sort_key[item[layout.SORT]["B"]]] = item[layout.VALUE]["B"]
            request = answer.get("UnprocessedKeys") or {}
            attempt = self._give_up_or_pause(request, attempt, progress=len(found) > before)
        return found

    def scan(
        self,
        table: str,
        *,
        prefix: bytes = b"",
        after: bytes | None = None,
        limit: int | None = None,
    ) -> Iterator[Item]:
        lowest = first_stored(prefix, after, HEAD_BYTES)
        page = PAGE_ROWS if limit is None else min(PAGE_ROWS, 2 * limit // SHARDS + 10)
        end = end_of(prefix[:HEAD_BYTES])
        queries = [
            layout.query_of(table, shard, lowest, end) | {"Limit": page} for shard in range(SHARDS)
        ]
        firsts = self._at_once(self._query, queries)
        shards = [
            in_key_order(map(layout.row_of, self._found(query, first)), HEAD_BYTES)
            for query, first in zip(queries, firsts, strict=True)
        ]
        yield from wanted(heapq.merge(*shards, key=itemgetter(0)), prefix, after, limit)

    def _query(self, query: Mapping[str, Any]) -> Mapping[str, Any]:
        answer: Mapping[str, Any] = self._safely(
            lambda: self._calls.query(TableName=self._table, ConsistentRead=True, **query)
        )
        return answer

    def _found(
        self, query: Mapping[str, Any], answer: Mapping[str, Any] | None = None
    ) -> Iterator[Attributes]:
        """Yield what a query finds, from its first answer on if that is here already."""
        answer = self._query(query) if answer is None else answer
        yield from answer["Items"]
        while "LastEvaluatedKey" in answer:
            answer = self._query({**query, "ExclusiveStartKey": answer["LastEvaluatedKey"]})
            yield from answer["Items"]

    def tables(self) -> list[str]:
        return self._catalog.names()

    # --------------------------------------------------------------------------------- writing

    def write(self, table: str, items: Iterable[Item]) -> None:
        rows = [self._item(table, key, value) for key, value in dict(items).items()]
        if rows:
            self._catalog.note(checked_table(table))
            self._change([{"PutRequest": {"Item": row}} for row in rows])

    def delete(self, table: str, keys: Iterable[bytes]) -> None:
        places = [layout.place_of(table, key) for key in dict.fromkeys(keys)]
        self._change([{"DeleteRequest": {"Key": place}} for place in places])

    def drop(self, table: str) -> None:
        self._catalog.forget(table)
        for shard in range(SHARDS):
            only_keys = {"ProjectionExpression": f"{layout.PARTITION}, {layout.SORT}"}
            places = list(self._found(layout.query_of(table, shard) | only_keys))
            self._change([{"DeleteRequest": {"Key": place}} for place in places])

    def _change(self, requests: Sequence[dict[str, Any]]) -> None:
        self._at_once(self._write_batch, pieces(requests, WRITE_ROWS))

    def _write_batch(self, requests: Sequence[dict[str, Any]]) -> None:
        request: Mapping[str, Any] = {self._table: requests}
        attempt = 0
        while request:
            asked = len(request[self._table])
            put = functools.partial(self._calls.batch_write_item, RequestItems=request)
            answer = self._once(put)
            request = answer.get("UnprocessedItems") or {}
            progress = bool(request) and len(request[self._table]) < asked
            attempt = self._give_up_or_pause(request, attempt, progress=progress)

    def _give_up_or_pause(self, left: Mapping[str, Any], attempt: int, *, progress: bool) -> int:
        """Pause before asking for what is ``left``; return how often nothing came of it."""
        attempt = 0 if progress or not left else attempt + 1
        if attempt > READ_ATTEMPTS:
            raise StoreUnavailable(
                "DynamoDB takes no more calls for now",
                where=self.where,
                hint="Raise the table's capacity. Some rows of this call may have been written.",
            )
        if attempt:
            pause(attempt)
        return attempt

    def compare_and_set(self, table: str, changes: Iterable[Change]) -> list[bool]:
        asked = list(changes)
        for key, _, new in asked:
            self._item(table, key, new or b"")
        if asked:
            self._catalog.note(checked_table(table))
        return set_each(self._client.get().threads, lambda one: self._set(table, one), asked)

    def _set(self, table: str, change: Change) -> bool:
        key, expected, new = change
        if expected is None and new is None:
            return self.read_one(table, key) is None
        request: dict[str, Any] = {"TableName": self._table}
        if expected is None:
            request["ConditionExpression"] = f"attribute_not_exists({layout.PARTITION})"
        else:
            request["ConditionExpression"] = f"{layout.VALUE} = :expected"
            request["ExpressionAttributeValues"] = {":expected": {"B": expected}}
        try:
            if new is None:
                place = layout.place_of(table, key)
                self._once(lambda: self._calls.delete_item(Key=place, **request))
            else:
                item = self._item(table, key, new)
                self._once(lambda: self._calls.put_item(Item=item, **request))
        except dynamodb.ConditionFailed:
            return False
        return True

    def _item(self, table: str, key: bytes, value: bytes) -> Attributes:
        return layout.item_of(table, key, value, self.where)

    def close(self) -> None:
        self._client.close()

    # ---------------------------------------------------------------------------- the catalog

    def _note(self, table: str, live: bool) -> None:
        item = layout.catalog_item(table, live)
        self._once(lambda: self._calls.put_item(TableName=self._table, Item=item))

    def _noted(self) -> Iterator[tuple[str, bool]]:
        for item in self._found(layout.catalog_query()):
            yield item[layout.SORT]["B"].decode(), item[layout.VALUE]["B"] == layout.LIVE

    def _has_rows(self, table: str) -> bool:
        queries = [layout.query_of(table, shard) | {"Limit": 1} for shard in range(SHARDS)]
        return any(answer["Items"] for answer in self._at_once(self._query, queries))

    # ------------------------------------------------------------------------------- the calls

    @property
    def _calls(self) -> Any:
        return self._client.get().calls

    def _at_once(self, call: Callable[[Any], T], arguments: Sequence[Any]) -> list[T]:
        return at_once(self._client.get().threads, call, arguments)

    def _safely(self, call: Callable[[], T]) -> T:
        """Make a call that changes nothing."""
        try:
            return patiently(call, dynamodb.ERRORS, dynamodb.is_passing)
        except dynamodb.ERRORS as error:
            raise dynamodb.store_error(error, self.where, wrote=False) from error

    def _once(self, call: Callable[[], T]) -> T:
        """Make a call that changes rows."""
        try:
            return patiently(call, dynamodb.ERRORS, dynamodb.is_throttled)
        except dynamodb.ERRORS as error:
            raise dynamodb.store_error(error, self.where, wrote=True) from error
