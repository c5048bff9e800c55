"""Keys of any length in stores that limit theirs.

A key of up to ``head`` bytes is stored as it is; of a longer one its first ``head`` bytes and the
hash of all of it, while the key itself lies beside the value. Stored keys sort as keys do, but for
long ones with one head: `in_key_order` sorts those.
"""

from __future__ import annotations

import hashlib
import itertools
from collections.abc import Iterable, Iterator

from skewless.stores.online.base import Item

DIGEST_BYTES = 32


def stored_key(key: bytes, head: int) -> bytes:
    """Return what stands for ``key``, at most ``head + 32`` bytes long.

    >>> stored_key(b"f1", 4), len(stored_key(b"a long key", 4))
    (b'f1', 36)
    """
    if len(key) <= head:
        return key
    return key[:head] + hashlib.blake2b(key, digest_size=DIGEST_BYTES).digest()


def stored_size(key: bytes, head: int) -> int:
    """Return the length of what stands for ``key``.

    >>> stored_size(b"f1", 4), stored_size(b"a long key", 4)
    (2, 36)
    """
    return len(key) if len(key) <= head else head + DIGEST_BYTES


def is_long(key: bytes, head: int) -> bool:
    """Say whether ``key`` must be kept beside its value."""
    return len(key) > head


def in_key_order(rows: Iterable[tuple[bytes, Item]], head: int) -> Iterator[Item]:
    """Yield the items of (stored key, item) in the order of their keys."""
    for _, same_head in itertools.groupby(rows, key=lambda row: row[0][:head]):
        yield from sorted(item for _, item in same_head)


def first_stored(prefix: bytes, after: bytes | None, head: int) -> bytes:
    """Return the smallest stored key that a scan may have to look at."""
    return max(prefix, after or b"")[:head]


def end_of(prefix: bytes) -> bytes | None:
    """Return the first key behind all that start with ``prefix``; None: there is none.

    >>> end_of(b"a"), end_of(b"a" + bytes([255])), end_of(b"")
    (b'b', b'b', None)
    """
    stem = prefix.rstrip(b"\xff")
    return stem[:-1] + bytes([stem[-1] + 1]) if stem else None


def wanted(
    items: Iterable[Item], prefix: bytes, after: bytes | None, limit: int | None
) -> Iterator[Item]:
    """Yield of ordered items what a scan asks for."""
    asked = (
        (key, value)
        for key, value in items
        if key.startswith(prefix) and (after is None or key > after)
    )
    return itertools.islice(asked, limit)
