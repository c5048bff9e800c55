"""The embedded online store: LMDB, a memory-mapped B-tree that many processes read and one writes.

    store = LMDBStore("repo/.skewless/online")
    store.write("wafer_tests", [(b"f1", b"state of f1")])      # on disk when it returns

Reads take no lock, make no system call and are not slowed by writers. Writers of all threads and
processes take turns, each `write` one transaction: give rows in batches (a durable write of one
row costs a flush of the disk, of a thousand hardly more). A kill at any instant leaves the last
finished transaction.
"""

from __future__ import annotations

import contextlib
import dataclasses
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from threading import get_ident
from typing import Any, NoReturn, TypeVar, cast

import lmdb

from skewless.compiled import compiled
from skewless.stores.online.base import (
    Capabilities,
    Item,
    OnlineStore,
    Transaction,
    checked_table,
)
from skewless.stores.online.lmdb import tree
from skewless.stores.online.lmdb.environment import ATTEMPTS, Environment
from skewless.stores.online.lmdb.sharing import acquire, release
from skewless.stores.online.lmdb.tree import HEADER_KEY, MAX_SHORT_KEY, TableCatalog, Txn

T = TypeVar("T")
_in_c = compiled("skewless.stores.online.lmdb._rows")

DEFAULT_MAP_SIZE = 64 << 30
PAGE_BYTES = 4 << 20
DROP_ROWS = 5_000


class LMDBStore(OnlineStore):
    """An online store in a directory of its own, on a local disk.

    Args:
        path: the directory; made if missing. Stores of one process on one path share its files.
        sync: whether each write is flushed to disk before it returns. Without it writes are faster
            and still outlive a kill of the process, but a loss of power may lose or damage them:
            for stores that can be rebuilt. `flush` makes them durable.
        map_size: bytes of address space to begin with; no disk or memory is taken before it is
            used, and it grows by itself.

    Raises:
        CorruptData: the file there is damaged or no LMDB file.
        StoreError: another program's LMDB file, or no permission.
    """

    capabilities = Capabilities(
        atomic_batch=True,
        transactions=True,
        compare_and_set=True,
        ordered_scan=True,
        atomic_drop=True,
        shared_by_processes=True,
        durable=True,
        verified=True,
        max_value_bytes=(1 << 32) - 1,
    )

    def __init__(
        self, path: str | Path, *, sync: bool = True, map_size: int = DEFAULT_MAP_SIZE
    ) -> None:
        self.where = str(path)
        self._sync = sync
        self.capabilities = dataclasses.replace(type(self).capabilities, durable=sync)
        self._environment = acquire(self.where, sync=sync, map_size=map_size)
        self._followed = self._environment.followed

    # --------------------------------------------------------------------------------- reading

    def read_one(self, table: str, key: bytes) -> bytes | None:
        return self._read(_read_one, table, key)

    def read(self, table: str, keys: Sequence[bytes]) -> list[bytes | None]:
        return self._read_rows(table, keys, None)

    def read_each(
        self, table: str, keys: Sequence[bytes], each: Callable[[int, bytes], T]
    ) -> list[T | None]:
        return self._read_rows(table, keys, each)

    def _read_rows(self, table: str, keys: Sequence[bytes], each: Any) -> list[Any]:
        if _in_c is None or self._environment.read_only:
            return self._read(_read, table, keys, each)
        environment, me = self._environment, get_ident()
        environment.active.add(me)
        try:
            catalog = environment.catalog
            number = catalog.prefixes.get(table)
            if number is not None and not environment.gate_closed:
                found: list[Any] | None = _in_c.read_rows(
                    environment.env.begin, HEADER_KEY, catalog.header, number, keys,
                    MAX_SHORT_KEY, each,
                )  # fmt: skip
                if found is not None:
                    return found
        except lmdb.Error:
            pass  # met again below, and seen to
        finally:
            environment.leave(me)
        return self._read(_read, table, keys, each)

    async def read_async(self, table: str, keys: Sequence[bytes]) -> list[bytes | None]:
        return self.read(table, keys)  # sooner done than handed to a thread

    def page(self, table: str, prefix: bytes, after: bytes | None, limit: int) -> list[Item]:
        # In pages: a read transaction held open would keep old pages from being used again.
        return self._read(_page, table, prefix, after, limit)

    def neighbours(self, table: str, keys: Sequence[bytes]) -> list[tuple[str, bytes, bytes]]:
        return self._read(tree.neighbours, table, keys)

    def tables(self) -> list[str]:
        return self._read(lambda _, catalog: sorted(catalog.prefixes))

    def _read(self, work: Callable[..., T], *arguments: object) -> T:
        environment, me = self._environment, get_ident()
        for attempt in range(ATTEMPTS):
            try:
                environment.active.add(me)
                env = environment.env
                if not environment.gate_closed:
                    with env.begin() as txn:
                        catalog = environment.catalog
                        if txn.get(HEADER_KEY) != catalog.header:
                            catalog = environment.catalog = TableCatalog.load(txn)
                        found = work(txn, catalog, *arguments)
                        if not environment.read_only or environment.is_newest(txn):
                            return found
                failure = None
            except lmdb.Error as error:
                failure = error
            finally:
                environment.leave(me)
            environment.stand_back(failure, env, attempt)
        raise environment.gave_up()

    # --------------------------------------------------------------------------------- writing

    def write(self, table: str, items: Iterable[Item]) -> None:
        rows = list(items)
        self._write(lambda txn: txn.write(table, rows), lambda: sum(map(_size, rows)))

    def delete(self, table: str, keys: Iterable[bytes]) -> None:
        keys = list(keys)
        self._write(lambda txn: txn.delete(table, keys))

    def drop(self, table: str) -> None:
        self._write(lambda txn: txn.forget(table))
        # All tables whose removal is not finished, those of an interrupted drop too.
        while self._write(LMDBTransaction.remove_some_dropped):
            pass

    def _write(
        self, work: Callable[[LMDBTransaction], T], payload: Callable[[], int] = lambda: 0
    ) -> T:
        for _ in range(ATTEMPTS):
            try:
                with self._begin() as transaction:
                    return work(transaction)
            except lmdb.MapFullError:
                self._environment.make_room(2 * payload())
        raise self._environment.gave_up()

    @contextlib.contextmanager
    def transaction(self) -> Iterator[LMDBTransaction]:
        try:
            with self._begin() as transaction:
                yield transaction
        except lmdb.MapFullError as error:
            self._environment.make_room(0)
            raise self._environment.error(error) from error

    @contextlib.contextmanager
    def _begin(self) -> Iterator[LMDBTransaction]:
        environment = self._environment
        try:
            with environment.writing(durable=self._sync) as txn:
                transaction = LMDBTransaction(txn, environment.catalog.current(txn))
                yield transaction
            # Not before the commit: a count that was never written may mean other tables later.
            environment.catalog = transaction.catalog
        except lmdb.MapFullError:
            raise
        except lmdb.Error as error:
            raise environment.error(error) from error

    def flush(self) -> None:
        self._environment.flush()

    def follow(self) -> bool:
        self._environment.follow()
        before, self._followed = self._followed, self._environment.followed
        return before != self._followed

    def warm(self) -> None:
        with contextlib.suppress(FileNotFoundError):  # gone: the next read says so
            descriptor = os.open(os.path.join(self._environment.path, "data.mdb"), os.O_RDONLY)
            try:
                os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_WILLNEED)
            finally:
                os.close(descriptor)

    def flaws(self) -> Iterator[str]:
        yield from self._read(tree.flaws)

    def close(self) -> None:
        environment = self._environment
        if isinstance(environment, Environment):
            self._environment = cast(Environment, _Closed(self))
            release(environment)


class LMDBTransaction(Transaction):
    """One write transaction."""

    def __init__(self, txn: Txn, catalog: TableCatalog) -> None:
        self.catalog = catalog
        self._txn = txn

    def read_one(self, table: str, key: bytes) -> bytes | None:
        return _read_one(self._txn, self.catalog, table, key)

    def read(self, table: str, keys: Sequence[bytes]) -> list[bytes | None]:
        return _read(self._txn, self.catalog, table, keys)

    def neighbours(self, table: str, keys: Sequence[bytes]) -> list[tuple[str, bytes, bytes]]:
        return tree.neighbours(self._txn, self.catalog, table, keys)

    def page(self, table: str, prefix: bytes, after: bytes | None, limit: int) -> list[Item]:
        return _page(self._txn, self.catalog, table, prefix, after, limit)

    def write(self, table: str, items: Iterable[Item]) -> None:
        rows = items if isinstance(items, list) else list(items)
        if rows:
            if table not in self.catalog.prefixes:
                self.catalog = self.catalog.with_table(self._txn, checked_table(table))
            tree.put_many(self._txn, self.catalog.prefixes[table], rows)

    def delete(self, table: str, keys: Iterable[bytes]) -> None:
        if table in self.catalog.prefixes:
            tree.delete_many(self._txn, self.catalog.prefixes[table], keys)

    def forget(self, table: str) -> None:
        """Make the table vanish for readers; its rows stay until they are removed."""
        if table in self.catalog.prefixes:
            self.catalog = self.catalog.without_table(self._txn, table)

    def remove_some_dropped(self) -> bool:
        """Remove a bounded number of rows of dropped tables; say whether there may be more."""
        return tree.remove_some_dropped(self._txn, DROP_ROWS)


class _Closed:
    """Stands where a closed store had its environment."""

    def __init__(self, store: LMDBStore) -> None:
        self._store = store

    def __getattr__(self, name: str) -> NoReturn:
        raise self._store.closed()


def _read_one(txn: Txn, catalog: TableCatalog, table: str, key: bytes) -> bytes | None:
    number = catalog.prefixes.get(table)
    return None if number is None else tree.get(txn, number, key)


def _read(
    txn: Txn, catalog: TableCatalog, table: str, keys: Sequence[bytes], each: Any = None
) -> list[Any]:
    number = catalog.prefixes.get(table)
    if number is None:
        return [None] * len(keys)
    if each is None:
        return tree.get_many(txn, number, keys)
    values = ((at, tree.get(txn, number, key)) for at, key in enumerate(keys))
    return [None if value is None else each(at, value) for at, value in values]


def _page(  # noqa: PLR0917 - what `_read` calls it with
    txn: Txn, catalog: TableCatalog, table: str, prefix: bytes, after: bytes | None, limit: int
) -> list[Item]:
    number = catalog.prefixes.get(table)
    if number is None:
        return []
    return tree.page(txn, number, prefix=prefix, after=after, limit=limit, size=PAGE_BYTES)


def _size(row: Item) -> int:
    return len(row[0]) + len(row[1])
