"""Rows that are written only if they are still what was read: no writer undoes another one's work.

A write that timed out may still be on its way when the next one comes. Where writers read a row,
change it and write it back, `CompareAndSetRows` writes with compare-and-set, so that a latecomer
finds another value than it expects and changes nothing.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from skewless.errors import Conflict
from skewless.stores.online.base import Item, OnlineStore
from skewless.stores.online.delegating import DelegatingReads


class Overtaken(Conflict):
    """Somebody else has written a row since it was read; others of the same call were written."""


class CompareAndSetRows(DelegatingReads):
    """The rows of a store for one writer: what it has read, it writes by compare-and-set.

    Rows that it has not read are written as they come.

    Args:
        store: one with `compare_and_set`.
    """

    def __init__(self, store: OnlineStore) -> None:
        super().__init__(store)
        self._store = store
        self._seen: dict[tuple[str, bytes], bytes | None] = {}

    def read(self, table: str, keys: Sequence[bytes]) -> list[bytes | None]:
        values = self._store.read(table, keys)
        self._seen.update(zip(((table, key) for key in keys), values, strict=True))
        return values

    def read_one(self, table: str, key: bytes) -> bytes | None:
        value = self._seen[table, key] = self._store.read_one(table, key)
        return value

    def write(self, table: str, items: Iterable[Item]) -> None:
        rows = dict(items)
        changes = [
            (key, self._seen[table, key], value)
            for key, value in rows.items()
            if (table, key) in self._seen
        ]
        if len(changes) < len(rows):
            asked = {key for key, _, _ in changes}
            self._store.write(table, [row for row in rows.items() if row[0] not in asked])
        if not changes:
            return
        done = self._store.compare_and_set(table, changes)
        for (key, _, value), took in zip(changes, done, strict=True):
            if took:
                self._seen[table, key] = value
            else:
                del self._seen[table, key]
        if not all(done):
            raise Overtaken(
                "somebody else has written a state meanwhile",
                got=f"{done.count(False)} of {len(done)} rows of {table}",
                where=self._store.where,
                hint="A write that had timed out came late, or two workers overlap.",
            )

    def delete(self, table: str, keys: Iterable[bytes]) -> None:
        self._store.delete(table, keys)
