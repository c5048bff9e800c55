"""Long values in pieces: a short head, written again with every change, and pieces, never changed.

A value is written whole or, where a writer asks for it (`KeyValues.write_heads`), in pieces. Its
bytes then lie in columns, in the head and in every piece, and the value is all columns one after
the other, each from the head to the oldest piece:

    value   column 0 of head, piece, piece ... | column 1 of head, piece, piece ... | ...
    head    version u8 | columns u8 | pieces u16 | id u64, size u32 of each piece | own columns
    piece   own columns
    columns length u32 of each | bytes of each

So what is added in front of a column changes the head alone. A head that has grown long is moved
into a new piece; eight pieces of one size become one (the log-structured merge of O'Neil 1996), so
a value of n bytes has in the order of log n pieces, and each byte is moved as often.

Pieces lie in a table of their own under a hash of the key and an id that is never given again: who
read a head finds its pieces as they were, or misses one, and then reads the head again. The seal of
a head is begun with another number than that of a whole value (`stores.online.sealed`), so that
nobody takes one for the other.

>>> head = Head((b"2", b"b", b""))
>>> head = head.moved().with_columns((b"3", b"c", b""))
>>> whole(head, {})
b'3cb'
"""

from __future__ import annotations

import hashlib
import math
import os
import struct
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from skewless.errors import CorruptData

LONG = 32 << 10
"""Bytes from which on a head is moved into a piece."""
SUFFIX = "/pieces"
MARK = 0x70696563
"""What the seed of a head's seal differs by."""
VERSION = 2
MERGED = 8
_START = struct.Struct("<BBH")
_PIECE = struct.Struct("<QI")
_KEY_BYTES = 16


@dataclass(frozen=True)
class Head:
    """The head of a value in pieces.

    Attributes:
        columns: its part of them.
        pieces: id and size of each piece, newest first.
        fresh: pieces that are not yet written, by id.
    """

    columns: tuple[bytes, ...]
    pieces: tuple[tuple[int, int], ...] = ()
    fresh: Mapping[int, bytes] = field(default_factory=dict)

    @property
    def size(self) -> int:
        """How many bytes its columns have."""
        return sum(map(len, self.columns))

    @property
    def stored(self) -> list[int]:
        """The ids of the pieces that are written."""
        return [number for number, _ in self.pieces if number not in self.fresh]

    def with_columns(self, columns: Sequence[bytes]) -> Head:
        """Return a head of other columns over the same pieces."""
        return Head(tuple(columns), self.pieces, self.fresh)

    def moved(self) -> Head:
        """Return the head with all columns but the first and the last moved to a new piece."""
        first, *middle, last = self.columns
        piece = _packed((b"", *middle, b""))
        number = int.from_bytes(os.urandom(8), "little")
        return Head(
            (first, *(b"" for _ in middle), last),
            ((number, len(piece)), *self.pieces),
            {**self.fresh, number: piece},
        )

    def compacted(self, read: Callable[[Sequence[int]], Sequence[bytes]]) -> Head:
        """Return the head with pieces of one size made one where they are many.

        Args:
            read: gives written pieces by their ids.
        """
        found = self
        while (run := _alike(found.pieces)) >= MERGED:
            old = [number for number, _ in found.pieces[:run]]
            stored = [number for number in old if number not in found.fresh]
            parts = {**found.fresh, **dict(zip(stored, read(stored), strict=True))}
            columns = [_unpacked(parts[number], 0, len(found.columns)) for number in old]
            piece = _packed([b"".join(column) for column in zip(*columns, strict=True)])
            number = int.from_bytes(os.urandom(8), "little")
            fresh = {n: part for n, part in found.fresh.items() if n not in old} | {number: piece}
            pieces = ((number, len(piece)), *found.pieces[run:])
            found = replace(found, pieces=pieces, fresh=fresh)
        return found

    def to_bytes(self) -> bytes:
        """Return the head as it is written."""
        start = _START.pack(VERSION, len(self.columns), len(self.pieces))
        return b"".join((start, *(_PIECE.pack(*p) for p in self.pieces), _packed(self.columns)))

    @classmethod
    def from_bytes(cls, data: bytes) -> Head:
        """Return the head that `to_bytes` wrote.

        Raises:
            CorruptData: it is none, or of a version this release does not know.
        """
        try:
            version, columns, count = _START.unpack_from(data)
            if version != VERSION:
                raise CorruptData(
                    "the head of a value in pieces, of another version",
                    got=version,
                    expected=VERSION,
                    hint="Written by another release: upgrade.",
                )
            at = _START.size + count * _PIECE.size
            pieces = tuple(_PIECE.iter_unpack(data[_START.size : at]))
            return cls(tuple(_unpacked(data, at, columns)), pieces)
        except struct.error:
            raise CorruptData(
                "the head of a value in pieces that was cut", got=f"{len(data)} bytes"
            ) from None


def whole(head: Head, stored: Mapping[int, bytes]) -> bytes:
    """Return the value of a head and its pieces.

    Args:
        head: of the value.
        stored: its pieces that are written, by id.
    """
    parts, width = {**head.fresh, **stored}, len(head.columns)
    columns = [_unpacked(parts[number], 0, width) for number, _ in head.pieces]
    return b"".join(part for column in zip(head.columns, *columns, strict=True) for part in column)


def table_of(table: str) -> str:
    """Return the table with the pieces of the values of ``table``."""
    return table + SUFFIX


def place_of(key: bytes) -> bytes:
    """Return what the keys of all pieces of a value begin with."""
    return hashlib.blake2b(key, digest_size=_KEY_BYTES).digest()


def key_of(place: bytes, number: int) -> bytes:
    """Return the key of a piece."""
    return place + number.to_bytes(8, "little")


def _alike(pieces: Sequence[tuple[int, int]]) -> int:
    """Return how many pieces, from the newest on, are about as large as it."""
    levels = [max(0, int(math.log(max(size, 1) / LONG, MERGED))) for _, size in pieces]
    return next((at for at, level in enumerate(levels) if level != levels[0]), len(levels))


def _packed(columns: Sequence[bytes]) -> bytes:
    return b"".join((struct.pack(f"<{len(columns)}I", *map(len, columns)), *columns))


def _unpacked(data: bytes, at: int, count: int) -> list[bytes]:
    lengths = struct.unpack_from(f"<{count}I", data, at)
    at += 4 * count
    columns = []
    for length in lengths:
        columns.append(data[at : at + length])
        at += length
    if at != len(data):
        raise CorruptData("a piece of a value that was cut", got=f"{len(data)} bytes")
    return columns
