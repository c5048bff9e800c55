"""Checksums of settled files: what flips in one is an error, whatever part of the file it is in.

Pages of Parquet have checksums of their own, but the heads of pages and the footer have none: a bit
that flips there gives other values, or ends the process that decodes them. So the manifest keeps a
CRC-32 of each whole file, and a process looks at a file before it reads it for the first time.
"""

from __future__ import annotations

import os
import zlib
from pathlib import Path

from skewless.errors import CorruptData, StoreError
from skewless.forks import Lock
from skewless.stores.offline.log.manifest import LogFile

_AT_ONCE = 1 << 20
_MOST_KNOWN = 100_000
_known: dict[str, tuple[int, int, int, int]] = {}
"""Files that were looked at: checksum, and size, time of change and inode of then."""
_lock = Lock()


def checksum(path: Path) -> int:
    """Return the CRC-32 of a file's bytes."""
    found = 0
    with path.open("rb", buffering=0) as file:
        while piece := file.read(_AT_ONCE):
            found = zlib.crc32(piece, found)
    return found


def check(folder: Path, file: LogFile) -> None:
    """Look at a file unless it was looked at and nothing has changed it since.

    A file that is missing is for whoever reads it, and one of an older release has no checksum.

    Raises:
        CorruptData: its bytes are not those that were written.
        StoreError: it cannot be read.
    """
    if file.checksum is None:
        return
    path = folder / file.name
    try:
        seen = os.stat(path)
        now = (file.checksum, seen.st_size, seen.st_mtime_ns, seen.st_ino)
        if _known.get(str(path)) == now:
            return
        found = checksum(path)
    except FileNotFoundError:
        return
    except OSError as error:
        raise StoreError(
            "a settled file of an event log cannot be read", got=error.strerror, where=str(path)
        ) from error
    if found != file.checksum:
        raise CorruptData(
            "a settled file of an event log is damaged: its checksum is not that of its bytes",
            got=f"{found:08x}",
            expected=f"{file.checksum:08x}",
            where=str(path),
            hint="Restore this file from a backup.",
        )
    with _lock:
        if len(_known) >= _MOST_KNOWN:
            _known.clear()
        _known[str(path)] = now
