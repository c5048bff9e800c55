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
import uuid
from collections.abc import Iterable, Iterator, Mapping, Sequence
from operator import itemgetter
from typing import Any

from skewless.errors import MissingDependency, StoreError, StoreUnavailable
from skewless.stores.online.base import Capabilities, Change, Item, TableChange
from skewless.stores.online.concurrency import chunks
from skewless.stores.online.dynamodb import items as layout
from skewless.stores.online.dynamodb.items import HEAD_BYTES, SHARDS, Attributes
from skewless.stores.online.remote import ATTEMPTS, Driver, RemoteStore, pause
from skewless.stores.online.stored_keys import end_of, first_stored, in_key_order, wanted

try:
    from skewless.stores.online.dynamodb import client as dynamodb
except ImportError as error:
    raise MissingDependency.of("boto3", "dynamodb", needed_for="DynamoDBStore") from error

DEFAULT_TIMEOUT_SECONDS = 5.0
WRITE_ROWS, PAGE_ROWS, TOGETHER = 25, 1_000, 100
_KEY_AND_VALUE = f"{layout.SORT}, {layout.VALUE}"


class DynamoDBStore(RemoteStore["dynamodb.DynamoDBClient"]):
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
        together=TOGETHER,
        ordered_scan=True,
        shared_by_processes=True,
        durable=True,
        verified=True,
        max_value_bytes=layout.MAX_ITEM_BYTES - 4096,
    )
    READ_KEYS = 100
    _driver = Driver(
        errors=dynamodb.ERRORS,
        may_repeat_read=dynamodb.is_passing,
        may_repeat_write=dynamodb.is_throttled,
        store_error=dynamodb.store_error,
        check_size=layout.check_size,
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
        self._table = table
        super().__init__(
            dynamodb.where_of(table, region, endpoint),
            lambda: dynamodb.DynamoDBClient(region, endpoint, profile, timeout),
        )
        self._patience = timeout

    def _prepare(self) -> None:
        dynamodb.make_table(self._calls, self._table, self.where)

    @property
    def _calls(self) -> Any:
        return self._client.calls

    # --------------------------------------------------------------------------------- reading

    def read(self, table: str, keys: Sequence[bytes]) -> list[bytes | None]:
        if len(keys) == 1:
            return [self.read_one(table, keys[0])]
        return super().read(table, keys)

    def read_one(self, table: str, key: bytes) -> bytes | None:
        place = layout.place_of(table, key)
        answer = self._read_call(
            lambda: self._calls.get_item(TableName=self._table, Key=place, ConsistentRead=True)
        )
        return answer["Item"][layout.VALUE]["B"] if "Item" in answer else None

    def _read_rows(self, table: str, keys: Sequence[bytes]) -> dict[bytes, bytes]:
        by_sort_key = {layout.sort_key(key): key for key in keys}
        places = [layout.place_of(table, key) for key in keys]
        asked = {"Keys": places, "ConsistentRead": True, "ProjectionExpression": _KEY_AND_VALUE}
        request: Mapping[str, Any] = {self._table: asked}
        found: dict[bytes, bytes] = {}
        attempt = 0
        while request:
            before = len(found)
            get = functools.partial(self._calls.batch_get_item, RequestItems=request)
            answer = self._read_call(get)
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
        firsts = self._map_concurrent(self._query, queries)
        shards = [
            in_key_order(map(layout.row_of, self._found(query, first)), HEAD_BYTES)
            for query, first in zip(queries, firsts, strict=True)
        ]
        yield from wanted(heapq.merge(*shards, key=itemgetter(0)), prefix, after, limit)

    def _query(self, query: Mapping[str, Any]) -> Mapping[str, Any]:
        answer: Mapping[str, Any] = self._read_call(
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

    # --------------------------------------------------------------------------------- writing

    def _write_rows(self, table: str, rows: Sequence[Item]) -> None:
        self._change([{"PutRequest": {"Item": layout.item_of(table, *row)}} for row in rows])

    def delete(self, table: str, keys: Iterable[bytes]) -> None:
        places = [layout.place_of(table, key) for key in dict.fromkeys(keys)]
        self._change([{"DeleteRequest": {"Key": place}} for place in places])

    def _drop_rows(self, table: str) -> None:
        for shard in range(SHARDS):
            only_keys = {"ProjectionExpression": f"{layout.PARTITION}, {layout.SORT}"}
            places = list(self._found(layout.query_of(table, shard) | only_keys))
            self._change([{"DeleteRequest": {"Key": place}} for place in places])

    def _change(self, requests: Sequence[dict[str, Any]]) -> None:
        self._map_concurrent(self._write_batch, chunks(requests, WRITE_ROWS))

    def _write_batch(self, requests: Sequence[dict[str, Any]]) -> None:
        request: Mapping[str, Any] = {self._table: requests}
        attempt = 0
        while request:
            asked = len(request[self._table])
            put = functools.partial(self._calls.batch_write_item, RequestItems=request)
            answer = self._write_call(put)
            request = answer.get("UnprocessedItems") or {}
            progress = bool(request) and len(request[self._table]) < asked
            attempt = self._give_up_or_pause(request, attempt, progress=progress)

    def _give_up_or_pause(self, left: Mapping[str, Any], attempt: int, *, progress: bool) -> int:
        """Pause before asking for what is ``left``; return how often nothing came of it."""
        attempt = 0 if progress or not left else attempt + 1
        if attempt > ATTEMPTS:
            raise StoreUnavailable(
                "DynamoDB takes no more calls for now",
                where=self.where,
                hint="Raise the table's capacity. Some rows of this call may have been written.",
            )
        if attempt:
            pause(attempt)
        return attempt

    def _set_row(self, table: str, change: Change) -> bool:
        key, expected, new = change
        if expected is None and new is None:
            return self.read_one(table, key) is None
        request = {"TableName": self._table, **layout.condition(expected)}
        try:
            if new is None:
                place = layout.place_of(table, key)
                self._write_call(lambda: self._calls.delete_item(Key=place, **request))
            else:
                item = layout.item_of(table, key, new)
                self._write_call(lambda: self._calls.put_item(Item=item, **request))
        except dynamodb.ConditionFailed:
            return False
        return True

    def change_together(self, changes: Iterable[TableChange]) -> bool:
        """See `OnlineStore.change_together`; counted twice by DynamoDB, as every transaction."""
        asked = list(changes)
        if len(asked) > TOGETHER:
            raise StoreError(
                "too many rows for one transaction of DynamoDB",
                got=len(asked),
                expected=f"at most {TOGETHER}",
                where=self.where,
            )
        if not asked:
            return True
        for table, key, _, new in asked:
            layout.check_size(table, key, new or b"", self.where)
            self._note_live(table)
        change = functools.partial(
            self._calls.transact_write_items,
            TransactItems=[layout.conditional(self._table, *one) for one in asked],
            ClientRequestToken=uuid.uuid4().hex,  # so that it may be sent again
        )
        try:
            self._retry(change, dynamodb.may_send_again, wrote=True)
        except dynamodb.ConditionFailed:
            return False
        return True

    # ----------------------------------------------------------------------- the list of tables

    def _note(self, table: str, live: bool) -> None:
        item = layout.catalog_item(table, live)
        self._write_call(lambda: self._calls.put_item(TableName=self._table, Item=item))

    def _noted(self) -> Iterator[tuple[str, bool]]:
        for item in self._found(layout.catalog_query()):
            yield item[layout.SORT]["B"].decode(), item[layout.VALUE]["B"] == layout.LIVE
