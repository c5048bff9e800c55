"""LMDB environments of this process: opened once, shared, grown, and carried over a fork.

LMDB wants a file opened once in a process: its locks belong to the (process, file) pair. Nor may
an open environment cross a fork: closing the copy would wipe the reader slots of the parent, whose
reads could then be overwritten. So environments live here, by real path, with a count of the stores
that use them, and are closed just before a fork; each side opens its own at its next call.
"""

from __future__ import annotations

import contextlib
import os
import threading
from collections.abc import Iterator
from typing import NoReturn, cast

import lmdb

from skewless.errors import CorruptData, StoreError
from skewless.stores.online._lmdb_errors import MAX_READERS, store_error
from skewless.stores.online._lmdb_tree import Catalog, Txn

ATTEMPTS = 10
FORK_PATIENCE_SECONDS = 5.0
# LMDB may leave pages at the end of its file unwritten that it gave out and took back at once; a
# file that lacks more than these was cut short.
TOLERATED_MISSING_PAGES = 1024

_lock = threading.RLock()
_environments: dict[str, Environment] = {}
_held: list[Environment] = []
"""Environments closed for the fork under way."""


class Environment:
    """One open LMDB environment; `env` is replaced when it has to be reopened."""

    def __init__(self, path: str, *, sync: bool, map_size: int) -> None:
        self.path = path
        self.sync = sync
        self.map_size = map_size
        self.stores = 0
        self.catalog = Catalog()
        self.write_lock = threading.Lock()
        self.writer: int | None = None
        self.lost_in_fork = False
        self.env = self._open()

    def _open(self) -> lmdb.Environment:
        try:
            os.makedirs(self.path, exist_ok=True)
            is_new = not os.path.exists(os.path.join(self.path, "data.mdb"))
            env = lmdb.open(
                self.path,
                map_size=self.map_size,
                sync=self.sync,
                max_readers=MAX_READERS,
                max_spare_txns=1,
                readahead=False,
            )
        except OSError as error:
            raise StoreError(
                "the directory of the online store cannot be made",
                got=error.strerror,
                where=self.path,
                hint="Check the path and its permissions.",
            ) from error
        except lmdb.Error as error:
            raise self.error(error) from error
        try:
            if is_new:
                _sync_directory(self.path)
            env.reader_check()
            self._check(env)
        except BaseException:
            env.close()
            raise
        return env

    def _check(self, env: lmdb.Environment) -> None:
        """Refuse a file that was cut short or that another program wrote."""
        page = env.stat()["psize"]
        file = os.path.join(self.path, "data.mdb")
        needed = (env.info()["last_pgno"] + 1) * page
        if os.path.getsize(file) < needed:
            self._restore_length(env, file, page)
        with env.begin() as txn:
            try:
                self.catalog = Catalog.load(txn)
                foreign = self.catalog.header is None and txn.stat()["entries"] > 0
            except lmdb.Error as error:
                raise self.error(error) from error
        if foreign:
            raise StoreError(
                "this LMDB file was not written by skewless",
                where=self.path,
                hint="Give the online store a directory of its own.",
            )

    def _restore_length(self, env: lmdb.Environment, file: str, page: int) -> None:
        # Under the write lock nobody else lengthens the file, so this can only lengthen it too.
        # Touching a page beyond the end of the file would kill the process (SIGBUS).
        with env.begin(write=True):
            size, needed = os.path.getsize(file), (env.info()["last_pgno"] + 1) * page
            if size >= needed:
                return
            if needed - size > TOLERATED_MISSING_PAGES * page:
                raise CorruptData(
                    "the file of the online store was cut short",
                    got=f"{size:,} bytes",
                    expected=f"{needed:,} bytes",
                    where=file,
                    hint="Restore a copy, or remove it and materialize again from history.",
                )
            os.truncate(file, needed)

    def recover(self, error: lmdb.Error, env: lmdb.Environment, attempt: int) -> None:
        """Return if the failed call may be tried again, else raise its `StoreError`."""
        with _lock:
            if attempt >= ATTEMPTS - 1 or self.lost_in_fork:
                raise self.error(error) from error
            if env is not self.env or isinstance(error, lmdb.BadRslotError):
                return
            if isinstance(error, lmdb.MapResizedError):
                # Adopts the size another process has set; refused while a thread of ours writes,
                # which has adopted it by then.
                with contextlib.suppress(lmdb.Error):
                    env.set_mapsize(0)
            elif isinstance(error, lmdb.ReadersFullError):
                if not env.reader_check():
                    raise self.error(error) from error
            elif isinstance(error, lmdb.PanicError) or _is_closed(env):
                env.close()
                self.env = self._open()
            elif type(error) is not lmdb.Error or error.code != 0:
                raise self.error(error) from error
            # What remains is a transaction that growing the map has ended.

    @contextlib.contextmanager
    def writing(self) -> Iterator[Txn]:
        """Give one durable write transaction; writers of all threads and processes take turns."""
        if self.writer == threading.get_ident():
            raise StoreError(
                "a write inside a transaction of the same thread would wait for itself",
                where=self.path,
                hint="Inside transaction() use the verbs of the transaction.",
            )
        with self.write_lock:
            self.writer = threading.get_ident()
            try:
                txn = self._begin_write()
                try:
                    yield txn
                    txn.commit()
                except BaseException:
                    txn.abort()
                    raise
            finally:
                self.writer = None

    def _begin_write(self) -> Txn:
        for attempt in range(ATTEMPTS):
            env = self.env
            try:
                used, size = self.used_bytes(env)
                if used * 2 > size:
                    self.grow(2 * size)
                return env.begin(write=True)
            except lmdb.Error as error:
                self.recover(error, env, attempt)
        raise self.gave_up()

    def used_bytes(self, env: lmdb.Environment | None = None) -> tuple[int, int]:
        """Return the bytes of the map in use and its size."""
        env = env or self.env
        info = env.info()
        return (info["last_pgno"] + 1) * env.stat()["psize"], info["map_size"]

    def grow(self, size: int) -> None:
        """Raise the size of the map; only between write transactions, under `write_lock`."""
        with _lock:
            self.map_size = max(self.map_size, size)
            self.env.set_mapsize(self.map_size)

    def make_room(self, payload: int) -> None:
        """Grow the map after a transaction with ``payload`` bytes of rows did not fit."""
        with self.write_lock:
            used, size = self.used_bytes()
            self.grow(max(2 * size, used + payload))

    def gave_up(self) -> StoreError:
        """Return the error of a call that kept being disturbed."""
        return StoreError(f"the online store was disturbed {ATTEMPTS} times", where=self.path)

    def error(self, error: lmdb.Error) -> StoreError:
        """Return the `StoreError` that says what ``error`` means and what to do."""
        if self.lost_in_fork:
            return StoreError(
                "this store was written to while the process forked",
                where=self.path,
                hint="Open the store in the child, or fork outside transactions.",
            )
        return store_error(error, self.path)


def acquire(path: str, *, sync: bool, map_size: int) -> Environment:
    """Return the environment at the real path of ``path``, opened if this process has not yet."""
    with _lock:
        path = os.path.realpath(path)
        environment = _environments.get(path)
        if environment is None:
            environment = _environments[path] = Environment(path, sync=sync, map_size=map_size)
        environment.stores += 1
        return environment


def release(environment: Environment) -> None:
    """Count one store less, and close the environment with the last."""
    with _lock:
        environment.stores -= 1
        if environment.stores == 0:
            _environments.pop(environment.path, None)
            environment.env.close()


def _is_closed(env: lmdb.Environment) -> bool:
    try:
        env.info()
    except lmdb.Error:
        return True
    return False


def _sync_directory(path: str) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


class _Lost:
    """Stands for an environment that a child must not use: its parent had not closed it."""

    def __init__(self, env: lmdb.Environment) -> None:
        self.kept = env  # letting it go could close it

    def __getattr__(self, name: str) -> NoReturn:
        raise lmdb.Error(f"{name}: the parent was writing while it forked")


def _before_fork() -> None:
    for environment in list(_environments.values()):
        if environment.writer != threading.get_ident() and environment.write_lock.acquire(
            timeout=FORK_PATIENCE_SECONDS
        ):
            _held.append(environment)
    _lock.acquire()
    for environment in _held:
        environment.env.close()


def _after_fork_in_parent() -> None:
    for environment in _held:
        environment.write_lock.release()
    _held.clear()
    _lock.release()


def _after_fork_in_child() -> None:
    global _lock  # noqa: PLW0603 - a lock held by a thread that is not here can only be replaced
    _lock = threading.RLock()
    for environment in _environments.values():
        environment.write_lock = threading.Lock()
        environment.writer = None
        if environment not in _held:
            environment.lost_in_fork = True
            environment.env = cast(lmdb.Environment, _Lost(environment.env))
    _held.clear()


os.register_at_fork(
    before=_before_fork,
    after_in_parent=_after_fork_in_parent,
    after_in_child=_after_fork_in_child,
)
