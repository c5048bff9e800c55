"""Sixty-four bits that say what a row holds, the same wherever and however it is stored.

    content_hash(table, ["fab_id", "vdd"])

Equal values give equal bits whatever the chunks, the encoding (dictionary, large text) and the
width of integers or floats; 0.0 and -0.0 differ. Null adds nothing, so a column added to a source,
null in all older rows, changes none of their hashes; nor does the order of columns.

Each value becomes 64 bits by the finalizer of SplitMix64 (Steele, Lea and Flood, "Fast splittable
pseudorandom number generators", OOPSLA 2014), text and lists by folding their words with it. It
spreads well; it is no defence against somebody who looks for collisions.
"""

from __future__ import annotations

import functools
import hashlib
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    import pyarrow as pa

UInt64s = npt.NDArray[np.uint64]

_STEP = np.uint64(0x9E3779B97F4A7C15)
_FIRST = np.uint64(0xBF58476D1CE4E5B9)
_SECOND = np.uint64(0x94D049BB133111EB)


def content_hash(table: pa.Table, columns: Sequence[str] | None = None) -> UInt64s:
    """Return the hash of each row over ``columns``, by default all of them."""
    total = np.zeros(table.num_rows, np.uint64)
    for column in table.column_names if columns is None else columns:
        total += _salted(column_hash(table.column(column)), column)
    return _mixed(total)


def column_hash(column: pa.ChunkedArray) -> UInt64s:
    """Return the hash of each value of a column: 0 for null, never 0 else."""
    if not column.num_chunks:
        return np.zeros(0, np.uint64)
    parts = [_array_hash(chunk) for chunk in column.chunks]
    return parts[0] if len(parts) == 1 else np.concatenate(parts)


def _array_hash(array: pa.Array) -> UInt64s:
    if not len(array):
        return np.zeros(0, np.uint64)
    hashed = _hasher(array.type)(array)
    hashed |= hashed == 0
    if array.null_count:
        hashed[array.is_null().to_numpy(zero_copy_only=False)] = 0
    return hashed


def _hasher(arrow: pa.DataType) -> Callable[[pa.Array], UInt64s]:
    from pyarrow import types as is_

    for matches, hasher in (
        (is_.is_dictionary, _dictionary),
        (is_.is_boolean, _boolean),
        (is_.is_integer, _integer),
        (is_.is_floating, _floating),
        (is_.is_temporal, _integer),
        (is_.is_decimal, _fixed_width),
        (is_.is_struct, _struct),
        (is_.is_map, _map),
        (is_.is_fixed_size_list, _list),
        (is_.is_list, _list),
        (is_.is_large_list, _list),
    ):
        if matches(arrow):
            return hasher
    return _text


def _mixed(bits: UInt64s) -> UInt64s:
    """Spread ``bits``, in place: SplitMix64's step and finalizer."""
    bits += _STEP
    bits ^= bits >> np.uint64(30)
    bits *= _FIRST
    bits ^= bits >> np.uint64(27)
    bits *= _SECOND
    bits ^= bits >> np.uint64(31)
    return bits


@functools.cache
def _salt(name: str) -> np.uint64:
    digest = hashlib.blake2b(name.encode(), digest_size=8).digest()
    return np.uint64(int.from_bytes(digest, "little"))


def _salted(hashed: UInt64s, name: str) -> UInt64s:
    """Return what a named value adds to its row: nothing if it is null."""
    null = hashed == 0
    salted = _mixed(hashed ^ _salt(name))
    salted[null] = 0
    return salted


def _integer(array: pa.Array) -> UInt64s:
    import pyarrow as pa

    if pa.types.is_temporal(array.type):
        array = array.view(pa.int32() if array.type.bit_width == 32 else pa.int64())
    filled = array.fill_null(0) if array.null_count else array
    values = filled.to_numpy(zero_copy_only=False)
    wide = values if values.dtype == np.uint64 else values.astype(np.int64, copy=False)
    return _mixed(wide.view(np.uint64).copy())


def _floating(array: pa.Array) -> UInt64s:
    filled = array.fill_null(0.0) if array.null_count else array
    values = filled.to_numpy(zero_copy_only=False).astype(np.float64)
    return _mixed(values.view(np.uint64))


def _boolean(array: pa.Array) -> UInt64s:
    filled = array.fill_null(False) if array.null_count else array
    return _mixed(filled.to_numpy(zero_copy_only=False).astype(np.uint64))


def _dictionary(array: pa.Array) -> UInt64s:
    of_values = _array_hash(array.dictionary)
    codes = array.indices.fill_null(0) if array.null_count else array.indices
    if not len(of_values):
        return np.zeros(len(array), np.uint64)
    taken: UInt64s = of_values[codes.to_numpy(zero_copy_only=False)]
    return taken


def _fixed_width(array: pa.Array) -> UInt64s:
    """Decimals: all words of each value."""
    width = array.type.bit_width // 64
    words = np.frombuffer(array.buffers()[1], np.uint64, count=(array.offset + len(array)) * width)
    words = words.reshape(-1, width)[array.offset :]
    folded = np.zeros(len(array), np.uint64)
    for word in range(width):
        folded = _mixed(folded ^ words[:, word])
    return folded


def _text(array: pa.Array) -> UInt64s:
    """Text and bytes: eight bytes at a time, all rows at once; then the length."""
    import pyarrow as pa

    array = array.cast(pa.large_binary())
    offsets = np.frombuffer(array.buffers()[1], np.int64, count=array.offset + len(array) + 1)
    offsets = offsets[array.offset :]
    starts, lengths, size = offsets[:-1] - offsets[0], np.diff(offsets), offsets[-1] - offsets[0]
    folded = _mixed(lengths.astype(np.uint64))
    if not size:
        return folded
    # A word begins at every byte, the last one too: hence eight bytes more.
    padded = np.zeros(size + 8, np.uint8)
    padded[:size] = np.frombuffer(array.buffers()[2], np.uint8)[offsets[0] : offsets[-1]]
    words: UInt64s = np.ndarray((size + 1,), "<u8", padded.data, strides=(1,))
    rows = np.flatnonzero(lengths)
    for position in range(0, int(lengths.max()), 8):
        rest = lengths[rows] - position
        if position:
            rows, rest = rows[rest > 0], rest[rest > 0]
        unused = np.uint64(8) * (np.uint64(8) - np.minimum(rest, 8).astype(np.uint64))
        word = words[starts[rows] + position].astype(np.uint64)
        folded[rows] = _mixed(folded[rows] ^ (word << unused >> unused))
    return folded


def _list(array: pa.Array) -> UInt64s:
    """Lists and maps: the sum, modulo 2**64, of all items with their places; and the length."""
    import pyarrow as pa

    if pa.types.is_fixed_size_list(array.type):
        lengths = np.full(len(array), array.type.list_size, np.int64)
    else:
        lengths = np.diff(array.offsets.to_numpy().astype(np.int64))
    if array.null_count:
        lengths[array.is_null().to_numpy(zero_copy_only=False)] = 0
    ends = np.cumsum(lengths)
    items = _array_hash(array.flatten())
    places = np.arange(len(items), dtype=np.int64) - np.repeat(ends - lengths, lengths)
    placed = _mixed(items ^ _mixed(places.astype(np.uint64)))
    sums = np.concatenate((np.zeros(1, np.uint64), np.cumsum(placed, dtype=np.uint64)))
    return _mixed(_mixed(lengths.astype(np.uint64)) + (sums[ends] - sums[ends - lengths]))


def _map(array: pa.Array) -> UInt64s:
    import pyarrow as pa

    pairs = pa.StructArray.from_arrays([array.keys, array.items], ["key", "value"])
    # Copied, since Arrow takes no mask together with offsets that are a slice.
    offsets = pa.array(array.offsets.to_numpy())
    return _list(pa.ListArray.from_arrays(offsets, pairs, mask=array.is_null()))


def _struct(array: pa.Array) -> UInt64s:
    import pyarrow.compute as pc

    total = np.zeros(len(array), np.uint64)
    for field in array.type:
        total += _salted(_array_hash(pc.struct_field(array, field.name)), field.name)
    return _mixed(total)
