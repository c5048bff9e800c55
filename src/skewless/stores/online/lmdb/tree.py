"""How rows lie in one LMDB tree: table ids, keys of any length, and the catalog of tables.

    00 00 'h'           header: magic, format version, count of changes of the catalog, its CRC-32
    00 00 't' name      id of the table (2 bytes, big-endian, from 1)
    00 00 'd' id        the rows of this dropped table are still being removed
    id key              value                               key of up to 508 bytes
    id key[:477] hash   length of key, key, value           longer: hash is 32 bytes of BLAKE2b

LMDB bounds keys to 511 bytes. Only those of long keys have exactly 511, so the two cannot be
mistaken for each other. One tree, not one per table: a named tree costs a second lookup in every
read and a handle that must be opened beforehand in every process.

Neither the catalog nor the order of keys is under the seals of values (`stores.online.sealing`). So
the header has a checksum of the names and ids of the tables; `neighbours` and `page` check the
order of keys, for a flipped bit of a key leaves its row where it was.

An id is not given out again while rows of its old table remain. Every read compares the header
(0.1 us) with the catalog it has cached, so that a drop is seen by all processes at once.
"""

from __future__ import annotations

import dataclasses
import hashlib
import struct
import zlib
from collections.abc import Iterable, Iterator, Sequence
from operator import itemgetter
from typing import TypeAlias

import lmdb

from skewless.errors import CorruptData, StoreError
from skewless.forks import cached_property
from skewless.stores.online.base import Item, other_format

FORMAT = 2
MAX_TABLES = 0xFFFF

RESTORE = "Restore a copy, or remove it and materialize again from history."
CATALOG = b"\0\0"
HEADER_KEY = b"\0\0h"
TABLE_KEY = b"\0\0t"
DROPPED_KEY = b"\0\0d"
_HEADER = struct.Struct(">8sHQI")
_START = struct.Struct(">8sH")
_MAGIC = b"skewless"
_CRC_BYTES = 4

MAX_SHORT_KEY = 508
KEPT_OF_LONG_KEY = 477
_LENGTH = struct.Struct(">I")

Txn: TypeAlias = "lmdb.Transaction[bytes]"


@dataclasses.dataclass(frozen=True)
class TableCatalog:
    """The tables as of one header."""

    header: bytes | None = None
    prefixes: dict[str, bytes] = dataclasses.field(default_factory=dict)

    @cached_property
    def names(self) -> dict[bytes, str]:
        """Name by id."""
        return {prefix: name for name, prefix in self.prefixes.items()}

    @classmethod
    def load(cls, txn: Txn, where: str | None = None) -> TableCatalog:
        """Read the catalog as ``txn`` sees it.

        Raises:
            StoreError: a newer skewless wrote it.
            CorruptData: it cannot be read.
        """
        header = txn.get(HEADER_KEY)
        if header is None:
            return cls()
        check_header(header, where)
        found = dict(entries(txn, TABLE_KEY))
        count = _HEADER.unpack(header)[2]
        if header != _header(count, found):
            raise CorruptData(
                "the list of tables of the online store is damaged",
                got=f"tables {sorted(found)[:20]}",
                where=where,
                hint=RESTORE,
            )
        return cls(header, {name.decode(): prefix for name, prefix in found.items()})

    def current(self, txn: Txn) -> TableCatalog:
        """Return the catalog that ``txn`` sees: this one, unless a table came or went."""
        return self if txn.get(HEADER_KEY) == self.header else TableCatalog.load(txn)

    def with_table(self, txn: Txn, table: str) -> TableCatalog:
        """Return the catalog with a new ``table``, written to ``txn``."""
        taken = set(self.prefixes.values()) | {key for key, _ in entries(txn, DROPPED_KEY)}
        free = (number.to_bytes(2, "big") for number in range(1, MAX_TABLES + 1))
        prefix = next((prefix for prefix in free if prefix not in taken), None)
        if prefix is None:
            raise StoreError(
                f"the online store is full of tables: {MAX_TABLES:,}", hint="Drop some of them."
            )
        txn.put(TABLE_KEY + table.encode(), prefix)
        return self._changed(txn, self.prefixes | {table: prefix})

    def without_table(self, txn: Txn, table: str) -> TableCatalog:
        """Return the catalog without ``table``, written to ``txn``; its rows remain."""
        prefixes = dict(self.prefixes)
        txn.put(DROPPED_KEY + prefixes.pop(table), b"")
        txn.delete(TABLE_KEY + table.encode())
        return self._changed(txn, prefixes)

    def _changed(self, txn: Txn, prefixes: dict[str, bytes]) -> TableCatalog:
        count = 0 if self.header is None else _HEADER.unpack(self.header)[2]
        header = _header(count + 1, {name.encode(): prefix for name, prefix in prefixes.items()})
        txn.put(HEADER_KEY, header)
        return TableCatalog(header, prefixes)


def check_header(header: bytes, where: str | None) -> None:
    """Raise if a header is not that of this format."""
    magic, version = _START.unpack_from(header) if len(header) >= _START.size else (b"", 0)
    if magic != _MAGIC or (version == FORMAT and len(header) != _HEADER.size):
        raise CorruptData(
            "the header of the online store is damaged", got=header, where=where, hint=RESTORE
        )
    if version != FORMAT:
        raise other_format(version, FORMAT, where)


def _header(count: int, tables: dict[bytes, bytes]) -> bytes:
    start = _HEADER.pack(_MAGIC, FORMAT, count, 0)[:-_CRC_BYTES]
    listed = b"".join(name + b"\0" + tables[name] for name in sorted(tables))
    return start + zlib.crc32(listed, zlib.crc32(start)).to_bytes(_CRC_BYTES, "big")


def neighbours(
    txn: Txn, catalog: TableCatalog, table: str, keys: Sequence[bytes]
) -> list[tuple[str, bytes, bytes]]:
    """Return the rows before and after where those of missing keys would be, with their tables.

    Raises:
        CorruptData: they are not in order, or are of no table.
    """
    prefix = catalog.prefixes.get(table)
    found: list[tuple[str, bytes, bytes]] = []
    if prefix is None:
        return found
    with txn.cursor() as cursor:
        for key in keys:
            wanted = prefix + key if len(key) <= MAX_SHORT_KEY else _long_key(prefix, key)
            after = cursor.set_range(wanted)
            if after:
                raw, value = cursor.item()
                if raw == wanted:
                    continue  # written since it was missing
                if raw < wanted:
                    raise out_of_order(raw)
                _append_row(txn, catalog, found, raw, value)
            if cursor.prev() if after else cursor.last():
                raw, value = cursor.item()
                if raw >= wanted:
                    raise out_of_order(raw)
                _append_row(txn, catalog, found, raw, value)
    return found


def _append_row(
    txn: Txn, catalog: TableCatalog, rows: list[tuple[str, bytes, bytes]], raw: bytes, value: bytes
) -> None:
    """Add a row to rows with their tables; those of the catalog and of dropped tables are none."""
    number = raw[: len(CATALOG)]
    name = catalog.names.get(number)
    if name is not None:
        rows.append((name, *_row(raw, value, len(number))))
    elif number != CATALOG and txn.get(DROPPED_KEY + number) is None:
        raise out_of_order(raw)


def flaws(txn: Txn, catalog: TableCatalog) -> list[str]:
    """Walk over all keys and return what is wrong with their order and number."""
    found, last, count = [], b"", 0
    known = {CATALOG, *catalog.prefixes.values()}
    known.update(number for number, _ in entries(txn, DROPPED_KEY))
    with txn.cursor() as cursor:
        for raw in cursor.iternext(keys=True, values=False):
            if raw <= last or raw[: len(CATALOG)] not in known:
                found.append(f"a row out of order, with key {raw[:80]!r}")
            last, count = max(last, raw), count + 1
    if count != (written := txn.stat()["entries"]):
        found.append(f"{count:,} rows can be found where {written:,} were written")
    return found


def out_of_order(key: bytes) -> CorruptData:
    """Return the error for a row that lies where its key does not belong."""
    return CorruptData(
        "the index of the online store is damaged",
        got=f"a row out of order, with key {key[:80]!r}",
        hint=RESTORE,
    )


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
    if len(packed) < _LENGTH.size:
        return b"", packed  # damaged, as its seal will say
    end = _LENGTH.size + _LENGTH.unpack_from(packed)[0]
    return packed[_LENGTH.size : end], packed[end:]


def _in_order(
    cursor: lmdb.Cursor[bytes], table: bytes, prefix: bytes, after: bytes | None
) -> Iterator[Item]:
    # Long keys with the same first 477 bytes lie in the order of their hashes, so the run of all
    # keys that share those bytes is read whole and sorted.
    lowest = prefix if after is None else max(prefix, after)
    common = table + prefix[:KEPT_OF_LONG_KEY]
    found, last = cursor.set_range(table + lowest[:KEPT_OF_LONG_KEY]), None
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
        if last is not None and run_head <= last:
            raise out_of_order(run_head)
        last = run_head
    if found:
        ended = cursor.key()
        if ended < common or (cursor.next() and cursor.key().startswith(common)):
            raise out_of_order(ended)


def _row(key: bytes, value: bytes, skip: int) -> Item:
    if len(key) - skip <= MAX_SHORT_KEY:
        return key[skip:], value
    return _unpack(value)
