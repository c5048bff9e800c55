"""The door for rows in memory: dicts, columns, frames, streams and Parquet files, as Arrow tables.

as_table([{"card_id": "c1", "amount": 9.5}])
as_table(polars_frame)
as_table("spine.parquet")

Every verb that takes rows or a spine lets them in here. What a column holds stays what it is:
a column whose values are of several kinds, or partly without a time zone, is refused with the row.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from skewless.errors import InputError, NaiveTime
from skewless.parquet import read_parquet
from skewless.stores.offline.files.paths import translated
from skewless.stores.offline.python_columns import column_of, is_nan
from skewless.types import DType

_EXPECTED = "dicts, a dict of columns, or an Arrow, Polars or pandas table"


Types = Mapping[str, DType]


def as_table(data: Any, *, where: str = "the rows", types: Types | None = None) -> pa.Table:
    """Return rows of any accepted kind as an Arrow table, without a copy where that is possible.

    Args:
        data: dicts, a dict of columns, an Arrow table or batch, a frame of Polars or pandas,
            anything with an Arrow stream, or the path of a Parquet file.
        where: how errors name it.
        types: what some columns are declared to be: their Python objects may then be of several
            kinds, or mappings with different keys, as far as a value of the type may.

    Raises:
        InputError: it is no table, or its columns cannot be Arrow's.
        StoreError: the file cannot be read.
    """
    table = _as_table(data, where, types or {})
    twice = [name for name, count in Counter(table.column_names).items() if count > 1]
    if twice:
        raise InputError(f"column {twice[0]!r} is there twice", where=where, hint="Rename one.")
    return table


def _as_table(data: Any, where: str, types: Types) -> pa.Table:
    if isinstance(data, (str, Path)):
        try:
            str(data).encode()
        except UnicodeEncodeError as problem:
            raise InputError("no path of a file", got=str(problem), where=where) from None
        with translated(str(data)):
            return read_parquet(data)
    if isinstance(data, pa.Table):
        return data
    if isinstance(data, pa.RecordBatch):
        return pa.Table.from_batches([data])
    if isinstance(data, Iterator) and not hasattr(data, "__arrow_c_stream__"):
        data = list(data)
    if isinstance(data, (list, tuple)):
        return _of_rows(data, where, types)
    if isinstance(data, Mapping):
        return _of_columns(data, where, types)
    library = _library(data)
    if library == "pandas":
        # Not by its Arrow stream: that hands out NaN where it means null, and the index.
        return _of_pandas(data, where, types)
    if library == "polars":
        return _of_polars(data, where)
    if hasattr(data, "__arrow_c_stream__"):
        return _of_stream(data, where)
    raise InputError("not a table", got=type(data).__name__, expected=_EXPECTED, where=where)


def mapping_columns(data: Any) -> dict[str, list[Any]]:
    """Return the columns of a pandas frame that hold mappings: what type they have is not theirs.

    A record, a map and JSON all are mappings in Python; who knows the declared type reads them.
    """
    if _library(data) != "pandas":
        return {}
    columns = [
        (str(name), data.iloc[:, at].tolist())
        for at, (name, dtype) in enumerate(data.dtypes.items())
        if str(dtype) == "object"
    ]
    return {
        name: [None if is_nan(value) else value for value in values]
        for name, values in columns
        if any(map(_holds_mapping, values))
    }


def _holds_mapping(value: Any) -> bool:
    return isinstance(value, Mapping) or (
        isinstance(value, (list, tuple)) and any(map(_holds_mapping, value))
    )


def _library(data: Any) -> str | None:
    """Return the library of a frame; None for what is no frame of one that needs care."""
    for kind in type(data).__mro__:
        if kind.__name__ in ("DataFrame", "LazyFrame"):
            return str(kind.__module__).partition(".")[0]
    return None


def _of_rows(rows: Sequence[Any], where: str, types: Types) -> pa.Table:
    """Return dicts as a table; times with different zones become UTC."""
    for number, row in enumerate(rows):
        if not isinstance(row, Mapping):
            raise InputError(
                "not a table: a row is a mapping of columns",
                got=f"{row!r:.200} ({type(row).__name__})",
                where=f"{where}, row {number}",
            )
    names = dict.fromkeys(name for row in rows for name in row)
    return _of_columns({name: [row.get(name) for row in rows] for name in names}, where, types)


def _of_columns(columns: Mapping[Any, Any], where: str, types: Types) -> pa.Table:
    made: dict[str, Any] = {}
    for name, values in columns.items():
        if not isinstance(name, str):
            raise InputError("a column's name is text", got=f"{name!r:.200}", where=where)
        made[name] = _column(values, f"column {name!r} of {where}", types.get(name))
    lengths = {name: len(column) for name, column in made.items()}
    if len(set(lengths.values())) > 1:
        raise InputError("columns of different lengths", got=lengths, where=where)
    return pa.table(made)


def _column(values: Any, where: str, dtype: DType | None) -> Any:
    """Return one column of a dict of columns."""
    if isinstance(values, (pa.Array, pa.ChunkedArray)):
        return values
    if isinstance(values, np.ndarray) and values.ndim == 1:
        values = values.tolist() if values.dtype == object else _to_arrow(pa.array, values, where)
    elif type(values).__module__.partition(".")[0] == "pandas" and hasattr(values, "dtype"):
        return _series(values, where, dtype)
    elif hasattr(values, "__arrow_c_stream__"):
        return _to_arrow(pa.chunked_array, values, where)
    if isinstance(values, pa.Array):
        return values
    if isinstance(values, (list, tuple, range)):
        return _of_objects(list(values), where, dtype)
    raise InputError(
        "not a column of values",
        got=f"{values!r:.200} ({type(values).__name__})",
        expected="a list, or an Arrow, NumPy, Polars or pandas column",
        where=where,
        hint="One row is a list of one dict: [{...}].",
    )


def _of_objects(values: list[Any], where: str, dtype: DType | None) -> pa.Array:
    """Return Python objects as a column: of one kind, or each a value of the declared type."""
    try:
        return column_of(values, where=where)
    except NaiveTime:
        raise
    except InputError:
        if dtype is None:
            raise
    found = []
    for row, value in enumerate(values):
        try:
            found.append(dtype.coerce(value))
        except ValueError as problem:
            raise InputError(str(problem), where=f"{where}, row {row}") from None
    return pa.array(found, dtype.arrow())


def _of_pandas(frame: Any, where: str, types: Types) -> pa.Table:
    names = [str(name) for name in frame.columns]
    columns = [
        _series(frame.iloc[:, at], f"column {name!r} of {where}", types.get(name))
        for at, name in enumerate(names)
    ]
    return pa.Table.from_arrays(columns, names=names)


def _series(series: Any, where: str, dtype: DType | None = None) -> pa.Array | pa.ChunkedArray:
    """Return a pandas column; its NaN, NaT and NA are null."""
    kind = str(series.dtype)
    if kind == "object":
        values = [None if is_nan(v) else v for v in series.tolist()]
        return _of_objects(values, where, dtype)
    if kind == "category":
        codes, known = series.cat.codes.to_numpy(), series.cat.categories.to_series()
        indices = pa.array(codes, mask=codes < 0)
        values = _series(known, where)
        values = values.combine_chunks() if isinstance(values, pa.ChunkedArray) else values
        return pa.DictionaryArray.from_arrays(indices, values)
    if kind.startswith("Sparse"):
        return _series(series.sparse.to_dense(), where, dtype)
    return _to_arrow(pa.Array.from_pandas, series, where)


def _of_polars(frame: Any, where: str) -> pa.Table:
    import polars

    try:
        if hasattr(frame, "collect"):
            frame = frame.collect()
    except polars.exceptions.PolarsError as problem:
        raise InputError("a lazy frame that fails", got=str(problem)[:300], where=where) from None
    for name, dtype in frame.schema.items():
        # Arrow would be handed the addresses of the objects.
        if "Object" in str(dtype):
            raise InputError(
                "a column of Python objects", got=str(dtype), where=f"column {name!r} of {where}"
            )
    return _of_stream(frame, where)


def _of_stream(data: Any, where: str) -> pa.Table:
    table: pa.Table = _to_arrow(pa.table, data, where)
    return table


def _to_arrow(make: Any, data: Any, where: str) -> Any:
    """Return what Arrow makes of some data; what goes wrong is an error that says where."""
    try:
        return make(data)
    except (pa.ArrowException, TypeError, ValueError, OverflowError) as problem:
        raise InputError(
            "rows that cannot be Arrow columns",
            got=str(problem).splitlines()[0][:300] if str(problem) else type(problem).__name__,
            where=where,
            hint="Give every column one type.",
        ) from None
