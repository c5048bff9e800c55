"""Stores that note which rows they change, in the transaction that changes them.

What is done about the notes is for the caller to say; `online.move.mirror` copies the rows
elsewhere.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

from skewless.state.pieces import Head
from skewless.stores.online.base import Item, KeyValues, OnlineStore, Transaction
from skewless.stores.online.delegating import DelegatingReads

Note = Callable[[KeyValues, str, Iterable[bytes]], None]


class CapturingStore(DelegatingReads, OnlineStore):
    """A store with transactions that notes which rows it changes, in the same transaction.

    Args:
        store: where rows are.
        note: called with the transaction, a table and the keys that are about to change.
        after: called when a transaction is kept.
    """

    def __init__(self, store: OnlineStore, note: Note, after: Callable[[], None]) -> None:
        super().__init__(store)
        self.store = store
        self._note = note
        self._after = after
        self.where = store.where
        self.capabilities = store.capabilities

    def now(self) -> int | None:
        return self.store.now()

    def tables(self) -> list[str]:
        return self.store.tables()

    def drop(self, table: str) -> None:
        self.store.drop(table)

    @contextlib.contextmanager
    def transaction(self) -> Iterator[Transaction]:
        with self.store.transaction() as rows:
            yield CapturingTransaction(rows, self._note)
        self._after()

    def flush(self) -> None:
        self.store.flush()

    def follow(self) -> bool:
        return self.store.follow()

    def warm(self) -> None:
        self.store.warm()

    def close(self) -> None:
        self.store.close()


class CapturingTransaction(DelegatingReads, Transaction):
    """A transaction that notes which rows it changes."""

    def __init__(self, rows: Transaction, note: Note) -> None:
        super().__init__(rows)
        self._note = note

    def write(self, table: str, items: Iterable[Item]) -> None:
        rows = list(items)
        self.note(table, (key for key, _ in rows))
        self._rows.write(table, rows)

    def delete(self, table: str, keys: Iterable[bytes]) -> None:
        keys = list(keys)
        self.note(table, keys)
        self._rows.delete(table, keys)

    @property
    def divides(self) -> bool:
        return self._rows.divides

    def read_heads(self, table: str, keys: Sequence[bytes]) -> Sequence[bytes | Head | None]:
        return self._rows.read_heads(table, keys)

    def whole(self, table: str, key: bytes, head: Head) -> bytes:
        return self._rows.whole(table, key, head)

    def write_heads(
        self, table: str, items: Iterable[tuple[bytes, bytes | Head]], before: Mapping[bytes, Head]
    ) -> None:
        rows = list(items)
        self.note(table, (key for key, _ in rows))
        self._rows.write_heads(table, rows, before)

    def overwrite(self, table: str, items: Iterable[Item]) -> None:
        rows = list(items)
        self.note(table, (key for key, _ in rows))
        self._rows.overwrite(table, rows)

    def note(self, table: str, keys: Iterable[bytes]) -> None:
        """Note rows of a table, this store's or that of the states beside it."""
        self._note(self._rows, table, keys)


class CapturingRows(DelegatingReads):
    """Rows of a store without transactions, noted in a transaction of another one."""

    def __init__(self, states: KeyValues, journal: CapturingTransaction) -> None:
        super().__init__(states)
        self._journal = journal

    def write(self, table: str, items: Iterable[Item]) -> None:
        rows = list(items)
        self._rows.write(table, rows)
        self._journal.note(table, (key for key, _ in rows))

    def delete(self, table: str, keys: Iterable[bytes]) -> None:
        keys = list(keys)
        self._rows.delete(table, keys)
        self._journal.note(table, keys)
