"""The online store in a table of Google Cloud Bigtable.

    store = BigtableStore("my-project", "my-instance")
    store.write("wafer_tests", [(b"f1", b"state of f1")])      # on several disks when it returns

One Bigtable table holds all tables of the store; `_bigtable_rows` says how.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, TypeVar

from skewless.errors import MissingDependency
from skewless.stores.online.base import Capabilities, Change, Item, OnlineStore, checked_table
from skewless.stores.online.catalog import Catalog
from skewless.stores.online.remote import PerProcess, at_once, batches, patiently, set_each
from skewless.stores.online.stored_keys import end_of, first_stored, in_key_order, wanted

try:
    from skewless.stores.online.bigtable import client as bigtable
    from skewless.stores.online.bigtable import rows as layout
except ImportError as error:
    raise MissingDependency.of(
        "google-cloud-bigtable", "bigtable", needed_for="BigtableStore"
    ) from error

T = TypeVar("T")

DEFAULT_TIMEOUT_SECONDS = 10.0
READ_KEYS, READ_KEY_BYTES = 1_000, 400_000  # a request holds some 500 KB of keys
WRITE_ROWS, WRITE_BYTES = 5_000, 32 << 20
PAGE_ROWS = 1_000


class BigtableStore(OnlineStore):
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

    def __init__(
        self,
        project: str,
        instance: str,
        table: str = "skewless_online",
        *,
        app_profile: str | None = None,
        timeout: float = DEFAULT_TIMEOUT_SECONDS,
    ) -> None:
        parent = f"projects/{project}/instances/{instance}"
        path = f"{parent}/tables/{table}"
        self.where = f"bigtable://{project}/{instance}/{table}"
        self._client = PerProcess(
            lambda: bigtable.Client(path, app_profile, timeout), closed=self.closed
        )
        self._catalog = Catalog(load=self._noted, save=self._note, has_rows=self._has_rows)
        try:
            self._safely(lambda: self._prepare(parent, table))
        except BaseException:
            self.close()
            raise

    def _prepare(self, parent: str, table: str) -> None:
        try:
            list(self._client.get().read(layout.named_rows([layout.TABLES])))
        except bigtable.ERRORS as error:
            if not bigtable.is_missing(error):
                raise
            bigtable.make_table(parent, table)

    # --------------------------------------------------------------------------------- reading

    def read(self, table: str, keys: Sequence[bytes]) -> list[bytes | None]:
        by_row_key = {layout.row_key(table, key): key for key in keys}
        nothing = ((row_key, b"") for row_key in by_row_key)
        chunks = [
            [row_key for row_key, _ in batch]
            for batch in batches(nothing, most_rows=READ_KEYS, most_bytes=READ_KEY_BYTES)
        ]
        found: dict[bytes, bytes] = {}
        for rows in self._at_once(lambda some: self._rows(layout.named_rows(some)), chunks):
            found |= {by_row_key[row_key]: cells[layout.VALUE] for row_key, cells in rows}
        return [found.get(key) for key in keys]

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
        return self._safely(lambda: list(layout.rows_of(self._client.get().read(rows, limit))))

    def tables(self) -> list[str]:
        return self._catalog.names()

    # --------------------------------------------------------------------------------- writing

    def write(self, table: str, items: Iterable[Item]) -> None:
        rows = dict(items)
        for key, value in rows.items():
            layout.check_size(table, key, value, self.where)
        if not rows:
            return
        self._catalog.note(checked_table(table))
        chunks = batches(rows.items(), most_rows=WRITE_ROWS, most_bytes=WRITE_BYTES)
        self._at_once(lambda chunk: self._write(table, chunk), list(chunks))

    def _write(self, table: str, rows: Sequence[Item]) -> None:
        self._change(
            [
                layout.entry(layout.row_key(table, key), layout.sets(key, value))
                for key, value in rows
            ]
        )

    def delete(self, table: str, keys: Iterable[bytes]) -> None:
        self._remove(dict.fromkeys(layout.row_key(table, key) for key in keys))

    def _remove(self, row_keys: Iterable[bytes]) -> None:
        nothing = ((row_key, b"") for row_key in row_keys)
        for batch in batches(nothing, most_rows=WRITE_ROWS, most_bytes=WRITE_BYTES):
            self._change([layout.entry(row_key, layout.deletes()) for row_key, _ in batch])

    def _change(self, entries: Sequence[Any]) -> None:
        self._once(lambda: self._client.get().change(entries))

    def drop(self, table: str) -> None:
        self._catalog.forget(table)
        start = layout.row_prefix(table)
        self._remove(row_key for row_key, _ in self._paged(start, end_of(start)))

    def compare_and_set(self, table: str, changes: Iterable[Change]) -> list[bool]:
        asked = list(changes)
        for key, _, new in asked:
            layout.check_size(table, key, new or b"", self.where)
        if asked:
            self._catalog.note(checked_table(table))
        return set_each(self._client.get().threads, lambda one: self._set(table, one), asked)

    def _set(self, table: str, change: Change) -> bool:
        key, expected, new = change
        row_key, condition = layout.row_key(table, key), layout.condition(key, expected, new)
        found = self._once(lambda: self._client.get().check_and_change(row_key, condition))
        return found == (expected is not None)

    def close(self) -> None:
        self._client.close()

    # ---------------------------------------------------------------------------- the catalog

    def _note(self, table: str, live: bool) -> None:
        state = layout.LIVE if live else layout.DROPPED
        mutations = layout.sets(b"", state)
        self._change([layout.entry(layout.TABLES + table.encode(), mutations)])

    def _noted(self) -> Iterator[tuple[str, bool]]:
        for row_key, cells in self._paged(layout.TABLES, end_of(layout.TABLES)):
            yield row_key[len(layout.TABLES) :].decode(), cells[layout.VALUE] == layout.LIVE

    def _has_rows(self, table: str) -> bool:
        start = layout.row_prefix(table)
        return bool(self._rows(layout.rows_from(start, end_of(start), inclusive=True), 1))

    # ------------------------------------------------------------------------------- the calls

    def _at_once(self, call: Callable[[Any], T], arguments: Sequence[Any]) -> list[T]:
        return at_once(self._client.get().threads, call, arguments)

    def _safely(self, call: Callable[[], T]) -> T:
        """Make a call that changes nothing."""
        try:
            return patiently(call, bigtable.ERRORS, bigtable.is_passing)
        except bigtable.ERRORS as error:
            raise bigtable.store_error(error, self.where, wrote=False) from error

    def _once(self, call: Callable[[], T]) -> T:
        """Make a call that changes rows."""
        try:
            return call()
        except bigtable.ERRORS as error:
            raise bigtable.store_error(error, self.where, wrote=True) from error
