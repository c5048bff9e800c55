"""The online store in a collection of MongoDB.

    store = MongoDBStore("mongodb://user@host/?replicaSet=rs0", database="features")
    store.write("wafer_tests", [(b"f1", b"state of f1")])      # on most members when it returns

Not verified against MongoDB. On FerretDB, which speaks its protocol, the suite passes but
for writers at once: FerretDB does not change a document as one, so the store refuses it.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from skewless.errors import MissingDependency
from skewless.stores.online.base import Capabilities, Change, Item
from skewless.stores.online.concurrency import chunks
from skewless.stores.online.remote import Driver, RemoteStore
from skewless.stores.online.stored_keys import end_of

try:
    from pymongo.errors import DuplicateKeyError

    from skewless.stores.online.mongodb import client as mongodb
except ImportError as error:
    raise MissingDependency.of("pymongo", "mongodb", needed_for="MongoDBStore") from error

DEFAULT_TIMEOUT_SECONDS = 5.0
WRITE_ROWS, DROP_ROWS = 10_000, 5_000


class MongoDBStore(RemoteStore["mongodb.Client"]):
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
    READ_KEYS = 10_000
    _driver = Driver(
        errors=mongodb.ERRORS,
        may_repeat_read=mongodb.is_passing,
        may_repeat_write=mongodb.lost_a_race,
        store_error=mongodb.store_error,
        check_size=mongodb.check_size,
    )

    def __init__(
        self,
        url: str,
        *,
        database: str = "skewless",
        collection: str = "online",
        timeout: float = DEFAULT_TIMEOUT_SECONDS,
    ) -> None:
        super().__init__(
            mongodb.where_of(url, database, collection),
            lambda: mongodb.Client(url, database, collection, timeout),
        )
        self._patience = timeout

    def _prepare(self) -> object:
        told = self._rows.database.command("buildInfo")
        mongodb.check_server(told, self.where)
        return told

    # --------------------------------------------------------------------------------- reading

    def _read_rows(self, table: str, keys: Sequence[bytes]) -> dict[bytes, bytes]:
        by_id = {mongodb.id_of(table, key): key for key in keys}
        asked = {"_id": {"$in": list(by_id)}}
        return self._read_call(
            lambda: {by_id[row["_id"]]: row["v"] for row in self._rows.find(asked)}
        )

    def page(self, table: str, prefix: bytes, after: bytes | None, limit: int) -> list[Item]:
        start = mongodb.id_prefix(table)
        inclusive = after is None or after < prefix
        low = prefix if after is None or inclusive else after
        asked = mongodb.between(start + low, end_of(start + prefix), inclusive=inclusive)
        found = self._read_call(lambda: list(self._rows.find(asked).sort("_id").limit(limit)))
        return [(mongodb.key_of(table, row["_id"]), row["v"]) for row in found]

    # --------------------------------------------------------------------------------- writing

    def _write_rows(self, table: str, rows: Sequence[Item]) -> None:
        def write(rows: Sequence[Item]) -> None:
            changes = mongodb.replacements(table, rows)
            self._write_call(lambda: self._rows.bulk_write(changes, ordered=False))

        self._map_concurrent(write, chunks(rows, WRITE_ROWS))

    def delete(self, table: str, keys: Iterable[bytes]) -> None:
        ids = [mongodb.id_of(table, key) for key in dict.fromkeys(keys)]
        self._map_concurrent(self._remove, chunks(ids, WRITE_ROWS))

    def _remove(self, ids: Sequence[str]) -> None:
        self._write_call(lambda: self._rows.delete_many({"_id": {"$in": list(ids)}}))

    def _drop_rows(self, table: str) -> None:
        start = mongodb.id_prefix(table)
        asked = mongodb.between(start, end_of(start), inclusive=True)

        def some() -> list[str]:
            return [row["_id"] for row in self._rows.find(asked, {"_id": 1}).limit(DROP_ROWS)]

        while ids := self._read_call(some):
            self._remove(ids)

    def _set_row(self, table: str, change: Change) -> bool:
        key, expected, new = change
        row = {"_id": mongodb.id_of(table, key)}
        if expected is None and new is None:
            return self.read_one(table, key) is None
        if expected is None:
            return self._write_call(lambda: self._inserted(row | {"v": new}))
        as_expected = row | {"v": expected}
        if new is None:
            return self._write_call(lambda: self._rows.delete_one(as_expected).deleted_count == 1)
        value = {"$set": {"v": new}}
        return self._write_call(
            lambda: self._rows.update_one(as_expected, value).matched_count == 1
        )

    def _inserted(self, row: dict[str, Any]) -> bool:
        try:
            self._rows.insert_one(row)
        except DuplicateKeyError:
            return False
        return True

    # ----------------------------------------------------------------------- the list of tables

    def _note(self, table: str, live: bool) -> None:
        note = {"_id": table, "live": live}
        tables = self._client.tables
        self._write_call(lambda: tables.replace_one({"_id": table}, note, upsert=True))

    def _noted(self) -> list[tuple[str, bool]]:
        tables = self._client.tables
        return self._read_call(lambda: [(note["_id"], note["live"]) for note in tables.find()])

    @property
    def _rows(self) -> mongodb.Rows:
        return self._client.rows
