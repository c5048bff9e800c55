"""Stores whose values carry a seal: damage is an error that says where, never another value.

Every store of a repo is one (`online.storage`), so states, entries of event logs, row ids,
manifests and records of tables are all checked by the one who reads them, whatever kind of store
has them. What a seal is says `sealing`.

A flipped bit may also lie in a key, and the row is then not found. Where a store can say which rows
lie beside a key (`KeyValues.neighbours`), they are looked at before a row is said to be missing.
"""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from functools import partial
from operator import itemgetter
from typing import Any, TypeVar, cast

from skewless.errors import CorruptData
from skewless.state.pieces import MARK, SUFFIX, Head, key_of, place_of, table_of, whole
from skewless.stores.online.base import (
    Change,
    Counted,
    Item,
    KeyValues,
    OnlineStore,
    TableChange,
    Transaction,
    only_read_here,
)
from skewless.stores.online.sealing import (
    ALL_THERE,
    SEAL_BYTES,
    SOME_MISSING,
    open_all,
    open_one,
    seal,
    seed_of,
)

T = TypeVar("T")

LOOKED_BESIDE = 16
"""Beside how many missing keys of a call is looked: bulk loads of new keys stay as fast as before.

Damaged keys that nobody looks beside are found by ``skewless doctor --deep``.
"""


@dataclass(frozen=True)
class Damage:
    """Something in a store that is not what was written.

    Attributes:
        where: the store.
        what: which row, or what is wrong with the structure of a file.
    """

    where: str
    what: str

    def __str__(self) -> str:
        return f"{self.what} ({self.where})"


class SealedRows(KeyValues):
    """Rows whose values are sealed when written and checked when read.

    Args:
        rows: where they are.
        where: how errors name that.
    """

    def __init__(self, rows: KeyValues, where: str) -> None:
        self._rows = rows
        self.where = where
        self._seeds: dict[str, int] = {}

    def _seed(self, table: str) -> int:
        found = self._seeds.get(table)
        if found is None:
            found = self._seeds[table] = seed_of(table)
        return found

    def read(self, table: str, keys: Sequence[bytes]) -> list[bytes | None]:
        values = self._rows.read(table, keys)
        seed = self._seeds.get(table)
        found = open_all(self._seed(table) if seed is None else seed, keys, values)
        if found != ALL_THERE:
            self._look(table, keys, values, found)
        return values

    def read_each(
        self, table: str, keys: Sequence[bytes], each: Callable[[int, bytes], T]
    ) -> list[T | None]:
        seed = self._seed(table)
        heads: dict[int, bytes] = {}

        def opened(at: int, value: bytes) -> Any:
            whole = open_one(seed, keys[at], value)
            if whole is None:
                heads[at] = value  # its pieces are read when this read is over
                return None
            heads.pop(at, None)
            return each(at, whole)

        found: list[Any] = self._rows.read_each(table, keys, opened)
        if None in found:
            missing = [None if value is None else b"" for value in found]
            for at in heads:
                missing[at] = b""
            self._look(table, keys, missing, SOME_MISSING)
            for at, value in heads.items():
                joined = self._of_head(table, keys[at], value)
                found[at] = None if joined is None else each(at, joined)
        return found

    def read_few(self, table: str, keys: Sequence[bytes], most: int) -> list[bytes | None]:
        counted = Counted(most)  # before they are looked at, and pieces before they are read
        values: list[bytes | None] = self._rows.read_each(table, keys, counted)
        found = open_all(self._seed(table), keys, values)
        if found != ALL_THERE:

            def joined(table: str, key: bytes, value: bytes) -> bytes | None:
                head = self._head(table, key, value)
                counted.take(sum(size for _, size in head.pieces))
                return self._joined(table, key, head)

            self._look(table, keys, values, found, joined)
        return values

    def read_one(self, table: str, key: bytes) -> bytes | None:
        value = self._rows.read_one(table, key)
        if value is None:
            self._look(table, (key,), [None], -1)
            return None
        opened = open_one(self._seed(table), key, value)
        return self._of_head(table, key, value) if opened is None else opened

    def read_heads(self, table: str, keys: Sequence[bytes]) -> Sequence[bytes | Head | None]:
        values: list[Any] = self._rows.read(table, keys)
        found = open_all(self._seed(table), keys, values)
        if found != ALL_THERE:
            self._look(table, keys, values, found, self._head)
        return values

    def whole(self, table: str, key: bytes, head: Head) -> bytes:
        found = self._joined(table, key, head)
        if found is None:
            raise self._damaged(table, key)
        return found

    def _head(self, table: str, key: bytes, value: bytes) -> Head:
        """Return the head that a row holds which is no whole value."""
        opened = open_one(self._seed(table) ^ MARK, key, value)
        if opened is None:
            raise self._damaged(table, key)
        return Head.from_bytes(opened)

    def _of_head(self, table: str, key: bytes, value: bytes) -> bytes | None:
        """Return the value whose head a row holds; None if it was removed meanwhile."""
        return self._joined(table, key, self._head(table, key, value))

    def _joined(self, table: str, key: bytes, head: Head) -> bytes | None:
        """Return the value of a head; a newer one if others have written it since."""
        while True:
            stored = head.stored
            pieces = self._pieces(table, key, stored)
            if None not in pieces:
                return whole(head, dict(zip(stored, cast("list[bytes]", pieces), strict=True)))
            value = self._rows.read_one(table, key)
            if value is None:
                return None
            opened = open_one(self._seed(table), key, value)
            if opened is not None:
                return opened
            before, head = head, self._head(table, key, value)
            if head.pieces == before.pieces:
                raise CorruptData(
                    "a value in pieces lacks one of them",
                    got=f"key {key[:80]!r} of table {table!r}",
                    where=self.where,
                    hint="States are rebuilt by skewless online rebuild.",
                )

    def _pieces(self, table: str, key: bytes, numbers: Sequence[int]) -> list[bytes | None]:
        place = place_of(key)
        return self.read(table_of(table), [key_of(place, number) for number in numbers])

    def write(self, table: str, items: Iterable[Item]) -> None:
        seed = self._seed(table)
        self._rows.write(table, [(key, seal(seed, key, value)) for key, value in items])

    def delete(self, table: str, keys: Iterable[bytes]) -> None:
        self._rows.delete(table, keys)

    def scan(
        self,
        table: str,
        *,
        prefix: bytes = b"",
        after: bytes | None = None,
        limit: int | None = None,
    ) -> Iterator[Item]:
        seed = self._seed(table)
        for key, value in self._rows.scan(table, prefix=prefix, after=after, limit=limit):
            opened = open_one(seed, key, value)
            if opened is None:
                opened = self._of_head(table, key, value)
            if opened is not None:
                yield key, opened

    def _look(
        self,
        table: str,
        keys: Sequence[bytes],
        values: list[Any],
        found: int,
        of_head: Callable[[str, bytes, bytes], Any] | None = None,
    ) -> None:
        """Look at values that are no whole ones, from ``found`` on, and beside missing rows.

        Values in pieces are put in their places as ``of_head`` gives them, by default whole.

        Raises:
            CorruptData: a value or a key is damaged.
        """
        if found >= 0:
            seed = self._seed(table)
            for at in range(found, len(values)):
                value = values[at]
                if value is not None:
                    opened = open_one(seed, keys[at], value)
                    if opened is None:
                        opened = (of_head or self._of_head)(table, keys[at], value)
                    values[at] = opened
        missing = [key for key, value in zip(keys, values, strict=True) if value is None]
        missing = missing[:LOOKED_BESIDE]
        for other, key, value in self._rows.neighbours(table, missing):
            if self._is_right(other, key, value):
                continue
            # A damaged row of another table, at the end of this one, says nothing about this one
            # unless it is a row of this one.
            if other == table or any(self._is_right(table, each, value) for each in missing):
                raise self._damaged(other, key)

    def _is_right(self, table: str, key: bytes, value: bytes) -> bool:
        """Return whether a row is as it was written: a whole value, or the head of one."""
        seed = self._seed(table)
        whole = open_one(seed, key, value)
        return whole is not None or open_one(seed ^ MARK, key, value) is not None

    def _remove_pieces(self, table: str, keys: Iterable[bytes]) -> None:
        """Remove the pieces of values, where the table has any."""
        name = table_of(table)
        if next(self._rows.scan(name, limit=1), None) is None:
            return
        for key in keys:
            found = [each for each, _ in self._rows.scan(name, prefix=place_of(key))]
            if found:
                self._rows.delete(name, found)

    def _damaged(self, table: str, key: bytes) -> CorruptData:
        return CorruptData(
            "a row of the store is damaged: its checksum is not that of its bytes",
            got=f"key {key[:80]!r} of table {table!r}",
            where=self.where,
            hint="See how much is damaged with skewless doctor --deep. States are rebuilt by "
            "skewless online rebuild; for a log restore a copy. (Releases without checksums "
            "wrote rows that look like this too.)",
        )


class SealedTransaction(SealedRows, Transaction):
    """A transaction over sealed values, which takes values in pieces."""

    @property
    def divides(self) -> bool:
        return True

    def write_heads(
        self, table: str, items: Iterable[tuple[bytes, bytes | Head]], before: Mapping[bytes, Head]
    ) -> None:
        items = list(items)
        if not before and Head not in set(map(type, map(itemgetter(1), items))):
            self.write(table, cast("list[Item]", items))
            return
        seed, rows, new, gone = self._seed(table), [], [], []
        for key, value in items:
            kept: set[int] = set()
            if isinstance(value, Head):
                head = value.compacted(partial(self._stored, table, key))
                kept.update(number for number, _ in head.pieces)
                place = place_of(key) if head.fresh else b""
                new += [(key_of(place, number), piece) for number, piece in head.fresh.items()]
                rows.append((key, seal(seed ^ MARK, key, head.to_bytes())))
            else:
                rows.append((key, seal(seed, key, value)))
            if key in before:
                old = [number for number, _ in before[key].pieces if number not in kept]
                gone += [key_of(place_of(key), number) for number in old]
        self._rows.write(table, rows)
        if new:
            self.write(table_of(table), new)
        if gone:
            self._rows.delete(table_of(table), gone)

    def _stored(self, table: str, key: bytes, numbers: Sequence[int]) -> list[bytes]:
        """Return pieces that a transaction cannot miss."""
        pieces = self._pieces(table, key, numbers)
        if None in pieces:
            raise self._damaged(table, key)
        return cast("list[bytes]", pieces)

    def overwrite(self, table: str, items: Iterable[Item]) -> None:
        rows = list(items)
        self.write(table, rows)
        self._remove_pieces(table, [key for key, _ in rows])

    def delete(self, table: str, keys: Iterable[bytes]) -> None:
        doomed = list(keys)
        self._rows.delete(table, doomed)
        self._remove_pieces(table, doomed)


class SealedStore(SealedRows, OnlineStore):
    """A store over sealed values; what is not about values is that of the store itself.

    Args:
        store: where they are.
        read_only: whether every write is refused, whatever the store would do.

    Attributes:
        inner: that store.
    """

    def __init__(self, store: OnlineStore, *, read_only: bool = False) -> None:
        super().__init__(store, store.where)
        self.inner = store
        self._read_only = read_only
        most = store.capabilities.max_value_bytes
        self.capabilities = dataclasses.replace(
            store.capabilities, max_value_bytes=None if most is None else most - SEAL_BYTES
        )

    def now(self) -> int | None:
        return self.inner.now()

    def tables(self) -> list[str]:
        return [name for name in self.inner.tables() if not name.endswith(SUFFIX)]

    def _may_write(self) -> None:
        if self._read_only:
            raise only_read_here(self.where)

    def write(self, table: str, items: Iterable[Item]) -> None:
        self._may_write()
        super().write(table, items)

    def delete(self, table: str, keys: Iterable[bytes]) -> None:
        self._may_write()
        doomed = list(keys)
        self.inner.delete(table, doomed)
        if self.capabilities.transactions:
            self._remove_pieces(table, doomed)

    async def read_async(self, table: str, keys: Sequence[bytes]) -> list[bytes | None]:
        values = await self.inner.read_async(table, keys)
        found = open_all(self._seed(table), keys, values)
        if found != ALL_THERE:
            import asyncio  # takes 30 ms, and most who read need none

            await asyncio.to_thread(self._look, table, keys, values, found)
        return values

    def drop(self, table: str) -> None:
        self._may_write()
        self.inner.drop(table)
        if table_of(table) in self.inner.tables():
            self.inner.drop(table_of(table))

    def transaction(self) -> AbstractContextManager[Transaction]:
        return self._transaction()

    @contextlib.contextmanager
    def _transaction(self) -> Iterator[Transaction]:
        self._may_write()
        with self.inner.transaction() as rows:
            yield SealedTransaction(rows, self.where)

    def compare_and_set(self, table: str, changes: Iterable[Change]) -> list[bool]:
        self._may_write()
        one = self._sealed
        return self.inner.compare_and_set(
            table, [(key, one(table, key, old), one(table, key, new)) for key, old, new in changes]
        )

    def change_together(self, changes: Iterable[TableChange]) -> bool:
        self._may_write()
        one = self._sealed
        return self.inner.change_together(
            (table, key, one(table, key, old), one(table, key, new))
            for table, key, old, new in changes
        )

    def _sealed(self, table: str, key: bytes, value: bytes | None) -> bytes | None:
        return None if value is None else seal(self._seed(table), key, value)

    def flush(self) -> None:
        self.inner.flush()

    def follow(self) -> bool:
        return self.inner.follow()

    def warm(self) -> None:
        self.inner.warm()

    def concerns(self) -> list[tuple[str, str]]:
        return self.inner.concerns()

    def flaws(self) -> Iterator[str]:
        """Read every byte and yield what is damaged."""
        yield from self.inner.flaws()
        for table in self.inner.tables():
            try:
                for key, value in self.inner.scan(table):
                    if not self._is_right(table, key, value):
                        yield f"the row of key {key[:80]!r} in table {table!r}"
            except CorruptData as problem:
                yield f"table {table!r}: {problem.what}; {problem.got}"

    def damages(self) -> Iterator[Damage]:
        """Read every byte and yield what is damaged, and where."""
        try:
            yield from (Damage(self.where, what) for what in self.flaws())
        except CorruptData as problem:
            yield Damage(self.where, f"{problem.what}; {problem.got}")

    def close(self) -> None:
        self.inner.close()

    def __repr__(self) -> str:
        return repr(self.inner)


def sealed(store: OnlineStore, *, read_only: bool = False) -> SealedStore:
    """Return a store with its values sealed; the same if they are already."""
    return store if isinstance(store, SealedStore) else SealedStore(store, read_only=read_only)
