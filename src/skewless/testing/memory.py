"""An online store in the memory of one process, for tests.

    store = MemoryStore()
    store.write("wafer_tests", [(b"f1", b"state of f1")])

It keeps every promise of an online store but two: it dies with its process, and no other process
sees it.
"""

# ruff: noqa: D102 - the methods are documented on OnlineStore and Rows

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence

from skewless.errors import StoreError
from skewless.forks import Lock
from skewless.stores.online.base import (
    Capabilities,
    Change,
    Item,
    OnlineStore,
    Transaction,
    checked_table,
)

Table = dict[bytes, bytes]
Changes = dict[bytes, bytes | None]


class MemoryStore(OnlineStore):
    """A dict of dicts under a lock."""

    capabilities = Capabilities(
        atomic_batch=True,
        transactions=True,
        compare_and_set=True,
        atomic_drop=True,
        verified=True,
    )

    def __init__(self) -> None:
        self.where = "memory of this process"
        self._tables: dict[str, Table] | None = {}
        self._lock = Lock()
        self._write_lock = Lock()
        self._writer: int | None = None

    def read(self, table: str, keys: Sequence[bytes]) -> list[bytes | None]:
        with self._lock:
            rows = self._open().get(table, {})
            return [rows.get(key) for key in keys]

    def page(self, table: str, prefix: bytes, after: bytes | None, limit: int) -> list[Item]:
        with self._lock:
            return _page(self._open().get(table, {}), prefix, after, limit)

    def tables(self) -> list[str]:
        with self._lock:
            return sorted(self._open())

    def drop(self, table: str) -> None:
        with self._writing(), self._lock:
            self._open().pop(table, None)

    @contextlib.contextmanager
    def transaction(self) -> Iterator[Transaction]:
        with self._writing():
            transaction = _MemoryTransaction(self._open())
            yield transaction
            with self._lock:
                tables = self._open()
                for table, changes in transaction.changes.items():
                    _apply(changes, tables.setdefault(table, {}))

    @contextlib.contextmanager
    def _writing(self) -> Iterator[None]:
        if self._writer == threading.get_ident():
            raise StoreError(
                "a write inside a transaction of the same thread would wait for itself",
                where=self.where,
                hint="Inside transaction() use the verbs of the transaction.",
            )
        with self._write_lock:
            self._writer = threading.get_ident()
            try:
                yield
            finally:
                self._writer = None

    def close(self) -> None:
        self._tables = None

    def _open(self) -> dict[str, Table]:
        if self._tables is None:
            raise self.closed()
        return self._tables


class MemoryCache(MemoryStore):
    """A store without transactions, as caches across the network are, whose rows can be lost.

    Attributes:
        before_write: called before each write and each `compare_and_set`; may raise.
    """

    capabilities = Capabilities(
        atomic_batch=True, compare_and_set=True, shared_by_processes=True, verified=True
    )

    def __init__(self) -> None:
        super().__init__()
        self.where = "cache in the memory of this process"
        self.before_write: Callable[[str], None] = lambda _: None

    def write(self, table: str, items: Iterable[Item]) -> None:
        self.before_write(table)
        super().write(table, items)

    def compare_and_set(self, table: str, changes: Iterable[Change]) -> list[bool]:
        self.before_write(table)
        done = []
        with self.transaction() as rows:
            for key, expected, new in changes:
                done.append(rows.read_one(table, key) == expected)
                if done[-1] and new is not None:
                    rows.write(table, [(key, new)])
                elif done[-1]:
                    rows.delete(table, [key])
        return done

    def contents(self) -> dict[str, dict[bytes, bytes]]:
        """Return all rows, for `lose`: what a backup or a replica would have."""
        with self._lock:
            return {table: dict(rows) for table, rows in self._open().items()}

    def lose(self, contents: dict[str, dict[bytes, bytes]] | None = None) -> None:
        """Go back to what there was at some time; None: to nothing."""
        with self._lock:
            self._tables = {table: dict(rows) for table, rows in (contents or {}).items()}


class _MemoryTransaction(Transaction):
    """Collects changes; the store applies them when the transaction ends well."""

    def __init__(self, tables: dict[str, Table]) -> None:
        self._tables = tables
        self.changes: dict[str, Changes] = {}

    def read(self, table: str, keys: Sequence[bytes]) -> list[bytes | None]:
        changes, rows = self.changes.get(table, {}), self._tables.get(table, {})
        return [changes[key] if key in changes else rows.get(key) for key in keys]

    def page(self, table: str, prefix: bytes, after: bytes | None, limit: int) -> list[Item]:
        rows = dict(self._tables.get(table, {}))
        _apply(self.changes.get(table, {}), rows)
        return _page(rows, prefix, after, limit)

    def write(self, table: str, items: Iterable[Item]) -> None:
        for key, value in items:
            self.changes.setdefault(checked_table(table), {})[bytes(key)] = bytes(value)

    def delete(self, table: str, keys: Iterable[bytes]) -> None:
        if table in self.changes or table in self._tables:
            self.changes.setdefault(table, {}).update(dict.fromkeys(keys))


def _apply(changes: Changes, rows: Table) -> None:
    for key, value in changes.items():
        if value is None:
            rows.pop(key, None)
        else:
            rows[key] = value


def _page(rows: Table, prefix: bytes, after: bytes | None, limit: int) -> list[Item]:
    keys = sorted(key for key in rows if key.startswith(prefix) and (after is None or key > after))
    return [(key, rows[key]) for key in keys[:limit]]
