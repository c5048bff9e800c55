"""What a table holds, as a hash: the same for the same values in the same order, however they lie.

>>> import pyarrow as pa
>>> one = pa.chunked_array([[1, None], [3]])
>>> column_digest(one) == column_digest(pa.chunked_array([[1, None, 3]]))
True

Chunks, the width of text's offsets, dictionaries and units of time do not count; types, nulls, the
order of rows and every bit of a value do (0.0 is not -0.0). Unlike `stores.offline.hashing` it is a
SHA-256: nobody can make another table of the same hash.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from skewless.stores.offline.plain import plain

if TYPE_CHECKING:
    import pyarrow as pa

DIGEST_LENGTH = 32


def column_digest(column: pa.ChunkedArray) -> str:
    """Return the hash of a column: 32 hexadecimal digits."""
    hashed = hashlib.sha256()
    _feed(hashed, column)
    return hashed.hexdigest()[:DIGEST_LENGTH]


def table_digests(table: pa.Table) -> dict[str, str]:
    """Return the hash of each column."""
    return {name: column_digest(table[name]) for name in table.column_names}


def content_id(digests: Mapping[str, str], about: Mapping[str, Any]) -> str:
    """Return the id of a table: of its columns, in order, and what is said of how it was made.

    35 characters: trackers of experiments take no more than 36 for the digest of a dataset.
    """
    said = json.dumps([list(digests.items()), about], sort_keys=True, separators=(",", ":"))
    return "ts_" + hashlib.sha256(said.encode()).hexdigest()[:DIGEST_LENGTH]


def _feed(hashed: Any, column: pa.ChunkedArray) -> None:
    """Hash a column by parts that no chunk's border runs through: nulls, lengths, values."""
    import pyarrow as pa
    import pyarrow.compute as pc

    column = _plain(column)
    kind = column.type
    said = str(kind).replace("large_", "") if pa.types.is_nested(kind) else str(kind)
    hashed.update(f"{said}:{len(column)}:{column.null_count};".encode())
    if column.null_count:
        for chunk in column.chunks:
            hashed.update(_bytes_of(chunk.is_valid().cast(pa.uint8()), 1))
    if pa.types.is_null(kind):
        return
    if pa.types.is_large_binary(kind):
        column = column.fill_null(b"")
        for chunk in column.chunks:
            hashed.update(_bytes_of(pc.binary_length(chunk), 8))
        for chunk in column.chunks:
            hashed.update(_text_of(chunk))
    elif pa.types.is_list(kind) or pa.types.is_large_list(kind):
        for chunk in column.chunks:
            lengths = pc.list_value_length(chunk).fill_null(0).cast(pa.int64())
            hashed.update(_bytes_of(lengths, 8))
        inner = [chunk.flatten() for chunk in column.chunks]
        _feed(hashed, pa.chunked_array(inner, type=kind.value_type))
    elif pa.types.is_struct(kind):
        for number in range(kind.num_fields):
            field = kind.field(number)
            hashed.update(field.name.encode() + b";")
            fields = [pc.struct_field(chunk, number) for chunk in column.chunks]
            _feed(hashed, pa.chunked_array(fields, type=field.type))
    elif pa.types.is_union(kind) or pa.types.is_interval(kind):  # no other form than Python's
        hashed.update(repr(column.to_pylist()).encode())
    else:
        for chunk in column.chunks:
            filled = chunk.fill_null(_zero(kind)) if chunk.null_count else chunk
            hashed.update(_bytes_of(filled, kind.bit_width // 8))


def _zero(kind: pa.DataType) -> pa.Scalar:
    """Return what stands in the place of nulls."""
    import pyarrow as pa

    if pa.types.is_fixed_size_binary(kind):
        return pa.scalar(bytes(kind.byte_width), kind)
    if pa.types.is_decimal(kind):
        return pa.scalar(Decimal(0), kind)
    whole = pa.int32() if kind.bit_width == 32 else pa.int64()
    return pa.scalar(0, pa.int32() if pa.types.is_floating(kind) else whole).cast(kind)


def _plain(column: pa.ChunkedArray) -> pa.ChunkedArray:
    """Return a column in the one form of its values that is hashed."""
    import pyarrow as pa

    column = plain(column)
    kind = column.type
    if isinstance(kind, pa.BaseExtensionType):
        storage = [chunk.storage for chunk in column.chunks]
        return _plain(pa.chunked_array(storage, type=kind.storage_type))
    if pa.types.is_boolean(kind):
        return column.cast(pa.uint8())
    if pa.types.is_timestamp(kind) and kind.unit in ("s", "ms"):  # Parquet has no seconds
        try:
            return column.cast(pa.timestamp("us", kind.tz))
        except pa.ArrowInvalid:  # beyond what microseconds hold: it has no other form
            return column
    if _is_text(kind):
        return column.cast(pa.large_string()).cast(pa.large_binary())
    if pa.types.is_binary(kind):
        return column.cast(pa.large_binary())
    if pa.types.is_map(kind):
        entries = pa.struct([("key", kind.key_type), ("value", kind.item_type)])
        return column.cast(pa.list_(entries))
    if pa.types.is_fixed_size_list(kind):
        return column.cast(pa.list_(kind.value_type))
    return column


def _is_text(kind: pa.DataType) -> bool:
    import pyarrow as pa

    view = getattr(pa.types, "is_string_view", lambda _: False)
    return bool(pa.types.is_string(kind) or pa.types.is_large_string(kind) or view(kind))


def _bytes_of(array: pa.Array, width: int) -> memoryview:
    """Return the values of an array without nulls, so many bytes each."""
    data = array.buffers()[1]
    start = array.offset * width
    return memoryview(b"") if data is None else memoryview(data)[start : start + len(array) * width]


def _text_of(array: pa.Array) -> memoryview:
    """Return the bytes of all texts of an array without nulls, one after the other."""
    import numpy as np

    _, offsets, data = array.buffers()
    if data is None or not len(array):
        return memoryview(b"")
    places = np.frombuffer(offsets, np.int64)[array.offset : array.offset + len(array) + 1]
    return memoryview(data)[int(places[0]) : int(places[-1])]
