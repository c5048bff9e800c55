"""The online store in a collection of MongoDB.

    store = MongoDBStore("mongodb://user@host/?replicaSet=rs0", database="features")
    store.write("wafer_tests", [(b"f1", b"state of f1")])      # on most members when it returns

Not verified against a server: the conformance suite has not run on one yet.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, TypeVar

from skewless.errors import MissingDependency
from skewless.stores.online.base import (
    Capabilities,
    Change,
    Item,
    OnlineStore,
    checked_table,
    scan_pages,
)
from skewless.stores.online.catalog import Catalog
from skewless.stores.online.remote import PerProcess, at_once, patiently, pieces, set_each
from skewless.stores.online.stored_keys import end_of

try:
    from pymongo.errors import DuplicateKeyError

    from skewless.stores.online.mongodb import client as mongodb
except ImportError as error:
    raise MissingDependency.of("pymongo", "mongodb", needed_for="MongoDBStore") from error

T = TypeVar("T")

DEFAULT_TIMEOUT_SECONDS = 5.0
READ_KEYS, WRITE_ROWS, DROP_ROWS = 10_000, 10_000, 5_000


class MongoDBStore(OnlineStore):
    """An online store in one collection of MongoDB (4.2 or newer), made if missing.

    Reads ask the primary for what most members have; a write returns when most have it in their
    journal. Reads that fail are tried again, a few times and with growing random pauses. A write is
    repeated by the driver alone, once, under a number by which a replica set knows it.

    Args:
        url: `mongodb://` or `mongodb+srv://`, with the driver's options (`tls=true`, ...). User and
            password go before an `@`, and never into an error.
        database: name of the database.
        collection: name of the collection; the names of tables go to another, NAME_tables.
        timeout: seconds to wait for a server, a connection or an answer.

    Raises:
        MissingDependency: the driver is not installed: `pip install 'skewless[mongodb]'`.
        StoreUnavailable: the server cannot be reached.
    """

    capabilities = Capabilities(
        compare_and_set=True,
        ordered_scan=True,
        shared_by_processes=True,
        durable=True,
        verified=False,
        max_value_bytes=mongodb.MAX_DOCUMENT_BYTES - (64 << 10),
    )

    def __init__(
        self,
        url: str,
        *,
        database: str = "skewless",
        collection: str = "online",
        timeout: float = DEFAULT_TIMEOUT_SECONDS,
    ) -> None:
        self.where = mongodb.where_of(url, database, collection)
        self._client = PerProcess(
            lambda: mongodb.Client(url, database, collection, timeout), closed=self.closed
        )
        self._catalog = Catalog(load=self._noted, save=self._note, has_rows=self._has_rows)
        try:
            self._safely(lambda: self._rows.database.command("ping"))
        except BaseException:
            self.close()
            raise

    # --------------------------------------------------------------------------------- reading

    def read(self, table: str, keys: Sequence[bytes]) -> list[bytes | None]:
        ids = [mongodb.id_of(table, key) for key in keys]
        found: dict[str, bytes] = {}
        for some in self._at_once(self._get, pieces(list(dict.fromkeys(ids)), READ_KEYS)):
            found |= some
        return [found.get(identity) for identity in ids]

    def _get(self, ids: Sequence[str]) -> dict[str, bytes]:
        asked = {"_id": {"$in": list(ids)}}
        return self._safely(lambda: {row["_id"]: row["v"] for row in self._rows.find(asked)})

    def scan(
        self,
        table: str,
        *,
        prefix: bytes = b"",
        after: bytes | None = None,
        limit: int | None = None,
    ) -> Iterator[Item]:
        start = mongodb.id_prefix(table)
        end = end_of(start + prefix)

        def page(after: bytes | None, limit: int) -> list[Item]:
            inclusive = after is None or after < prefix
            low = prefix if after is None or inclusive else after
            asked = mongodb.between(start + low, end, inclusive=inclusive)
            found = self._safely(lambda: list(self._rows.find(asked).sort("_id").limit(limit)))
            return [(mongodb.key_of(table, row["_id"]), row["v"]) for row in found]

        return scan_pages(page, after, limit)

    def tables(self) -> list[str]:
        return self._catalog.names()

    # --------------------------------------------------------------------------------- writing

    def write(self, table: str, items: Iterable[Item]) -> None:
        rows = dict(items)
        for key, value in rows.items():
            mongodb.check_size(table, key, value, self.where)
        if rows:
            self._catalog.note(checked_table(table))
            self._at_once(
                lambda some: self._write(table, some), pieces(list(rows.items()), WRITE_ROWS)
            )

    def _write(self, table: str, rows: Sequence[Item]) -> None:
        changes = mongodb.replacements(table, rows)
        self._once(lambda: self._rows.bulk_write(changes, ordered=False))

    def delete(self, table: str, keys: Iterable[bytes]) -> None:
        ids = [mongodb.id_of(table, key) for key in dict.fromkeys(keys)]
        self._at_once(self._remove, pieces(ids, WRITE_ROWS))

    def _remove(self, ids: Sequence[str]) -> None:
        self._once(lambda: self._rows.delete_many({"_id": {"$in": list(ids)}}))

    def drop(self, table: str) -> None:
        self._catalog.forget(table)
        while ids := self._ids(table, DROP_ROWS):
            self._remove(ids)

    def compare_and_set(self, table: str, changes: Iterable[Change]) -> list[bool]:
        asked = list(changes)
        for key, _, new in asked:
            mongodb.check_size(table, key, new or b"", self.where)
        if asked:
            self._catalog.note(checked_table(table))
        return set_each(self._client.get().threads, lambda one: self._set(table, one), asked)

    def _set(self, table: str, change: Change) -> bool:
        key, expected, new = change
        row = {"_id": mongodb.id_of(table, key)}
        if expected is None and new is None:
            return self.read_one(table, key) is None
        if expected is None:
            return self._once(lambda: self._inserted(row | {"v": new}))
        as_expected = row | {"v": expected}
        if new is None:
            return self._once(lambda: self._rows.delete_one(as_expected).deleted_count == 1)
        change_value = {"$set": {"v": new}}
        return self._once(
            lambda: (
                self._rows.find_one_and_update(as_expected, change_value, {"_id": 1}) is not None
            )
        )

    def _inserted(self, row: dict[str, Any]) -> bool:
        try:
            self._rows.insert_one(row)
        except DuplicateKeyError:
            return False
        return True

    def close(self) -> None:
        self._client.close()

    # ---------------------------------------------------------------------------- the catalog

    def _note(self, table: str, live: bool) -> None:
        note = {"_id": table, "live": live}
        tables = self._client.get().tables
        self._once(lambda: tables.replace_one({"_id": table}, note, upsert=True))

    def _noted(self) -> list[tuple[str, bool]]:
        tables = self._client.get().tables
        return self._safely(lambda: [(note["_id"], note["live"]) for note in tables.find()])

    def _has_rows(self, table: str) -> bool:
        return bool(self._ids(table, 1))

    def _ids(self, table: str, limit: int) -> list[str]:
        start = mongodb.id_prefix(table)
        asked = mongodb.between(start, end_of(start), inclusive=True)
        return self._safely(
            lambda: [row["_id"] for row in self._rows.find(asked, {"_id": 1}).limit(limit)]
        )

    # ------------------------------------------------------------------------------- the calls

    @property
    def _rows(self) -> mongodb.Rows:
        return self._client.get().rows

    def _at_once(self, call: Callable[[Any], T], arguments: Sequence[Any]) -> list[T]:
        return at_once(self._client.get().threads, call, arguments)

    def _safely(self, call: Callable[[], T]) -> T:
        """Make a call that changes nothing."""
        try:
            return patiently(call, mongodb.ERRORS, mongodb.is_passing)
        except mongodb.ERRORS as error:
            raise mongodb.store_error(error, self.where, wrote=False) from error

    def _once(self, call: Callable[[], T]) -> T:
        """Make a call that changes rows."""
        try:
            return patiently(call, mongodb.ERRORS, mongodb.lost_a_race)
        except mongodb.ERRORS as error:
            raise mongodb.store_error(error, self.where, wrote=True) from error
