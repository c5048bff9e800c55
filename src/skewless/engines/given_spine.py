"""A spine as it is given: what it must have, and its columns in canonical types."""

from __future__ import annotations

from collections.abc import Collection

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from skewless.errors import InputError, MissingColumn
from skewless.plan.selection import Selection
from skewless.stores.offline.cast import cast_column, to_micros_array
from skewless.types import DType, Timestamp, shown

Ints = npt.NDArray[np.int64]


def check_spine(columns: Collection[str], selection: Selection, timestamp: str) -> None:
    """Raise unless a spine has its time, join keys and request fields and no clashing column."""
    requests = [request.name for request in selection.requests]
    for name in (timestamp, *selection.join_keys, *requests):
        if name not in columns:
            raise MissingColumn.of(name, columns, where="the spine")
    for output in selection.outputs:
        if output.name in columns:
            raise InputError(
                f"the spine already has a column {output.name!r}",
                hint="Rename it, or pass full_names=True.",
            )


def spine_times(table: pa.Table, timestamp: str) -> Ints:
    """Return the spine's times as UTC microseconds.

    Raises:
        NaiveTime: they have no time zone.
        InputError: they are no times, or null.
    """
    column, where = table[timestamp], f"spine column {timestamp!r}"
    if column.null_count:
        raise InputError("a spine row without a time", where=where)
    if pa.types.is_integer(column.type) or pa.types.is_floating(column.type):
        raise InputError(
            "numbers where the times of a spine are expected",
            got=str(column.type),
            expected="times in UTC or another zone",
            where=where,
            hint="Say what they are, such as milliseconds since 1970, where the spine is made:"
            " pandas.to_datetime(column, unit='ms', utc=True).",
        )
    return to_micros_array(cast_column(column, Timestamp, where=where))


def spine_columns(table: pa.Table, selection: Selection) -> pa.Table:
    """Return join keys and request fields in their canonical types."""
    wanted = dict(selection.join_keys)
    wanted |= {request.name: request.dtype for request in selection.requests}
    columns = {name: _column(table[name], name, dtype) for name, dtype in wanted.items()}
    columns |= selection.constant_columns(table.num_rows)
    if not columns:
        return pa.table({"_": pa.nulls(table.num_rows)})
    return pa.table(columns)


def _column(given: pa.ChunkedArray, name: str, dtype: DType) -> pa.Array:
    where = f"spine column {name!r}"
    column = cast_column(given, dtype, where=where).combine_chunks()
    if dtype.kind == "vector" and column.null_count > given.null_count:
        # A request with it is refused online; as a null it would be trained on all the same.
        broken = pc.and_(column.is_null(), given.combine_chunks().is_valid())
        row = pc.index(broken, value=True).as_py()
        raise InputError(
            f"{dtype!r} has no room for null or NaN in a vector",
            got=shown(given[row].as_py()),
            where=f"{where}, row {row}",
        )
    return column
