"""Arrow has several forms for one value; columns that come in are brought to one of them, once.

plain(pa.array(["a"], pa.string_view())).type                   # large_string
plain(pa.array(["a", "a"]).dictionary_encode()).type            # string
plain_type(pa.list_view(pa.decimal32(5, 2)))                    # list<decimal128(5, 2)>

Views, dictionaries, runs, narrow and wide decimals, list views, and extension types whose meaning
is that of their storage become plain columns, at any depth. UUIDs stay what they are: whether they
are text or bytes is said by the declaration (`stores.offline.cast`). Extension types that are not
known stay too, and a column of one is refused where it is asked for.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pyarrow as pa

# Extensions that are their storage: a column of one is a column of that.
_STORED = frozenset({"arrow.json", "arrow.bool8", "arrow.fixed_shape_tensor"})


def plain(column: pa.ChunkedArray | pa.Array) -> Any:
    """Return a column in its plain form: the same object if it is plain already."""
    import pyarrow as pa

    target = plain_type(column.type)
    if target == column.type:
        return column
    if isinstance(column, pa.ChunkedArray):
        return pa.chunked_array([_plain(chunk) for chunk in column.chunks], target)
    return _plain(column)


def plain_table(table: pa.Table) -> pa.Table:
    """Return a table of plain columns, without the metadata of its schema."""
    import pyarrow as pa

    columns = [plain(column) for column in table.columns]
    return pa.Table.from_arrays(columns, names=table.column_names)


def plain_type(arrow: pa.DataType) -> pa.DataType:
    """Return the plain form of an Arrow type."""
    import pyarrow as pa
    from pyarrow import types as is_

    if is_.is_dictionary(arrow) or is_run_ends(arrow):
        return plain_type(arrow.value_type)
    if isinstance(arrow, pa.BaseExtensionType):
        if arrow.extension_name == "arrow.bool8":
            return pa.bool_()
        return plain_type(arrow.storage_type) if arrow.extension_name in _STORED else arrow
    if str(arrow) in ("string_view", "binary_view"):
        return pa.large_string() if str(arrow) == "string_view" else pa.large_binary()
    if is_.is_decimal(arrow) and not is_.is_decimal128(arrow) and arrow.precision <= 38:
        return pa.decimal128(arrow.precision, arrow.scale)
    if is_.is_fixed_size_list(arrow):
        item = plain_type(arrow.value_type)
        return arrow if item == arrow.value_type else pa.list_(item, arrow.list_size)
    if is_any_list(arrow):
        item = plain_type(arrow.value_type)
        wide = is_.is_large_list(arrow) or str(arrow).startswith("large_list_view")
        plain_list = pa.large_list(item) if wide else pa.list_(item)
        as_it_is = item == arrow.value_type and "view" not in str(arrow).partition("<")[0]
        return arrow if as_it_is else plain_list
    if is_.is_struct(arrow):
        fields = [field.with_type(plain_type(field.type)) for field in arrow]
        return arrow if [f.type for f in fields] == [f.type for f in arrow] else pa.struct(fields)
    if is_.is_map(arrow):
        key, item = plain_type(arrow.key_type), plain_type(arrow.item_type)
        return arrow if (key, item) == (arrow.key_type, arrow.item_type) else pa.map_(key, item)
    return arrow


def is_any_list(arrow: pa.DataType) -> bool:
    """Return whether values are lists, of any width and form."""
    from pyarrow import types as is_

    known = is_.is_list(arrow) or is_.is_large_list(arrow) or is_.is_fixed_size_list(arrow)
    return bool(known or str(arrow).startswith(("list_view<", "large_list_view<")))


def is_uuid(arrow: pa.DataType) -> bool:
    """Return whether values are of Arrow's extension type for UUIDs."""
    return getattr(arrow, "extension_name", None) == "arrow.uuid"


def is_run_ends(arrow: pa.DataType) -> bool:
    """Return whether values are stored as runs."""
    return str(arrow).startswith("run_end_encoded<")


def list_parts(array: pa.Array) -> tuple[pa.Array, Any, Any]:
    """Return the items of lists, offsets of each list in them, and which lists are null.

    Only items that are of a list: what lies outside a slice, or below a null, may be anything.
    """
    import numpy as np
    import pyarrow as pa
    import pyarrow.compute as pc

    lengths = pc.fill_null(pc.list_value_length(array), 0)
    offsets = np.zeros(len(array) + 1, np.int64)
    np.cumsum(np.asarray(lengths, np.int64), out=offsets[1:])
    mask = array.is_null() if array.null_count else None
    return array.flatten(), pa.array(offsets), mask


def map_parts(array: pa.Array) -> tuple[pa.Array, pa.Array, Any]:
    """Return keys, items and offsets of maps; the offset of a null map is null."""
    import numpy as np
    import pyarrow as pa

    pairs = pa.ListArray.from_buffers(
        pa.list_(pa.struct([("key", array.type.key_type), ("value", array.type.item_type)])),
        len(array),
        array.buffers()[:2],
        offset=array.offset,
        children=[pa.StructArray.from_arrays([array.keys, array.items], ["key", "value"])],
    )
    found, offsets, mask = list_parts(pairs)
    bounds = np.asarray(offsets).astype(np.int32)
    missing = None if mask is None else np.append(np.asarray(mask), False)
    return found.field("key"), found.field("value"), pa.array(bounds, pa.int32(), mask=missing)


def _plain(array: pa.Array) -> pa.Array:
    import pyarrow as pa
    import pyarrow.compute as pc
    from pyarrow import types as is_

    arrow, target = array.type, plain_type(array.type)
    if target == arrow:
        return array
    if is_.is_dictionary(arrow):
        return _plain(array.dictionary).take(array.indices)
    if is_run_ends(arrow):
        return _plain(pc.run_end_decode(array))
    if isinstance(arrow, pa.BaseExtensionType):
        stored = array.storage
        return stored.cast(pa.bool_()) if arrow.extension_name == "arrow.bool8" else _plain(stored)
    if is_.is_struct(arrow):
        mask = array.is_null() if array.null_count else None
        children = [_plain(child) for child in array.flatten()]
        return pa.StructArray.from_arrays(children, fields=list(target), mask=mask)
    if is_.is_map(arrow):
        keys, items, offsets = map_parts(array)
        return pa.MapArray.from_arrays(offsets, _plain(keys), _plain(items)).cast(target)
    if is_.is_fixed_size_list(arrow):
        return _fixed(array, target)
    if is_any_list(arrow):
        items, offsets, mask = list_parts(array)
        kind = pa.LargeListArray if is_.is_large_list(target) else pa.ListArray
        width = pa.int64() if is_.is_large_list(target) else pa.int32()
        return kind.from_arrays(offsets.cast(width), _plain(items), mask=mask).cast(target)
    return array.cast(target)


def _fixed(array: pa.Array, target: pa.DataType) -> pa.Array:
    """Return lists of one length with plain items; those of null lists are null."""
    import numpy as np
    import pyarrow as pa

    width, valid = target.list_size, np.asarray(array.is_valid())
    place = np.cumsum(np.repeat(valid, width)) - 1
    items = _plain(array.flatten()).take(pa.array(place, mask=~np.repeat(valid, width)))
    mask = array.is_null() if array.null_count else None
    return pa.FixedSizeListArray.from_arrays(items, type=target, mask=mask)
