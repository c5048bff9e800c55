"""Seals: a checksum behind every value of a store, over its table, its key and its bytes.

    value | CRC-32 of table, zero byte and key, xor CRC-32 of value; little endian

The CRC is that of zlib. A value that a damaged index gives for
another key, or out of another table, is as wrong as one with a flipped bit.

>>> sealed = seal(seed_of("wafer_tests"), b"f1", b"state of f1")
>>> len(sealed) - len(b"state of f1")
4
>>> open_one(seed_of("wafer_tests"), b"f1", sealed)
b'state of f1'
>>> open_one(seed_of("wafer_tests"), b"f2", sealed) is None
True

`implementation` says whether the compiled module does it or zlib: "compiled", or "zlib" if the
module is missing or ``SKEWLESS_KERNELS`` is "numpy". Both give equal bytes.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable, Sequence
from typing import Protocol

from skewless.compiled import compiled

SEAL_BYTES = 4
ALL_THERE, SOME_MISSING = -1, -2
"""What `open_all` says of values without damage."""


def seed_of(table: str) -> int:
    """Return what the seals of a table begin with."""
    return zlib.crc32(table.encode("utf-8", "surrogatepass") + b"\0")


class _Sealing(Protocol):
    @property
    def seal(self) -> Callable[[int, bytes, bytes], bytes]: ...
    @property
    def open_one(self) -> Callable[[int, bytes, bytes], bytes | None]: ...
    @property
    def open_all(self) -> Callable[[int, Sequence[bytes], list[bytes | None]], int]: ...


class ByZlib:
    """Seals made and looked at in Python."""

    @staticmethod
    def seal(seed: int, key: bytes, value: bytes, /) -> bytes:
        """Return a value with its seal behind it."""
        return value + _seal(seed, key, value)

    @staticmethod
    def open_one(seed: int, key: bytes, value: bytes, /) -> bytes | None:
        """Return a value without its seal; None if it is damaged."""
        opened = value[:-SEAL_BYTES]
        return opened if value[-SEAL_BYTES:] == _seal(seed, key, opened) else None

    @staticmethod
    def open_all(seed: int, keys: Sequence[bytes], values: list[bytes | None], /) -> int:
        """Take the seals off the values of a list, in place.

        Returns the position of the first damaged value, which is left as it is, or `ALL_THERE`, or
        `SOME_MISSING`.
        """
        found = ALL_THERE
        for at, (key, value) in enumerate(zip(keys, values, strict=True)):
            if value is None:
                found = SOME_MISSING
                continue
            opened = ByZlib.open_one(seed, key, value)
            if opened is None:
                return at
            values[at] = opened
        return found


def _seal(seed: int, key: bytes, value: bytes) -> bytes:
    return (zlib.crc32(key, seed) ^ zlib.crc32(value)).to_bytes(SEAL_BYTES, "little")


_chosen: _Sealing = compiled("skewless.stores.online._sealing") or ByZlib()
implementation = "zlib" if isinstance(_chosen, ByZlib) else "compiled"
seal, open_one, open_all = _chosen.seal, _chosen.open_one, _chosen.open_all
