"""Which file a store has open: one that was put in its place holds other rows.

    file = OpenFile("repo/.skewless/online/data.mdb")
    file.check()                    # StoreUnavailable once another file lies there, or none

A process that has a file open goes on with it after it was removed or replaced: what it reads is no
longer the store, and what it writes is lost. So writers look each time, and everything else that
lives on looks once a second (`OnlineStore.follow`).
"""

from __future__ import annotations

import os
from pathlib import Path

from skewless.errors import StoreUnavailable


class OpenFile:
    """The file that lay at a path when a store was opened.

    Args:
        path: of the file.

    Attributes:
        known: its device and inode; None: nothing lay there.
    """

    def __init__(self, path: str | Path) -> None:
        self._path = path
        self.known = self._found()

    def _found(self) -> tuple[int, int] | None:
        found = self._stat()
        return found and (found.st_dev, found.st_ino)

    def _stat(self) -> os.stat_result | None:
        try:
            return os.stat(self._path)
        except OSError:
            return None

    @property
    def is_replaced(self) -> bool:
        """Whether another file lies at the path now, or none."""
        return self._found() != self.known

    @property
    def size(self) -> int | None:
        """How many bytes the file has; None where another lies at the path now, or none."""
        found = self._stat()
        if found is None or (found.st_dev, found.st_ino) != self.known:
            return None
        return found.st_size

    def check(self) -> int:
        """Return how many bytes the file has.

        Raises:
            StoreUnavailable: another file lies at the path now, or none.
        """
        found = self._stat()
        if found is None:
            raise StoreUnavailable(
                "the file of the online store is gone",
                where=str(self._path),
                hint="Put a copy back; this process goes on with it by itself.",
            )
        if (found.st_dev, found.st_ino) != self.known:
            raise StoreUnavailable(
                "the file of the online store was replaced while it was open",
                where=str(self._path),
                hint="A server opens it within a second; restart anything else.",
            )
        return found.st_size
