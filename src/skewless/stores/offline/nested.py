"""Casts of columns whose values hold values: lists, vectors, maps, structs and JSON."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from skewless.errors import InputError
from skewless.stores.offline.plain import is_any_list, list_parts, map_parts
from skewless.types import DType, Float32, Json, String, python_values

if TYPE_CHECKING:
    import pyarrow as pa


class CastContext(Protocol):
    """Where a column is, and how to cast the columns inside of it."""

    where: str

    def cast(self, column: pa.ChunkedArray, dtype: DType) -> pa.ChunkedArray:
        """Return ``column`` as one of ``dtype``."""

    def misfit(self, column: pa.ChunkedArray, dtype: DType) -> InputError:
        """Return the error for a column that does not become one of ``dtype``."""


def lists(column: pa.ChunkedArray, dtype: DType, place: CastContext) -> pa.ChunkedArray:
    """Lists, whatever their width, with items of the declared type."""
    import pyarrow as pa

    if dtype.item is None or not is_any_list(column.type):
        raise place.misfit(column, dtype)
    chunks = []
    for chunk in column.chunks:
        items, offsets, mask = list_parts(chunk)
        typed = _one(place.cast(pa.chunked_array([items]), dtype.item).combine_chunks())
        chunks.append(pa.ListArray.from_arrays(offsets.cast(pa.int32()), typed, mask=mask))
    return pa.chunked_array(chunks, type=dtype.arrow())


def vectors(column: pa.ChunkedArray, dtype: DType, place: CastContext) -> pa.ChunkedArray:
    """Lists of one length; one that holds a null or NaN is null as a whole."""
    import numpy as np
    import pyarrow as pa
    import pyarrow.compute as pc

    if not is_any_list(column.type):
        raise place.misfit(column, dtype)
    lengths = pc.list_value_length(column).drop_null()
    wrong = lengths.filter(pc.not_equal(lengths, dtype.size))
    if len(wrong):
        raise InputError(
            f"a vector of another length than {dtype!r} has",
            got=wrong[0].as_py(),
            expected=dtype.size,
            where=place.where,
        )
    chunks = []
    for chunk in column.chunks:
        present = chunk.is_valid().to_numpy(zero_copy_only=False)
        items = place.cast(pa.chunked_array([chunk.flatten()]), Float32)
        numbers = np.full((len(chunk), dtype.size), np.nan, np.float32)
        flat = items.to_numpy().astype(np.float32, copy=False)
        numbers[present] = flat.reshape(-1, dtype.size)
        broken = np.isnan(numbers).any(axis=1)
        numbers[broken] = 0
        mask = pa.array(broken) if broken.any() else None
        flat_numbers = pa.array(numbers.reshape(-1))
        chunks.append(
            pa.FixedSizeListArray.from_arrays(flat_numbers, type=dtype.arrow(), mask=mask)
        )
    return pa.chunked_array(chunks, type=dtype.arrow())


def structs(column: pa.ChunkedArray, dtype: DType, place: CastContext) -> pa.ChunkedArray:
    """Records: fields by name; one that the data lacks is null, others are left out."""
    import pyarrow as pa
    import pyarrow.compute as pc

    if not pa.types.is_struct(column.type):
        raise place.misfit(column, dtype)
    names = [field.name for field in column.type]
    fields = list(dtype.arrow())
    chunks = []
    for chunk in column.chunks:
        children = []
        for name, inner in dtype.fields:
            if name in names:
                child = pa.chunked_array([pc.struct_field(chunk, name)])
                children.append(_one(place.cast(child, inner).combine_chunks()))
            else:
                children.append(pa.nulls(len(chunk), inner.arrow()))
        mask = chunk.is_null() if chunk.null_count else None
        chunks.append(pa.StructArray.from_arrays(children, fields=fields, mask=mask))
    return pa.chunked_array(chunks, type=dtype.arrow())


def maps(column: pa.ChunkedArray, dtype: DType, place: CastContext) -> pa.ChunkedArray:
    """Maps from text, with items of the declared type."""
    import pyarrow as pa

    if dtype.item is None or not pa.types.is_map(column.type):
        raise place.misfit(column, dtype)
    chunks = []
    for chunk in column.chunks:
        keys, items, offsets = map_parts(chunk)
        keys = _one(place.cast(pa.chunked_array([keys]), String).combine_chunks())
        items = _one(place.cast(pa.chunked_array([items]), dtype.item).combine_chunks())
        order = _in_order(offsets, keys, place.where)
        made = pa.MapArray.from_arrays(offsets, keys.take(order), items.take(order))
        chunks.append(made.cast(dtype.arrow()))
    return pa.chunked_array(chunks, type=dtype.arrow())


def _in_order(offsets: pa.Array, keys: pa.Array, where: str) -> pa.Array:
    """Return the places of entries with those of each map by ascending key.

    Raises:
        InputError: a map has a key twice: which of the two values counts, nobody could say.
    """
    import numpy as np
    import pyarrow as pa
    import pyarrow.compute as pc

    bounds = np.asarray(offsets.fill_null(0).cast(pa.int64()))
    row = np.searchsorted(np.maximum.accumulate(bounds), np.arange(len(keys)), side="right")
    encoded = keys.dictionary_encode()
    rank = np.empty(len(encoded.dictionary), np.int64)
    rank[np.asarray(pc.sort_indices(encoded.dictionary.cast(pa.binary())))] = np.arange(len(rank))
    code = rank[np.asarray(encoded.indices, np.int64)]
    order = np.lexsort((code, row))
    twice = np.flatnonzero((np.diff(row[order]) == 0) & (np.diff(code[order]) == 0))
    if len(twice):
        got = repr(keys[int(order[twice[0]])].as_py())
        raise InputError("a map with one key twice", got=got, where=where)
    return pa.array(order)


def json_text(column: pa.ChunkedArray, dtype: DType, place: CastContext) -> pa.ChunkedArray:
    """JSON in its canonical text: each distinct value is parsed once."""
    import pyarrow as pa

    del dtype
    encoded = column.dictionary_encode() if _is_text(column.type) else None
    try:
        if encoded is None:
            texts = [Json.coerce(value) for value in python_values(column)]
            return pa.chunked_array([pa.array(texts, pa.string())])
        chunks = []
        for chunk in encoded.chunks:
            texts = [Json.coerce(value) for value in chunk.dictionary.to_pylist()]
            chunks.append(pa.array(texts, pa.string()).take(chunk.indices))
        return pa.chunked_array(chunks, type=pa.string())
    except (ValueError, OverflowError) as error:  # the latter: times that Python cannot hold
        raise InputError("values that are no JSON", got=str(error), where=place.where) from error


def _is_text(arrow: pa.DataType) -> bool:
    from pyarrow import types as is_

    return bool(is_.is_string(arrow) or is_.is_large_string(arrow))


def _one(array: pa.Array | pa.ChunkedArray) -> pa.Array:
    """Return one array, whether ``combine_chunks`` gave one or a chunked one."""
    import pyarrow as pa

    if not isinstance(array, pa.ChunkedArray):
        return array
    return pa.concat_arrays(array.chunks) if array.num_chunks else pa.array([], array.type)
