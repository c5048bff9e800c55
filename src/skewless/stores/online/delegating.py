"""Rows that are read where other rows are: the half that wrappers of stores have in common."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from skewless.stores.online.base import Item, KeyValues


class DelegatingReads(KeyValues):
    """Reads are those of other rows; writes are for the subclass.

    Args:
        rows: a store or a transaction.
    """

    def __init__(self, rows: KeyValues) -> None:
        self._rows = rows

    def read(self, table: str, keys: Sequence[bytes]) -> list[bytes | None]:
        return self._rows.read(table, keys)

    def read_one(self, table: str, key: bytes) -> bytes | None:
        return self._rows.read_one(table, key)

    def neighbours(self, table: str, keys: Sequence[bytes]) -> Iterable[tuple[str, bytes, bytes]]:
        return self._rows.neighbours(table, keys)

    def scan(
        self,
        table: str,
        *,
        prefix: bytes = b"",
        after: bytes | None = None,
        limit: int | None = None,
    ) -> Iterator[Item]:
        return self._rows.scan(table, prefix=prefix, after=after, limit=limit)
