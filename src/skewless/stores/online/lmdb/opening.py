"""When the pages of a store are looked at: before the first of its processes maps the file.

A look reads the whole file (see `pages`), so it is not taken where it can tell nothing new: while
another process has the store open, which has looked, and where the file is what it was when it was
looked at or closed (`STAMP`: last transaction, size, time of change, inode, start of the machine).
So a small command beside a running server costs nothing, and nor does a restart. A store whose last
process was killed, that was copied, restored or touched by another program, or whose machine was
started anew, is looked at.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import time
from pathlib import Path

from skewless.stores.online.lmdb import pages

STAMP = "looked-at"
"""The file beside ``data.mdb`` that says what was found in order."""
PATIENCE_SECONDS = 10.0
"""How long the look of another process is waited for, before this one takes its own."""
_PAUSE = 0.01


class Opening:
    """One store that this process has open, told to others by a shared lock of its folder.

    Args:
        path: the folder of the store; it exists.
        anew: whether this process had another file open there: those that have the store open may
            have looked at that one.

    Raises:
        CorruptData: a page is damaged, or the file was cut short.
    """

    def __init__(self, path: str, *, anew: bool = False) -> None:
        self._path = path
        self._file = os.path.join(path, "data.mdb")
        self._left: tuple[int, int] | None = None
        self._folder = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            if self._is_first() or anew or self._is_another():
                self._look()
                self._lock(fcntl.LOCK_SH)
        except BaseException:
            os.close(self._folder)
            raise

    def _is_first(self) -> bool:
        """Say whether no other process has the store open that has looked at its pages."""
        until = time.monotonic() + PATIENCE_SECONDS
        while time.monotonic() < until:
            if self._lock(fcntl.LOCK_EX):
                return True
            if self._lock(fcntl.LOCK_SH):
                return False
            time.sleep(_PAUSE)  # another one looks at this moment
        return True

    def _lock(self, kind: int) -> bool:
        try:
            fcntl.flock(self._folder, kind | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        except OSError:  # a file system without locks
            return kind == fcntl.LOCK_EX
        return True

    def _known(self) -> str:
        with contextlib.suppress(OSError, UnicodeDecodeError):
            return Path(self._path, STAMP).read_text(encoding="ascii")
        return ""

    def _is_another(self) -> bool:
        """Say whether the file is not the one that was looked at last, but was put in its place."""
        with contextlib.suppress(OSError, ValueError, IndexError):
            return int(self._known().split()[3]) != os.stat(self._file).st_ino
        return False

    def _look(self) -> None:
        known = self._known()
        if not pages.HAS_FORMAT or not _has_content(self._file, known):
            return
        if not known or known != pages.stamp(self._file):
            pages.check(self._file)
            self._note()

    def wrote(self) -> None:
        """Remember the file as a write of this process left it; nobody else writes meanwhile."""
        self._left = self._seen()

    def _note(self) -> None:
        """Note that the file, as it is, need not be looked at by the next who opens it."""
        found = pages.stamp(self._file)
        with contextlib.suppress(OSError):  # where nothing can be written, it is looked at again
            name = os.path.join(self._path, STAMP)
            file = os.open(name, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
            with open(file, "w", encoding="ascii") as text:
                text.write(found)

    def note(self) -> None:
        """Note that the file is in order, if the last who wrote to it was this process.

        A file that something else has changed since may be anything.
        """
        if self._left is not None and self._seen() == self._left:
            with contextlib.suppress(OSError):
                self._note()

    def _seen(self) -> tuple[int, int] | None:
        try:
            found = os.stat(self._file)
        except OSError:
            return None
        return found.st_ino, found.st_mtime_ns

    def close(self) -> None:
        """Let the folder go; a child of a fork has a lock as long as its own is open."""
        self.note()
        os.close(self._folder)


def _has_content(path: str, known: str) -> bool:
    """Say whether there is a store; `CorruptData` where there is nothing left of one."""
    try:
        size = os.path.getsize(path)
    except OSError:
        return False
    if size == 0 and known:
        raise pages.corrupt(path, pages.cut(0))
    return size > 0
