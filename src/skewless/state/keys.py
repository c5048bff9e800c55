"""Join keys as bytes: the keys of the online store.

One text or bytes key stands for itself, a whole number is eight big-endian bytes (so numbers sort
as numbers), several keys follow each other, each text behind its length. An entity without keys
is one byte, since stores take no empty key.

>>> from skewless.definitions import Entity
>>> KeyCodec(Entity("fab", fab_id=str)).encode({"fab_id": "f1"})
b'f1'
>>> codec = KeyCodec(Entity("trip", driver=int, trip=str))
>>> codec.decode(codec.encode({"driver": 7, "trip": "a"}))
{'driver': 7, 'trip': 'a'}
>>> KeyCodec(Entity("site")).encode({})
b'\\x00'
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Mapping, Sequence
from datetime import date, timedelta
from typing import TYPE_CHECKING, Any

from skewless.clock import from_micros, to_micros
from skewless.compiled import compiled
from skewless.definitions.entity import Entity
from skewless.errors import InputError, MissingColumn
from skewless.types import DType

if TYPE_CHECKING:
    import pyarrow as pa

reading = compiled("skewless.state._reading")
_EPOCH = date(1970, 1, 1)
_SIGN = 2**63
_FEW = 4
_NO_KEY = b"\x00"


class NullKey(InputError):
    """A join key is null: it names no entity."""


class KeyCodec:
    """Translates the join keys of one entity to bytes and back."""

    def __init__(self, entity: Entity) -> None:
        self.entity = entity
        self._alone = len(entity.join_keys) == 1
        self._parts = tuple((name, dtype, _packer(dtype)) for name, dtype in entity.join_keys)
        self._first, kind = "", ""
        if self._parts:
            self._first, self._first_type, _ = self._parts[0]
            kind = self._first_type.kind
        self._plain_text = self._alone and kind == "str"
        self._plain_number = self._alone and kind == "int64"

    def encode(self, row: Mapping[str, Any]) -> bytes:
        """Return the key of the entity that ``row`` names.

        Raises:
            MissingColumn: a join key is missing.
            NullKey: a join key is null.
            InputError: a join key is of another type.
        """
        if self._plain_text:
            value = row.get(self._first)
            if type(value) is str:
                try:
                    return value.encode()
                except UnicodeEncodeError:
                    pass  # said below, of the column
        elif self._plain_number:
            number = row.get(self._first)
            if type(number) is int and -_SIGN <= number < _SIGN:
                return (number + _SIGN).to_bytes(8, "big")
        parts = [self._part(row, name, dtype, pack) for name, dtype, pack in self._parts]
        if self._alone:
            return parts[0]
        return b"".join(_framed(part) for part in parts) or _NO_KEY

    def encode_all(self, rows: Sequence[Mapping[str, Any]]) -> list[bytes]:
        """Return what `encode` does for each of some rows."""
        if reading is not None and (self._plain_text or self._plain_number):
            keys: list[bytes] | None = reading.encode_keys(rows, self._first, self._plain_number)
            if keys is not None:
                return keys
        if self._plain_text and len(rows) > _FEW:
            values = [row.get(self._first) for row in rows]
            if set(map(type, values)) == {str}:
                return list(map(str.encode, values))  # type: ignore[arg-type]
        encode = self.encode
        return [encode(row) for row in rows]

    def _part(
        self, row: Mapping[str, Any], name: str, dtype: DType, pack: Callable[[Any], bytes]
    ) -> bytes:
        where = f"entity {self.entity.name!r}"
        if name not in row:
            raise MissingColumn.of(name, row, where=f"the key of {where}")
        value = row[name]
        if value is None:
            raise NullKey(f"join key {name!r} is null", where=where)
        try:
            return pack(dtype.coerce(value))
        except ValueError as problem:
            raise InputError(f"join key {name!r}: {problem}", where=where) from None

    def decode(self, key: bytes) -> dict[str, Any]:
        """Return the join keys that `encode` packed."""
        if self._alone:
            return {self._first: _unpack(self._first_type, key)}
        found, at = {}, 0
        for name, dtype, _ in self._parts:
            (size,) = struct.unpack_from(">I", key, at)
            found[name] = _unpack(dtype, key[at + 4 : at + 4 + size])
            at += 4 + size
        return found

    def encode_columns(self, columns: Sequence[pa.Array], rows: int) -> list[bytes]:
        """Return the keys of so many rows, of columns in canonical Arrow types without nulls."""
        if not self._parts:
            return [_NO_KEY] * rows
        typed = zip(columns, self._parts, strict=True)
        parts = [_pack_column(column, dtype) for column, (_, dtype, _) in typed]
        if self._alone:
            return parts[0]
        return [b"".join(map(_framed, row)) for row in zip(*parts, strict=True)]


def _framed(part: bytes) -> bytes:
    return struct.pack(">I", len(part)) + part


def _pack_column(column: pa.Array, dtype: DType) -> list[bytes]:
    import numpy as np
    import pyarrow as pa
    import pyarrow.compute as pc

    match dtype.kind:
        case "str":
            return [bytes(value) for value in pc.cast(column, pa.binary()).to_pylist()]
        case "bytes":
            return list(column.to_pylist())
        case "bool":
            return [b"\x01" if value else b"\x00" for value in column.to_pylist()]
    if dtype.kind == "date":
        column = column.cast(pa.int32())
    numbers = np.asarray(column.cast(pa.int64()), dtype=np.int64)
    flipped = (numbers.view(np.uint64) ^ np.uint64(_SIGN)).astype(">u8").tobytes()
    return [flipped[at : at + 8] for at in range(0, len(flipped), 8)]


def _packer(dtype: DType) -> Callable[[Any], bytes]:
    match dtype.kind:
        case "str":
            return str.encode
        case "bytes":
            return bytes
        case "bool":
            return lambda value: b"\x01" if value else b"\x00"
        case "date":
            return lambda value: _pack_number((value - _EPOCH).days)
        case "timestamp":
            return lambda value: _pack_number(to_micros(value))
        case _:
            return _pack_number


def _pack_number(number: int) -> bytes:
    return (number + _SIGN).to_bytes(8, "big")


def _unpack(dtype: DType, part: bytes) -> Any:
    match dtype.kind:
        case "str":
            return part.decode()
        case "bytes":
            return part
        case "bool":
            return part == b"\x01"
    number = int.from_bytes(part, "big") - _SIGN
    match dtype.kind:
        case "date":
            return _EPOCH + timedelta(days=number)
        case "timestamp":
            return from_micros(number)
        case _:
            return number
