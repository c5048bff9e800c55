"""How much an Arrow IPC stream holds, before and after it is unpacked.

A few bytes of Arrow may stand for any amount: compressed buffers, a long text in a dictionary that
every row names, runs, views of one text, columns of nulls without any bytes. So the lengths that
compressed buffers announce are added up before anything is unpacked (`announced`), and what rows
take when they are written out before that is done (`written_out`).

The metadata is that of Arrow's format: https://arrow.apache.org/docs/format/Columnar.html
"""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pyarrow as pa

ROW_BYTES = 32
_RECORD_BATCH, _DICTIONARY_BATCH = 3, 2
_HEADER_TYPE, _HEADER = 1, 2
_BUFFERS, _COMPRESSION, _DATA = 2, 3, 1


def announced(message: pa.Message) -> int:
    """Return how many bytes the buffers of a message have once they are unpacked.

    Raises:
        ValueError: its metadata says nothing that could be.
    """
    metadata, body = message.metadata, message.body
    if body is None:
        return 0
    try:
        return _unpacked(memoryview(metadata), memoryview(body))
    except (struct.error, IndexError) as problem:
        raise ValueError(f"wrong metadata: {problem}") from None


def _unpacked(metadata: memoryview, body: memoryview) -> int:
    message = _word(metadata, 0)
    kind = _field(metadata, message, _HEADER_TYPE)
    at = _field(metadata, message, _HEADER)
    if not kind or not at:
        return len(body)
    batch = at + _word(metadata, at)
    if metadata[kind] == _DICTIONARY_BATCH:
        at = _field(metadata, batch, _DATA)
        if not at:
            return len(body)
        batch = at + _word(metadata, at)
    elif metadata[kind] != _RECORD_BATCH:
        return len(body)
    if not _field(metadata, batch, _COMPRESSION):
        return len(body)
    at = _field(metadata, batch, _BUFFERS)
    if not at:
        return len(body)
    first = at + _word(metadata, at)
    total = 0
    for number in range(_word(metadata, first)):
        offset, length = struct.unpack_from("<qq", metadata, first + 4 + 16 * number)
        if length:
            (size,) = struct.unpack_from("<q", body, offset)
            total += length if size == -1 else max(size, 0)  # -1: this one is not compressed
    return total


def _word(data: memoryview, at: int) -> int:
    found: int = struct.unpack_from("<I", data, at)[0]
    return found


def _field(data: memoryview, table: int, number: int) -> int:
    """Return where a field of a table of a FlatBuffer lies; 0: it is not there."""
    (back,) = struct.unpack_from("<i", data, table)
    fields = table - back
    (size,) = struct.unpack_from("<H", data, fields)
    place = 4 + 2 * number
    if fields < 0 or place + 2 > size:
        return 0
    (offset,) = struct.unpack_from("<H", data, fields + place)
    return table + int(offset) if offset else 0


def written_out(table: pa.Table) -> int:
    """Return about how many bytes the rows take with nothing shared, and some for each row."""
    sizes = [_size(chunk) for column in table.columns for chunk in column.chunks]
    return int(table.num_rows) * ROW_BYTES + sum(sizes)


def _size(array: pa.Array) -> int:
    """Return what the values of an array take.

    Raises:
        ValueError: it is of a type whose values may share their bytes in ways not looked into.
    """
    import pyarrow as pa

    kind, length = array.type, len(array)
    if isinstance(array, pa.ExtensionArray):
        return _size(array.storage)
    if isinstance(array, pa.DictionaryArray):
        return _named(array)
    if pa.types.is_string_view(kind) or pa.types.is_binary_view(kind):
        return length + _lengths_of_views(array)
    if isinstance(array, pa.StructArray):
        return length + sum(_size(array.field(number)) for number in range(kind.num_fields))
    if isinstance(array, (pa.ListArray, pa.LargeListArray, pa.MapArray)):
        first, last = (array.offsets[at].as_py() for at in (0, -1)) if length else (0, 0)
        inner = pa.array([]) if not length else _inner(array).slice(first, last - first)
        return length + _size(inner)
    if isinstance(array, pa.FixedSizeListArray):
        return length + _size(array.flatten())
    if kind.num_fields or pa.types.is_run_end_encoded(kind):
        raise ValueError(f"columns of {kind} are not taken")
    return length + int(array.nbytes)


def _inner(array: Any) -> pa.Array:
    import pyarrow as pa

    if isinstance(array, pa.MapArray):
        return pa.StructArray.from_arrays([array.keys, array.items], ["key", "value"])
    return array.values


def _named(array: pa.DictionaryArray) -> int:
    """Return what the values take that the rows of a dictionary array name."""
    import pyarrow as pa
    import pyarrow.compute as pc

    values, kind = array.dictionary, array.dictionary.type
    if kind in (pa.string(), pa.binary(), pa.large_string(), pa.large_binary()):
        lengths = pc.binary_length(values).cast(pa.int64())
        return len(array) + int(pc.sum(lengths.take(array.indices)).as_py() or 0)
    if (
        pa.types.is_primitive(kind)
        or pa.types.is_fixed_size_binary(kind)
        or pa.types.is_decimal(kind)
    ):
        return len(array) * (1 + int(kind.bit_width) // 8)
    raise ValueError(f"columns of {array.type} are not taken")


def _lengths_of_views(array: pa.Array) -> int:
    import numpy as np

    views = np.frombuffer(array.buffers()[1], np.int32).reshape(-1, 4)
    return int(views[array.offset : array.offset + len(array), 0].astype(np.int64).sum())
