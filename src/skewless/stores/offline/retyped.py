"""Rows of one version of a source as another version of it has them.

A source may change: columns come, go and change their type. What was kept before stays as it was
kept; who reads it, or counts a row that is pushed now, by another version of the source sees

* a column that the rows do not have as null,
* numbers and text of another type as that type where they are one (``"17"`` and 17, 1 and 1.0),
* anything else of another type as null: nothing is guessed, and nobody is stopped.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import lru_cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pyarrow as pa

    from skewless.definitions.source import Source


def seen_as(source: Source, rows: pa.RecordBatch, columns: Iterable[str]) -> pa.RecordBatch:
    """Return columns of rows as ``source`` has them; the rows themselves where they are so.

    Args:
        source: the version that looks at them.
        rows: as another version of it kept or takes them.
        columns: names of columns of ``source``.
    """
    import pyarrow as pa

    schema = rows.schema
    if schema.equals(_schema(source)):
        return rows
    wanted = _fields(source, tuple(columns))
    place = {name: at for at, name in enumerate(schema.names)}
    if all(name in place and schema.field(place[name]).type == kind for name, kind in wanted):
        return rows
    arrays = [
        retyped(rows.column(place[name]), kind) if name in place else pa.nulls(rows.num_rows, kind)
        for name, kind in wanted
    ]
    return pa.RecordBatch.from_arrays(arrays, [name for name, _ in wanted])


@lru_cache(maxsize=256)
def _schema(source: Source) -> pa.Schema:
    import pyarrow as pa

    return pa.schema([(name, dtype.arrow()) for name, dtype in source.columns.items()])


@lru_cache(maxsize=256)
def _fields(source: Source, columns: tuple[str, ...]) -> tuple[tuple[str, pa.DataType], ...]:
    types = source.columns
    return tuple((name, types[name].arrow()) for name in columns)


def retyped(column: pa.Array, arrow: pa.DataType) -> pa.Array:
    """Return a column as another type: null where a value cannot be of it."""
    import pyarrow as pa

    if column.type == arrow:
        return column
    if not (_castable(column.type) and _castable(arrow)):
        return pa.nulls(len(column), arrow)
    try:
        return column.cast(arrow)
    except pa.ArrowInvalid:
        return pa.concat_arrays([_one(column.slice(at, 1), arrow) for at in range(len(column))])
    except pa.ArrowNotImplementedError:
        return pa.nulls(len(column), arrow)


def _one(value: pa.Array, arrow: pa.DataType) -> pa.Array:
    import pyarrow as pa

    try:
        return value.cast(arrow)
    except pa.ArrowInvalid:
        return pa.nulls(1, arrow)


def _castable(arrow: pa.DataType) -> bool:
    """Return whether a type is one of numbers or text."""
    from pyarrow import types as is_

    kinds = (is_.is_integer, is_.is_floating, is_.is_decimal, is_.is_string, is_.is_large_string)
    return any(kind(arrow) for kind in kinds)
