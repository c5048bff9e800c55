"""One open LMDB environment of this process: kept from ending reads, grown, reopened when need be.

Closing an environment or moving its map needs a moment without transactions of this process. Reads
enter and leave the set `active` (0.1 us, no lock) and stand back while `gate_closed`; writes hold
`write_lock`; who needs the moment takes both: `exclusive`.
"""

from __future__ import annotations

import contextlib
import os
import resource
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import lmdb

from skewless.config import make_private
from skewless.errors import CorruptData, StoreError, StoreUnavailable
from skewless.stores.online.base import may_write, only_read
from skewless.stores.online.lmdb import pages
from skewless.stores.online.lmdb.errors import MAX_READERS, no_address_space, store_error
from skewless.stores.online.lmdb.opening import Opening
from skewless.stores.online.lmdb.tree import RESTORE, TableCatalog, Txn
from skewless.stores.online.lmdb.write_turn import WriteTurn
from skewless.stores.online.open_file import OpenFile

ATTEMPTS = 10
_LEAST_MAP = 64 << 20
CURABLE = (lmdb.MapResizedError, lmdb.ReadersFullError, lmdb.BadRslotError, lmdb.PanicError)
# LMDB may leave pages at the end of its file unwritten that it gave out and took back at once; a
# file that lacks more than these was cut short.
TOLERATED_MISSING_PAGES = 1024


class Environment:
    """One open LMDB environment; `env` is replaced when it has to be reopened.

    Attributes:
        followed: how often the file was found to be another one.
    """

    def __init__(self, path: str, *, sync: bool, map_size: int) -> None:
        self.path = path
        self.sync = sync
        self.map_size = map_size
        self.stores = 0
        self.catalog = TableCatalog()
        self.lost_in_fork = False
        self.read_only = False
        self.turn = WriteTurn(path)
        self.reset_locks()
        self.opening: Opening | None = None
        self.followed = 0
        self._page = 0
        self._short = (0, 0)
        self._data = os.path.join(path, "data.mdb")
        self._file: OpenFile | None = None
        try:
            self.env = self._open()
        except BaseException:
            self._end_opening()
            raise

    def reset_locks(self) -> None:
        """Begin with nobody reading or writing, also after a fork."""
        self.active: set[int] = set()
        self.gate_closed = False
        self.looking = False
        self.gate = threading.Condition()
        self.write_lock = threading.RLock()
        self.writer: int | None = None
        self.turn.close()

    def _open(self) -> lmdb.Environment:
        file = OpenFile(self._data)
        if self._file is not None and self._file.is_replaced:
            if file.known is None:
                self._file.check()  # not an empty store in its place
            self._end_opening()
            self.followed += 1
        is_new = file.known is None
        self.read_only = not is_new and not may_write(self.path, "data.mdb", "lock.mdb")
        try:
            make_private(Path(self.path))
            if self.opening is None:
                self._begin_opening()
            env = self._mapped()
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
                file = OpenFile(self._data)
                _sync_directory(self.path)
            file.check()
            if not self.read_only:
                env.reader_check()
            if not self._agrees(env):
                raise StoreUnavailable(
                    "another process has the file open that was the online store before",
                    where=self._data,
                    hint="A server lets it go within seconds; end whatever else has it open.",
                )
            self._check(env)
        except BaseException:
            env.close()
            raise
        self._file = file
        return env

    def _begin_opening(self) -> None:
        """Look at the pages; of another file than before, reads are refused as long as it takes."""
        self._refuse_reads(self._file is not None)
        try:
            self.opening = Opening(self.path, anew=self._file is not None)
        finally:
            self._refuse_reads(False)

    def _refuse_reads(self, looking: bool) -> None:
        with self.gate:
            self.looking = looking
            self.gate.notify_all()

    def follow(self) -> None:
        """Open the file that lies at the path now, if it is not the one that is open.

        Raises:
            StoreUnavailable: there is none, or another process still has the one of before open.
            CorruptData: it is damaged, or was cut short while it was open.
        """
        env = self.env
        if self.writer == threading.get_ident() or self.lost_in_fork:
            return
        self._check_length(env, None if self._file is None else self._file.size)
        if self._is_current(env):
            return
        with self.exclusive():
            if env is self.env:
                self._reopen(anew=True)

    def _reopen(self, *, anew: bool) -> None:
        """Close the environment and open what lies at the path; within `exclusive`.

        Args:
            anew: whether its pages are to be looked at again.
        """
        self.env.close()
        self.turn.close()
        if anew:
            self._end_opening()
            self.followed += 1
        self.env = self._open()

    def _is_current(self, env: lmdb.Environment) -> bool:
        """Say whether what is open is what lies at the path."""
        if self._file is None or self._file.is_replaced:
            return False
        me = threading.get_ident()
        self.active.add(me)
        try:
            return self.gate_closed or self._agrees(env)
        except lmdb.Error:
            return not _is_closed(env)
        finally:
            self.leave(me)

    def _agrees(self, env: lmdb.Environment) -> bool:
        """Say whether the file is the one to which the locks of all processes belong.

        The number of the last transaction stands in ``lock.mdb``, where LMDB takes it from as long
        as any process has that open; by it, it chooses between the two meta pages of ``data.mdb``.
        Beside other rows, it would read those of the transaction before the last and write over the
        last.
        """
        if self.read_only or not _is_ahead(env):
            return True
        if not self.write_lock.acquire(blocking=False):
            return True  # a transaction may just be between the two files: the next look tells
        try:
            if not self.turn.try_take():
                return True
            try:
                return not _is_ahead(env)
            finally:
                self.turn.give_back()
        finally:
            self.write_lock.release()

    def _mapped(self) -> lmdb.Environment:
        """Open the environment, with a smaller map where address space is limited."""
        size = os.path.getsize(self._data) if os.path.exists(self._data) else 0
        least = max(_LEAST_MAP, 2 * size)
        self.map_size = min(self.map_size, max(least, _address_space() // 2))
        while True:
            try:
                return lmdb.open(
                    self.path,
                    map_size=self.map_size,
                    sync=self.sync,
                    max_readers=MAX_READERS,
                    max_spare_txns=1,
                    readahead=False,
                    mode=0o600,
                    readonly=self.read_only,
                    lock=not self.read_only,
                )
            except lmdb.MemoryError:
                if self.map_size // 2 < least:
                    raise
                self.map_size //= 2

    def _check(self, env: lmdb.Environment) -> None:
        """Refuse a file that was cut short or that another program wrote."""
        page = self._page = env.stat()["psize"]
        needed = (env.info()["last_pgno"] + 1) * page
        if os.path.getsize(self._data) < needed:
            self._restore_length(env, page)
        with env.begin() as txn:
            try:
                self.catalog = TableCatalog.load(txn, self.path)
                foreign = self.catalog.header is None and txn.stat()["entries"] > 0
            except lmdb.Error as error:
                raise self.error(error) from error
        if foreign:
            raise StoreError(
                "this LMDB file was not written by skewless",
                where=self.path,
                hint="Give the online store a directory of its own.",
            )

    def _check_length(self, env: lmdb.Environment, size: int | None) -> None:
        """Refuse a file that was cut short while it was open: reads of its pages end a process.

        Args:
            env: has it open.
            size: of the file; None: another lies at its place, or none.
        """
        if size is None:
            return
        me = threading.get_ident()
        self.active.add(me)
        try:
            if size < 2 * self._page:  # not even what the length stands in
                raise _cut(size, 2 * self._page, self._data)
            needed = size if self.gate_closed else (env.info()["last_pgno"] + 1) * self._page
        except (OSError, lmdb.Error):  # gone, or closed: the next call tells
            return
        finally:
            self.leave(me)
        if size < needed and (size, needed) != self._short:
            pages.check_end(self._data)
            self._short = (size, needed)

    def _restore_length(self, env: lmdb.Environment, page: int) -> None:
        file = self._data
        if self.read_only:
            raise _cut(os.path.getsize(file), (env.info()["last_pgno"] + 1) * page, file)
        # Under the write lock nobody else lengthens the file, so this can only lengthen it too.
        # Touching a page beyond the end of the file would kill the process (SIGBUS).
        with env.begin(write=True):
            size, needed = os.path.getsize(file), (env.info()["last_pgno"] + 1) * page
            if size >= needed:
                return
            if needed - size > TOLERATED_MISSING_PAGES * page:
                raise _cut(size, needed, file)
            os.truncate(file, needed)

    def is_newest(self, txn: Txn) -> bool:
        """Say whether nobody has written since a read began.

        In a folder that cannot be written, reads take no slot that would keep the pages they see
        from being used again, by a writer that has other rights or another mount.
        """
        return bool(self.env.info()["last_txnid"] == txn.id())

    def close(self) -> None:
        """Let the file go; nobody uses the environment."""
        self.env.close()
        self.turn.close()
        self._end_opening()

    def _end_opening(self) -> None:
        if self.opening is not None:
            self.opening.close()
            self.opening = None

    def leave(self, reader: int) -> None:
        """Take a reading thread out of `active`."""
        self.active.discard(reader)
        if self.gate_closed:
            with self.gate:
                self.gate.notify_all()

    def stand_back(self, error: lmdb.Error | None, env: lmdb.Environment, attempt: int) -> None:
        """Wait until reads may go on, or cure what made one fail; the caller is not in `active`."""
        if error is not None:
            self.recover(error, env, attempt)
        with self.gate:
            self.gate.wait_for(lambda: self.looking or not self.gate_closed)
            if self.looking:
                raise StoreUnavailable(
                    "another file lies where the online store was, and is looked at",
                    where=self._data,
                    hint="Try again: it is opened when every page of it is in order.",
                )

    @contextlib.contextmanager
    def exclusive(self) -> Iterator[None]:
        """Hold back every other read and write of this process."""
        with self.write_lock:
            self.close_gate()
            try:
                yield
            finally:
                self.open_gate()

    def close_gate(self) -> None:
        """Hold new reads back and wait for those under way; under `write_lock`."""
        with self.gate:
            self.gate_closed = True
            self.gate.wait_for(lambda: not self.active)

    def open_gate(self) -> None:
        """Let reads go on."""
        with self.gate:
            self.gate_closed = False
            self.gate.notify_all()

    def recover(self, error: lmdb.Error, env: lmdb.Environment, attempt: int) -> None:
        """Return if the call that failed may be tried again, else raise its `StoreError`."""
        curable = isinstance(error, CURABLE) or _is_closed(env) or self.read_only
        if self.lost_in_fork or not curable or attempt == ATTEMPTS - 1:
            raise self.error(error) from error
        with self.exclusive():
            if env is not self.env:
                return
            if isinstance(error, lmdb.MapResizedError):
                self._resize(env, 0)  # adopts the size another process has set
            elif isinstance(error, lmdb.ReadersFullError):
                env.reader_check()
            elif isinstance(error, lmdb.PanicError) or _is_closed(env):
                self._reopen(anew=False)

    def _resize(self, env: lmdb.Environment, size: int) -> None:
        """Map so many bytes; an environment without a map, after a failure, is not used again."""
        try:
            env.set_mapsize(size)
        except lmdb.Error as error:
            self._reopen(anew=True)
            raise self.error(error) from error

    @contextlib.contextmanager
    def writing(self, *, durable: bool) -> Iterator[Txn]:
        """Give one write transaction; writers of all threads and processes take turns."""
        if self.writer == threading.get_ident():
            raise StoreError(
                "a write inside a transaction of the same thread would wait for itself",
                where=self.path,
                hint="Inside transaction() use the verbs of the transaction.",
            )
        with self.write_lock:
            txn = self._begin_write()
            self.writer = threading.get_ident()
            try:
                yield txn
                txn.commit()
                if durable and not self.sync:
                    self.env.sync(True)
                if self.opening is not None:
                    self.opening.wrote()
            except BaseException:
                # An abort waits for a moment without reads, which busy readers might never leave.
                with self.exclusive():
                    txn.abort()
                raise
            finally:
                self.writer = None
                self.turn.give_back()

    def _begin_write(self) -> Txn:
        for attempt in range(ATTEMPTS):
            env = self.env
            try:
                if self.read_only:
                    raise only_read(self.path)
                if self._file is not None:
                    # What is written to the file of before is lost.
                    self._check_length(env, self._file.check())
                used, size = _used_bytes(env)
                if used * 2 > size:
                    self._grow(env, 2 * size)
                self.turn.take()
                return env.begin(write=True)
            except lmdb.Error as error:
                self.turn.give_back()
                self.recover(error, env, attempt)
        raise self.gave_up()

    def make_room(self, payload: int) -> None:
        """Grow the map after a transaction with ``payload`` bytes of rows did not fit."""
        with self.write_lock:
            used, size = _used_bytes(self.env)
            self._grow(self.env, max(2 * size, used + payload))

    def _grow(self, env: lmdb.Environment, size: int) -> None:
        with self.exclusive():
            size = max(self.map_size, size)
            # LMDB gives the old map up before it asks for the new one.
            if size - env.info()["map_size"] > _address_space() - _address_space_used():
                raise no_address_space(f"a map of {size:,} bytes", self.path)
            self.map_size = size
            self._resize(env, size)

    def flush(self) -> None:
        """Flush what was committed without it."""
        for attempt in range(ATTEMPTS):
            env = self.env
            try:
                with self.write_lock:
                    env.sync(True)
                return
            except lmdb.Error as error:
                self.recover(error, env, attempt)

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


def _address_space() -> int:
    """Return how many bytes of addresses this process may have (``ulimit -v``)."""
    limit = resource.getrlimit(resource.RLIMIT_AS)[0]
    return sys.maxsize if limit == resource.RLIM_INFINITY else limit


def _address_space_used() -> int:
    try:
        pages = Path("/proc/self/statm").read_text(encoding="ascii").split()[0]
    except OSError:
        return 0
    return int(pages) * resource.getpagesize()


def _cut(size: int, needed: int, file: str) -> CorruptData:
    return CorruptData(
        "the file of the online store was cut short",
        got=f"{size:,} bytes",
        expected=f"{needed:,} bytes",
        where=file,
        hint=RESTORE,
    )


def _used_bytes(env: lmdb.Environment) -> tuple[int, int]:
    info = env.info()
    return (info["last_pgno"] + 1) * env.stat()["psize"], info["map_size"]


def _is_ahead(env: lmdb.Environment) -> bool:
    """Say whether file and lock are of different transactions, at a first look."""
    with env.begin() as txn:
        return bool(txn.id() != env.info()["last_txnid"])


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
