"""The online store in a table of Google Cloud Bigtable.

    store = BigtableStore("my-project", "my-instance")
    store.write("wafer_tests", [(b"f1", b"state of f1")])      # on several disks when it returns

One Bigtable table holds all tables of the store; `rows` says how.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from skewless.errors import MissingDependency
from skewless.stores.online.base import Capabilities, Change, Item
from skewless.stores.online.concurrency import batches
from skewless.stores.online.remote import Driver, RemoteStore
from skewless.stores.online.stored_keys import end_of, first_stored, in_key_order, wanted

try:
    from skewless.stores.online.bigtable import client as bigtable
    from skewless.stores.online.bigtable import rows as layout
except ImportError as error:
    raise MissingDependency.of(
        "google-cloud-bigtable", "bigtable", needed_for="BigtableStore"
    ) from error

DEFAULT_TIMEOUT_SECONDS = 10.0
READ_KEY_BYTES = 400_000  # a request holds some 500 KB of keys
WRITE_ROWS, WRITE_BYTES = 5_000, 32 << 20
PAGE_ROWS = 1_000


class BigtableStore(RemoteStore["bigtable.Client"]):
    """An online store in one Bigtable table, which is made if missing.

    Reads that fail are tried again, a few times and with growing random pauses; writes are not: a
    repeated write could undo a later one of somebody else.

    Credentials are the application default ones and never appear in an error;
    ``BIGTABLE_EMULATOR_HOST`` leads to an emulator, as everywhere in Google's libraries.

    Args:
        project: id of the project.
        instance: id of the instance.
        table: id of the table.
        app_profile: of the instance. With several clusters it must route to a single one: others
            lag behind, and Bigtable then refuses compare-and-set.
        timeout: seconds to wait for an answer.

    Raises:
        MissingDependency: the driver is not installed: `pip install 'skewless[bigtable]'`.
        StoreUnavailable: Bigtable cannot be reached.
        StoreError: no credentials, no permission, no such instance.
    """

    capabilities = Capabilities(
        compare_and_set=True,
        ordered_scan=True,
        shared_by_processes=True,
        durable=True,
        verified=True,
        max_value_bytes=layout.MAX_VALUE_BYTES,
    )
    READ_KEYS = 1_000
    _driver = Driver(
        errors=bigtable.ERRORS,
        may_repeat_read=bigtable.is_passing,
        store_error=bigtable.store_error,
        check_size=layout.check_size,
    )

    def __init__(
        self,
        project: str,
        instance: str,
        table: str = "skewless_online",
        *,
        app_profile: str | None = None,
        timeout: float = DEFAULT_TIMEOUT_SECONDS,
    ) -> None:
        self._parent, self._table = f"projects/{project}/instances/{instance}", table
        path = f"{self._parent}/tables/{table}"
        super().__init__(
            f"bigtable://{project}/{instance}/{table}",
            lambda: bigtable.Client(path, app_profile, timeout),
        )
        self._patience = timeout

    def _prepare(self) -> None:
        try:
            list(self._client.read(layout.named_rows([layout.TABLES])))
        except bigtable.ERRORS as error:
            if not bigtable.is_missing(error):
                raise
            bigtable.make_table(self._parent, self._table)

    # --------------------------------------------------------------------------------- reading

    def _read_chunks(self, table: str, keys: Sequence[bytes]) -> Sequence[Sequence[bytes]]:
        size_of = layout.row_key_size(table)
        return list(batches(keys, size_of, most=self.READ_KEYS, most_bytes=READ_KEY_BYTES))

    def _read_rows(self, table: str, keys: Sequence[bytes]) -> dict[bytes, bytes]:
        by_row_key = {layout.row_key(table, key): key for key in keys}
        rows = self._rows(layout.named_rows(list(by_row_key)))
        return {by_row_key[row_key]: cells[layout.VALUE] for row_key, cells in rows}

    def scan(
        self,
        table: str,
        *,
        prefix: bytes = b"",
        after: bytes | None = None,
        limit: int | None = None,
    ) -> Iterator[Item]:
        start = layout.row_prefix(table)
        first = start + first_stored(prefix, after, layout.HEAD_BYTES)
        end = end_of(start + prefix[: layout.HEAD_BYTES])
        page = PAGE_ROWS if limit is None else min(PAGE_ROWS, limit + 1)
        rows = (layout.item_of(table, *row) for row in self._paged(first, end, page))
        return wanted(in_key_order(rows, layout.HEAD_BYTES), prefix, after, limit)

    def _paged(
        self, start: bytes, end: bytes | None, page: int = PAGE_ROWS
    ) -> Iterator[tuple[bytes, layout.Cells]]:
        inclusive = True
        while end is None or start < end:
            rows = self._rows(layout.rows_from(start, end, inclusive=inclusive), page)
            yield from rows
            if len(rows) < page:
                return
            start, inclusive = rows[-1][0], False

    def _rows(self, rows: Any, limit: int = 0) -> list[tuple[bytes, layout.Cells]]:
        return self._read_call(lambda: list(layout.rows_of(self._client.read(rows, limit))))

    # --------------------------------------------------------------------------------- writing

    def _write_rows(self, table: str, rows: Sequence[Item]) -> None:
        def write(rows: Sequence[Item]) -> None:
            self._change(
                [
                    layout.entry(layout.row_key(table, key), layout.sets(key, value))
                    for key, value in rows
                ]
            )

        def size_of(row: Item) -> int:
            return len(row[0]) + len(row[1])

        requests = batches(rows, size_of, most=WRITE_ROWS, most_bytes=WRITE_BYTES)
        self._map_concurrent(write, list(requests))

    def delete(self, table: str, keys: Iterable[bytes]) -> None:
        self._remove(dict.fromkeys(layout.row_key(table, key) for key in keys))

    def _remove(self, row_keys: Iterable[bytes]) -> None:
        for some in batches(row_keys, len, most=WRITE_ROWS, most_bytes=WRITE_BYTES):
            self._change([layout.entry(row_key, layout.deletes()) for row_key in some])

    def _change(self, entries: Sequence[Any]) -> None:
        self._write_call(lambda: self._client.change(entries))

    def _drop_rows(self, table: str) -> None:
        start = layout.row_prefix(table)
        self._remove(row_key for row_key, _ in self._paged(start, end_of(start)))

    def _set_row(self, table: str, change: Change) -> bool:
        key, expected, new = change
        row_key, condition = layout.row_key(table, key), layout.condition(key, expected, new)
        found = self._write_call(lambda: self._client.check_and_change(row_key, condition))
        return found == (expected is not None)

    # ----------------------------------------------------------------------- the list of tables

    def _note(self, table: str, live: bool) -> None:
        state = layout.LIVE if live else layout.DROPPED
        mutations = layout.sets(b"", state)
        self._change([layout.entry(layout.TABLES + table.encode(), mutations)])

    def _noted(self) -> Iterator[tuple[str, bool]]:
        for row_key, cells in self._paged(layout.TABLES, end_of(layout.TABLES)):
            yield row_key[len(layout.TABLES) :].decode(), cells[layout.VALUE] == layout.LIVE
