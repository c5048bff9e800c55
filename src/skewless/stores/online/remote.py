"""What stores behind a network driver share; a store then says only how its own calls look.

    ServerStore    makes calls: retries reads, turns a driver's errors into this package's
    RemoteStore    a `ServerStore` with a client for each process, concurrent calls, checks of
                   sizes, and a list of its tables

Redis and PostgreSQL are of the first kind: they keep connections and lists of tables in ways of
their own. Bigtable, Cassandra, DynamoDB and MongoDB are of the second.
"""

from __future__ import annotations

import dataclasses
import itertools
import random
import time
from abc import abstractmethod
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, ClassVar, Generic, TypeVar

from skewless.errors import SkewlessError, StoreError, said_by
from skewless.stores.online.base import (
    SCAN_PAGE_ROWS,
    Change,
    Item,
    OnlineStore,
    checked_table,
)
from skewless.stores.online.concurrency import C, PerProcess, chunks, map_concurrent, set_each

A = TypeVar("A")
T = TypeVar("T")

ATTEMPTS = 4
FIRST_PAUSE_SECONDS = 0.05
FEWER_ROWS = "Shorten the view's windows or give them a resolution=."


@dataclasses.dataclass(frozen=True, kw_only=True)
class Driver:
    """What a store says of its driver.

    Attributes:
        errors: the classes of all errors that its calls raise.
        may_repeat_read: whether a call that changes nothing may be made again after such an error.
        may_repeat_write: the same of a call that changes rows. It must have done nothing: repeated,
            it could undo a later write of somebody else.
        store_error: makes what is raised instead, of the error, ``where``, and ``wrote=``: whether
            the call may have changed rows.
        check_size: refuses a row (table, key, value, ``where``) that the server would refuse after
            others were written; see `too_large`.
    """

    errors: tuple[type[Exception], ...]
    may_repeat_read: Callable[[Any], bool]
    may_repeat_write: Callable[[Any], bool] = lambda _: False
    store_error: Callable[..., StoreError]
    check_size: Callable[[str, bytes, bytes, str], None] = lambda *_: None


class ServerStore(OnlineStore):
    """A store that asks a server: every call to it goes through `_read_call` or `_write_call`."""

    _driver: ClassVar[Driver]
    _patience = float("inf")
    """Seconds that a call is waited for; a server that hangs is not asked again."""

    def _read_call(self, call: Callable[[], T]) -> T:
        """Make a call that changes nothing; retried, with growing random pauses."""
        return self._retry(call, self._driver.may_repeat_read, wrote=False)

    def _write_call(self, call: Callable[[], T]) -> T:
        """Make a call that changes rows; retried only if it certainly did nothing."""
        return self._retry(call, self._driver.may_repeat_write, wrote=True)

    def _retry(self, call: Callable[[], T], may_repeat: Callable[[Any], bool], *, wrote: bool) -> T:
        attempt, until = 1, time.monotonic() + self._patience
        while True:
            try:
                return call()
            except self._driver.errors as error:
                self._after(error)
                over = attempt >= ATTEMPTS or time.monotonic() >= until
                if over or not may_repeat(error):
                    raise self._driver.store_error(error, self.where, wrote=wrote) from error
            except SkewlessError:
                raise
            except Exception as error:
                raise self._unforeseen(error, wrote=wrote) from error
            pause(attempt)
            attempt += 1

    def _unforeseen(self, error: Exception, *, wrote: bool) -> StoreError:
        """Return the error for what no driver says that it raises."""
        return StoreError(
            f"{type(self).__name__} failed, and its driver does not say so",
            got=said_by(error),
            where=self.where,
            hint="Rows of this call may have been kept." if wrote else "Nothing was changed.",
        )

    def _scan_keys(
        self,
        table: str,
        keys: Iterable[bytes],
        *,
        prefix: bytes,
        after: bytes | None,
        limit: int | None,
    ) -> Iterator[Item]:
        """Scan where the server tells all keys of a table, but not in their order."""
        asked = [key for key in keys if key.startswith(prefix) and (after is None or key > after)]
        rows = (
            (key, value)
            for some in chunks(sorted(asked), SCAN_PAGE_ROWS)
            for key, value in zip(some, self.read(table, some), strict=True)
            if value is not None
        )
        return itertools.islice(rows, limit)

    def _after(self, error: Any) -> None:
        """Discard what an error has made useless, such as connections to a server that is gone."""


class RemoteStore(ServerStore, Generic[C]):
    """A store whose driver has a client for each process, and a call for a few rows at a time.

    Its list of tables costs no call with every write: a table is noted as live by each process's
    first write to it. Dropping notes it as dropped, and a process that had noted it before may
    write to it again without a word: so a dropped table counts again once it has rows.

    Args:
        where: how errors name the store.
        connect: makes a client.
    """

    READ_KEYS: ClassVar[int]
    """How many keys one call reads."""

    def __init__(self, where: str, connect: Callable[[], C]) -> None:
        self.where = where
        self._clients = PerProcess(connect, closed=self.closed)
        self._live: set[str] = set()
        try:
            self._read_call(self._prepare)
        except BaseException:
            self.close()
            raise

    @property
    def _client(self) -> C:
        return self._clients.get()

    def _map_concurrent(self, call: Callable[[A], T], arguments: Sequence[A]) -> list[T]:
        return map_concurrent(self._client.threads, call, arguments)

    # ------------------------------------------------------------------------------- the verbs

    def read(self, table: str, keys: Sequence[bytes]) -> list[bytes | None]:
        asked = self._read_chunks(table, list(dict.fromkeys(keys)))
        found: dict[bytes, bytes] = {}
        for rows in self._map_concurrent(lambda some: self._read_rows(table, some), asked):
            found.update(rows)
        return [found.get(key) for key in keys]

    def tables(self) -> list[str]:
        return sorted(name for name, live in self._noted() if live or self._has_rows(name))

    def write(self, table: str, items: Iterable[Item]) -> None:
        rows = dict(items)
        for key, value in rows.items():
            self._driver.check_size(table, key, value, self.where)
        if rows:
            self._note_live(table)
            self._write_rows(table, list(rows.items()))

    def drop(self, table: str) -> None:
        self._live.discard(table)
        self._note(table, False)
        self._drop_rows(table)

    def compare_and_set(self, table: str, changes: Iterable[Change]) -> list[bool]:
        asked = list(changes)
        for key, _, new in asked:
            self._driver.check_size(table, key, new or b"", self.where)
        if asked:
            self._note_live(table)
        return set_each(self._client.threads, lambda one: self._set_row(table, one), asked)

    def close(self) -> None:
        self._clients.close()

    def _note_live(self, table: str) -> None:
        if checked_table(table) not in self._live:
            self._note(table, True)
            self._live.add(table)

    # ------------------------------------------------------------------- what a subclass says

    @abstractmethod
    def _prepare(self) -> object:
        """Make what the store needs on its server, or find out that the server is there."""

    def _read_chunks(self, table: str, keys: Sequence[bytes]) -> Sequence[Sequence[bytes]]:
        """Split the keys of a read into those of its calls."""
        return chunks(keys, self.READ_KEYS)

    @abstractmethod
    def _read_rows(self, table: str, keys: Sequence[bytes]) -> Mapping[bytes, bytes]:
        """Return the rows there are of some keys, by one call."""

    @abstractmethod
    def _write_rows(self, table: str, rows: Sequence[Item]) -> None:
        """Insert or replace rows of different keys."""

    @abstractmethod
    def _drop_rows(self, table: str) -> None:
        """Remove all rows of a table."""

    @abstractmethod
    def _set_row(self, table: str, change: Change) -> bool:
        """Make a change if the row is as expected; say whether it was."""

    @abstractmethod
    def _note(self, table: str, live: bool) -> None:
        """Note a table as live or dropped."""

    @abstractmethod
    def _noted(self) -> Iterable[tuple[str, bool]]:
        """Return every name that was ever noted, and whether it was last noted as live."""

    def _has_rows(self, table: str) -> bool:
        """Say whether there is any row of a table."""
        return any(True for _ in self.scan(table, limit=1))


def pause(attempt: int) -> None:
    """Wait before the next attempt: twice as long each time, and not in step with others."""
    time.sleep(random.uniform(0.5, 1) * FIRST_PAUSE_SECONDS * 2**attempt)


def too_large(
    service: str, row: tuple[str, bytes], *, got: str, most: str, where: str, hint: str = FEWER_ROWS
) -> StoreError:
    """Return the error for a row (its table and key) that a service does not take."""
    return StoreError(
        f"the row {row[1][:40]!r} of the table {row[0]!r} is too large for {service}",
        got=got,
        expected=f"at most {most}",
        where=where,
        hint=f"Nothing of this call was kept. {hint}",
    )
