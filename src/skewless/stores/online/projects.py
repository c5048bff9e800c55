"""Several projects in one store: each has tables of its own, and sees no others.

The project `default` has its tables by their plain names; the tables of every other have its name
before them: ``@team_b/log.payments``. The name alone decides, so that a store which lost everything
gives nobody the tables of another.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import TypeVar
from urllib.parse import quote

from skewless.config import DEFAULT_PROJECT
from skewless.state.pieces import Head
from skewless.stores.online.base import (
    Change,
    Item,
    KeyValues,
    OnlineStore,
    TableChange,
    Transaction,
)

T = TypeVar("T")
_MARK = "@"


def is_of_project(table: str) -> bool:
    """Return whether a table of a store belongs to a project other than the default.

    >>> is_of_project("@team_b/log.payments"), is_of_project("log.payments")
    (True, False)
    """
    return table.startswith(_MARK)


def of_project(store: OnlineStore, project: str) -> OnlineStore:
    """Return the tables that a project has in a store."""
    return store if project == DEFAULT_PROJECT else ProjectStore(store, project)


class _Prefixed(KeyValues):
    """Rows whose tables have the name of a project before theirs."""

    def __init__(self, rows: KeyValues, prefix: str) -> None:
        self._rows = rows
        self._prefix = prefix

    def read(self, table: str, keys: Sequence[bytes]) -> list[bytes | None]:
        return self._rows.read(self._prefix + table, keys)

    def read_each(
        self, table: str, keys: Sequence[bytes], each: Callable[[int, bytes], T]
    ) -> list[T | None]:
        return self._rows.read_each(self._prefix + table, keys, each)

    def read_few(self, table: str, keys: Sequence[bytes], most: int) -> list[bytes | None]:
        return self._rows.read_few(self._prefix + table, keys, most)

    def read_one(self, table: str, key: bytes) -> bytes | None:
        return self._rows.read_one(self._prefix + table, key)

    def write(self, table: str, items: Iterable[Item]) -> None:
        self._rows.write(self._prefix + table, items)

    def delete(self, table: str, keys: Iterable[bytes]) -> None:
        self._rows.delete(self._prefix + table, keys)

    def scan(
        self,
        table: str,
        *,
        prefix: bytes = b"",
        after: bytes | None = None,
        limit: int | None = None,
    ) -> Iterator[Item]:
        return self._rows.scan(self._prefix + table, prefix=prefix, after=after, limit=limit)


class _ProjectTransaction(_Prefixed, Transaction):
    """A transaction over the tables of a project."""

    @property
    def divides(self) -> bool:
        return self._rows.divides

    def read_heads(self, table: str, keys: Sequence[bytes]) -> Sequence[bytes | Head | None]:
        return self._rows.read_heads(self._prefix + table, keys)

    def whole(self, table: str, key: bytes, head: Head) -> bytes:
        return self._rows.whole(self._prefix + table, key, head)

    def write_heads(
        self, table: str, items: Iterable[tuple[bytes, bytes | Head]], before: Mapping[bytes, Head]
    ) -> None:
        self._rows.write_heads(self._prefix + table, items, before)

    def overwrite(self, table: str, items: Iterable[Item]) -> None:
        self._rows.overwrite(self._prefix + table, items)


class ProjectStore(_Prefixed, OnlineStore):
    """The tables of one project in a store.

    Args:
        store: where they are; closed with this one.
        project: whose.

    Attributes:
        inner: that store.
    """

    def __init__(self, store: OnlineStore, project: str) -> None:
        super().__init__(store, f"{_MARK}{quote(project, safe='')}/")
        self.inner = store
        self.where = store.where
        self.capabilities = store.capabilities

    async def read_async(self, table: str, keys: Sequence[bytes]) -> list[bytes | None]:
        return await self.inner.read_async(self._prefix + table, keys)

    def now(self) -> int | None:
        return self.inner.now()

    def tables(self) -> list[str]:
        found = (name for name in self.inner.tables() if name.startswith(self._prefix))
        return [name[len(self._prefix) :] for name in found]

    def drop(self, table: str) -> None:
        self.inner.drop(self._prefix + table)

    @contextlib.contextmanager
    def transaction(self) -> Iterator[Transaction]:
        with self.inner.transaction() as rows:
            yield _ProjectTransaction(rows, self._prefix)

    def compare_and_set(self, table: str, changes: Iterable[Change]) -> list[bool]:
        return self.inner.compare_and_set(self._prefix + table, changes)

    def change_together(self, changes: Iterable[TableChange]) -> bool:
        return self.inner.change_together(
            (self._prefix + table, key, old, new) for table, key, old, new in changes
        )

    def flush(self) -> None:
        self.inner.flush()

    def follow(self) -> bool:
        return self.inner.follow()

    def warm(self) -> None:
        self.inner.warm()

    def concerns(self) -> list[tuple[str, str]]:
        return self.inner.concerns()

    def flaws(self) -> Iterator[str]:
        return self.inner.flaws()

    def close(self) -> None:
        self.inner.close()


def whole(store: OnlineStore) -> OnlineStore:
    """Return the store that has the tables of all projects."""
    return store.inner if isinstance(store, ProjectStore) else store
