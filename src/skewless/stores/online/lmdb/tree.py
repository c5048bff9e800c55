"""How rows lie in one LMDB tree: table ids, keys of any length, and the catalog of tables.

    00 00 'h'           header: magic, format version, count of changes of the catalog
    00 00 't' name      id of the table (2 bytes, big-endian, from 1)
    00 00 'd' id        the rows of this dropped table are still being removed
    id key              value                               key of up to 508 bytes
    id key[:477] hash   length of key, key, value           longer: hash is 32 bytes of BLAKE2b

LMDB bounds keys to 511 bytes. Only those of long keys have exactly 511, so the two cannot be
mistaken for each other. One tree, not one per table: a named tree costs a second lookup in every
read and a handle that must be opened beforehand in every process.

An id is not given out again while rows of its old table remain. Every read compares the header
(0.1 us) with the catalog it has cached, so that a drop is seen by all processes at once.
"""

from __future__ import annotations

import dataclasses
import hashlib
import struct
from collections.abc import Iterable, Iterator, Sequence
from operator import itemgetter
from typing import TypeAlias

import lmdb

from skewless.errors import CorruptData, StoreError
from skewless.stores.online.base import Item

FORMAT = 1
MAX_TABLES = 0xFFFF

HEADER_KEY = b"\0\0h"
TABLE_KEY = b"\0\0t"
DROPPED_KEY = b"\0\0d"
_HEADER = struct.Struct(">8sHQ")
_MAGIC = b"skewless"

MAX_SHORT_KEY = 508
KEPT_OF_LONG_KEY = 477
_LENGTH = struct.Struct(">I")

Txn: TypeAlias = "lmdb.Transaction[bytes]"


@dataclasses.dataclass(frozen=True)
class Catalog:
    """The tables as of one header."""

    header: bytes | None = None
    prefixes: dict[str, bytes] = dataclasses.field(default_factory=dict)

    @classmethod
    def load(cls, txn: Txn, where: str | None = None) -> Catalog:
        """Read the catalog as ``txn`` sees it.

        Raises:
            StoreError: a newer skewless wrote it.
            CorruptData: it cannot be read.
        """
        header = txn.get(HEADER_KEY)
        if header is None:
            return cls()
        try:
            magic, version, _ = _HEADER.unpack(header)
        except struct.error as error:
            raise CorruptData(
                "the header of the online store is damaged", got=header, where=where
            ) from error
        if magic != _MAGIC or version > FORMAT:
            raise StoreError(
                "a newer skewless wrote this online store",
                got=f"format {version}",
                expected=f"at most {FORMAT}",
                where=where,
                hint="Upgrade skewless.",
            )
        tables = {name.decode(): prefix for name, prefix in entries(txn, TABLE_KEY)}
        return cls(header, tables)

    def current(self, txn: Txn) -> Catalog:
        """Return the catalog that ``txn`` sees: this one, unless a table came or went."""
        return self if txn.get(HEADER_KEY) == self.header else Catalog.load(txn)

    def with_table(self, txn: Txn, table: str) -> Catalog:
        """Return the catalog with a new ``table``, written to ``txn``."""
        taken = set(self.prefixes.values()) | {key for key, _ in entries(txn, DROPPED_KEY)}
        free = (number.to_bytes(2, "big") for number in range(1, MAX_TABLES + 1))
        prefix = next((prefix for prefix in free if prefix not in taken), None)
        if prefix is None:
            raise StoreError(
                f"the online store is full of tables: {MAX_TABLES:,}", hint="Drop some of them."
            )
        txn.put(TABLE_KEY + table.encode(), prefix)
        return Catalog(self._changed(txn), self.prefixes | {table: prefix})

    def without_table(self, txn: Txn, table: str) -> Catalog:
        """Return the catalog without ``table``, written to ``txn``; its rows remain."""
        prefixes = dict(self.prefixes)
        txn.put(DROPPED_KEY + prefixes.pop(table), b"")
        txn.delete(TABLE_KEY + table.encode())
        return Catalog(self._changed(txn), prefixes)

    def _changed(self, txn: Txn) -> bytes:
        count = 0 if self.header is None else _HEADER.unpack(self.header)[2]
        header = _HEADER.pack(_MAGIC, FORMAT, count + 1)
        txn.put(HEADER_KEY, header)
        return header


def entries(txn: Txn, prefix: bytes) -> Iterator[Item]:
    """Yield the rest of each key that starts with ``prefix``, and its value."""
    with txn.cursor() as cursor:
        found = cursor.set_range(prefix)
        while found and cursor.key().startswith(prefix):
            yield cursor.key()[len(prefix) :], cursor.value()
            found = cursor.next()


def get(txn: Txn, table: bytes, key: bytes) -> bytes | None:
    """Return the value of a row of the table with id ``table``."""
    if len(key) <= MAX_SHORT_KEY:
        return txn.get(table + key)
    packed = txn.get(_long_key(table, key))
    return None if packed is None else _unpack(packed)[1]


def get_many(txn: Txn, table: bytes, keys: Sequence[bytes]) -> list[bytes | None]:
    """Return the values of rows, in the order of ``keys``."""
    # Not in the order of keys: sorting costs more than it saves once pages are in memory.
    read = txn.get
    return [
        read(table + key) if len(key) <= MAX_SHORT_KEY else get(txn, table, key) for key in keys
    ]


def put_many(txn: Txn, table: bytes, items: Iterable[Item]) -> None:
    """Insert or replace rows; of two with one key the later counts."""
    # In the order of keys: neighbours share pages, and new pages are filled to the brim.
    with txn.cursor() as cursor:
        cursor.putmulti(
            (table + key, value)
            if len(key) <= MAX_SHORT_KEY
            else (_long_key(table, key), _pack(key, value))
            for key, value in sorted(items, key=itemgetter(0))
        )


def delete_many(txn: Txn, table: bytes, keys: Iterable[bytes]) -> None:
    """Remove rows."""
    for key in keys:
        txn.delete(table + key if len(key) <= MAX_SHORT_KEY else _long_key(table, key))


def remove_some_dropped(txn: Txn, limit: int) -> bool:
    """Remove at most ``limit`` rows of dropped tables; say whether there may be more."""
    table, _ = next(entries(txn, DROPPED_KEY), (None, b""))
    if table is None:
        return False
    with txn.cursor() as cursor:
        found = cursor.set_range(table)
        for _ in range(limit):
            if not found or not cursor.key().startswith(table):
                txn.delete(DROPPED_KEY + table)
                break
            cursor.delete()  # moves on to the next row
            found = bool(cursor.key())
    return True


def page(
    txn: Txn, table: bytes, *, prefix: bytes, after: bytes | None, limit: int, size: int
) -> list[Item]:
    """Return the next rows in order: at most ``limit``, and not many more bytes than ``size``."""
    rows: list[Item] = []
    with txn.cursor() as cursor:
        for item in _in_order(cursor, table, prefix, after):
            rows.append(item)
            size -= len(item[1])
            if len(rows) == limit or size <= 0:
                break
    return rows


def _long_key(table: bytes, key: bytes) -> bytes:
    return table + key[:KEPT_OF_LONG_KEY] + hashlib.blake2b(key, digest_size=32).digest()


def _pack(key: bytes, value: bytes) -> bytes:
    return b"".join((_LENGTH.pack(len(key)), key, value))


def _unpack(packed: bytes) -> Item:
    end = _LENGTH.size + _LENGTH.unpack_from(packed)[0]
    return packed[_LENGTH.size : end], packed[end:]


def _in_order(
    cursor: lmdb.Cursor[bytes], table: bytes, prefix: bytes, after: bytes | None
) -> Iterator[Item]:
    # Long keys with the same first 477 bytes lie in the order of their hashes, so the run of all
    # keys that share those bytes is read whole and sorted.
    lowest = prefix if after is None else max(prefix, after)
    common = table + prefix[:KEPT_OF_LONG_KEY]
    found = cursor.set_range(table + lowest[:KEPT_OF_LONG_KEY])
    while found and cursor.key().startswith(common):
        run_head = cursor.key()[: len(table) + KEPT_OF_LONG_KEY]
        run: list[Item] = []
        while found and (not run or cursor.key().startswith(run_head)):
            run.append(_row(*cursor.item(), len(table)))
            found = cursor.next()
            if len(run_head) < len(table) + KEPT_OF_LONG_KEY:
                break
        for key, value in sorted(run):
            if key.startswith(prefix) and (after is None or key > after):
                yield key, value


def _row(key: bytes, value: bytes, skip: int) -> Item:
    if len(key) - skip <= MAX_SHORT_KEY:
        return key[skip:], value
    return _unpack(value)
