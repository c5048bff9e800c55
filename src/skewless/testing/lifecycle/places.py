"""Where the store of a life lies, and how its process is killed.

A kill is an exception that nothing of the store catches, raised before or after one of its calls:
what a transaction was about to keep is lost with it, what was kept stays.
"""

# ruff: noqa: D102 - the methods are documented on OnlineStore and KeyValues

from __future__ import annotations

import contextlib
import dataclasses
import random
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from skewless.config import Config
from skewless.store import FeatureStore
from skewless.stores.online.base import Change, Item, KeyValues, OnlineStore, Transaction
from skewless.stores.online.delegating import DelegatingReads
from skewless.testing.clock import SettableClock
from skewless.testing.lifecycle.definitions import MINUTE
from skewless.testing.memory import MemoryCache, MemoryStore

KINDS = ("memory", "apart", "apart", "apart without compare and set", "lmdb", "sqlite")


class Killed(BaseException):
    """The process was killed."""


class PlainCache(MemoryCache):
    """A store apart from the journal that cannot compare and set either."""

    capabilities = dataclasses.replace(MemoryCache.capabilities, compare_and_set=False)


class Fuse:
    """Says when the process dies: after so many calls, before or after the last of them."""

    def __init__(self) -> None:
        self.left: int | None = None
        self._after = False

    def light(self, chance: random.Random) -> None:
        """Die within the next calls."""
        self.left, self._after = chance.choice((0, 1, 2, 3, 5, 8, 13)), chance.random() < 0.5

    def put_out(self) -> None:
        """Live on."""
        self.left = None

    @contextlib.contextmanager
    def call(self) -> Iterator[None]:
        """Wrap one call of the store."""
        dies = self.left == 0
        if self.left is not None:
            self.left -= 1
        if dies and not self._after:
            self.left = 0  # a dead process makes no further calls
            raise Killed
        yield
        if dies:
            self.left, self._after = 0, False
            raise Killed


class MortalStore(DelegatingReads, OnlineStore):
    """A store whose process may be killed at any write."""

    def __init__(self, store: OnlineStore, fuse: Fuse) -> None:
        super().__init__(store)
        self.store, self._fuse = store, fuse
        self.capabilities, self.where = store.capabilities, store.where

    def write(self, table: str, items: Iterable[Item]) -> None:
        with self._fuse.call():
            self.store.write(table, items)

    def delete(self, table: str, keys: Iterable[bytes]) -> None:
        with self._fuse.call():
            self.store.delete(table, keys)

    def drop(self, table: str) -> None:
        with self._fuse.call():
            self.store.drop(table)

    def tables(self) -> list[str]:
        return self.store.tables()

    def compare_and_set(self, table: str, changes: Iterable[Change]) -> list[bool]:
        with self._fuse.call():
            return self.store.compare_and_set(table, changes)

    @contextlib.contextmanager
    def transaction(self) -> Iterator[Transaction]:
        with self._fuse.call(), self.store.transaction() as rows:
            yield _MortalTransaction(rows, self._fuse)

    def close(self) -> None:
        """Stay open: the process ends, the store does not."""


class _MortalTransaction(DelegatingReads, Transaction):
    def __init__(self, rows: KeyValues, fuse: Fuse) -> None:
        super().__init__(rows)
        self._fuse = fuse

    def write(self, table: str, items: Iterable[Item]) -> None:
        with self._fuse.call():
            self._rows.write(table, items)

    def delete(self, table: str, keys: Iterable[bytes]) -> None:
        with self._fuse.call():
            self._rows.delete(table, keys)


Home = tuple[str, int]
"""A kind of store, and which one of a repo's it is."""


class Place:
    """A repo in a folder, its online store, its clock and its fuse.

    Args:
        folder: of the repo.
        kind: one of `KINDS`.
        now: what the clock says at first, UTC microseconds.
    """

    def __init__(self, folder: Path, kind: str, now: int) -> None:
        self.folder, self.kind, self.number = folder, kind, 0
        self.clock = SettableClock(now)
        self.fuse = Fuse()
        self._store: OnlineStore | None = None
        self._left: list[OnlineStore] = []
        self.fs = self._opened()

    def _opened(self) -> FeatureStore:
        store = self._store or self._store_of(self.home)
        self._store = store
        return self._opened_over(store, self.fuse)

    def _opened_over(self, store: OnlineStore, fuse: Fuse) -> FeatureStore:
        kind, number = self.next
        following = {"kind": kind, "path": str(self._path(number))}
        settings = {"rewind": f"{5 * MINUTE}us", "stores": {"next": following}}
        config = Config.of(self.folder, settings)
        fs = FeatureStore(config, clock=self.clock, online=MortalStore(store, fuse))
        fs.runtime.lag.patience = 0.0  # nobody else is on the way between log and states
        fs.runtime.lag.wait = 60.0
        return fs

    @property
    def home(self) -> Home:
        """Where states are."""
        return self.kind, self.number

    @property
    def next(self) -> Home:
        """Where they may be moved to."""
        return "sqlite" if self.kind == "lmdb" else "lmdb", self.number + 1

    def copy(self) -> None:
        """Copy everything to the next store."""
        from skewless.online.move.copy import copy_online

        copy_online(self.fs.runtime, "next")

    def go_over(self) -> FeatureStore:
        """Go on in the store that everything was copied to; return the one that was left."""
        self.fs.close()
        left = self._store or self._store_of(self.home)
        self._store = None
        self._left.append(left)
        (self.kind, self.number) = self.next
        self.fs = self._opened()
        return self._opened_over(left, Fuse())

    def early(self) -> FeatureStore:
        """Return what settings give that name the next store already."""
        return self._opened_over(self._store_of(self.next), Fuse())

    def _path(self, number: int) -> Path:
        return self.folder / f"online{number}"

    def _store_of(self, home: Home) -> OnlineStore:
        from skewless.stores.online.lmdb.store import LMDBStore
        from skewless.stores.online.sqlite.store import SQLiteStore

        kind, number = home
        match kind:
            case "memory":
                return MemoryStore()
            case "apart":
                return MemoryCache()
            case "apart without compare and set":
                return PlainCache()
            case "lmdb":
                return LMDBStore(self._path(number), map_size=1 << 28, sync=False)
            case _:
                return SQLiteStore(self._path(number), sync=False)

    def restart(self) -> None:
        """End the process and start another one."""
        self.fuse.put_out()
        self.fs.close()
        if self._store is not None and self.kind in ("lmdb", "sqlite"):
            self._store.close()
            self._store = None
        self.fs = self._opened()

    def close(self) -> None:
        """End the process for good."""
        self.fuse.put_out()
        self.fs.close()
        for store in (self._store, *self._left):
            if store is not None:
                store.close()

    @property
    def apart(self) -> bool:
        """Whether states lie apart from the journal."""
        return self.kind.startswith("apart")

    def beside(self, folder: Path, project: str) -> FeatureStore:
        """Return another repo on the same online store: another project, or another machine.

        Args:
            folder: of the other repo.
            project: whose it is.
        """
        folder.mkdir(exist_ok=True)
        store = self._store or self._store_of(self.home)
        config = Config.of(folder, {"rewind": f"{5 * MINUTE}us", "project": project})
        return FeatureStore(config, clock=self.clock, online=MortalStore(store, Fuse()))

    def states(self) -> Sequence[tuple[str, bytes]]:
        """Return table and key of every state of an entity."""
        from skewless.online.storage import is_states

        store = self._store
        if store is None:
            return []
        return [(t, key) for t in store.tables() if is_states(t) for key, _ in store.scan(t)]

    def lose(self, table: str, key: bytes) -> None:
        """Take one state away, as an eviction does."""
        if self._store is not None:
            self._store.delete(table, [key])

    def flush(self) -> None:
        """Take everything away that the online store holds."""
        for table in self._store.tables() if self._store is not None else ():
            self._store.drop(table)  # type: ignore[union-attr]
