"""What the errors of LMDB mean, in words and with a remedy."""

from __future__ import annotations

import errno
import os
import shutil

import lmdb

from skewless.errors import CorruptData, StoreError
from skewless.stores.online.lmdb.tree import RESTORE

MAX_READERS = 2048
# A write that a full disk cuts short is reported as EIO. Told by text: older releases have no code.
_DISK_REFUSES = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO}


def store_error(error: lmdb.Error, path: str) -> StoreError:
    """Return the `StoreError` that says what ``error`` means for the store at ``path``."""
    if isinstance(error, lmdb.MemoryError):
        return no_address_space(str(error), path)
    kind, what, hint = StoreError, "the online store failed", None
    if isinstance(error, (lmdb.InvalidError, lmdb.VersionMismatchError)):
        kind, what, hint = CorruptData, "the online store's file is not an LMDB file", RESTORE
    elif isinstance(error, (lmdb.CorruptedError, lmdb.PageNotFoundError)):
        kind, what, hint = CorruptData, "the online store's file is damaged", RESTORE
    elif isinstance(error, lmdb.MapFullError):
        what = "the transaction did not fit into the online store's map"
        hint = "The map has been made larger: run the transaction again."
    elif isinstance(error, lmdb.ReadersFullError):
        what = f"more than {MAX_READERS} reads of the online store at once"
        hint = "Close stores that are not in use."
    elif isinstance(error, lmdb.BadValsizeError):
        what = "the value is too long for the online store"
        hint = "A value may have up to 4 GiB less one byte."
    elif any(os.strerror(code) in str(error) for code in _DISK_REFUSES):
        what = "the online store could not write to its disk"
        hint = (
            f"{shutil.disk_usage(path).free:,} bytes are free there: make room, or look at quotas"
            " and the disk itself. Nothing of this write was kept; what was there can be read."
        )
    return kind(what, got=str(error), where=path, hint=hint)


def no_address_space(got: str, path: str) -> StoreError:
    """Return the error for a map that this process has no addresses for."""
    return StoreError(
        "the online store's map does not fit into the address space of this process",
        got=got,
        where=path,
        hint="Raise its limit: ulimit -v, or RLIMIT_AS. Addresses take no memory.",
    )
