"""What every online store promises: bytes by key, in named tables.

    with LMDBStore("features/online") as store:
        store.write("wafer_tests", [(b"f1", b"state of f1")])
        store.read("wafer_tests", [b"f1", b"f2"])            # [b"state of f1", None]

A store knows nothing of features. What one can do beyond the minimum is data in its
`Capabilities`; callers look there and never at its name.

**Every store guarantees**

- A value comes back as it went in, for keys of any bytes and length, the empty one included.
- `read` answers in the order of its keys; `None` means that there is no such row, never that the
  store could not be asked: that is `StoreUnavailable`.
- When `write`, `delete` or a transaction returns, every later read of every process sees it (where
  `shared_by_processes`), and it outlives a kill of this process.
- A store may be shared by threads. It may be opened before a fork and used on both sides.

**No store guarantees, unless its capabilities say so**

- that a reader never sees half a `write` (`atomic_batch`),
- that two `read` calls see the same moment (use `transaction`),
- that a write outlives a loss of power (`durable`).
"""

from __future__ import annotations

import dataclasses
import os
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from functools import partial
from typing import Self, TypeVar, cast

from skewless.errors import InputError, StoreError
from skewless.state.pieces import Head

T = TypeVar("T")
MAX_TABLE_NAME_BYTES = 255
SCAN_PAGE_ROWS = 1_000
ONLY_READ = "the online store can only be read"

Item = tuple[bytes, bytes]
"""A key and its value."""

Change = tuple[bytes, bytes | None, bytes | None]
"""A key, the value it is expected to have, its new one; None stands for no row."""

TableChange = tuple[str, bytes, bytes | None, bytes | None]
"""A table, and a `Change` of a row of it."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Capabilities:
    """What a store can do, as data.

    Attributes:
        atomic_batch: one `write` or `delete` is seen and kept whole or not at all.
        transactions: `transaction()` works, serialised among writers of all processes.
        compare_and_set: `compare_and_set()` works, atomically for each key.
        together: how many rows `change_together()` takes, where there are no transactions; 0: none.
        ordered_scan: a scan costs what it returns; without it every call walks the whole table.
        atomic_drop: a dropped table is gone for readers in one moment.
        shared_by_processes: several processes may use the same rows at once.
        durable: an acknowledged write survives a loss of power.
        verified: the conformance suite has passed against a real server (or needs none).
        max_value_bytes: longest value; None where memory is the limit.
    """

    atomic_batch: bool = False
    transactions: bool = False
    compare_and_set: bool = False
    together: int = 0
    ordered_scan: bool = False
    atomic_drop: bool = False
    shared_by_processes: bool = False
    durable: bool = False
    verified: bool = False
    max_value_bytes: int | None = None


class TooMuch(Exception):
    """The values of a read have more bytes than whoever reads would take."""


class Counted:
    """Takes values one after another until they are too much.

    Args:
        most: bytes that they may have together.
    """

    def __init__(self, most: int) -> None:
        self._left = most

    def __call__(self, at: int, value: bytes) -> bytes:
        """Return the value."""
        self.take(len(value))
        return value

    def take(self, size: int) -> None:
        """Count so many bytes; `TooMuch` where they are too many."""
        self._left -= size
        if self._left < 0:
            raise TooMuch


class KeyValues(ABC):
    """The verbs over rows that a store and a transaction share."""

    @abstractmethod
    def read(self, table: str, keys: Sequence[bytes]) -> list[bytes | None]:
        """Return the values of ``keys``, in their order, in one batched call.

        A key may occur twice. None stands where there is no row; an unknown table has none.

        Raises:
            StoreUnavailable: the store cannot be reached.
        """

    def read_each(
        self, table: str, keys: Sequence[bytes], each: Callable[[int, bytes], T]
    ) -> list[T | None]:
        """Return what ``each`` makes of the place and the value of every key; None without a row.

        For values that are large together: an embedded store hands out one after another, so that
        they are not in memory all at once. ``each`` does not use the store, and may be called for
        a key again.
        """
        values = self.read(table, keys)
        return [None if value is None else each(at, value) for at, value in enumerate(values)]

    def read_few(self, table: str, keys: Sequence[bytes], most: int) -> list[bytes | None]:
        """Return what `read` does, unless the values have more than ``most`` bytes together.

        An embedded store stops at the value that is too much.

        Raises:
            TooMuch: they have.
        """
        return self.read_each(table, keys, Counted(most))

    def read_one(self, table: str, key: bytes) -> bytes | None:
        """Return the value of ``key``, or None: the fast path of `read` for one row."""
        return self.read(table, (key,))[0]

    def neighbours(self, table: str, keys: Sequence[bytes]) -> Iterable[tuple[str, bytes, bytes]]:
        """Return the rows directly before and after where those of missing ``keys`` would lie.

        Keys whose rows have come since are skipped.

        Each with its table, which is another one at either end of the table. For stores whose own
        files carry no checksums: a row whose key was damaged is found there. Others return none.

        Raises:
            CorruptData: their order is not that of their keys.
        """
        return ()

    @abstractmethod
    def write(self, table: str, items: Iterable[Item]) -> None:
        """Insert or replace rows; of two items with one key the later counts.

        The table comes into being with its first row. The items of one call are held in memory:
        give long loads in pieces.

        Raises:
            StoreError: the rows could not be kept, a full disk for instance; none of them then
                counts where the store has `atomic_batch`.
        """

    @property
    def divides(self) -> bool:
        """Whether `write_heads` takes values in pieces, see `state.pieces`."""
        return False

    def read_heads(self, table: str, keys: Sequence[bytes]) -> Sequence[bytes | Head | None]:
        """Return what `read` does, but of values in pieces the heads."""
        return self.read(table, keys)

    def whole(self, table: str, key: bytes, head: Head) -> bytes:
        """Return the value that has a head.

        Raises:
            CorruptData: it lacks pieces.
        """
        raise NotImplementedError  # of stores that have given a head

    def write_heads(
        self, table: str, items: Iterable[tuple[bytes, bytes | Head]], before: Mapping[bytes, Head]
    ) -> None:
        """Insert or replace rows, by whole values or, where the store `divides`, by heads.

        Args:
            table: name of the table.
            items: keys and what they get.
            before: the heads there were.
        """
        self.write(table, cast("Iterable[Item]", items))

    def overwrite(self, table: str, items: Iterable[Item]) -> None:
        """Do what `write` does, and let go of the pieces of the values there were."""
        self.write(table, items)

    @abstractmethod
    def delete(self, table: str, keys: Iterable[bytes]) -> None:
        """Remove rows; keys without one are skipped."""

    def scan(
        self,
        table: str,
        *,
        prefix: bytes = b"",
        after: bytes | None = None,
        limit: int | None = None,
    ) -> Iterator[Item]:
        """Yield rows in the order of their keys.

        A row that is there from beginning to end comes exactly once. Rows written or deleted
        meanwhile may or may not come: a scan holds no snapshot, so it never holds writers up.

        Args:
            table: name of the table.
            prefix: only keys that start with it.
            after: only keys greater than it; pass the last key of a page to get the next one.
            limit: at most so many rows.
        """
        return scan_pages(partial(self.page, table, prefix), after, limit)

    def page(self, table: str, prefix: bytes, after: bytes | None, limit: int) -> list[Item]:
        """Return the next rows of a scan, at most ``limit``; [] at its end.

        A store that answers in pages implements this, any other `scan` itself.
        """
        raise NotImplementedError(f"{type(self).__name__} has neither page nor scan")


class Transaction(KeyValues):
    """Reads and writes that take effect together; reads see the transaction's own writes."""


class OnlineStore(KeyValues):
    """A place for the newest state of every entity. Subclasses: one file each, see the module."""

    capabilities: Capabilities
    where: str
    """How errors name this store: a path, or an address without credentials."""

    def now(self) -> int | None:
        """Return the present by the store's own clock, UTC microseconds.

        None: whoever uses it shares this host, and its clock.
        """
        return None

    @abstractmethod
    def tables(self) -> list[str]:
        """Return the names of the tables, sorted."""

    async def read_async(self, table: str, keys: Sequence[bytes]) -> list[bytes | None]:
        """Return what `read` does, without holding up the event loop.

        A thread waits for the store: drivers that wait in the event loop take about as much of the
        processor for a batch, and have connections, retries and forks of their own to get right.
        """
        import asyncio  # takes 30 ms, and most who read need none

        return await asyncio.to_thread(self.read, table, keys)

    def write(self, table: str, items: Iterable[Item]) -> None:
        """See `KeyValues.write`; here in a transaction of its own."""
        rows = list(items)
        if rows:
            with self.transaction() as transaction:
                transaction.write(table, rows)

    def delete(self, table: str, keys: Iterable[bytes]) -> None:
        """See `KeyValues.delete`; here in a transaction of its own."""
        with self.transaction() as transaction:
            transaction.delete(table, keys)

    @abstractmethod
    def drop(self, table: str) -> None:
        """Remove a table and its rows, in pieces that hold neither readers nor writers up.

        Rows that others write to the table meanwhile may or may not remain. An interrupted drop is
        finished by doing it again. A table that does not exist is skipped.
        """

    def transaction(self) -> AbstractContextManager[Transaction]:
        """Return a context whose reads and writes happen as one.

        All of it is kept when the block ends and none of it when the block raises. Transactions
        and writes of all threads and processes happen one after another: what is read inside
        cannot change before it is written back. Keep them short; inside, use their own verbs.

        >>> with store.transaction() as rows:                        # doctest: +SKIP
        ...     count = int(rows.read_one("counts", b"f1") or b"0")
        ...     rows.write("counts", [(b"f1", b"%d" % (count + 1))])

        Raises:
            StoreError: the store has no `transactions`; use `compare_and_set`.
        """
        raise self.unsupported("transactions", "Use compare_and_set instead.")

    def compare_and_set(self, table: str, changes: Iterable[Change]) -> list[bool]:
        """Set each key to its new value if it still has the expected one; say for each whether.

        Raises:
            StoreUnavailable: the store was lost on the way: a change may or may not have happened.
        """
        if not self.capabilities.transactions:
            raise self.unsupported("compare_and_set", "Let one process write at a time.")
        wanted = list(changes)
        keys = list(dict.fromkeys(key for key, _, _ in wanted))
        results = []
        with self.transaction() as rows:
            now = dict(zip(keys, rows.read(table, keys), strict=True))
            before = dict(now)
            for key, expected, new in wanted:
                results.append(now[key] == expected)
                if results[-1]:
                    now[key] = new
            changed = [(key, value) for key, value in now.items() if value != before[key]]
            rows.write(table, [(key, value) for key, value in changed if value is not None])
            rows.delete(table, [key for key, value in changed if value is None])
        return results

    def change_together(self, changes: Iterable[TableChange]) -> bool:
        """Set rows of any tables to new values if all have the expected ones; say whether.

        All of them change or none does. A row whose new value is the expected one is looked at
        like the others.

        Args:
            changes: of different rows, at most `Capabilities.together` where the store has no
                transactions.

        Raises:
            StoreError: the store cannot do it, or they are too many.
            StoreUnavailable: the store was lost on the way: they may or may not have happened.
        """
        if not self.capabilities.transactions:
            raise self.unsupported("change_together", "Use compare_and_set, row by row.")
        wanted = list(changes)
        with self.transaction() as rows:
            if any(rows.read_one(table, key) != old for table, key, old, _ in wanted):
                return False
            for table, key, _, new in wanted:
                if new is None:
                    rows.delete(table, [key])
                else:
                    rows.write(table, [(key, new)])
        return True

    def flush(self) -> None:
        """Make acknowledged writes durable now, where they are not yet and the store can do so."""

    def warm(self) -> None:
        """Bring what the store can into memory, so that the first reads are as fast as later."""

    def follow(self) -> bool:
        """Open the file that lies where this store's was, if it is another one; say whether.

        For stores in files, which somebody may put a copy in the place of. What was read before
        may not be what is there now.

        Raises:
            StoreUnavailable: there is none, or it cannot be used yet.
            CorruptData: it is damaged.
        """
        return False

    def concerns(self) -> list[tuple[str, str]]:
        """Return what about the server should be seen to, each with what to do about it."""
        return []

    def flaws(self) -> Iterator[str]:
        """Read all of the store's own files and yield what is wrong with their structure."""
        return iter(())

    @abstractmethod
    def close(self) -> None:
        """Release files and connections; a second call does nothing, other verbs then fail."""

    def unsupported(self, ability: str, hint: str) -> StoreError:
        """Return the error for an ability that this store's capabilities lack."""
        return StoreError(
            f"{type(self).__name__} cannot do {ability!r}", where=self.where, hint=hint
        )

    def closed(self) -> StoreError:
        """Return the error for using the store after `close`."""
        return StoreError(
            f"this {type(self).__name__} is closed", where=self.where, hint="Open a new one."
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.where!r})"


def scan_pages(
    page: Callable[[bytes | None, int], list[Item]], after: bytes | None, limit: int | None
) -> Iterator[Item]:
    """Yield rows page by page: ``page(after, rows)`` returns at most ``rows``, [] at the end."""
    while limit is None or limit > 0:
        rows = page(after, SCAN_PAGE_ROWS if limit is None else min(limit, SCAN_PAGE_ROWS))
        yield from rows
        if not rows:
            return
        after = rows[-1][0]
        limit = None if limit is None else limit - len(rows)


def other_format(found: int, known: int, where: str | None) -> StoreError:
    """Return the error for a store that another release wrote in a form of its own."""
    older = found < known
    return StoreError(
        f"{'an older' if older else 'a newer'} skewless wrote this online store",
        got=f"format {found}",
        expected=f"format {known}",
        where=where,
        hint="Its rows have no checksums: build a new one." if older else "Upgrade skewless.",
    )


def only_read_here(where: str) -> StoreError:
    """Return the error for a write where the settings allow none."""
    return StoreError(
        ONLY_READ,
        got='mode = "read-only" in the settings',
        where=where,
        hint="Writes are for a repo without it.",
    )


def only_read(where: str) -> StoreError:
    """Return the error for a write to a store whose files cannot be written."""
    return StoreError(
        ONLY_READ,
        got="a folder in which nothing can be written",
        where=where,
        hint="Open a copy of the repo, or a mount that can be written.",
    )


def may_write(folder: str, *names: str) -> bool:
    """Say whether a folder and files in it can be written: a mount or rights may forbid it."""
    found = [path for name in names if os.path.exists(path := os.path.join(folder, name))]
    return os.access(folder, os.W_OK) and all(os.access(path, os.W_OK) for path in found)


def checked_table(table: str) -> str:
    """Return ``table`` if it can name a table: 1 to 255 bytes of UTF-8, none of them zero.

    Raises:
        InputError: it cannot.
    """
    try:
        fits = 0 < len(table.encode()) <= MAX_TABLE_NAME_BYTES and "\0" not in table
    except UnicodeEncodeError:
        fits = False
    if not fits:
        raise InputError(
            "a table of an online store cannot have this name",
            got=ascii(table[:80]),
            expected=f"1 to {MAX_TABLE_NAME_BYTES} bytes of UTF-8, none of them zero",
        )
    return table
